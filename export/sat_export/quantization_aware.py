"""Quantisation-aware training: the encoder learns to say in int8 what it says in float32.

TFMOT works on Keras 2 alone and turns a whole process to it, so training has a process of its own:

    python -m sat_export.quantization_aware FOLDER ...

finds `captioner.keras` and `images.npy` in the folder and leaves `encoder.tflite` there.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from sat_edge.errors import InputError

LOSSES = ("annotations", "words")
_CAPTIONER, _IMAGES, _ENCODER = "captioner.keras", "images.npy", "encoder.tflite"
_BATCH = 16
_CALIBRATION = 64  # images


def train_encoder(captioner, images, loss="annotations", epochs=3, learning_rate=1e-4):
    """Trains a copy of a captioner's encoder for int8.

    No captions are needed: the teacher is the captioner itself. The encoder's convolutions are
    trained with their weights and results rounded to 8 bits; batch normalisation stays as it is.

    Args:
        captioner: `sat_keras.Captioner`; it stays as it is.
        images: uint8 array `(N, H, W, 3)`, photos like those that will be captioned.
        loss: str. `"annotations"`: the mean square of what annotations differ by, beside their own.
            `"words"`: that, and the Kullback-Leibler divergence of the decoder's words, mean over
            those of the captioner's own captions. Defaults to `"annotations"`.
        epochs: int. Defaults to `3`.
        learning_rate: float. Adam's, at first; falls to zero along a cosine. Defaults to `1e-4`.
    Returns:
        bytes of a `.tflite` file: `image` `(1, H, W, 3)` to features `(1, rows, columns, D)`, both
        float32, all between in int8.
    Raises:
        InputError: for an encoder that TFMOT cannot wrap.
    """
    if captioner.encoder.patches:
        raise InputError("qat trains encoders of a grid, not of patches: quantise by int8")
    with tempfile.TemporaryDirectory() as folder:
        captioner.save(Path(folder) / _CAPTIONER)
        np.save(Path(folder) / _IMAGES, images)
        command = [sys.executable, "-m", __name__, folder, "--loss", loss]
        command += ["--epochs", str(epochs), "--learning-rate", str(learning_rate)]
        # Its progress is no result: standard output is for that.
        done = subprocess.run(command, stdout=sys.stderr, check=False)
        if done.returncode:
            raise InputError(
                f"quantisation-aware training of {captioner.encoder.backbone} failed (see above)"
            )
        return (Path(folder) / _ENCODER).read_bytes()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--loss", choices=LOSSES, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--learning-rate", type=float, required=True)
    options = parser.parse_args()

    # Before Keras 3 is there, as TFMOT asks.
    from tensorflow_model_optimization.quantization.keras import quantize_model

    import keras  # isort: skip

    from sat_keras import Captioner
    from sat_keras.memory import keep_freed_memory

    keep_freed_memory()
    captioner = keras.saving.load_model(
        options.folder / _CAPTIONER, {"Captioner": Captioner}, compile=False
    )
    captioner.trainable = False
    images = np.load(options.folder / _IMAGES, mmap_mode="r")
    twin = _twin(captioner.encoder)
    network = quantize_model(twin)
    _find_ranges(captioner.encoder, twin, network, images[:_CALIBRATION])
    for wrapper in network.layers:
        # Statistics of small batches would undo what the network has learnt.
        if type(getattr(wrapper, "layer", None)).__name__ == "BatchNormalization":
            wrapper.layer.trainable = False
    _train(captioner, network, images, options)
    (options.folder / _ENCODER).write_bytes(_convert(captioner.encoder, network))


def _twin(encoder):
    """The encoder's network, normalised pixels to features, in Keras 2."""
    import tf_keras

    from sat_keras.encoders import BACKBONES

    spec, network = BACKBONES[encoder.backbone], encoder.get_layer(encoder.backbone)
    whole = getattr(tf_keras.applications, spec.build.__name__)(
        include_top=encoder.layer in spec.fully_connected,
        input_shape=network.input_shape[1:],
        weights=None,
        **({"alpha": encoder.alpha} if spec.has_alpha else {}),
    )
    twin = tf_keras.Model(whole.input, whole.get_layer(network.layers[-1].name).output)
    twin.set_weights(network.get_weights())
    return twin


def _find_ranges(encoder, twin, network, images):
    """Sets the ranges of the layers' results to those found on a few images: the moving averages
    of training would take a thousand steps to get there."""
    import tf_keras

    from sat_keras.encoders import BACKBONES

    pixels = BACKBONES[encoder.backbone].normalise(np.float32(images))
    results = tf_keras.Model(twin.input, {each.name: each.output for each in twin.layers[1:]})
    results = {"quantize_layer": pixels, **results(pixels)}
    for wrapper in network.layers:
        result = results.get(wrapper.name.removeprefix("quant_"))
        for variable in wrapper.non_trainable_variables:
            of, _, end = variable.name.rpartition("/")[2].removesuffix(":0").rpartition("_")
            if of in ("quantize_layer", "output", "post_activation"):
                variable.assign(np.min(result) if end == "min" else np.max(result))


def _features(encoder, network, images):
    """What `encoder` makes annotations of, but through `network`; float images `(B, H, W, 3)`."""
    from sat_keras.encoders import BACKBONES

    return network(BACKBONES[encoder.backbone].normalise(images))  # (B, rows, columns, D)


def _train(captioner, network, images, options):
    import tensorflow as tf
    import tf_keras
    from tqdm import tqdm

    from sat_edge.caption import PAD, START

    steps = options.epochs * (len(images) // _BATCH)
    schedule = tf_keras.optimizers.schedules.CosineDecay(options.learning_rate, steps)
    optimizer = tf_keras.optimizers.Adam(schedule)

    def words_loss(wanted, found):
        """Of the decoder's words along the captioner's own captions."""
        tokens, *_ = captioner.greedy(wanted)  # (B, T)
        mask = tf.cast(tokens != PAD, "float32")  # (B, T)
        previous = tf.pad(tokens[:, :-1], [[0, 0], [1, 0]], constant_values=START)  # (B, T)
        teacher, student = (
            tf.nn.log_softmax(captioner.decoder(each, previous)[0]) for each in (wanted, found)
        )  # (B, T, V)
        divergence = tf.reduce_sum(tf.exp(teacher) * (teacher - student), axis=-1)  # (B, T)
        return tf.reduce_sum(mask * divergence) / tf.reduce_sum(mask)

    @tf.function
    def step(batch):
        batch = tf.cast(batch, "float32")
        wanted = captioner.encoder(batch, training=False)  # (B, L, D)
        with tf.GradientTape() as tape:
            found = _features(captioner.encoder, lambda x: network(x, training=True), batch)
            found = tf.reshape(found, tf.shape(wanted))  # (B, L, D)
            square = tf.reduce_mean(tf.square(found - wanted)) / tf.reduce_mean(tf.square(wanted))
            loss = square
            if options.loss == "words":
                loss += words_loss(wanted, found)
        gradients = tape.gradient(loss, network.trainable_variables)
        optimizer.apply_gradients(zip(gradients, network.trainable_variables, strict=True))
        return loss, square

    rng = np.random.default_rng(0)
    with tqdm(total=steps, desc="qat", unit="step", disable=None) as progress:
        for epoch in range(options.epochs):
            order = rng.permutation(len(images))[: len(images) // _BATCH * _BATCH]
            losses = []
            for rows in order.reshape(-1, _BATCH):
                losses.append([float(each) for each in step(images[np.sort(rows)])])
                progress.update()
            loss, square = np.mean(losses, axis=0)
            print(f"qat epoch {epoch + 1}: loss {loss:.4f}, of annotations {square:.4f}")


def _convert(encoder, network):
    """A `.tflite` file's bytes; the ranges are those that training found."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((1, *encoder.image_size, 3), tf.float32, "image")])
    def encode(image):
        return _features(encoder, lambda x: network(x, training=False), image)

    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [encode.get_concrete_function()], network
    )
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter.convert()


if __name__ == "__main__":
    main()
