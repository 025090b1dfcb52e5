"""The command, with a tiny captioner's real file."""

import dataclasses
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sat_edge import Captioner, Search
from sat_edge.caption import UNFAMILIAR_IN_WORDS, Caption
from sat_export import export_tflite

RASPBERRY_PI = Path(__file__).parents[2] / "export" / "raspberry_pi"
sys.path.insert(0, str(RASPBERRY_PI))
sat_caption = importlib.import_module("sat_caption")

COMMAND = [sys.executable, str(RASPBERRY_PI / "sat_caption.py")]


@pytest.fixture(scope="module")
def paths(photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for i, photo in enumerate(photos):
        photo.save(folder / f"{i}.png")
    return sorted(folder.iterdir())


def run(*arguments, **options):
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def test_named_photos(tflite_file, paths):
    edge = Captioner(tflite_file)
    done = run(tflite_file, "--json", *paths[:3])
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    for path, record in zip(paths, records, strict=False):
        wanted = edge.caption(path)
        assert record["photo"] == str(path)
        assert record["text"] == wanted.text
        assert record["words"] == list(wanted.words)
        assert record["log_prob"] == pytest.approx(wanted.log_prob, abs=1e-4)
        weights = wanted.attention[: len(wanted.words)].tolist()
        assert record["attention"] == [
            [pytest.approx(row, abs=1e-5) for row in grid] for grid in weights
        ]
    assert len({record["text"] for record in records}) > 1


def test_a_strange_photo_is_said_to_be_one():
    attention, regions = np.full((2, 1, 1), 1.0), np.array([[0.0, 0.0, 1.0, 1.0]])
    plain = Caption("a dog", ("a", "dog"), np.array([4, 5]), -1.0, -1.0, attention, regions)
    words = []
    for trust in ({}, {"familiarity": 0.02}, {"familiarity": 0.0199}):
        trust |= {"confidence": 0.25} if trust else {}
        record = sat_caption.as_record("x.jpg", dataclasses.replace(plain, **trust), 0.1)
        assert {name: record.get(name) for name in trust} == trust
        words.append(record.get("warning"))
    assert words == [None, None, UNFAMILIAR_IN_WORDS]


def run_main(arguments, monkeypatch):
    """The exit status of the command in this process, and how it asked the captioner."""
    asked = []

    class Asked(Captioner):
        def __init__(self, path, threads):
            asked.append(threads)
            super().__init__(path, threads)

        def caption(self, photo, **search):
            asked.append(search)
            return super().caption(photo, **search)

    monkeypatch.setattr(sat_caption, "Captioner", Asked)
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    return sat_caption.main([str(each) for each in arguments]), asked


def test_the_options_reach_the_captioner(tflite_file, paths, monkeypatch, capsys):
    arguments = [tflite_file, "--beam-width", 3, paths[0], "--threads", 2]
    assert run_main(arguments, monkeypatch) == (0, [2, {"beam_width": 3}])
    wanted = Captioner(tflite_file).caption(paths[0], beam_width=3)
    assert capsys.readouterr().out == f"{paths[0]}\t{wanted.text}\t{wanted.log_prob:.3f}\n"


@pytest.fixture(scope="module")
def beam_file(captioner, tmp_path_factory):
    path = tmp_path_factory.mktemp("beam") / "captioner.tflite"
    search = Search(beam_width=3, length_penalty=0.5, no_repeat_ngram=1, n_best=2)
    export_tflite(captioner, path, search=search)
    return path


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ([], {}),
        (["--beam-width", 1], {"beam_width": 1}),
        (["--length-penalty", 0], {"length_penalty": 0.0}),
        (["--no-repeat-ngram", 0], {"no_repeat_ngram": 0}),
        (["--beam-width", 2, "--no-repeat-ngram", 2], {"beam_width": 2, "no_repeat_ngram": 2}),
    ],
)
def test_the_search_is_the_file_s_but_for_named_fields(
    beam_file, tflite_file, paths, monkeypatch, capsys, options, named
):
    status, asked = run_main([beam_file, "--json", paths[0], *options], monkeypatch)
    assert status == 0 and asked[1:] == [named]
    record = json.loads(capsys.readouterr().out)
    fields = {"beam_width": 3, "length_penalty": 0.5, "no_repeat_ngram": 1, **named}
    # Of the same model with another search in its file.
    assert record["text"] == Captioner(tflite_file).caption(paths[0], **fields).text


def test_bad_photos_are_named_and_the_others_captioned(tflite_file, paths, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(paths[0].read_bytes()[:200])
    done = run(tflite_file, tmp_path / "bad.jpg", tmp_path / "none.jpg", paths[0])
    assert done.returncode == 1
    assert done.stdout.startswith(f"{paths[0]}\t")
    errors = [line for line in done.stderr.splitlines() if not line.startswith("INFO")]
    assert errors[0].startswith(f"{tmp_path}/bad.jpg: damaged picture")
    assert errors[1:] == [f"{tmp_path}/none.jpg: no such file"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["none.tflite", "a.jpg"], 1, "none.tflite: no such file\n"),
        (["{model}", "--camera"], 1, "no camera software"),
        (["{model}"], 2, "name photos, or --watch FOLDER, or --camera\n"),
        (["{model}", "a.jpg", "--watch", "."], 2, "name photos, or --watch FOLDER, or --camera\n"),
        (["{model}", "a.jpg", "--out", "."], 2, "--out is for --watch and --camera\n"),
        (["{model}", "--watch", ".", "--threads", "0"], 2, "--threads is 1 or more, --every is"),
        (["{model}", "--watch", ".", "--beam-width", "0"], 2, "error: beam_width is 0: name 1 or"),
        (
            ["{model}", "--watch", ".", "--length-penalty", "nan"],
            2,
            "length_penalty is nan: name 0",
        ),
        (["{model}", "--watch", ".", "--no-repeat-ngram", "-1"], 2, "no_repeat_ngram is -1: name"),
        (["{model}", "--watch", ".", "--beam-width", "two"], 2, "invalid int value: 'two'"),
        (["{model}", "--watch", ".", "--out", "/dev/null/x"], 1, "/dev/null/x: Not a directory\n"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(tflite_file, arguments, status, message, tmp_path):
    done = run(*(each.format(model=tflite_file) for each in arguments), cwd=tmp_path)
    assert done.returncode == status
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_watcher_and_it_goes_on_later(tflite_file, paths, tmp_path, number):
    captions = tmp_path / "captions"
    folder = tmp_path / "arriving"
    folder.mkdir()

    def watch(names):
        command = [*COMMAND, str(tflite_file), "--watch", str(folder), "--out", str(captions)]
        watcher = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for path in names:
            (folder / path.name).write_bytes(path.read_bytes())
        until = time.monotonic() + 60
        while len(list(captions.glob("*.json"))) < len(list(folder.iterdir())):
            assert time.monotonic() < until
            time.sleep(0.1)
        watcher.send_signal(number)
        lines = watcher.communicate(timeout=60)[0].splitlines()
        assert watcher.returncode == 0
        return sorted(line.split("\t")[0] for line in lines)

    assert watch(paths[:3]) == [path.name for path in paths[:3]]
    assert watch(paths[3:5]) == [path.name for path in paths[3:5]]


def test_a_reader_that_has_gone_is_no_traceback(tflite_file, paths):
    reader, writer = os.pipe()
    os.close(reader)
    command = [*COMMAND, str(tflite_file), *map(str, paths)]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(writer)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


# === The camera ===


class FakeCamera:
    """Hands out frames; one that is an error is raised."""

    def __init__(self, frames, stop):
        self.frames, self.stop = frames, stop
        self.closed = False

    def capture(self):
        frame = self.frames.pop(0)
        if not self.frames:
            self.stop.set()
        if isinstance(frame, Exception):
            raise frame
        return frame

    def close(self):
        self.closed = True


class Lines:
    def __init__(self):
        self.records, self.messages = [], []

    def caption(self, record):
        self.records.append(record)

    def message(self, text):
        self.messages.append(text)


def shoot(captioner, frames, out=None):
    stop, lines, cameras = threading.Event(), Lines(), []

    def open_camera():
        cameras.append(FakeCamera(frames, stop))
        return cameras[-1]

    def caption(name, frame):
        return sat_caption.caption_image(captioner, name, frame)

    sat_caption.run_camera(open_camera, caption, lines, stop, every=0.01, out=out, retry=0.01)
    assert all(camera.closed for camera in cameras)
    return lines, len(cameras)


def test_frames_are_captioned_and_kept(tflite_file, photos, tmp_path):
    edge = Captioner(tflite_file)
    lines, _ = shoot(edge, list(photos[:3]), out=tmp_path)
    assert [record["text"] for record in lines.records] == [
        edge.caption(photo).text for photo in photos[:3]
    ]
    for record, photo in zip(lines.records, photos, strict=False):
        assert json.loads((tmp_path / f"{record['photo']}.json").read_text()) == record
        with Image.open(tmp_path / record["photo"]) as kept:
            assert kept.size == photo.size
    assert len(list(tmp_path.iterdir())) == 6


def test_a_camera_that_fails_is_opened_again(tflite_file, photos):
    failure = RuntimeError("Camera frontend has timed out!")
    lines, opened = shoot(Captioner(tflite_file), [photos[0], failure, failure, photos[1]])
    assert len(lines.records) == 2
    assert opened == 3
    assert lines.messages == [
        "camera: Camera frontend has timed out!; opening it again every 0.01 s"
    ]


def test_frames_go_on_when_they_cannot_be_kept(tflite_file, photos, tmp_path):
    gone = tmp_path / "gone"
    lines, _ = shoot(Captioner(tflite_file), list(photos[:3]), out=gone)
    assert len(lines.records) == 3
    assert lines.messages == [f"{gone}: No such file or directory; frames are not kept"]


def test_the_command_takes_another_camera(tflite_file, photos, monkeypatch, capsys):
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    stop = threading.Event()
    monkeypatch.setattr(threading, "Event", lambda: stop)
    frames = [photos[0], photos[1]]
    arguments = [str(tflite_file), "--camera", "--every", "0"]
    assert sat_caption.main(arguments, lambda: FakeCamera(frames, stop)) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
