"""A run: one training from its settings to its weights, in one folder.

config.json               the settings
vocabulary.txt
captioner.keras           the best epoch's captioner, by CIDEr of validation's greedy captions
checkpoint.keras          the last complete epoch with optimizer and random state, to resume
log.csv                   one line an epoch
tensorboard/
"""

import contextlib
import csv
import json
import signal
import threading
import time
import zipfile
from pathlib import Path

import keras
import numpy as np

from sat_edge.errors import InputError
from sat_keras import pretrained
from sat_keras.annotation_cache import build_annotation_cache
from sat_keras.captioner import SETTINGS, Captioner
from sat_keras.consensus import Consensus
from sat_keras.encoders import Encoder
from sat_keras.files import atomic_output
from sat_keras.metrics import CaptionReward, cider
from sat_keras.pipeline import batches
from sat_keras.run_config import RunConfig
from sat_keras.tokenizer import tokenize
from sat_keras.vocabulary import Vocabulary

VOCABULARY = "vocabulary.txt"
CAPTIONER, CHECKPOINT, LOG = "captioner.keras", "checkpoint.keras", "log.csv"

_CONSENSUS_PHOTOS = 20_000  # their kernel takes 1.6 GB
_ROWS = 500  # of a cache, read at a time

_FILLED = 2  # seconds in which the next batches are surely loaded

# Settings that a run shares with the one it begins with: they decide the weights' shapes and sense.
_KEPT = (
    "encoder",
    "layer",
    "alpha",
    "image_size",
    "patches",
    "scorer",
    "inject",
    "units",
    "embedding_size",
    "attention_size",
)


def load_encoder(config, weights=None):
    """The encoder of `config`, with `weights` as `Encoder` takes them."""
    size = (config.image_size, config.image_size)
    return Encoder(config.encoder, config.layer, config.alpha, size, weights, config.patches)


def load_run(run):
    """The trained `Captioner` of a run folder.

    Raises:
        InputError: if the folder is no run, has no captioner yet, or its vocabulary is another.
    """
    run = Path(run)
    RunConfig.load(run)
    vocabulary = Vocabulary.load(run / VOCABULARY)
    path = run / CAPTIONER
    if not path.exists():
        raise InputError(f"{run}: no trained captioner yet (no {CAPTIONER}); train it first")
    with _damage_named(path, "train it again"):
        captioner = keras.saving.load_model(path, compile=False)
    if captioner.vocabulary != vocabulary:
        raise InputError(
            f"{run / VOCABULARY}: its {len(vocabulary)} words are not the "
            f"{len(captioner.vocabulary)} that {CAPTIONER} was trained with"
        )
    return captioner


def load_captioner(source, encoder_weights="imagenet"):
    """The trained `Captioner` of a run folder or a preset.

    Args:
        source: path of a run's or a preset's folder, or the name of a preset.
        encoder_weights: see `Captioner.from_preset`.
    Raises:
        InputError: see `load_run` and `Captioner.from_preset`.
    """
    if pretrained.is_preset(source):
        return Captioner.from_preset(source, encoder_weights)
    return load_run(source)


def trained_on(source):
    """The name of the data set of a run or a preset; `None` where a preset does not say.

    Args:
        source: see `load_captioner`.
    Raises:
        InputError: if the folder is neither.
    """
    if pretrained.is_preset(source):
        return pretrained.trained_on(source)
    return RunConfig.load(source).dataset


def load_consensus(sources, builder, cache_dir):
    """The `Consensus` of trained captioners.

    Args:
        sources: list of runs and presets, see `load_captioner`.
        builder, cache_dir: see `train`; of its training split the first 20,000 photos are used.
    Raises:
        InputError: see `load_captioner`.
    """
    captioners = [load_captioner(source) for source in sources]
    features = []
    for captioner in captioners:
        cache = build_annotation_cache(cache_dir, builder, "train", captioner.encoder)
        count = min(len(cache), _CONSENSUS_PHOTOS)
        rows = (range(start, min(start + _ROWS, count)) for start in range(0, count, _ROWS))
        means = [cache.read(each).mean(axis=1, dtype="float32") for each in rows]
        features.append(np.concatenate(means))  # (N, D)
    captions = [[tokenize(text) for text in each["captions"]] for each in cache.records[:count]]
    return Consensus(captioners, features, captions)


def read_log(run):
    """The epochs of a run's `log.csv`: a list of dicts of float."""
    path = Path(run) / LOG
    if not path.exists():
        raise InputError(f"{run}: no epoch is complete yet (no {LOG})")
    with _damage_named(path, "train again, elsewhere"), open(path, newline="") as file:
        log = [{name: float(x) for name, x in row.items()} for row in csv.DictReader(file)]
        return sorted(log, key=lambda each: each["epoch"])


def train(run, config, builder, cache_dir, resume=False, verbose="auto"):
    """Trains, from the start or from the last complete epoch.

    Args:
        run: path of the run folder, made here.
        config: `RunConfig`.
        builder: TFDS builder of `config.dataset` with its records made.
        cache_dir: path of the folder that holds annotation caches.
        resume: bool. Whether to go on with the run in the folder; a finished one stays as it is.
            Defaults to `False`.
        verbose: as in `keras.Model.fit`.
    Returns:
        The history: a list of dicts, one an epoch.
    Raises:
        InputError: if a file of the run is damaged, or it was begun with other data.
    """
    run = Path(run)
    if resume and (run / LOG).exists() and _is_over(config, log := read_log(run)):
        return log
    resume = resume and (run / CHECKPOINT).exists()  # stopped in its first epoch, it begins anew
    history = _read_history(run, builder) if resume else []
    keras.mixed_precision.set_global_policy(config.precision)
    keras.utils.set_random_seed(config.seed)
    source = None
    if resume:
        with _damage_named(run / CHECKPOINT, "train without --resume, elsewhere"):
            captioner = keras.saving.load_model(run / CHECKPOINT)
        encoder = captioner.encoder
    elif config.warm_start:
        source = _load_source(config)
        encoder = source.encoder
    else:
        encoder = load_encoder(config, config.encoder_weights)
    caches = {
        split: build_annotation_cache(
            cache_dir, builder, split, encoder, pixels=config.reads_photos
        )
        for split in ("train", "validation")
    }
    if not resume:
        captioner = _new_captioner(config, encoder, source, caches["train"].records)
        for product in (CAPTIONER, CHECKPOINT, LOG):  # of another training in this folder
            (run / product).unlink(missing_ok=True)
        config.save(run)
        captioner.vocabulary.save(run / VOCABULARY)
    if config.self_critical:
        captioner.reward = CaptionReward(
            _caption_ids(captioner, caches["train"].records),
            config.reward_meteor,
        )

    def split_batches(split, **options):
        return batches(
            caches[split],
            captioner.vocabulary,
            config.batch_size,
            config.captions_per_photo,
            config.max_length,
            seed=config.seed,
            **options,
        )

    training = split_batches(
        "train",
        by_length=not config.train_encoder or bool(config.train_from),
        augment=config.augment,
        first_epoch=len(history),
    )
    if not resume:
        schedule = _learning_rate(config, config.epochs * int(training.cardinality()))
        captioner.compile(keras.optimizers.Adam(schedule, global_clipnorm=config.clip_norm))
    with _Interrupt() as interrupt:
        captioner.fit(
            training,
            validation_data=split_batches("validation", shuffle=False),
            initial_epoch=len(history),
            epochs=config.epochs,
            callbacks=[
                interrupt,
                _ValidationCider(caches["validation"]),
                _EpochWriter(run, config, history, builder.info.full_name),
                keras.callbacks.TensorBoard(run / "tensorboard"),
            ],
            verbose=verbose,
            shuffle=False,  # the pipeline shuffles
        )
    return history


def _learning_rate(config, steps):
    """The schedule over all of a training's steps."""
    cosine = keras.optimizers.schedules.CosineDecay
    if not config.warmup:
        return cosine(config.learning_rate, steps)
    return cosine(
        0.0,
        max(1, steps - config.warmup),
        warmup_target=config.learning_rate,
        warmup_steps=config.warmup,
    )


def _load_source(config):
    """The captioner that `config` begins with."""
    source = load_captioner(config.warm_start, config.encoder_weights)
    encoder = source.encoder
    kept = {"encoder": encoder.backbone, "image_size": encoder.image_size[0]}
    for name in _KEPT:
        value = kept.get(name, getattr(source, name, getattr(encoder, name, None)))
        if getattr(config, name) != value:
            raise InputError(f"{config.warm_start}: was trained with {name} {value}; name the same")
    if (source.attention == "none") != (config.attention == "none"):
        raise InputError(f"{config.warm_start}: was trained with attention {source.attention}")
    return source


def _new_captioner(config, encoder, source, records):
    """A captioner as `config` has it, with the source's weights or, where it is `None`, fresh."""
    settings = {name: getattr(config, name) for name in SETTINGS}
    if source is None:
        captions = (text for each in records for text in each["captions"])
        vocabulary = Vocabulary.from_captions(captions, config.min_count)
        return Captioner(encoder, vocabulary, **settings)
    captioner = Captioner(encoder, source.vocabulary, **settings)
    captioner.decoder.set_weights(source.decoder.get_weights())
    return captioner


def _caption_ids(captioner, records):
    """The ids of every record's captions as they are in batches, `<start>` left out."""
    encode, max_length = captioner.vocabulary.encode, captioner.max_length
    return [[encode(text, max_length)[1:] for text in each["captions"]] for each in records]


class _Interrupt(keras.callbacks.Callback):
    """Raises Ctrl-C between two steps, when a data set's threads are idle; a second where it falls.

    With the epoch TensorFlow ends these threads, holds Python's lock meanwhile, and so waits for
    ever for one that is about to run Python. Left alone they fill their few batches and rest.
    """

    def __enter__(self):
        self.pressed = False
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(self, *_):
        if signal.getsignal(signal.SIGINT) == self._press:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _press(self, number, frame):
        self.pressed = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def on_train_batch_end(self, batch, logs=None):
        if self.pressed:
            time.sleep(_FILLED)
            raise KeyboardInterrupt

    on_test_batch_end = on_train_batch_end


class _ValidationCider(keras.callbacks.Callback):
    """Adds `val_cider`, of greedy captions, to each epoch's logs."""

    def __init__(self, cache, batch_size=64):
        super().__init__()
        self.cache = cache
        self.batch_size = batch_size
        self.references = [
            [tokenize(caption) for caption in each["captions"]] for each in cache.records
        ]

    def on_epoch_end(self, epoch, logs=None):
        captions = []
        for start in range(0, len(self.cache), self.batch_size):
            rows = range(start, min(start + self.batch_size, len(self.cache)))
            captions += [each.words for each in self.model.caption(self.cache.read(rows))]
        logs["val_cider"] = cider(captions, self.references)["CIDEr"]


class _EpochWriter(keras.callbacks.Callback):
    """Writes the log, the best captioner and the checkpoint, each whole, at an epoch's end."""

    def __init__(self, run, config, history, data):
        super().__init__()
        self.run = run
        self.config = config
        self.history = history
        self.data = data

    def on_epoch_end(self, epoch, logs=None):
        logs = {name: float(value) for name, value in logs.items()}
        self.history.append({"epoch": epoch + 1, **logs})
        scores = [each["val_cider"] for each in self.history]
        if scores[-1] == max(scores):
            # A copy has no optimizer, which would make the file three times as large.
            best = Captioner.from_config(self.model.get_config())
            best.set_weights(self.model.get_weights())
            with atomic_output(self.run / CAPTIONER) as temporary:
                best.save(temporary)
        with atomic_output(self.run / LOG) as temporary:
            with open(temporary, "w", newline="") as file:
                writer = csv.DictWriter(file, self.history[-1])
                writer.writeheader()
                writer.writerows(self.history)
        with atomic_output(self.run / CHECKPOINT) as temporary:
            self.model.save(temporary)
            # In the same file, so that weights and history are always of the same epoch.
            with zipfile.ZipFile(temporary, "a") as file:
                content = {"data": self.data, "epochs": self.history}
                file.writestr("history.json", json.dumps(content))
        self.model.stop_training = _is_over(self.config, self.history)


def _is_over(config, history):
    """Whether all epochs are done, or `patience` of them since the best one."""
    scores = [each["val_cider"] for each in history]
    since_best = len(scores) - 1 - scores.index(max(scores))
    return len(history) >= config.epochs or 0 < config.patience <= since_best


def _read_history(run, builder):
    """The epochs up to the checkpoint."""
    path = run / CHECKPOINT
    with _damage_named(path, "train without --resume, elsewhere"), zipfile.ZipFile(path) as file:
        content = json.loads(file.read("history.json"))
        data, epochs = content["data"], content["epochs"]
    if data != builder.info.full_name:
        raise InputError(f"{run}: was begun with {data}, and this is {builder.info.full_name}")
    return epochs


@contextlib.contextmanager
def _damage_named(path, advice):
    """Errors of a file that holds something else than we wrote, as `InputError`."""
    try:
        yield
    except (ValueError, KeyError, TypeError, OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: damaged; {advice}") from error
