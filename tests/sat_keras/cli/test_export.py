import json
from pathlib import Path

import pytest

from sat_edge import Captioner as EdgeCaptioner
from sat_edge.search import Search
from sat_keras import cli
from sat_keras.runs.folder import load_run


def test_a_file_has_the_run_s_search_with_what_is_named(trained, tmp_path, capsys):
    file = str(tmp_path / "captioner.tflite")
    capsys.readouterr()
    export = ["export", trained["run"], "--out", file, "--json"]
    assert cli.main([*export, "--beam-width=4", "--no-repeat-ngram=3"]) == 0
    printed = json.loads(capsys.readouterr().out)
    wanted = Search(beam_width=4, no_repeat_ngram=3)
    assert EdgeCaptioner(file).search == wanted
    assert printed == {
        "file": file,
        "quantize": "none",
        "bytes": Path(file).stat().st_size,
        **wanted.as_dict(),
    }
    assert EdgeCaptioner(file).settings.trained_on == "flickr8k"
    assert load_run(trained["run"]).search == Search()  # the run stays as it is


@pytest.mark.slow
def test_a_preset_brings_its_own_search(tmp_path):
    file = tmp_path / "soft.tflite"
    assert cli.main(["export", "flickr8k-soft", "--out", str(file), "--length-penalty=1"]) == 0
    assert EdgeCaptioner(file).search == Search(beam_width=3, length_penalty=1.0)


def test_what_is_no_run_leaves_nothing(tmp_path, fails):
    fails(["export", tmp_path, "--out", tmp_path / "y.tflite"], "not a run folder")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_for_serving(trained, tmp_path, capsys, fails):
    export = ["export", trained["run"], "--out", str(tmp_path / "model"), "--format=saved-model"]
    fails([*export, "--quantize=dynamic"], "a SavedModel is float32")
    assert not list(tmp_path.iterdir())
    assert cli.main([*export, "--beam-width=2", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    folder = Path(printed["folder"])
    assert (folder.name, (folder / "saved_model.pb").is_file()) == ("1", True)
    settings = json.loads((folder / "assets.extra" / "captioner.json").read_text())
    assert settings["search"] == Search(beam_width=2).as_dict()
    assert printed["beam_width"] == 2
