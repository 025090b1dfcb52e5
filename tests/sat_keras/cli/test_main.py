"""The command as a whole: verbs, exit statuses, one-line errors, what goes to which stream."""

import json
import os
import re
import subprocess
import sys
import time
from importlib.metadata import version

import pytest

from sat_edge import InputError
from sat_keras import cli
from sat_keras.cli import demo
from sat_keras.cli.output import hushed, print_result
from sat_keras.runs.settings import RunSettings

VERBS = "demo prepare train calibrate evaluate report caption export verify benchmark".split()


def test_help_names_every_verb(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert re.findall(r"^    (\w+)(?: |$)", out, re.M) == VERBS


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"sat-keras {version('sat-keras')}\n"


def test_the_package_runs_as_a_module():
    command = [sys.executable, "-m", "sat_keras", "--version"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"sat-keras {version('sat-keras')}\n")
    assert done.stderr == ""
    done = subprocess.run([*command[:-1], "caption"], capture_output=True, text=True)
    assert done.returncode == 2


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["train", "shapes"],
        ["train", "shapes", "--out=x", "--resume", "--recipe=demo"],
        ["train", "shapes", "--out=x", "--recipe=loud"],
        ["train", "shapes", "--out=x", "--attention=loud"],
        ["train", "shapes", "--out=x", "--units=many"],
        ["train", "shapes", "--out=x", "--preset=demo"],
        ["export", "run", "--quantize=int1", "--out=x"],
        ["caption", "run", "photo.jpg", "--beam-width=wide"],
        ["evaluate", "run", "shapes", "--limit=0"],
    ],
)
def test_wrong_usage(arguments):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2


# `python -m sat_keras`, which at its end writes the modules that it loaded into a file. (What
# `-X importtime` writes to standard error would be held back with the libraries' lines.)
LISTING_MODULES = """
import atexit, pathlib, runpy, sys
modules = pathlib.Path(sys.argv.pop(1))
atexit.register(lambda: modules.write_text(" ".join(sys.modules)))
runpy.run_module("sat_keras", run_name="__main__", alter_sys=True)
"""


def run_command(tmp_path_factory, *arguments):
    """The finished process, the names of the modules that it loaded, and its seconds."""
    modules = tmp_path_factory.mktemp("modules") / "modules"
    command = [sys.executable, "-c", LISTING_MODULES, modules, *arguments]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.monotonic() - began
    return done, set(modules.read_text().split()), seconds


TENSORFLOW = {"tensorflow", "keras", "tensorflow_datasets", "matplotlib"}


# === Errors before TensorFlow ===


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to name things in: `untrained`, a run's with an empty captioner; `file`; `dir`."""
    monkeypatch.chdir(tmp_path)
    RunSettings("flickr8k").save(tmp_path / "run")
    (tmp_path / "run" / "captioner.keras").touch()
    for name in ("file", "file.tflite", "photo.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "dir").mkdir()
    return tmp_path


NO_RUN = "none: no such run or preset; presets are flickr8k-soft, flickr8k-soft-lite2"
WRONG_PATHS = {
    "prepare flickr8k --data-dir none": "none: no such folder, or an empty one",
    "prepare shapes --encoder-weights none.h5": "none.h5: no such weights file",
    "train flickr8k --out x --data-dir none": "none: no such folder, or an empty one",
    "train shapes --out x --warm-start none": NO_RUN,
    "train shapes --out x --warm-start dir": "dir: not a run folder (no config.json in it)",
    "train shapes --out x --encoder-weights none.h5": "none.h5: no such weights file",
    "train shapes --out run": "run: a run is there; --resume it or name another folder",
    "train shapes --out none --resume": "none: not a run folder (no config.json in it)",
    "calibrate none": NO_RUN,
    "calibrate flickr8k-soft": "flickr8k-soft is a preset: name a folder for the new one by --out",
    "calibrate run --out dir": "--out is for presets: a run is calibrated where it is",
    "calibrate run --data-dir none": "none: no such folder, or an empty one",
    "evaluate none shapes": NO_RUN,
    "evaluate none.tflite shapes": "none.tflite: no such file",
    "evaluate flickr8k-soft flickr8k --data-dir none": "none: no such folder, or an empty one",
    "evaluate flickr8k-soft shapes --consensus none": NO_RUN,
    "evaluate file.tflite shapes --consensus": "file.tflite: not a run folder (no config.json in i",
    "report none": "none: no such run folder",
    "report dir": "dir: not a run folder (no config.json in it)",
    "report run --data-dir none": "none: no such folder, or an empty one",
    "caption none photo.jpg": NO_RUN,
    "caption dir photo.jpg": "dir: not a run folder (no config.json in it)",
    "caption none.tflite photo.jpg": "none.tflite: no such file",
    "caption flickr8k-soft none.jpg": "none.jpg: no such file",
    "export none --out x.tflite": NO_RUN,
    "export flickr8k-soft --out dir": "dir is a folder: name a file",
    "export flickr8k-soft --out x.tflite --photos none": "none: no such folder of photos",
    "export flickr8k-soft --format saved-model --out file": "file is a file: name a folder",
    "verify none file.tflite": NO_RUN,
    "verify flickr8k-soft none.tflite": "none.tflite: no such file or folder",
    "verify flickr8k-soft file.tflite --data-dir none": "none: no such folder, or an empty one",
    "benchmark none.tflite photo.jpg": "none.tflite: no such file",
    "benchmark file.tflite none.jpg": "none.jpg: no such file",
    "benchmark file.tflite photo.jpg --run none": NO_RUN,
}


@pytest.mark.parametrize("command", WRONG_PATHS)
def test_a_wrong_path_is_said_at_once_and_before_tensorflow(folder, tmp_path_factory, command):
    done, modules, seconds = run_command(tmp_path_factory, *command.split())
    assert "sat_keras.cli.main" in modules and not modules & TENSORFLOW
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"sat-keras: {WRONG_PATHS[command]}")
    assert (done.returncode, done.stdout) == (1, "")
    assert seconds < 2  # under one where nothing else runs
    assert {each.name for each in folder.iterdir()} == {
        "run",
        "file",
        "file.tflite",
        "photo.jpg",
        "dir",
    }


def test_every_verb_that_takes_a_path_is_above():
    assert {command.split()[0] for command in WRONG_PATHS} == set(VERBS) - {"demo"}


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("demo --out file", "file is a file: name a folder"),
        ("train shapes --out file", "file is a file: name a folder"),
        ("caption flickr8k-soft photo.jpg --attention file", "file is a file: name a folder"),
        ("prepare shapes --cache file", "file is a file: name a folder"),
        ("evaluate flickr8k-soft shapes --out dir", "dir is a folder: name a file"),
        ("report run --out dir", "dir is a folder: name a file"),
        ("calibrate flickr8k-soft --out file", "file is a file: name a folder"),
        ("verify flickr8k-soft file.tflite --out dir", "dir is a folder: name a file"),
    ],
)
def test_an_output_of_another_kind_is_wrong_usage(folder, capsys, command, says):
    with pytest.raises(SystemExit) as stop:
        cli.main(command.split())
    assert stop.value.code == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("train flickr9k --out x", "unknown data set 'flickr9k': choose one of flickr8k"),
        ("train shapes --out x --dropout 2", "dropout is 2.0: name 0 or more, and at most 1"),
        ("train shapes --out x --beam-width 0", "beam_width is 0: name 1 or more"),
        ("train shapes --out x --samples 3", "samples is no setting of objective cross-entropy"),
        ("prepare shapes --image-size 0", "image_size is 0: name 1 or more"),
        (
            "export flickr8k-soft --out x.tflite --target gpu --quantize int4",
            "target gpu: encoder int4",
        ),
        (
            "export flickr8k-soft --out x.tflite --qat-epochs 2",
            "--qat-loss and --qat-epochs are of --quantize qat: name it too",
        ),
        (
            "export flickr8k-soft --out x --format saved-model --clusters 8",
            "a SavedModel is float32: leave quantisation and compression out",
        ),
        (
            "caption flickr8k-soft photo.jpg dir/photo.jpg --attention a",
            "two photos are named photo.jpg: caption them apart",
        ),
    ],
)
def test_what_cannot_be_is_said_before_tensorflow(folder, fails, monkeypatch, command, says):
    def load():
        raise AssertionError("it was loaded")

    # By its path: the package has the function under this name.
    monkeypatch.setattr(sys.modules["sat_keras.cli.main"], "_load_tensorflow", load)
    fails(command.split(), says)


# === Errors later on ===


def raises(error):
    def run(options):
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (InputError("a.jpg: bad\nb.jpg:   bad\ttoo"), ["a.jpg: bad", "b.jpg: bad too"]),
        (OSError(28, "No space left on device", "a.bin"), ["a.bin: No space left on device"]),
        (OSError("disk gone"), ["writing failed: disk gone"]),
        (KeyboardInterrupt(), ["stopped"]),
        (
            ModuleNotFoundError("No module named 'x'", name="pycocoevalcap.bleu"),
            ["pycocoevalcap is missing: pip install 'sat-keras[eval]'"],
        ),
    ],
)
def test_each_error_is_lines_and_status_1(monkeypatch, capsys, error, lines):
    monkeypatch.setattr(demo, "run", raises(error))
    assert cli.main(["demo", "--json"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [f"sat-keras: {line}" for line in lines]


def test_what_nobody_expected_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(demo, "run", raises(RuntimeError("a bug")))
    with pytest.raises(RuntimeError, match="a bug"):
        cli.main(["demo"])


# === Streams ===


@pytest.mark.parametrize(
    ("error", "shown"),
    [(None, ""), (InputError("ours"), ""), (RuntimeError("theirs"), "of a library\n")],
)
def test_libraries_lines_are_held_back_unless_something_breaks(capfd, error, shown):
    try:
        with hushed():
            os.write(2, b"of a library\n")
            if error:
                raise error
    except (InputError, RuntimeError) as raised:
        assert raised is error
    assert capfd.readouterr().err == shown
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "afterwards\n"


@pytest.mark.parametrize("source", ["run", "tflite"])
def test_a_caption_that_succeeds_writes_nothing_to_standard_error(trained, photo, source):
    command = [sys.executable, "-m", "sat_keras", "caption", trained[source], photo, "--json"]
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0
    assert done.stderr == ""
    assert json.loads(done.stdout)["captions"][0]["photo"] == photo  # and nothing else


def test_a_file_is_captioned_without_loading_tensorflow(trained, photo, tmp_path_factory):
    done, modules, _ = run_command(tmp_path_factory, "caption", trained["tflite"], photo)
    assert done.returncode == 0 and done.stdout.startswith(f"{photo}\t")
    assert "ai_edge_litert.interpreter" in modules and not modules & TENSORFLOW
    _, modules, _ = run_command(tmp_path_factory, "caption", trained["run"], photo)
    assert {"tensorflow", "keras"} <= modules


WITHOUT_LITERT = """
import sys
sys.modules["ai_edge_litert"] = None
from sat_keras import cli
sys.exit(cli.main(sys.argv[1:]))
"""


def test_missing_package_is_named_with_its_install_command(trained, photo):
    # In a process of its own: here another test may have loaded the package already.
    command = [sys.executable, "-c", WITHOUT_LITERT, "caption", trained["tflite"], photo]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == ("sat-keras: ai_edge_litert is missing: pip install 'sat-keras[edge]'\n")


def test_dicts_alike_are_printed_as_a_table(capsys):
    """And others a line for each value."""
    by = {"mine": 0.5, "yours": 0.25}
    result = {
        "CIDEr": 0.5,
        "of": {
            "all": {"count": 12, "mass": by, "best": 1.0},
            "dogs": {"count": 3, "mass": by, "best": 0.1},
        },
        "plain": {"all": {"a": 1, "long": 2.0}},
        "bytes": {"x": 1, "y": {"z": 2}},
        "none": {},
    }
    print_result(result)
    assert capsys.readouterr().out.splitlines() == [
        f"{'CIDEr':44}0.5000",
        "of    count    mass            best",
        "               mine   yours",
        "all      12  0.5000  0.2500  1.0000",
        "dogs      3  0.5000  0.2500  0.1000",
        "plain  a    long",
        "all    1  2.0000",
        f"{'bytes: x':44}1",
        f"{'bytes: y: z':44}2",
    ]
