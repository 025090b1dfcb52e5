import json

import numpy as np
import pytest

from sat_keras import Captioner, cli
from sat_keras.runs.folder import load_run


def test_a_run_of_too_few_photos_stays_as_it_is(trained, fails):
    says = "train: 4 photos with two captions or more; confidence is calibrated on 50 or more"
    fails(["calibrate", trained["run"], *trained["places"]], says)
    assert load_run(trained["run"]).trust is None


def test_a_preset_that_names_no_data_set(trained, tmp_path, fails):
    load_run(trained["run"]).save_to_preset(tmp_path / "mine")
    arguments = ["calibrate", tmp_path / "mine", "--out", tmp_path / "new", *trained["places"]]
    fails(arguments, "mine: does not name its data set: save_to_preset(trained_on=...)")


def test_a_folder_that_holds_something_else_is_refused_at_once(trained, tmp_path, fails):
    load_run(trained["run"]).save_to_preset(tmp_path / "mine", trained_on="flickr8k")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "notes.txt").write_text("mine")
    arguments = ["calibrate", tmp_path / "mine", "--out", tmp_path / "new", *trained["places"]]
    fails(arguments, "new: holds notes.txt; name a folder of its own")


@pytest.mark.slow
def test_a_preset_s_captions_have_both_numbers(
    make_captioner, make_flickr8k, photo, tmp_path, capsys
):
    """On 50 training and 51 validation photos."""
    make_captioner().save_to_preset(tmp_path / "mine", trained_on="flickr8k")
    data = make_flickr8k(tmp_path / "flickr8k", photos=102, validation=51)
    new = tmp_path / "new"
    places = [f"--data-dir={data}", f"--cache={tmp_path / 'cache'}"]
    capsys.readouterr()
    assert cli.main(["calibrate", str(tmp_path / "mine"), f"--out={new}", "--json", *places]) == 0
    assert json.loads(capsys.readouterr().out) == {"preset": str(new)}
    before, after = (Captioner.from_preset(tmp_path / each) for each in ("mine", "new"))
    (one,), (other,) = before.caption([photo]), after.caption([photo])
    assert (one.text, one.confidence, one.familiarity) == (other.text, None, None)
    assert 0 <= other.confidence <= 1
    # Familiarity is the share of validation photos that are less familiar.
    validation = [data / "Flicker8k_Dataset" / f"{i}.jpg" for i in range(50, 101)]
    found = [each.familiarity for each in after.caption(validation)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.05)
