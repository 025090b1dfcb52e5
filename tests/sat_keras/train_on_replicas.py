"""Trains captioners on one device and on two, and prints how far apart they end, as JSON.

    python train_on_replicas.py CASE ...

It is a process of its own: TensorFlow takes logical devices only before it starts. All cases share
one strategy: the messages of two would meet.
"""

import contextlib
import json
import sys
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from sat_keras import Captioner, Vocabulary
from sat_keras.metrics import CaptionReward
from sat_keras.objectives import CrossEntropy, Reinforce, SelfCritical

SENTENCES = [
    f"{article} {color} {shape} {place}"
    for article in ("a", "the")
    for color in ("red", "green")
    for shape in ("square", "circle")
    for place in ("above grass", "near snow and ice")
]
VOCABULARY = Vocabulary.from_captions(SENTENCES)
IDS = [VOCABULARY.encode(text) for text in SENTENCES]
LENGTH = max(map(len, IDS))
# Photos of each batch: even and odd numbers, and last one photo, so that a replica has none.
BATCHES = (6, 3, 4, 5, 2, 1)
LOCATIONS, SIZE = 4, 6
CLIP = 1.0


def drawn_of_photos(annotations):
    """Five given captions of each photo, whose number is its first annotation's first value."""
    captions = np.zeros((sum(BATCHES), 5, LENGTH), "int32")
    for photo, i in np.ndindex(captions.shape[:2]):
        ids = IDS[(5 * photo + 3 * i) % len(IDS)][1:]
        captions[photo, i, : len(ids)] = ids
    photos = tf.cast(tf.round(annotations[:, 0, 0] * 100), tf.int32)
    return tf.reshape(tf.gather(captions, photos), (-1, LENGTH))


def self_critical(given):
    objective = SelfCritical(CaptionReward([[ids[1:]] for ids in IDS], 2.0), temperature=0.6)
    if given:
        objective.captions = lambda captioner, annotations, each: drawn_of_photos(annotations)
    return objective


class Case(NamedTuple):
    """What is trained for what, with `captions` of each photo, on images or annotations."""

    options: dict
    objective: Callable
    captions: int = 1
    images: bool = False


SOFT, HARD, NONE = ({"attention": each} for each in ("soft", "hard", "none"))
REGULARIZED = {"label_smoothing": 0.1, "doubly_stochastic": 0.7, "entropy": 0.01}
CASES = {
    "soft, images": Case(SOFT, partial(CrossEntropy, **REGULARIZED), images=True),
    "soft": Case(SOFT, CrossEntropy),
    "hard": Case(HARD, Reinforce),
    "hard, 3 samples": Case({**HARD, "scorer": "bilinear"}, partial(Reinforce, samples=3)),
    "scheduled sampling": Case(SOFT, partial(CrossEntropy, scheduled_sampling=0.4), 2),
    "CNN-LSTM": Case(NONE, CrossEntropy, 2),
    "CNN-LSTM, scheduled sampling": Case(
        {**NONE, "inject": "first"}, partial(CrossEntropy, scheduled_sampling=0.4), 2
    ),
    "self-critical": Case(SOFT, partial(self_critical, given=False), 5),
    "self-critical, given captions": Case(SOFT, partial(self_critical, given=True), 5),
}


def build_encoder():
    """A convolution with a regularizer, and batch normalisation that keeps its statistics."""
    regularizer = keras.regularizers.L2(0.05)
    images = keras.Input((8, 8, 3))
    x = keras.layers.Rescaling(1 / 255)(images)
    x = keras.layers.Conv2D(SIZE, 4, strides=4, kernel_regularizer=regularizer)(x)
    x = keras.layers.BatchNormalization(name="normalisation")(x)
    x = keras.layers.Reshape((LOCATIONS, SIZE))(x)
    encoder = keras.Model(images, x)
    encoder.image_size, encoder.grid = (8, 8), (2, 2)
    encoder.regions = np.zeros((LOCATIONS, 4))
    return encoder


def build(case):
    encoder = build_encoder()
    sizes = {"units": 12, "embedding_size": 8, "attention_size": 6, "max_length": LENGTH}
    model = Captioner(encoder, VOCABULARY, **sizes, **case.options)
    if case.images:
        encoder.trainable = True
        encoder.get_layer("normalisation").trainable = False
    rng = np.random.default_rng(1)
    for weight in model.weights:
        if "moving_variance" not in weight.path:
            weight.assign(rng.normal(0, 0.3, weight.shape))
    model.compile(keras.optimizers.SGD(0.3, momentum=0.9, global_clipnorm=CLIP), case.objective())
    generators = [each for each in model.variables if each.name == "seed_generator_state"]
    for i, generator in enumerate([*generators, model.objective.seeds.state]):
        generator.assign([10 + i, 0])
    return model


def batches(case):
    """A data set of `BATCHES`."""
    rng = np.random.default_rng(0)

    def photos(first, count):
        if case.images:
            return rng.integers(0, 256, (count, 8, 8, 3)).astype("float32")
        x = rng.normal(0, 1, (count, LOCATIONS, SIZE)).astype("float32")
        x[:, 0, 0] = np.arange(first, first + count) / 100
        return x

    made = []
    for first, count in zip(np.cumsum((0, *BATCHES)), BATCHES, strict=False):
        tokens = np.zeros((count, case.captions, LENGTH), "int32")
        for place in np.ndindex(tokens.shape[:2]):
            ids = IDS[rng.integers(len(IDS))]
            tokens[place][: len(ids)] = ids
        made.append((photos(first, count), tokens))
    shape = made[0][0].shape[1:]
    return tf.data.Dataset.from_generator(
        # Copies: TensorFlow computes in the memory of what a generator gives it.
        lambda: ((x.copy(), tokens.copy()) for x, tokens in made),
        output_signature=(
            tf.TensorSpec((None, *shape)),
            tf.TensorSpec((None, case.captions, None), tf.int32),
        ),
    )


def train(case, strategy=None):
    """The weights before and after, and the history."""
    with strategy.scope() if strategy else contextlib.nullcontext():
        model = build(case)
    before, data = model.get_weights(), batches(case)
    validation = data if case.images else None
    fit = model.fit(data, verbose=0, shuffle=False, validation_data=validation)
    return before, model.get_weights(), {name: value for name, (value,) in fit.history.items()}


def compare(case, strategy):
    """How far weights moved and lie apart, and the metrics of one device and of several."""
    before, alone, history = train(case)
    _, together, other = train(case, strategy)

    def furthest(one, another):
        return max(float(abs(a - b).max()) for a, b in zip(one, another, strict=True))

    return {
        "moved": furthest(alone, before),
        "apart": furthest(alone, together),
        "metrics": [history, other],
    }


def main(names):
    cpu, *_ = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    print(json.dumps({name: compare(CASES[name], strategy) for name in names}))


if __name__ == "__main__":
    main(sys.argv[1:])
