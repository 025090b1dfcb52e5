"""Captioners by what they are named by, and the searches that they caption with."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sat_edge import InputError
from sat_edge.search import Search
from sat_export import export_tflite
from sat_keras import Captioner, pretrained
from sat_keras.runs.folder import load_run
from sat_keras.runs.settings import RunSettings
from sat_keras.runs.sources import (
    captions_by,
    captions_by_consensus,
    load_captioner,
    made_with,
    trained_on,
)

WIDE = {"beam_width": 3, "length_penalty": 0.5}


@pytest.fixture(scope="module")
def sources(soft, tmp_path_factory):
    """The same captioner as a run, a preset and a file, whose own search is a beam."""
    folder = tmp_path_factory.mktemp("sources")
    captioner = load_run(soft[0])
    captioner.search = Search(**WIDE, n_best=2)
    run = folder / "run"
    run.mkdir()
    for name in ("config.json", "vocabulary.txt"):
        (run / name).write_bytes((soft[0] / name).read_bytes())
    captioner.save(run / "captioner.keras")
    captioner.save_to_preset(folder / "preset", trained_on="flickr8k")
    export_tflite(captioner, folder / "captioner.tflite", trained_on="flickr8k")
    return {"run": run, "preset": folder / "preset", "file": folder / "captioner.tflite"}


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (40, 50, 3), "uint8")) for _ in range(3)]


@pytest.mark.parametrize("kind", ["run", "preset", "file"])
def test_captions_by_the_source_s_own_search_unless_named(sources, pictures, kind):
    captioner = load_captioner(sources["preset" if kind == "preset" else "run"])
    for named, wanted in (
        ({}, {**WIDE, "no_repeat_ngram": 0}),
        ({"beam_width": 1}, {**WIDE, "beam_width": 1, "no_repeat_ngram": 0}),
        ({"no_repeat_ngram": 1}, {**WIDE, "no_repeat_ngram": 1}),
    ):
        caption, _, search = captions_by(sources[kind], **named)
        assert search == {**wanted, "n_best": 1}
        found = caption(pictures)
        expected = captioner.caption(pictures, **wanted)
        assert [each.text for each in found] == [each.text for each in expected]
        scores = [each.score for each in expected]
        assert [each.score for each in found] == pytest.approx(scores, abs=1e-3)


def test_beam_width_1_is_greedy(sources, pictures):
    caption, *_ = captions_by(sources["run"], beam_width=1)
    captioner = load_run(sources["run"])
    size = captioner.encoder.image_size
    images = np.stack([np.asarray(each.resize(size, 2), "float32") for each in pictures])
    tokens, _, log_prob = captioner.greedy(images)
    for found, row, wanted in zip(caption(pictures), tokens, log_prob, strict=True):
        np.testing.assert_array_equal(found.tokens, row[: len(found.tokens)])
        assert found.log_prob == pytest.approx(float(wanted), abs=1e-4)


@pytest.mark.parametrize("kind", ["run", "preset", "file"])
def test_what_a_source_looks_at_in_captions_that_are_given(sources, pictures, kind):
    _, attend, _ = captions_by(sources[kind])
    captioner = load_captioner(sources["preset" if kind == "preset" else "run"])
    captions = [[["a", "red", "square"]], [], [["red"], ["the", "square", "is", "red"]]]
    for found, wanted in zip(
        attend(pictures, captions), captioner.attend(pictures, captions), strict=True
    ):
        assert [each.shape for each in found] == [each.shape for each in wanted]
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-3)


@pytest.mark.parametrize("name", pretrained.NAMES)
def test_presets_are_searched_by_a_beam_of_3(name):
    config = json.loads((Path(pretrained.__file__).parent / name / "config.json").read_text())
    assert config["search"] == {**WIDE, "no_repeat_ngram": 0, "n_best": 1}
    captioner = Captioner.from_preset(name, encoder_weights=None)
    assert captioner.search == Search(beam_width=3, length_penalty=0.5)


def test_what_a_source_was_trained_on(sources, tmp_path):
    assert trained_on(sources["run"]) == trained_on(sources["preset"]) == "flickr8k"
    load_run(sources["run"]).save_to_preset(tmp_path / "mine")
    assert trained_on(tmp_path / "mine") is None
    assert [trained_on(name) for name in pretrained.NAMES] == ["flickr8k"] * len(pretrained.NAMES)
    with pytest.raises(InputError, match="not a run folder"):
        trained_on(tmp_path)


def test_how_a_source_was_made(sources):
    run, preset, file = (made_with(each) for each in sources.values())
    assert run == {"run": RunSettings.load(sources["run"]).as_dict()}
    assert preset == {"preset": str(sources["preset"])}
    assert file["file"]["trained_on"] == "flickr8k"
    assert file["file"]["search"] == {**WIDE, "no_repeat_ngram": 0, "n_best": 2}
    for each in (run, preset, file):
        json.dumps(each)  # it goes into a results file


@pytest.mark.parametrize(
    ("split", "search", "says"),
    [
        ("test", {"beam_width": 1}, "consensus chooses among captions: name a beam width above 1"),
        (
            "train",
            {},
            "consensus knows the captions of the training photos: name another split",
        ),
    ],
)
def test_what_consensus_cannot_do(builder, soft, split, search, says):
    with pytest.raises(InputError, match=f"^{re.escape(says)}$"):
        captions_by_consensus([soft[0]], builder, soft[1], split, **search)


def test_consensus_says_its_search(builder, soft):
    _, search = captions_by_consensus([soft[0]], builder, soft[1], "test")
    assert (search["beam_width"], search["length_penalty"]) == (20, 0.5)
    _, search = captions_by_consensus([soft[0]], builder, soft[1], "test", beam_width=4)
    assert (search["beam_width"], search["length_penalty"]) == (4, 0.5)


WITHOUT_TENSORFLOW = """
import sys
for name in ("tensorflow", "keras", "tensorflow_datasets", "matplotlib", "tqdm", "wrapt"):
    sys.modules[name] = None
from sat_keras.runs.sources import captions_by
caption, *_ = captions_by(sys.argv[1])
print(caption([sys.argv[2]])[0].text)
"""


def test_a_file_is_captioned_without_tensorflow(sources, pictures, tmp_path):
    pictures[0].save(tmp_path / "0.png")
    wanted = captions_by(sources["file"])[0](pictures[:1])[0].text
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW, sources["file"], tmp_path / "0.png"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.strip() == wanted, done.stderr
