"""The conformance folder: what is expected, and that the matrix finds what differs."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CONFORMANCE = Path(__file__).parents[2] / "export" / "conformance"
COUNT = 16


@pytest.fixture(scope="module")
def folder(captioner, tmp_path_factory):
    sys.path.insert(0, str(CONFORMANCE))
    from make import make

    photos = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(COUNT):
        pixels = rng.integers(0, 200, 3) + rng.integers(0, 56, (rng.integers(20, 99), 64, 3))
        Image.fromarray(pixels.astype("uint8")).save(photos / f"{i:02d}.png")
    folder = tmp_path_factory.mktemp("conformance")
    make(folder, captioner, sorted(photos.iterdir()))
    run = [sys.executable, CONFORMANCE / "run.py", folder, "--runtime", "python"]
    subprocess.run(run, check=True)
    return folder


def check(folder, *needed):
    command = [sys.executable, CONFORMANCE / "check.py", folder, "--need", *needed]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def read(folder, name, kind, dtype="<f4"):
    facts = json.loads((folder / "conformance.json").read_text())
    array = np.fromfile(folder / name / f"{kind}.bin", dtype)
    return array.reshape(facts["count"], facts["max_length"], -1)


def test_python_conforms(folder):
    status, said = check(folder, "python")
    assert status == 0, said
    assert f"| python | {COUNT}/{COUNT}, attention" in said


def test_expected_is_what_the_captioner_says(folder, captioner):
    tokens = read(folder, "float32", "tokens", "<i4")[:, :, 0]
    images = np.fromfile(folder / "images.bin", "uint8").reshape(COUNT, 32, 64, 3)
    said = captioner.caption(images)
    assert len({each.text for each in said}) > 2
    for row, caption in zip(tokens, said, strict=True):
        assert row[row != 0].tolist() == caption.tokens.tolist()


@pytest.mark.parametrize("name", ["float32", "int8"])
def test_recorded_logits_lead_along_the_expected_tokens(folder, name):
    tokens = read(folder, name, "tokens", "<i4")[:, :, 0]
    logits = read(folder, name, "logits")
    logits[:, :, [0, 1, 3]] = -np.inf
    words = tokens != 0
    assert (logits.argmax(axis=2)[words] == tokens[words]).all()


@pytest.mark.parametrize(
    "kind, dtype, says", [("tokens", "<i4", "FAILED: 15/16"), ("attention", "<f4", "FAILED: 16/16")]
)
def test_one_number_that_differs_is_found(folder, kind, dtype, says):
    path = folder / "results" / "python" / "float32" / f"{kind}.bin"
    kept = path.read_bytes()
    numbers = np.frombuffer(kept, dtype).copy()
    numbers[0] += 1
    path.write_bytes(numbers.tobytes())
    try:
        status, said = check(folder)
    finally:
        path.write_bytes(kept)
    assert status == 1 and says in said


def test_a_runtime_that_is_missing_is_named(folder):
    status, said = check(folder, "python", "abacus")
    assert status == 1 and "no results of abacus" in said
