import itertools
import json

import numpy as np
import pytest
from PIL import Image

from sat_edge import Captioner
from sat_edge.caption import UNFAMILIAR_IN_WORDS
from sat_keras import cli
from sat_keras.runs.folder import load_run


def captions(capsys, *arguments):
    capsys.readouterr()
    assert cli.main(["caption", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)["captions"]


def test_in_json_it_is_one_object(trained, photo, capsys):
    answers = []
    for model in (trained["run"], trained["tflite"]):
        (row,) = captions(capsys, model, photo)
        assert row["photo"] == photo
        answers.append(row)
    assert answers[0]["caption"] == answers[1]["caption"]
    assert answers[0]["log_prob"] == pytest.approx(answers[1]["log_prob"], abs=1e-3)


def test_trust_in_the_row_and_a_strange_photo_in_words(
    calibrated_file, photo, tmp_path, capsys, monkeypatch
):
    blank = str(tmp_path / "blank.png")
    Image.new("RGB", (64, 32), "white").save(blank)
    found = {path: Captioner(calibrated_file).caption(path) for path in (photo, blank)}
    known = sorted((each.familiarity, path) for path, each in found.items())
    (low, strange), (high, _) = known
    monkeypatch.setattr("sat_edge.caption.UNFAMILIAR", (low + high) / 2)
    capsys.readouterr()
    assert cli.main(["caption", str(calibrated_file), *found, "--json"]) == 0
    captured = capsys.readouterr()
    for row in json.loads(captured.out)["captions"]:
        caption = found[row["photo"]]
        assert row["confidence"] == pytest.approx(caption.confidence, abs=1e-4)
        assert row["familiarity"] == pytest.approx(caption.familiarity, abs=1e-4)
    said = [line for line in captured.err.splitlines() if UNFAMILIAR_IN_WORDS in line]
    assert low < high and said == [f"{strange}: {UNFAMILIAR_IN_WORDS}"]


def test_otherwise_a_photo_is_a_line(trained, photo, capsys):
    (row,) = captions(capsys, trained["tflite"], photo)
    assert cli.main(["caption", trained["tflite"], photo, photo]) == 0
    line = f"{photo}\t{row['caption']}\t{row['log_prob']}\n"
    assert capsys.readouterr().out == 2 * line


def test_beam_search_from_the_run_and_from_the_file(trained, photo, capsys):
    search = ["--beam-width=3", "--length-penalty=0.5", "--no-repeat-ngram=2"]
    run, file = (captions(capsys, trained[kind], photo, *search)[0] for kind in ("run", "tflite"))
    assert run["caption"] == file["caption"]
    assert run["log_prob"] == pytest.approx(file["log_prob"], abs=1e-3)
    wanted = {"beam_width": 3, "length_penalty": 0.5, "no_repeat_ngram": 2}
    assert run["caption"] == load_run(trained["run"]).caption([photo], **wanted)[0].text
    words = run["caption"].split()
    assert len(set(itertools.pairwise(words))) == max(len(words) - 1, 0)
    assert run != captions(capsys, trained["run"], photo)[0]  # which is greedy


def test_a_preset_takes_a_runs_place(trained, photo, tmp_path, capsys):
    load_run(trained["run"]).save_to_preset(tmp_path / "mine")
    found = [captions(capsys, model, photo) for model in (trained["run"], str(tmp_path / "mine"))]
    assert found[0][0]["caption"] == found[1][0]["caption"]


def test_attention_pictures(trained, photo, tmp_path, capsys):
    folder = tmp_path / "a"
    (row,) = captions(capsys, trained["tflite"], photo, "--attention", str(folder))
    assert [each.name for each in folder.iterdir()] == ["photo.png.png"]
    assert row["attention"] == str(folder / "photo.png.png")
    with Image.open(row["attention"]) as picture:
        assert len(np.unique(np.asarray(picture))) > 20  # not blank


def test_one_bad_photo_does_not_lose_the_others(trained, photo, tmp_path, capsys):
    text, none = tmp_path / "text.jpg", tmp_path / "none.jpg"
    text.write_text("no photo")
    arguments = ["caption", trained["tflite"], str(text), photo, str(none), "--json"]
    capsys.readouterr()
    assert cli.main(arguments) == 1
    captured = capsys.readouterr()
    assert [row["photo"] for row in json.loads(captured.out)["captions"]] == [photo]
    first, second = (each for each in captured.err.splitlines() if each.startswith("sat-keras"))
    assert first.startswith(f"sat-keras: {text}: not a picture")
    assert second == f"sat-keras: {none}: no such file"


def test_what_is_no_model(tmp_path, photo, fails):
    fails(["caption", tmp_path, photo], f"{tmp_path}: not a run folder")
    fails(["caption", tmp_path / "x.tflite", photo], "x.tflite: no such file")
    (tmp_path / "y.tflite").write_bytes(b"no captioner")
    fails(["caption", tmp_path / "y.tflite", photo], "y.tflite: no captioner")
    fails(["caption", "flickr8k-soft", photo, "--beam-width=0"], "beam_width is 0: name 1 or more")


def test_a_photo_that_is_not_there_is_one_of_the_lines(trained, tmp_path, capsys):
    names = [str(tmp_path / f"{i}.jpg") for i in range(2)]
    assert cli.main(["caption", trained["run"], *names]) == 1
    lines = [each for each in capsys.readouterr().err.splitlines() if "sat-keras" in each]
    assert lines == [f"sat-keras: {name}: no such file" for name in names]
