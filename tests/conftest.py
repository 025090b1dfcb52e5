"""What tests share: a tiny data set in Flickr8k's layout, a tiny captioner, the real material."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

CAPTIONS = (
    "A red square on grey .",
    "The square is red .",
    "A big red square .",
    "There is a red square .",
    "One red square in the middle .",
)


@pytest.fixture(scope="session")
def shared():
    """The folder of real photos, weights and gold metrics; skips where there is none."""
    path = os.environ.get("SAT_KERAS_SHARED") or Path(__file__).parents[2] / "shared"
    if not (Path(path) / "weights").is_dir():
        pytest.skip(f"no shared material at {path}; set SAT_KERAS_SHARED")
    return Path(path)


@pytest.fixture(scope="session")
def make_flickr8k():
    return write_flickr8k


def write_flickr8k(directory, photos=6, validation=1):
    """A data set in Flickr8k's official layout: coloured squares, five captions each."""
    folder = directory / "Flicker8k_Dataset"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    lines = []
    for i in range(photos):
        color = ("red", "green", "blue")[i % 3]
        pixels = rng.integers(90, 110, (48, 64, 3), dtype="uint8")
        pixels[12:36, 16:48] = np.eye(3, dtype="uint8")[i % 3] * 220
        Image.fromarray(pixels).save(folder / f"{i}.jpg")
        lines += [f"{i}.jpg#{n}\t{c.replace('red', color)}" for n, c in enumerate(CAPTIONS)]
    (directory / "Flickr8k.token.txt").write_text("\n".join(lines) + "\n")
    names = [f"{i}.jpg" for i in range(photos)]
    held_out = validation + 1
    splits = {"train": names[:-held_out], "dev": names[-held_out:-1], "test": names[-1:]}
    for split, listed in splits.items():
        (directory / f"Flickr_8k.{split}Images.txt").write_text("\n".join(listed) + "\n")
    return directory


@pytest.fixture(scope="session")
def make_entities():
    """A function that writes the phrases of these photos, as Flickr30k Entities has them: in two
    captions of each, the square."""

    def write(directory, photos=6):
        for part in ("Sentences", "Annotations"):
            (directory / part).mkdir(parents=True)
        corners = {"xmin": 17, "ymin": 13, "xmax": 48, "ymax": 36}
        box = "".join(f"<{name}>{value}</{name}>" for name, value in corners.items())
        for i in range(photos):
            color = ("red", "green", "blue")[i % 3]
            lines = (
                f"[/EN#1/other A {color} square] on grey .\n[/EN#1/other The square] is {color} .\n"
            )
            (directory / "Sentences" / f"{i}.txt").write_text(lines)
            (directory / "Annotations" / f"{i}.xml").write_text(
                "<annotation><size><width>64</width><height>48</height></size><object>"
                f"<name>1</name><bndbox>{box}</bndbox></object></annotation>"
            )
        return directory

    return write


@pytest.fixture
def flickr8k(tmp_path):
    return write_flickr8k(tmp_path / "flickr8k")


@pytest.fixture(scope="session")
def vocabulary():
    from sat_keras import Vocabulary

    return Vocabulary.from_captions(CAPTIONS)


@pytest.fixture(scope="session")
def draw_weights():
    """A function that draws a layer's weights from a normal distribution, biases too."""

    def draw(layer, deviation=0.5, seed=0):
        rng = np.random.default_rng(seed)
        for weight in layer.trainable_weights:
            weight.assign(rng.normal(0, deviation, weight.shape))

    return draw


@pytest.fixture(scope="session")
def every_caption():
    """A function that writes down every caption of a toy chain, for searches to find the best of.

    `table` holds logits `(T, previous, next)`. It gives `(score, log_prob, words)` of all captions
    of `words` up to T long, with `<end>` or cut off at T, the best first.
    """
    from sat_edge.caption import END, START

    def enumerate_captions(table, words, length_penalty=0.0, allowed=lambda caption: True):
        log_p = table - np.log(np.exp(table).sum(-1, keepdims=True))
        found = []
        for length in range(1, len(table) + 1):
            ends = (END,) if length < len(table) else (END, *words)
            for caption in itertools.product(*[words] * (length - 1), ends):
                pairs = enumerate(itertools.pairwise((START, *caption)))
                log_prob = sum(log_p[t, before, after] for t, (before, after) in pairs)
                if allowed(caption):
                    found.append((log_prob / length**length_penalty, log_prob, caption))
        return sorted(found, reverse=True)

    return enumerate_captions


@pytest.fixture(scope="session")
def make_captioner(vocabulary, draw_weights):
    """Untrained, with a 2 x 4 grid, small enough to export in seconds."""

    def make(patches=0, **options):
        import keras

        from sat_keras import Captioner, encoders

        keras.utils.set_random_seed(3)
        encoder = encoders.mobilenet(
            alpha=0.25,
            image_size=(64, 128) if patches else (32, 64),
            layer="conv_pw_11_relu",
            patches=patches,
        )
        sizes = {"units": 16, "embedding_size": 12, "attention_size": 8, "max_length": 7}
        model = Captioner(encoder, vocabulary, **{**sizes, **options})
        # Freshly initialised, it says the same of every photo; larger weights make it fickle.
        for layer in encoder.get_layer("mobilenet").layers:
            if "bn" in layer.name:
                layer.gamma.assign(layer.gamma * 6)
        draw_weights(model.decoder, 0.7, seed=3)
        return model

    return make


@pytest.fixture(scope="session")
def make_fresh(vocabulary):
    """A captioner as training begins with it, freshly initialised, with a 2 x 2 grid."""

    def make(**options):
        from sat_keras import Captioner, encoders

        encoder = encoders.mobilenet(alpha=0.25, image_size=(32, 32), layer="conv_pw_11_relu")
        sizes = {"units": 16, "embedding_size": 12, "attention_size": 8}
        return Captioner(encoder, vocabulary, **{**sizes, **options})

    return make


@pytest.fixture(scope="session")
def training_batch(vocabulary):
    """What a captioner of `make_fresh` is trained on: images `(4, 32, 32, 3)`, tokens `(4, 6)`."""
    ids = [vocabulary.encode(text) for text in ("a red square", "the square is red")]
    tokens = np.zeros((4, 6), "int32")
    for row in range(4):
        tokens[row, : len(ids[row % 2])] = ids[row % 2]
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype="uint8")
    return images, tokens


@pytest.fixture(scope="session")
def fit(training_batch):
    """A function that trains for `steps` steps an epoch on one batch, and returns the history."""

    def fit(captioner, steps=3, batch=training_batch, **options):
        import tensorflow as tf

        dataset = tf.data.Dataset.from_tensors(batch).repeat(steps)
        return captioner.fit(dataset, verbose=0, **options).history

    return fit


@pytest.fixture(scope="session")
def make_cache():
    """A function that makes what an annotation cache of photos is to a calibration: noise over a
    colour, 32 x 64, with five captions each, of which some do not name the colour."""
    from types import SimpleNamespace

    def make(count=60, seed=0):
        rng = np.random.default_rng(seed)
        colors = rng.integers(0, 200, (count, 1, 1, 3))
        pixels = (colors + rng.integers(0, 56, (count, 32, 64, 3))).astype("uint8")
        names = np.array(["red", "green", "blue"])[colors[:, 0, 0].argmax(axis=1)]
        records = []
        for name, dull in zip(names, rng.random((count, len(CAPTIONS))) < 0.3, strict=True):
            words = ["square" if each else name for each in dull]
            said = [c.replace("red", w) for c, w in zip(CAPTIONS, words, strict=True)]
            records.append({"captions": said})
        return SimpleNamespace(records=records, read=lambda rows: pixels[list(rows)])

    return make


@pytest.fixture(scope="session")
def calibrated(make_captioner, make_cache):
    """A captioner as `captioner`, with a `Trust`, whose default search is a beam of 3. Its captions
    score nothing, so that parts of the confidence are drawn."""
    from sat_edge import Search

    model = make_captioner(search=Search(beam_width=3, length_penalty=0.5))
    model.calibrate(make_cache(seed=1), make_cache(seed=2))
    trust, rng = model.trust, np.random.default_rng(5)
    trust.probability_factor.assign(1.0)
    trust.mean_words.assign(rng.uniform(0, 1, trust.words) * (np.arange(trust.words) > 3))
    trust.to_words.assign(rng.normal(0, 0.3, trust.to_words.shape) * (np.arange(trust.words) > 3))
    trust.to_outlook.assign(rng.normal(0, 0.02, trust.to_outlook.shape))
    trust.score_knots.assign(np.linspace(-0.5, 1.5, 12))
    trust.confidence_knots.assign(np.linspace(0.1, 0.9, 12) ** 1.5)
    return model


@pytest.fixture(scope="session")
def calibrated_file(calibrated, tmp_path_factory):
    from sat_export import export_tflite

    path = tmp_path_factory.mktemp("calibrated") / "captioner.tflite"
    export_tflite(calibrated, path)
    return path


@pytest.fixture(scope="session")
def captioner(make_captioner):
    return make_captioner()


@pytest.fixture(scope="session")
def make_attentive(make_captioner, draw_weights):
    """A function that makes one whose attention hangs on the words before: they count for more."""

    def make(**options):
        captioner = make_captioner(**options)
        draw_weights(captioner.decoder, 0.7, seed=1)
        words = captioner.decoder.embedding.embeddings
        words.assign(words * 20)
        return captioner

    return make


@pytest.fixture(scope="session")
def tflite_file(captioner, tmp_path_factory):
    from sat_export import export_tflite

    path = tmp_path_factory.mktemp("export") / "captioner.tflite"
    export_tflite(captioner, path)
    return path


@pytest.fixture(scope="session")
def photos():
    """Eight photos of odd sizes: noise over a colour."""
    rng = np.random.default_rng(1)
    sizes = [(40, 30), (64, 32), (100, 90), (31, 77), (64, 64), (5, 200), (300, 200), (33, 34)]
    colors = rng.integers(0, 200, (len(sizes), 3))
    return [
        Image.fromarray((color + rng.integers(0, 56, (h, w, 3))).astype("uint8"))
        for (w, h), color in zip(sizes, colors, strict=True)
    ]
