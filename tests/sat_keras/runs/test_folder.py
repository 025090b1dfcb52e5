"""A run folder: what it holds, and how each damaged file is named."""

import csv
import json
import re
import shutil
import zipfile

import pytest

from sat_edge import InputError
from sat_keras.annotation_cache import build_annotation_cache
from sat_keras.pipeline import batches
from sat_keras.runs.folder import load_run, read_checkpoint_history, read_log, write_log


def test_run_folder(builder, soft):
    path, cache_dir, history = soft
    assert {each.name for each in path.iterdir()} == {
        "config.json",
        "vocabulary.txt",
        "captioner.keras",
        "checkpoint.keras",
        "log.csv",
        "tensorboard",
    }
    assert json.loads((path / "config.json").read_text())["decoder"]["units"] == 8
    with open(path / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["val_cider"]) for row in rows] == [each["val_cider"] for each in history]
    assert [float(row["epoch"]) for row in rows] == [1, 2, 3, 4]
    # The weights are those of the best epoch.
    scores = [each["val_cider"] for each in history]
    assert len(set(scores)) > 1
    best = max(range(4), key=lambda i: (scores[i], i))
    captioner = load_run(path)
    captioner.compile()
    cache = build_annotation_cache(cache_dir, builder, "validation", captioner.encoder)
    found = captioner.evaluate(
        batches(cache, captioner.vocabulary, 8, shuffle=False), return_dict=True, verbose=0
    )
    assert found["cross_entropy"] == pytest.approx(history[best]["val_cross_entropy"], rel=1e-4)


def test_the_log_is_read_as_it_was_written(soft, tmp_path):
    assert read_log(soft[0]) == soft[2]
    write_log(tmp_path, soft[2][::-1])
    assert read_log(tmp_path) == soft[2]  # by epoch


def test_the_checkpoint_knows_its_epochs(builder, soft):
    assert read_checkpoint_history(soft[0], builder) == soft[2]


def test_folder_that_is_no_run(tmp_path):
    line = f"{tmp_path}: not a run folder (no config.json in it)"
    with pytest.raises(InputError, match=f"^{re.escape(line)}$"):
        load_run(tmp_path)
    line = f"{tmp_path / 'none'}: no such run folder"
    with pytest.raises(InputError, match=f"^{re.escape(line)}$"):
        load_run(tmp_path / "none")


def test_run_without_weights(settings_of, vocabulary, tmp_path):
    settings_of().save(tmp_path)
    vocabulary.save(tmp_path / "vocabulary.txt")
    with pytest.raises(InputError, match="no trained captioner yet .no captioner.keras.; train it"):
        load_run(tmp_path)
    with pytest.raises(InputError, match="no epoch is complete yet .no log.csv"):
        read_log(tmp_path)


@pytest.fixture
def copied(soft, tmp_path):
    return shutil.copytree(soft[0], tmp_path / "run")


def test_vocabulary_that_does_not_fit(copied):
    with open(copied / "vocabulary.txt", "a") as file:
        file.write("zebra\n")
    with pytest.raises(InputError, match=r"vocabulary.txt: its 19 words are not the 18 that"):
        load_run(copied)


def test_settings_that_are_none(copied):
    (copied / "config.json").write_text('{"dataset": "shapes", "wings": 2}')
    with pytest.raises(InputError, match=r"config\.json: not the settings of a run"):
        load_run(copied)


@pytest.mark.parametrize("content", [b"", b"PK but not really", None])
def test_damaged_captioner(copied, content):
    path = copied / "captioner.keras"
    path.write_bytes(path.read_bytes()[:3000] if content is None else content)
    with pytest.raises(InputError, match=r"captioner\.keras: damaged; train it again$"):
        load_run(copied)


def test_a_captioner_of_version_0_1_is_refused_in_one_line(copied):
    path = copied / "captioner.keras"
    with zipfile.ZipFile(path) as file:
        content = {name: file.read(name) for name in file.namelist()}
    config = json.loads(content["config.json"])
    config["config"]["label_smoothing"] = 0.0  # it was the captioner's own
    content["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as file:
        for name, data in content.items():
            file.writestr(name, data)
    line = f"{path}: a captioner of sat_keras 0.1: train it again, or use that version"
    with pytest.raises(InputError, match=f"^{re.escape(line)}$"):
        load_run(copied)


@pytest.mark.parametrize("text", ["epoch,val_cider\n1,high\n", "loss\n1.0\n"])
def test_damaged_log(copied, text):
    (copied / "log.csv").write_text(text)
    with pytest.raises(InputError, match=r"log\.csv: damaged; train again, elsewhere$"):
        read_log(copied)


@pytest.mark.parametrize("history", [None, "{", "[]", '{"data": "flickr8k/1.0.0"}'])
def test_damaged_history(builder, copied, history):
    path = copied / "checkpoint.keras"
    with zipfile.ZipFile(path, "w") as file:
        if history is not None:
            file.writestr("history.json", history)
    line = f"{path}: damaged; train without --resume, elsewhere"
    with pytest.raises(InputError, match=f"^{re.escape(line)}$"):
        read_checkpoint_history(copied, builder)
