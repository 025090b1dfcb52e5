"""A captioner as a SavedModel for TensorFlow Serving: encoded photos in, sentences out.

    serving_default    images (B,) string             captions (B,) string, log_prob (B,), ok (B,)
    attention          images (B,) string             the same, tokens (B, T), attention (B, T, L)
    tensor             pixels (B, H, W, 3) float32    as attention

A captioner that is calibrated adds confidence (B,) and familiarity (B,) to each.

A photo is decoded, turned upright, stretched to (H, W) and normalised in the graph, and captions
are searched for in it, as `captioner.json` says. A photo that cannot be read has an empty caption
and `ok` false, confidence and familiarity are 0, and the others of its batch are captioned.
"""

import io
from pathlib import Path

import tensorflow as tf
from PIL import Image
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

from sat_edge.caption import END, PAD
from sat_export import schemes
from sat_export.captioner_files import CAPTIONER_JSON, VOCABULARY, settings_of
from sat_keras.files import atomic_output

_WARM_UP = "tf_serving_warmup_requests"  # the server looks for this name
_EXIF_BYTES = 65536  # where a photo's EXIF data are: a JPEG segment is no longer


def export_saved_model(captioner, path, version_number=1, trained_on=None, **search):
    """Writes a folder that TensorFlow Serving takes as a model's base path.

    Beside the model, in `assets.extra`: requests that warm the server up before it takes others',
    the vocabulary, and `captioner.json`, see `docs/file-format.md`.

    Args:
        captioner: `sat_keras.Captioner`.
        path: the folder; the model is in it by its version's number.
        version_number: int. The server takes the highest. Defaults to `1`.
        trained_on: str. The data set's name, for `captioner.json`. Defaults to `None`.
        **search: fields of `Search` that replace the captioner's own. `n_best` is none of them: a
            photo gets its best caption.
    Returns:
        The path of the version's folder.
    Raises:
        InputError: for a search that cannot be.
    """
    how = captioner.search.for_one(**search)
    module = ServingModule(captioner, how)
    scheme = schemes.choose("none")
    settings = settings_of(captioner, "server", scheme, how, trained_on=trained_on)
    directory = Path(path) / str(version_number)
    with atomic_output(directory) as temporary:
        tf.saved_model.save(module, temporary, signatures=module.signatures())
        extra = temporary / "assets.extra"
        extra.mkdir()
        (extra / CAPTIONER_JSON).write_text(settings.to_json())
        captioner.vocabulary.save(extra / VOCABULARY)
        _write_warm_up(extra / _WARM_UP, name=Path(path).name)
    return directory


def _write_warm_up(path, name):
    """A blank photo for each signature that takes encoded ones, alone and in a small batch: the
    first request of a kind is slow, and it is not a user's."""
    photo = io.BytesIO()
    Image.new("RGB", (64, 64), "gray").save(photo, "JPEG")
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature in ("serving_default", "attention"):
            for count in (1, 4):
                request = predict_pb2.PredictRequest(
                    model_spec=model_pb2.ModelSpec(name=name, signature_name=signature)
                )
                images = tf.make_tensor_proto([photo.getvalue()] * count)
                request.inputs["images"].CopyFrom(images)
                log = prediction_log_pb2.PredictLog(request=request)
                log = prediction_log_pb2.PredictionLog(predict_log=log)
                writer.write(log.SerializeToString())


class ServingModule(tf.Module):
    """The signatures over a captioner; see this file's head."""

    def __init__(self, captioner, search):
        super().__init__()
        self._captioner = captioner
        variables = captioner.decoder.variables
        if captioner.trust is not None:
            variables = variables + captioner.trust.variables
        self._variables = [variable.value for variable in variables]
        self._search = search

    def signatures(self):
        """Name to concrete function."""
        size = self._captioner.encoder.image_size
        encoded = tf.TensorSpec((None,), tf.string, "images")
        pixels = tf.TensorSpec((None, *size, 3), tf.float32, "pixels")
        encode = tf.function(lambda pixels: self._captioner.encoder(pixels, training=False))
        # TensorFlow folds batch normalisation into convolutions where both are constants.
        self._encode = convert_variables_to_constants_v2(encode.get_concrete_function(pixels))

        @tf.function(input_signature=[encoded])
        def attention(images):
            decoded, ok = decode_photos(images, size)  # (B, H, W, 3), (B,)
            return self._caption(decoded, ok)

        @tf.function(input_signature=[encoded])
        def serving_default(images):
            outputs = attention(images)
            large = ("tokens", "attention")
            return {name: each for name, each in outputs.items() if name not in large}

        @tf.function(input_signature=[pixels])
        def tensor(pixels):
            return self._caption(pixels, tf.fill(tf.shape(pixels)[:1], True))

        return {
            each.__name__: each.get_concrete_function()
            for each in (serving_default, attention, tensor)
        }

    def _caption(self, pixels, ok):
        (annotations,) = self._encode(pixels)
        shape = self._captioner.encoder.output_shape
        annotations = tf.ensure_shape(annotations, shape)  # (B, L, D)
        tokens, alphas, log_prob, _ = self._captioner.beam(annotations, self._search)
        tokens, alphas, log_prob = tokens[:, 0], alphas[:, 0], log_prob[:, 0]  # the best
        tokens = tf.where(ok[:, None], tokens, PAD)  # (B, T)
        return self._trusted(annotations, tokens, log_prob, ok) | {
            "captions": self._sentences(tokens),
            "log_prob": tf.where(ok, log_prob, 0.0),
            "ok": ok,
            "tokens": tokens,
            "attention": tf.where(ok[:, None, None], alphas, 0.0),
        }

    def _trusted(self, annotations, tokens, log_prob, ok):
        trust = self._captioner.trust
        if trust is None:
            return {}
        confidence, familiarity = trust(annotations, tokens[:, None], log_prob[:, None])
        found = {"confidence": confidence[:, 0], "familiarity": familiarity}  # (B,)
        return {name: tf.where(ok, each, 0.0) for name, each in found.items()}

    def _sentences(self, tokens):
        """Ids `(B, T)` to sentences `(B,)`, spelt as `sat_edge.Caption` does it."""
        spoken = tf.logical_and(tokens != END, tokens != PAD)
        words = tf.gather(tf.constant(self._captioner.vocabulary.words), tokens)  # (B, T)
        words = tf.where(spoken, words, "")
        sentences = tf.strings.strip(tf.strings.reduce_join(words, axis=1, separator=" "))
        sentences = tf.strings.regex_replace(sentences, " n't", "n't")
        return tf.strings.regex_replace(sentences, " '", "'")


def decode_photos(encoded, size):
    """Encoded photos as `sat_edge.photo` reads them, in the graph.

    Args:
        encoded: string tensor `(B,)` of JPEG, PNG, BMP or GIF (its first frame).
        size: pair of ints (height, width).
    Returns:
        Pixels, float32 `(B, height, width, 3)`, RGB 0..255, and `ok` bool `(B,)`: where it is
        false, the photo could not be read, and is black.
    """

    count = tf.size(encoded, tf.int64)

    def decode(i, one):
        kinds = [
            (_is_jpeg(one), lambda: _decode_jpeg(one)),
            (_is_png(one), lambda: _decode_png(one)),
        ]
        photo = tf.case(kinds, default=lambda: _decode_other(one))  # (h, w, 3)
        photo = _upright(photo, _orientation(one))
        resized = tf.cond(
            tf.reduce_all(tf.shape(photo)[:2] == size),
            lambda: photo,
            lambda: tf.round(tf.image.resize(photo, size, antialias=True)),
        )
        return i, tf.ensure_shape(resized, (*size, 3))

    # An error in a graph fails all of a batch; a data set can pass over it, and uses all cores.
    photos = tf.data.Dataset.from_tensor_slices((tf.range(count), encoded))
    photos = photos.map(decode, num_parallel_calls=tf.data.AUTOTUNE).ignore_errors()
    end = tf.data.Dataset.from_tensors((count, tf.zeros((*size, 3))))  # or it might be empty
    rows, decoded = photos.concatenate(end).batch(count + 1).get_single_element()
    # A photo's place among those that could be read, from their end, where the black one is.
    last = tf.size(rows) - 1
    place = tf.scatter_nd(rows[:, None], tf.range(-last, 1), count[None] + 1)[:-1]  # (B,)
    pixels = tf.gather(decoded, last + place)
    return tf.ensure_shape(pixels, (None, *size, 3)), place < 0


def _is_jpeg(one):
    return tf.strings.substr(one, 0, 2) == b"\xff\xd8"


def _is_png(one):
    return tf.strings.substr(one, 0, 4) == b"\x89PNG"


def _decode_jpeg(one):
    # The faster transform is up to 10 of 255 off Pillow's.
    photo = tf.io.decode_jpeg(one, channels=3, dct_method="INTEGER_ACCURATE")
    return tf.cast(photo, tf.float32)


def _decode_png(one):
    photo = tf.cast(tf.io.decode_png(one, channels=4), tf.float32)  # (h, w, 4)
    opacity = photo[..., 3:] / 255
    return tf.round(photo[..., :3] * opacity + 255 * (1 - opacity))  # on white


def _decode_other(one):
    photo = tf.io.decode_image(one, channels=3, expand_animations=False)
    return tf.cast(photo, tf.float32)


def _orientation(one):
    """The EXIF orientation of a JPEG, 1 to 8; 1 where it says none."""
    head = tf.io.decode_raw(tf.strings.substr(one, 0, _EXIF_BYTES), tf.uint8)
    head = tf.pad(head, [[0, 12]])
    # The entry's tag 0x0112, type 3, count 1, then its value: of two bytes, in either order.
    found = tf.constant(0)
    for pattern in ([0x12, 1, 3, 0, 1, 0, 0, 0], [1, 0x12, 0, 3, 0, 0, 0, 1]):
        length = tf.size(head) - 10
        here = tf.fill([length], True)
        for i, byte in enumerate(pattern):
            here = tf.logical_and(here, head[i : i + length] == byte)
        low = pattern[0] == 0x12  # the low byte comes first
        value = head[8 : 8 + length] if low else head[9 : 9 + length]
        most = tf.reduce_max(tf.where(here, value, 0))
        found = tf.maximum(found, tf.cast(most, tf.int32))
    return tf.where(_is_jpeg(one) & (found >= 1) & (found <= 8), found, 1)


def _upright(photo, orientation):
    """`(h, w, 3)` as it is to be seen (EXIF 2.3, tag 274)."""
    turns = [
        lambda: photo,
        lambda: tf.reverse(photo, [1]),
        lambda: tf.reverse(photo, [0, 1]),
        lambda: tf.reverse(photo, [0]),
        lambda: tf.transpose(photo, (1, 0, 2)),
        lambda: tf.image.rot90(photo, 3),
        lambda: tf.reverse(tf.transpose(photo, (1, 0, 2)), [0, 1]),
        lambda: tf.image.rot90(photo, 1),
    ]
    return tf.switch_case(orientation - 1, turns)
