"""A run: one training from its settings to its weights, in one folder.

config.json               the settings
vocabulary.txt
captioner.keras           the best epoch's captioner, by validation cross-entropy
checkpoint.keras          the last complete epoch with optimizer and random state, to resume
log.csv                   one line an epoch
tensorboard/
"""

import csv
import json
import zipfile
from pathlib import Path

import keras

from sat_edge.errors import InputError
from sat_keras.annotation_cache import build_annotation_cache
from sat_keras.captioner import Captioner
from sat_keras.encoders import Encoder
from sat_keras.files import atomic_output
from sat_keras.pipeline import batches
from sat_keras.run_config import RunConfig
from sat_keras.vocabulary import Vocabulary

VOCABULARY = "vocabulary.txt"
CAPTIONER, CHECKPOINT, LOG = "captioner.keras", "checkpoint.keras", "log.csv"


def load_encoder(config, weights=None):
    """The encoder of `config`, with `weights` as `Encoder` takes them."""
    size = (config.image_size, config.image_size)
    return Encoder(config.encoder, config.layer, config.alpha, size, weights)


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
    try:
        captioner = keras.saving.load_model(path, compile=False)
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: damaged; train it again") from error
    if captioner.vocabulary != vocabulary:
        raise InputError(
            f"{run / VOCABULARY}: its {len(vocabulary)} words are not the "
            f"{len(captioner.vocabulary)} that {CAPTIONER} was trained with"
        )
    return captioner


def train(run, config, builder, cache_dir, resume=False, verbose="auto"):
    """Trains, from the start or from the last complete epoch.

    Args:
        run: path of the run folder, made here.
        config: `RunConfig`.
        builder: TFDS builder of `config.dataset` with its records made.
        cache_dir: path of the folder that holds annotation caches.
        resume: bool. Whether to go on with the run in the folder. Defaults to `False`.
        verbose: as in `keras.Model.fit`.
    Returns:
        The history: a list of dicts, one an epoch.
    """
    run = Path(run)
    keras.mixed_precision.set_global_policy(config.precision)
    keras.utils.set_random_seed(config.seed)
    encoder = load_encoder(config, config.encoder_weights)
    caches = {
        split: build_annotation_cache(
            cache_dir, builder, split, encoder, pixels=config.train_encoder
        )
        for split in ("train", "validation")
    }
    if resume:
        captioner, history = _load_checkpoint(run)
    else:
        captions = (text for each in caches["train"].records for text in each["captions"])
        vocabulary = Vocabulary.from_captions(captions, config.min_count)
        config.save(run)
        vocabulary.save(run / VOCABULARY)
        captioner = _build_captioner(config, encoder, vocabulary)
        history = []

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

    training = split_batches("train", first_epoch=len(history))
    if not resume:
        steps = config.epochs * int(training.cardinality())
        schedule = keras.optimizers.schedules.CosineDecay(config.learning_rate, steps)
        captioner.compile(keras.optimizers.Adam(schedule, global_clipnorm=config.clip_norm))
    captioner.fit(
        training,
        validation_data=split_batches("validation", shuffle=False),
        initial_epoch=len(history),
        epochs=config.epochs,
        callbacks=[_EpochWriter(run, history), keras.callbacks.TensorBoard(run / "tensorboard")],
        verbose=verbose,
        shuffle=False,  # the pipeline shuffles
    )
    return history


def _build_captioner(config, encoder, vocabulary):
    return Captioner(
        encoder,
        vocabulary,
        attention=config.attention,
        scorer=config.scorer,
        units=config.units,
        embedding_size=config.embedding_size,
        attention_size=config.attention_size,
        dropout=config.dropout,
        doubly_stochastic=config.doubly_stochastic,
        train_encoder=config.train_encoder,
        max_length=config.max_length,
    )


class _EpochWriter(keras.callbacks.Callback):
    """Writes the log, the best captioner and the checkpoint, each whole, at an epoch's end."""

    def __init__(self, run, history):
        super().__init__()
        self.run = run
        self.history = history

    def on_epoch_end(self, epoch, logs=None):
        logs = {name: float(value) for name, value in logs.items()}
        self.history.append({"epoch": epoch + 1, **logs})
        losses = [each["val_cross_entropy"] for each in self.history]
        if losses[-1] == min(losses):
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
                file.writestr("history.json", json.dumps(self.history))


def _load_checkpoint(run):
    path = run / CHECKPOINT
    if not path.exists():
        raise InputError(f"{run}: no complete epoch to resume from; train without --resume")
    with zipfile.ZipFile(path) as file:
        history = json.loads(file.read("history.json"))
    return keras.saving.load_model(path), history
