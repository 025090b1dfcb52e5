"""Confidence and familiarity are the same in Keras and in whatever is exported."""

import json
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from sat_edge import Captioner, InputError, to_pixels
from sat_export import export_tflite
from sat_export.saved_model import export_saved_model
from sat_export.verify import contents


def trust_of(captions):
    return np.array([(each.confidence, each.familiarity) for each in captions])


def assert_same(found, wanted, atol):
    same = [one.words == other.words for one, other in zip(found, wanted, strict=True)]
    assert sum(same) >= len(same) - 1
    one, other = (trust_of(each)[same] for each in (found, wanted))
    assert (np.ptp(other, axis=0) > 0.1).all()  # of different photos
    np.testing.assert_allclose(one, other, atol=atol)


def test_the_file_says_what_keras_says(calibrated, calibrated_file, photos):
    edge = Captioner(calibrated_file)
    greedy = {"beam_width": 1}
    found = [edge.caption(photo, **greedy) for photo in photos]  # by the signature `caption`
    assert_same(found, calibrated.caption(photos, **greedy), 1e-4)
    found = [edge.caption(photo) for photo in photos]  # by the search on the host
    assert_same(found, calibrated.caption(photos), 1e-4)
    for photo, wanted in zip(photos, calibrated.beam_search(photos, n_best=3), strict=True):
        assert_same_of_one(edge.beam_search(photo, n_best=3), wanted)


def assert_same_of_one(found, wanted):
    known = {each.words: (each.confidence, each.familiarity) for each in wanted}
    shared = [each for each in found if each.words in known]
    assert len(shared) >= len(found) - 1
    for each in shared:
        np.testing.assert_allclose(
            (each.confidence, each.familiarity), known[each.words], atol=1e-4
        )


def test_the_host_s_search_and_the_file_s_loop_agree(calibrated_file, photos):
    """`no_repeat_ngram` as long as a caption changes nothing but who searches."""
    edge = Captioner(calibrated_file)
    for photo in photos:
        loop, host = (edge.caption(photo, beam_width=1, no_repeat_ngram=n) for n in (0, 7))
        assert loop.words == host.words
        assert loop.confidence == pytest.approx(host.confidence, abs=1e-5)
        assert loop.familiarity == pytest.approx(host.familiarity, abs=1e-6)


def test_signatures_and_operators(calibrated_file, tflite_file):
    interpreter = Interpreter(str(calibrated_file))
    signatures = interpreter.get_signature_list()
    assert signatures["confidence"] == {
        "inputs": ["agreement", "length", "log_prob", "outlook"],
        "outputs": ["confidence"],
    }
    added = {"familiarity", "outlook", "expected_words"}
    assert added < set(signatures["encode"]["outputs"])
    assert not added & set(signatures["step"]["inputs"])
    assert {"confidence", "familiarity"} < set(signatures["caption"]["outputs"])
    kinds = {each["op_name"] for each in interpreter._get_ops_details()}
    assert not {kind for kind in kinds if kind.startswith("Flex")}
    assert contents(calibrated_file)["components"]["trust"] < 300_000
    assert "trust" not in contents(tflite_file)["components"]
    with zipfile.ZipFile(calibrated_file) as inside:
        assert json.loads(inside.read("captioner.json"))["format"] == 1


def test_a_file_without_it_is_captioned_without(tflite_file, photos):
    edge = Captioner(tflite_file)
    for caption in (edge.caption(photos[0]), edge.caption(photos[0], beam_width=2)):
        assert (caption.confidence, caption.familiarity, caption.is_unfamiliar) == (
            None,
            None,
            False,
        )


def test_a_file_that_lacks_what_confidence_takes_is_refused(calibrated_file, monkeypatch):
    monkeypatch.setattr(
        "sat_edge.runtime.CPURuntime.output_names",
        lambda self, signature: tuple(
            name for name in self._runners[signature].get_output_details() if name != "outlook"
        ),
    )
    with pytest.raises(InputError, match="its `encode` does not return outlook; export it again"):
        Captioner(calibrated_file)


def test_the_saved_model_says_what_keras_says(calibrated, photos, tmp_path):
    directory = export_saved_model(calibrated, tmp_path / "model")
    signatures = tf.saved_model.load(directory).signatures
    pixels = np.stack([to_pixels(photo, (32, 64)) for photo in photos]).astype("float32")
    outputs = signatures["tensor"](pixels=tf.constant(pixels))
    wanted = calibrated.caption(photos)
    same = [
        text == caption.text.encode()
        for text, caption in zip(outputs["captions"].numpy(), wanted, strict=True)
    ]
    assert sum(same) >= len(same) - 1
    found = np.stack([outputs[name].numpy() for name in ("confidence", "familiarity")], axis=1)
    np.testing.assert_allclose(found[same], trust_of(wanted)[same], atol=1e-4)
    broken = signatures["serving_default"](images=tf.constant([b"no photo"]))
    assert (float(broken["confidence"][0]), float(broken["familiarity"][0])) == (0, 0)
    assert "attention" not in broken


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["dynamic", "float16", "int8", "int4"])
def test_quantised_it_stays_in_float32(calibrated, photos, scheme, tmp_path):
    """On the annotations of the quantised encoder it says what Keras would."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(3):
        for j, photo in enumerate(photos):
            photo.rotate(90 * i, expand=True).save(folder / f"{i}{j}.png")
    export_tflite(calibrated, tmp_path / "c.tflite", quantize=scheme, photos=folder)
    edge = Captioner(tmp_path / "c.tflite")
    for photo in photos:
        encoded = edge.encode(photo)
        wanted = calibrated.trust.of_photo(encoded["annotations"])
        for name, value in wanted.items():
            np.testing.assert_allclose(encoded[name], value, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_a_gpu_s_file_has_it_too(calibrated, photos, tmp_path):
    export_tflite(calibrated, tmp_path / "gpu.tflite", target="gpu")
    edge = Captioner(tmp_path / "gpu.tflite")
    assert_same([edge.caption(photo) for photo in photos], calibrated.caption(photos), 1e-4)
