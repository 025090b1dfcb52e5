"""What TensorFlow Serving would load: photos of any kind in, the captions that Keras finds out."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import prediction_log_pb2

from sat_edge import Captioner, InputError, Search
from sat_edge.photo import open_photo, to_pixels
from sat_edge.settings import Settings, State
from sat_export.saved_model import ServingModule, decode_photos, export_saved_model

SIZE = (32, 64)


def encode(image, kind="JPEG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def by_pillow(encoded):
    return to_pixels(open_photo(io.BytesIO(encoded)), SIZE)


@pytest.fixture(scope="module")
def scene():
    """Smooth, and no side like another."""
    y, x = np.mgrid[:90, :140]
    colors = np.stack([x * 255 / 139, y * 255 / 89, 128 + 100 * np.sin(x / 20) * np.cos(y / 15)], 2)
    return Image.fromarray(colors.astype("uint8"))


@pytest.fixture
def sized(photos):
    """In the encoder's size: this captioner is so fickle that a rounded pixel turns its words."""
    return [photo.resize(SIZE[::-1]) for photo in photos]


@pytest.fixture(scope="module")
def served(captioner, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "captioner"
    directory = export_saved_model(captioner, path, trained_on="flickr8k", beam_width=3)
    return tf.saved_model.load(directory), directory


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", [b"II", b"MM"])
def test_photos_stand_upright(scene, orientation, order):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = exif.tobytes()
    if order != data[6:8]:
        other = Image.Exif()
        other.endian = ">" if order == b"MM" else "<"
        other[0x0112] = orientation
        data = other.tobytes()
    assert data[6:8] == order
    encoded = encode(scene, exif=data, quality=95)
    pixels, ok = decode_photos(tf.constant([encoded]), SIZE)
    assert ok.numpy().all()
    assert np.abs(pixels[0].numpy() - by_pillow(encoded)).mean() < 1


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("JPEG", "RGB"),
        ("JPEG", "L"),
        ("PNG", "RGB"),
        ("PNG", "RGBA"),
        ("PNG", "P"),
        ("PNG", "L"),
        ("BMP", "RGB"),
        ("GIF", "P"),
    ],
)
def test_pixels_are_pillow_s(scene, kind, mode):
    image = scene.convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    encoded = encode(image, kind)
    pixels, ok = decode_photos(tf.constant([encoded]), SIZE)
    assert ok.numpy().all()
    difference = np.abs(pixels[0].numpy() - by_pillow(encoded))
    assert difference.mean() < 0.5 and difference.max() <= 3


def test_broken_photos_leave_the_others_alone(captioner, served, sized):
    whole = [encode(photo, "PNG") for photo in sized]
    batch = [whole[0], b"", b"no photo", whole[1][: len(whole[1]) // 2], whole[1]]
    found = served[0].signatures["serving_default"](images=tf.constant(batch))
    assert found["ok"].numpy().tolist() == [True, False, False, False, True]
    wanted = captioner.caption(sized[:2], beam_width=3)
    sentences = [each.decode() for each in found["captions"].numpy()]
    assert sentences == [wanted[0].text, "", "", "", wanted[1].text]
    np.testing.assert_allclose(
        found["log_prob"], [wanted[0].log_prob, 0, 0, 0, wanted[1].log_prob], atol=1e-3
    )


def test_attention_on_request(captioner, served, sized):
    encoded = [encode(photo, "PNG") for photo in sized]
    found = served[0].signatures["attention"](images=tf.constant(encoded))
    wanted = captioner.caption(sized, beam_width=3)
    for i, each in enumerate(wanted):
        count = len(each.tokens)
        np.testing.assert_array_equal(found["tokens"][i, :count], each.tokens)
        rows = each.attention.reshape(count, -1)
        np.testing.assert_allclose(found["attention"][i, :count], rows, atol=1e-3)


def test_pixels_in_any_number(captioner, served, sized):
    pixels = np.stack([np.asarray(photo) for photo in sized])
    wanted = [each.text for each in captioner.caption(pixels, beam_width=3)]
    for count in (1, len(pixels)):
        found = served[0].signatures["tensor"](pixels=tf.constant(pixels[:count], tf.float32))
        assert [each.decode() for each in found["captions"].numpy()] == wanted[:count]


def test_words_are_spelt_as_on_the_device():
    """The graph's rule against `sat_edge.Caption`'s is in the captions above; here its edges."""

    speaker = SimpleNamespace(
        decoder=SimpleNamespace(variables=[]),
        trust=None,
        vocabulary=SimpleNamespace(words=["", "", "", "", "it", "'s", "n't", "did"]),
    )
    tokens = tf.constant([[4, 5, 2, 0], [7, 6, 4, 2], [2, 0, 0, 0]])
    found = ServingModule(speaker, Search())._sentences(tokens)
    assert [each.decode() for each in found.numpy()] == ["it's", "didn't it", ""]


def read_settings(directory):
    return Settings.from_json((directory / "assets.extra" / "captioner.json").read_text())


def test_settings_are_those_of_a_file(captioner, served, tflite_file):
    """All but what a server's model has no use for, or another search, is what a `.tflite` says."""
    found, file = read_settings(served[1]), Captioner(tflite_file).settings
    assert (found.target, found.state, found.trained_on) == ("server", State(), "flickr8k")
    assert found.search == Search(beam_width=3)
    same = ("image_size", "grid", "regions", "max_length", "vocabulary_size", "captioner")
    for name in (*same, "encoder", "quantization", "compression", "sat_keras"):
        assert getattr(found, name) == getattr(file, name)
    words = (served[1] / "assets.extra" / "vocabulary.txt").read_text()
    assert words == "".join(f"{word}\n" for word in captioner.vocabulary.words)


@pytest.mark.slow
def test_the_search_is_the_captioner_s_but_for_named_fields(make_captioner, sized, tmp_path):
    own = Search(beam_width=4, length_penalty=0.5, no_repeat_ngram=1, n_best=2)
    captioner = make_captioner(search=own)
    kernel = captioner.decoder.deep_output.project_word.kernel
    kernel.assign(kernel * 0.5)  # words of like probability, so that each field matters
    pixels, said = np.stack([np.asarray(photo) for photo in sized]), set()
    # The best caption alone is served.
    for number, (named, wanted) in enumerate(
        [({}, Search(4, 0.5, 1)), ({"no_repeat_ngram": 0}, Search(4, 0.5, 0))], 1
    ):
        directory = export_saved_model(captioner, tmp_path / "model", number, **named)
        assert read_settings(directory).search == wanted
        served = tf.saved_model.load(directory).signatures["tensor"]
        found = served(pixels=tf.constant(pixels, tf.float32))["captions"].numpy()
        keras = captioner.beam_search(pixels, **wanted.as_dict())
        assert [each.decode() for each in found] == [each[0].text for each in keras]
        said.add(tuple(found))
    assert len(said) == 2


def test_warm_up_requests_run(served):
    path = str(served[1] / "assets.extra" / "tf_serving_warmup_requests")
    seen = []
    for record in tf.data.TFRecordDataset(path):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        request = log.predict_log.request
        assert request.model_spec.name == "captioner"
        images = tf.make_ndarray(request.inputs["images"])
        signature = request.model_spec.signature_name
        found = served[0].signatures[signature](images=tf.constant(images))
        assert found["ok"].numpy().all() and all(found["captions"].numpy())
        seen.append((signature, len(images)))
    assert seen == [(name, n) for name in ("serving_default", "attention") for n in (1, 4)]


def test_search_that_cannot_be(captioner, tmp_path):
    with pytest.raises(InputError, match="beam"):
        export_saved_model(captioner, tmp_path / "model", beam_width=0)
    assert not list(tmp_path.iterdir())
