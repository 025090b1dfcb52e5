"""The conformance folder: what is expected, and that the matrix finds what differs."""

import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sat_edge import Captioner, InputError, Search
from sat_edge.beam_search import beam_search

pytestmark = pytest.mark.slow

CONFORMANCE = Path(__file__).parents[2] / "export" / "conformance"
COUNT = 16
BEAM = {"beam_width": 3, "length_penalty": 0.5}
GREEDY = {"beam_width": 1, "length_penalty": 0.0}
SEARCHES = {"soft": BEAM, "soft-int8": GREEDY, "soft-greedy": GREEDY, "inject": BEAM}
EXACT = ("soft", "soft-greedy", "inject")


@pytest.fixture(scope="module")
def make():
    sys.path.insert(0, str(CONFORMANCE))
    import make

    return make


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(COUNT):
        pixels = rng.integers(0, 200, 3) + rng.integers(0, 56, (rng.integers(20, 99), 64, 3))
        Image.fromarray(pixels.astype("uint8")).save(folder / f"{i:02d}.png")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def inject(make_captioner):
    """A trained CNN-LSTM's stand-in: with another longest caption, and one location."""
    return make_captioner(attention="none", inject="first", max_length=5)


@pytest.fixture(scope="module")
def soft(make_captioner):
    return make_captioner(search=Search(**BEAM))


@pytest.fixture(scope="module")
def folder(make, soft, inject, photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("conformance")
    make.make(folder, soft, inject, photos)
    run = [sys.executable, CONFORMANCE / "run.py", folder, "--runtime", "python"]
    subprocess.run(run, check=True)
    return folder


@pytest.fixture(scope="module")
def images(folder):
    return np.fromfile(folder / "images.bin", "uint8").reshape(COUNT, 32, 64, 3)


def check(folder, *needed):
    command = [sys.executable, CONFORMANCE / "check.py", folder, "--need", *needed]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def read_facts(folder):
    return json.loads((folder / "conformance.json").read_text())


def read(folder, name, kind, dtype="<f4", columns=1):
    return np.fromfile(folder / name / f"{kind}.bin", dtype).reshape(-1, columns)


def test_what_the_folder_says_of_itself(folder):
    file = {"exact": True, "gpu": True, "max_length": 7, "locations": 8, "vocabulary_size": 16}
    assert read_facts(folder) == {
        "count": COUNT,
        "image_size": [32, 64],
        "files": {
            "soft": file,
            "soft-int8": {**file, "exact": False, "gpu": False},
            "soft-greedy": file,
            "inject": {**file, "max_length": 5},
        },
    }
    for name, file in read_facts(folder)["files"].items():
        assert (folder / name / "gpu.tflite").exists() is file["gpu"]


def test_the_files_are_what_their_names_say(folder):
    for name, search in SEARCHES.items():
        settings = Captioner(folder / name / "captioner.tflite").settings
        assert settings.search == Search(**search)
        assert settings.captioner["attention"] == ("none" if name == "inject" else "soft")
        assert settings.quantization["encoder"] == ("int8" if name == "soft-int8" else "none")
        if (folder / name / "gpu.tflite").exists():
            gpu = Captioner(folder / name / "gpu.tflite")
            assert (gpu.settings.target, gpu.search) == ("gpu", settings.search)


def test_python_conforms(folder):
    status, said = check(folder, "python")
    assert status == 0, said
    assert "| runtime | soft | soft-int8 | soft-greedy | inject |" in said
    (row,) = (line for line in said.splitlines() if line.startswith("| python |"))
    assert row.count(f"{COUNT}/{COUNT}, attention ") == 4


@pytest.mark.parametrize("name", SEARCHES)
def test_expected_is_what_the_captioner_says(folder, images, captioner, inject, name):
    """Keras of exact files; of the others, the file itself."""
    keras, search = inject if name == "inject" else captioner, SEARCHES[name]
    length = keras.max_length
    if name in EXACT:
        said = [each for (each,) in keras.beam_search(images, **search)]
    else:
        edge = Captioner(folder / name / "captioner.tflite")
        said = [edge.caption(each, **search) for each in images]
    assert len({each.text for each in said}) > 2
    tokens = read(folder, name, "tokens", "<i4", length)
    attention = read(folder, name, "attention", "<f4", 8).reshape(COUNT, length, 8)
    for row, weights, caption in zip(tokens, attention, said, strict=True):
        count = len(caption.tokens)
        np.testing.assert_array_equal(row[:count], caption.tokens)
        wanted = caption.attention.reshape(count, 8)
        np.testing.assert_allclose(weights[:count], wanted, atol=1e-5)
        assert not row[count:].any() and not weights[count:].any()


@pytest.mark.parametrize("name", SEARCHES)
def test_recorded_steps_are_all_that_a_search_needs(folder, name):
    """Replayed by their keys, they lead to the expected captions; none is left over."""
    file = read_facts(folder)["files"][name]
    tokens = read(folder, name, "tokens", "<i4", file["max_length"])
    attention = read(folder, name, "attention", "<f4", file["locations"])
    attention = attention.reshape(*tokens.shape, -1)
    steps = read(folder, name, "steps", "<i4", 3).tolist()
    logits = read(folder, name, "step_logits", "<f4", file["vocabulary_size"])
    weights = read(folder, name, "step_attention", "<f4", file["locations"])
    assert len(logits) == len(weights) == len(steps)
    assert [photo for photo, _, _ in steps] == sorted(photo for photo, _, _ in steps)
    asked = set()
    for photo in range(COUNT):
        rows = [i for i, each in enumerate(steps) if each[0] == photo]
        numbers = {tuple(steps[row][1:]): number for number, row in enumerate(rows)}

        def step(token, parent, rows=rows, numbers=numbers):
            number = numbers[parent, token]
            asked.add(rows[number])
            return logits[rows[number]], number, weights[rows[number]]

        search = Search(**SEARCHES[name])
        (best,) = beam_search(step, -1, file["max_length"], search)
        count = len(best.tokens)
        assert best.tokens == tuple(tokens[photo, :count])
        np.testing.assert_allclose(best.attention, attention[photo, :count], atol=1e-3)
    assert len(asked) == len(steps)


# === A CNN-LSTM of random weights ===


def test_an_untrained_captioner_says_something_else_of_each_photo(make, captioner, images):
    one, same = (make.untrained_inject(captioner, images) for _ in range(2))
    assert (one.attention, one.encoder) == ("none", captioner.encoder)
    said = one.caption(images, **BEAM)
    assert len({each.text for each in said}) > COUNT // 2
    for mine, other in zip(one.decoder.get_weights(), same.decoder.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_captioners_that_do_not_fit(make, captioner, inject, make_captioner, photos, tmp_path):
    larger = make_captioner(patches=3, attention="none")  # 64 x 128
    for soft, other, says in (
        (inject, None, "--run: that captioner has no attention; name it by --inject"),
        (captioner, captioner, "--inject: that captioner has attention; name it by --run"),
        (captioner, larger, r"--inject: its photos are of \(64, 128\), those of --run of \(32, 64"),
    ):
        with pytest.raises(InputError, match=says):
            make.make(tmp_path / "folder", soft, other, photos)
    assert not (tmp_path / "folder").exists()


def test_a_folder_without_photos_is_one_line(tmp_path):
    command = [sys.executable, CONFORMANCE / "make.py", tmp_path / "folder", "--photos", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"{tmp_path}: no folder of photos"
    assert "Traceback" not in done.stderr


# === The matrix ===


@contextlib.contextmanager
def changed(path, data):
    """A file that holds something else, or, with `None`, is missing."""
    kept = path.read_bytes()
    path.unlink() if data is None else path.write_bytes(data)
    try:
        yield
    finally:
        path.write_bytes(kept)


@pytest.mark.parametrize(
    ("name", "kind", "dtype", "by", "says"),
    [
        ("soft", "tokens", "<i4", 1, "FAILED: 15/16"),
        ("soft", "attention", "<f4", 2e-3, "FAILED: 16/16"),
        ("soft", "attention", "<f4", float("nan"), "FAILED: 16/16"),
        ("inject", "attention", "<f4", 2e-3, "FAILED: 16/16"),
        ("soft-greedy", "tokens", "<i4", 1, "FAILED: 15/16"),
        ("soft-int8", "tokens", "<i4", 1, "FAILED: 15/16"),
        ("soft", "attention", "<f4", 5e-4, None),
        ("soft-int8", "attention", "<f4", 2e-3, None),  # other processors round otherwise
    ],
)
def test_one_number_that_differs_is_found(folder, name, kind, dtype, by, says):
    path = folder / "results" / "python" / name / f"{kind}.bin"
    numbers = np.fromfile(path, dtype)
    numbers[0] += by
    with changed(path, numbers.tobytes()):
        status, said = check(folder, "python")
    assert status == (1 if says else 0)
    assert (says or f"{COUNT}/{COUNT}") in said
    assert said.count("FAILED") == (1 if says else 0)


def test_a_result_of_another_size_is_named(folder):
    path = folder / "results" / "python" / "inject" / "tokens.bin"
    with changed(path, path.read_bytes()[:-4]):
        status, said = check(folder)
    assert status == 1
    assert said == f"{path}: 79 numbers, not 80; run that runtime again\n"
    path = path.with_name("attention.bin")
    with changed(path, None):
        status, said = check(folder)
    assert (status, said) == (1, f"{path}: no such file; run that runtime again\n")


def test_what_is_missing_is_named(folder):
    status, said = check(folder, "python", "abacus")
    assert status == 1
    assert [line for line in said.splitlines() if line.startswith("no results")] == [
        f"no results of abacus, {name}" for name in SEARCHES
    ]
    with changed(folder / "results" / "python" / "inject" / "tokens.bin", None):
        status, said = check(folder, "python")
    assert status == 1 and "no results of python, inject" in said
    assert "| not run |" in said


def test_a_gpu_need_not_run_what_it_cannot(folder):
    for name in SEARCHES:
        if name != "soft-int8":
            source = folder / "results" / "python" / name
            shutil.copytree(source, folder / "results" / "webgpu" / name)
    try:
        assert check(folder, "webgpu")[0] == 0
        shutil.rmtree(folder / "results" / "webgpu" / "soft-greedy")
        status, said = check(folder, "webgpu")
    finally:
        shutil.rmtree(folder / "results" / "webgpu")
    assert status == 1 and "no results of webgpu, soft-greedy" in said


def test_before_anything_has_run(folder, tmp_path):
    shutil.copy(folder / "conformance.json", tmp_path)
    status, said = check(tmp_path, "python")
    assert status == 1 and "no results of python, soft" in said
