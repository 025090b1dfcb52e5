"""One captioner's search is the default of everything that is made of it."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

from sat_edge import Captioner, Search

pytestmark = pytest.mark.slow

EXPORT = Path(__file__).parents[1] / "export"
FIELDS = {"beam_width": 4, "length_penalty": 0.5, "no_repeat_ngram": 2}


@pytest.fixture(scope="module")
def captioner(make_captioner):
    captioner = make_captioner(search=Search(**FIELDS))
    kernel = captioner.decoder.deep_output.project_word.kernel
    kernel.assign(kernel * 0.5)  # words of like probability, so that the search matters
    return captioner


@pytest.fixture(scope="module")
def pixels(photos, captioner):
    """Photos whose best caption is clearly the best: rounding does not decide."""
    height, width = captioner.encoder.image_size
    pixels = np.stack([np.asarray(photo.resize((width, height))) for photo in photos])
    found = captioner.beam_search(pixels, **FIELDS, n_best=2)
    clear = [first.score - second.score > 3e-4 for first, second in found]
    assert sum(clear) >= 5
    return pixels[clear]


@pytest.fixture(scope="module")
def wanted(captioner, pixels):
    """Words of Keras, told of every field, and unlike those of any other search here."""
    found = captioner.beam_search(pixels, **FIELDS, n_best=1)
    for other in ({"beam_width": 1}, {"length_penalty": 0.0}, {"no_repeat_ngram": 0}):
        others = captioner.beam_search(pixels, **{**FIELDS, **other}, n_best=1)
        assert [each[0].text for each in others] != [each[0].text for each in found]
    return [each[0].text for each in found]


@pytest.fixture(scope="module")
def file(captioner, tmp_path_factory):
    from sat_export import export_tflite

    path = tmp_path_factory.mktemp("file") / "captioner.tflite"
    export_tflite(captioner, path)
    return path


def test_the_captioner_s(captioner, pixels, wanted):
    assert [each.text for each in captioner.caption(pixels)] == wanted


def test_a_saved_captioner_s(captioner, pixels, wanted, tmp_path):
    import keras

    captioner.save(tmp_path / "captioner.keras")
    again = keras.saving.load_model(tmp_path / "captioner.keras", compile=False)
    assert [each.text for each in again.caption(pixels)] == wanted


def test_a_preset_s(captioner, pixels, tmp_path):
    """Its weights are rounded, and these words are of like probability: the search is the same."""
    captioner.save_to_preset(tmp_path / "preset")
    assert type(captioner).from_preset(tmp_path / "preset").search == Search(**FIELDS)


def test_a_file_s(file, pixels, wanted):
    edge = Captioner(file)
    assert [edge.caption(each).text for each in pixels] == wanted


def test_a_server_s(captioner, pixels, wanted, tmp_path):
    import tensorflow as tf

    from sat_export import export_saved_model

    served = tf.saved_model.load(export_saved_model(captioner, tmp_path / "model"))
    found = served.signatures["tensor"](pixels=tf.constant(pixels, tf.float32))
    assert [each.decode() for each in found["captions"].numpy()] == wanted


def test_a_raspberry_pi_s(file, pixels, wanted, tmp_path, monkeypatch, capsys):
    from PIL import Image

    monkeypatch.syspath_prepend(EXPORT / "raspberry_pi")
    sat_caption = importlib.import_module("sat_caption")
    monkeypatch.setattr(sat_caption.signal, "signal", lambda number, handler: None)
    paths = [str(tmp_path / f"{i}.png") for i in range(len(pixels))]
    for path, each in zip(paths, pixels, strict=True):
        Image.fromarray(each).save(path)
    assert sat_caption.main([str(file), "--json", *paths]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["text"] for line in lines] == wanted
