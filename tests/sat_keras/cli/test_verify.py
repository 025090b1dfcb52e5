import json
import re

import pytest

from sat_edge import Captioner as EdgeCaptioner
from sat_export import export_tflite
from sat_keras import cli
from sat_keras.runs.folder import load_run


@pytest.mark.slow
def test_verify(trained, tmp_path, capsys):
    out = tmp_path / "verified.json"
    arguments = ["verify", trained["run"], trained["tflite"], "--split=train", f"--out={out}"]
    capsys.readouterr()
    assert cli.main([*arguments, *trained["places"], "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(out.read_text())
    assert (printed["same"], printed["photos"]) == (1.0, 4)
    assert cli.main([*arguments, *trained["places"]]) == 0
    assert re.search(r"contents: operators: WHILE +1\n", capsys.readouterr().out)


@pytest.mark.slow
def test_it_ends_with_1_where_the_file_is_another(trained, make_captioner, tmp_path, fails):
    other = tmp_path / "other.tflite"
    export_tflite(make_captioner(), other)
    arguments = ["verify", trained["run"], other, "--split=train", *trained["places"]]
    fails(arguments, "other.tflite: its vocabulary is not the captioner's")


@pytest.mark.slow
def test_a_preset_is_exported_and_verified(trained, tmp_path, capsys, fails):
    preset, file = tmp_path / "mine", str(tmp_path / "captioner.tflite")
    captioner = load_run(trained["run"])
    verified = ["verify", str(preset), file, "--split=train", *trained["places"], "--json"]
    captioner.save_to_preset(preset)
    assert cli.main(["export", str(preset), "--out", file]) == 0
    assert EdgeCaptioner(file).settings.trained_on is None
    capsys.readouterr()
    fails(verified, "mine: does not name its data set: save_to_preset(trained_on=...)")
    captioner.save_to_preset(preset, trained_on="flickr8k")
    assert cli.main(["export", str(preset), "--out", file]) == 0
    assert EdgeCaptioner(file).settings.trained_on == "flickr8k"
    capsys.readouterr()
    assert cli.main(verified) == 0
    assert json.loads(capsys.readouterr().out)["same"] == 1.0
