"""`sat-keras demo` from nothing, and what it promises of the three forms of one model."""

import io
import json
import subprocess
import sys
import threading
import time
import zipfile

import keras
import numpy as np
import psutil
import pytest

from sat_edge import Captioner, open_photo
from sat_edge.caption import END, START
from sat_keras import Captioner as KerasCaptioner
from sat_keras import datasets

pytestmark = pytest.mark.slow

PICTURES = 200


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo's folder, its JSON result, and the most memory it held, in bytes."""
    folder = tmp_path_factory.mktemp("demo")
    process = subprocess.Popen(
        [sys.executable, "-m", "sat_keras", "demo", "--json", "--out", str(folder / "out")],
        stdout=subprocess.PIPE,
        text=True,
    )
    peak = [0]

    def watch():
        while process.poll() is None:
            peak[0] = max(peak[0], psutil.Process(process.pid).memory_info().rss)
            time.sleep(0.5)

    threading.Thread(target=watch, daemon=True).start()
    out, _ = process.communicate()
    assert process.returncode == 0
    return folder / "out", json.loads(out), peak[0]


@pytest.fixture(scope="module")
def pictures(demo):
    builder = datasets.build_records("shapes", demo[0] / "records")
    encoded = [each for _, each, _ in datasets.read_photos(builder, "test")][:PICTURES]
    return [open_photo(io.BytesIO(each)) for each in encoded]


@pytest.mark.timeout(3600)
def test_scores_on_the_test_split(demo):
    _, result, _ = demo
    assert result["photos"] == 500
    assert result["BLEU-4"] >= 0.80
    pointing, mass = (result["grounding"]["own"]["all"][name] for name in ("pointing", "mass"))
    assert pointing["attention"] >= 0.80
    assert pointing["uniform"] <= 0.15
    assert mass["attention"] >= 5 * mass["uniform"]


def test_memory(demo):
    assert demo[2] < 4 * 2**30


def test_same_captions_from_keras_from_the_file_and_by_hand(demo, pictures):
    folder, _, _ = demo
    # Keras finds the class by its registration: `sat_keras.Captioner` has to be imported.
    captioner = keras.saving.load_model(folder / "captioner.keras")
    assert isinstance(captioner, KerasCaptioner)
    wanted = captioner.caption(pictures)
    edge = Captioner(folder / "captioner.tflite")
    for picture, keras_caption in zip(pictures, wanted, strict=True):
        edge_caption = edge.caption(picture)
        assert edge_caption.text == keras_caption.text
        np.testing.assert_allclose(edge_caption.attention, keras_caption.attention, atol=1e-3)
        assert by_hand(edge, picture) == edge_caption.tokens.tolist()


def by_hand(edge, picture):
    """Greedy decoding over the `encode` and `step` signatures."""
    encoded, names = edge.encode(picture), edge.settings.state
    state = {name: encoded[name] for name in (*names.returned, *names.kept)}
    token, tokens = START, []
    while token != END and len(tokens) < edge.settings.max_length:
        outputs = edge.step(token, **state)
        state |= {name: outputs[name] for name in names.returned}
        logits = outputs["logits"][0].copy()
        logits[[0, 1, 3]] = -np.inf  # <pad>, <start>, <unk>
        token = int(logits.argmax())
        tokens.append(token)
    return tokens


def test_files(demo):
    folder, result, _ = demo
    assert (folder / "attention.png").stat().st_size > 10_000
    assert (
        Captioner(folder / "captioner.tflite").caption(folder / "picture.png").text
        == (result["caption"])
    )
    with zipfile.ZipFile(folder / "captioner.tflite") as inside:
        assert set(inside.namelist()) == {"vocabulary.txt", "captioner.json"}
