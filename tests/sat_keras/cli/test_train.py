"""`train`: into a folder once, on from where it was stopped, in phases, never half-written."""

import json
import os
import resource
import signal
import subprocess
import sys
import time

import pytest

from sat_edge import Captioner as EdgeCaptioner
from sat_edge.search import Search
from sat_keras import cli, recipes
from sat_keras.runs.folder import load_run, read_log
from sat_keras.runs.settings import RunSettings


def test_a_run_is_not_overwritten_nor_resumed_with_other_settings(trained, fails):
    again = ["train", "flickr8k", "--out", trained["run"], *trained["places"]]
    fails(again, "a run is there; --resume it")
    fails([*again, "--resume", "--units", "9"], "another units")
    fails([*again, "--resume", "--beam-width", "9"], "another beam_width")
    fails([*again, "--resume", "--samples", "9"], "samples is no setting of objective cross-")


def test_boxes_that_are_needed_and_missing_are_missed_at_once(trained, tiny, fails, tmp_path):
    run = tmp_path / "run"
    needs = ["train", "flickr8k", f"--out={run}", "--grounding=0.5", *trained["places"], *tiny]
    fails(needs, "grounding needs boxes, and no caption of split train has any: bring boxes")
    fails([*needs, "--attention=none"], "this captioner has none: set grounding to 0")
    assert not run.exists()


def test_a_finished_run_stays_as_it_is(trained, capsys):
    again = ["train", "flickr8k", "--out", trained["run"], *trained["places"], "--resume"]
    capsys.readouterr()
    assert cli.main([*again, "--units=8", "--learning-rate=0.03", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == {"run": trained["run"], **read_log(trained["run"])[-1]}
    assert printed["epoch"] == 6


@pytest.mark.slow
def test_a_search_that_is_named_is_the_captioner_s_own(trained, tiny, tmp_path, photo, capsys):
    run, file = str(tmp_path / "run"), str(tmp_path / "captioner.tflite")
    wanted = Search(beam_width=3, length_penalty=0.5)
    train = ["train", "flickr8k", f"--out={run}", "--epochs=1", *trained["places"], *tiny]
    assert cli.main([*train, "--beam-width=3", "--length-penalty=0.5"]) == 0
    assert RunSettings.load(run).search == load_run(run).search == wanted
    assert cli.main(["export", run, "--out", file]) == 0
    assert EdgeCaptioner(file).search == wanted
    # Unless named, a run's is greedy.
    assert load_run(trained["run"]).search == Search()
    assert EdgeCaptioner(trained["tflite"]).search == Search()

    # A field that is named where it captions replaces the one of the run.
    captioner = load_run(run)
    for named, search in ((["--beam-width=1"], {"beam_width": 1}), ([], {})):
        expected = captioner.caption([photo], **search)[0]
        for model in (run, file):
            capsys.readouterr()
            assert cli.main(["caption", model, photo, "--json", *named]) == 0
            (found,) = json.loads(capsys.readouterr().out)["captions"]
            assert found["caption"] == expected.text
            assert found["log_prob"] == pytest.approx(expected.log_prob, abs=1e-3)


@pytest.mark.slow
def test_a_recipe_trains_in_phases_and_resumes(trained, tiny, monkeypatch, tmp_path, capsys, fails):
    phases = {
        "first": {"training": {"epochs": 1}},
        "second": {
            "training": {"epochs": 2},
            "decoder": {"dropout": 0.1},
            "objective": {"name": "self-critical"},  # needs the phase before
            "data": {"captions_per_photo": 4},
        },
    }
    monkeypatch.setitem(recipes.RECIPES, "soft-mobilenet-v2", lambda: phases)
    folder = tmp_path / "run"
    run = ["train", "flickr8k", f"--out={folder}", *trained["places"], "--json"]
    assert cli.main([*run, "--recipe=soft-mobilenet-v2", *tiny]) == 0
    assert json.loads(capsys.readouterr().out)["epoch"] == 2
    assert (folder / "first" / "captioner.keras").exists()
    first, second = RunSettings.load(folder / "first"), RunSettings.load(folder)
    assert (first.decoder.units, second.decoder.units) == (8, 8)  # named, so in both
    assert (first.decoder.dropout, second.decoder.dropout) == (0.5, 0.1)
    assert second.training.warm_start == str(folder / "first")
    assert cli.main([*run, "--resume"]) == 0
    assert json.loads(capsys.readouterr().out)["epoch"] == 2
    fails([*run, "--resume", "--dropout=0.3"], "was begun with another dropout")
    fails([*run, "--recipe=soft-mobilenet-v2"], "a run is there; --resume it")


@pytest.mark.slow
def test_a_run_goes_on_where_the_one_that_it_began_with_is_gone(trained, tiny, tmp_path, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    train = ["train", "flickr8k", *trained["places"], *tiny, "--json"]
    assert cli.main([*train, f"--out={first}", "--epochs=1"]) == 0
    assert cli.main([*train, f"--out={second}", "--epochs=1", f"--warm-start={first}"]) == 0
    first.rename(tmp_path / "elsewhere")
    capsys.readouterr()
    assert cli.main([*train, f"--out={second}", "--resume"]) == 0
    assert json.loads(capsys.readouterr().out)["epoch"] == 1


def start_training(folder, tiny, *options):
    arguments = [sys.executable, "-m", "sat_keras", "train", "flickr8k", "--out"]
    arguments += [str(folder / "run"), "--data-dir", str(folder / "flickr8k")]
    arguments += ["--cache", str(folder / "cache"), *tiny, *options]
    return subprocess.Popen(
        arguments,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Where these tests run in a shell's background, Ctrl-C is ignored, and by children too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.slow
def test_ctrl_c_in_training_leaves_a_run_that_resumes(flickr8k, tiny, tmp_path):
    training = start_training(tmp_path, tiny, "--epochs", "100000")
    checkpoint = tmp_path / "run" / "checkpoint.keras"
    deadline = time.monotonic() + 240
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(1)
    os.killpg(training.pid, signal.SIGINT)
    out, error = training.communicate(timeout=60)
    assert training.returncode == 1, error
    last = error.strip().splitlines()[-1]
    assert last == "sat-keras: stopped; --resume goes on after the last complete epoch"
    assert "Traceback" not in error
    assert out == ""
    history = read_log(tmp_path / "run")
    assert [each["epoch"] for each in history] == list(range(1, len(history) + 1))
    assert not [each for each in (tmp_path / "run").iterdir() if each.name.startswith(".")]


@pytest.mark.slow
def test_full_disk_in_training(flickr8k, tiny, tmp_path, fails):
    """The checkpoint does not fit: one line, and no half-written file."""
    arguments = ["train", "flickr8k", "--out", str(tmp_path / "run"), "--epochs", "1"]
    arguments += ["--data-dir", str(flickr8k), "--cache", str(tmp_path / "cache"), *tiny]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limits[1]))
    try:
        fails(arguments, "File too large")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    left = {each.name for each in (tmp_path / "run").iterdir()}
    assert left <= {"config.json", "vocabulary.txt", "log.csv", "tensorboard"}
