"""Quantisation-aware training: the int8 encoder learns the annotations of the float32 one."""

from functools import partial

import numpy as np

from sat_edge.errors import InputError
from sat_export.distillation import distil, fit

_CALIBRATION = 64  # images


def train_encoder(captioner, images, loss="annotations", epochs=2, learning_rate=3e-4):
    """Trains a copy of a captioner's encoder for int8, the captioner itself its teacher.

    The encoder's convolutions are trained with their weights and results rounded to 8 bits; batch
    normalisation stays as it is.

    Args:
        captioner, images, loss, epochs, learning_rate: see `distillation.distil`. Default to
            `"annotations"`, `2`, `3e-4`.
    Returns:
        bytes of a `.tflite` file: `image` `(1, H, W, 3)` to features `(1, rows, columns, D)`, both
        float32, all between in int8.
    Raises:
        InputError: for an encoder that TFMOT cannot wrap, or a captioner without attention.
    """
    if captioner.encoder.patches:
        raise InputError("qat trains encoders of a grid, not of patches: quantise by int8")
    if captioner.attention == "none":  # `replace_encoder` finds its place by the annotations
        raise InputError("qat trains encoders of captioners with attention: quantise by int8")
    return distil(captioner, images, train, loss, epochs=epochs, learning_rate=learning_rate)


def train(captioner, images, **options):
    """What `train_encoder` does, in the process that has TFMOT."""
    from tensorflow_model_optimization.quantization.keras import quantize_model

    captioner.trainable = False
    twin = _twin(captioner.encoder)
    network = quantize_model(twin)
    _find_ranges(captioner.encoder, twin, network, images[:_CALIBRATION])
    for wrapper in network.layers:
        # Statistics of small batches would undo what the network has learnt.
        if type(getattr(wrapper, "layer", None)).__name__ == "BatchNormalization":
            wrapper.layer.trainable = False

    def student(batch):
        features = network(_normalise(captioner.encoder, batch), training=True)
        return features, lambda *inputs: captioner.decoder(*inputs)[0]

    fit(captioner, images, student, network.trainable_variables, **options)
    return _convert(captioner.encoder, network)


def _normalise(encoder, images):
    from sat_keras.encoders import BACKBONES

    return BACKBONES[encoder.backbone].normalise(images)  # (B, H, W, 3)


def _twin(encoder):
    """The encoder's network, normalised pixels to features, in Keras 2."""
    import tf_keras

    from sat_keras.encoders import BACKBONES

    spec, network = BACKBONES[encoder.backbone], encoder.get_layer(encoder.backbone)
    if isinstance(spec.build, partial):  # our own
        build = partial(spec.build, library=tf_keras)
    else:
        build = getattr(tf_keras.applications, spec.build.__name__)
    whole = build(
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

    pixels = _normalise(encoder, np.float32(images))
    results = tf_keras.Model(twin.input, {each.name: each.output for each in twin.layers[1:]})
    results = {"quantize_layer": pixels, **results(pixels)}
    for wrapper in network.layers:
        result = results.get(wrapper.name.removeprefix("quant_"))
        for variable in wrapper.non_trainable_variables:
            of, _, end = variable.name.rpartition("/")[2].removesuffix(":0").rpartition("_")
            if of in ("quantize_layer", "output", "post_activation"):
                variable.assign(np.min(result) if end == "min" else np.max(result))


def _convert(encoder, network):
    """A `.tflite` file's bytes; the ranges are those that training found."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((1, *encoder.image_size, 3), tf.float32, "image")])
    def encode(image):
        return network(_normalise(encoder, image), training=False)  # (1, rows, columns, D)

    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [encode.get_concrete_function()], network
    )
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter.convert()
