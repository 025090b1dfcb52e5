"""One training in a folder, and trainings in phases."""

import sys
from pathlib import Path

import keras

from sat_edge.errors import InputError, check_choice
from sat_keras import datasets, pipeline
from sat_keras.annotation_cache import build_annotation_cache
from sat_keras.captioner import Captioner
from sat_keras.encoders import BACKBONES, Encoder
from sat_keras.files import atomic_output, write_json
from sat_keras.layers import Scorer
from sat_keras.objectives import Objective
from sat_keras.runs.callbacks import EpochWriter, Interrupt, ValidationCider
from sat_keras.runs.folder import load_keras, load_run, read_checkpoint_history, read_log
from sat_keras.runs.paths import CAPTIONER, CHECKPOINT, CONFIG, LOG, RECIPE, VOCABULARY
from sat_keras.runs.phases import alike, phase_settings
from sat_keras.runs.settings import ALL, RunSettings
from sat_keras.runs.sources import load_captioner
from sat_keras.trust import TooFewPhotos
from sat_keras.vocabulary import Vocabulary

# Of the decoder, what may differ from the captioner that training begins with: the others decide
# the shapes or the meaning of weights.
_FREE = ("attention", "dropout", "max_length")


def train_phases(run, phases, builder, cache_dir, verbose="auto"):
    """Trains the phases that are not finished yet, a stopped one from its last complete epoch.

    Each phase begins with the best captioner of the one before, and compiles it anew.

    Args:
        run: path of the run folder, made here.
        phases: dict, a phase's name to its settings, nested as `RunSettings.from_dict` takes them.
        builder, cache_dir, verbose: see `train`.
    Returns:
        The last phase's history, see `train`. Its captioner is calibrated, unless the data set has
        too few photos for that.
    Raises:
        InputError: if a phase was begun with other settings, or needs boxes and there are none.
    """
    run = Path(run)
    found = phase_settings(run, phases)
    for folder, settings in found.items():
        if (folder / CONFIG).exists() and not alike(RunSettings.load(folder), settings):
            raise InputError(f"{folder}: was begun with other settings; name another folder")
    if any(Objective.from_config(each.objective).needs_boxes for each in found.values()):
        for split in ("train", "validation"):
            datasets.check_boxes(builder, split)  # before anything slow
    if len(phases) > 1:
        write_json(run / RECIPE, phases)
    for folder, settings in found.items():
        history = train(folder, settings, builder, cache_dir, resume=True, verbose=verbose)
    try:
        calibrate_run(run, builder, cache_dir, anew=False)
    except TooFewPhotos as error:
        print(f"{run}: captions have no confidence: {error}", file=sys.stderr)
    return history


def calibrate_run(run, builder, cache_dir, anew=True):
    """Calibrates a run's captioner, see `Captioner.calibrate`, and writes it.

    Args:
        run: path of the run folder.
        builder, cache_dir: see `train`.
        anew: bool. Whether an earlier calibration is replaced. Defaults to `True`.
    Raises:
        InputError: if the folder is no trained run.
        TooFewPhotos: if its data set has too few photos.
    """
    captioner = load_run(run)
    if captioner.trust is not None and not anew:
        return
    captioner.calibrate(
        *_caches(RunSettings.load(run), builder, cache_dir, captioner.encoder).values()
    )
    with atomic_output(Path(run) / CAPTIONER) as temporary:
        captioner.save(temporary)


def train(run, settings, builder, cache_dir, resume=False, verbose="auto"):
    """Trains, from the start or from the last complete epoch.

    Args:
        run: path of the run folder, made here.
        settings: `RunSettings`.
        builder: TFDS builder of the data set with its records made.
        cache_dir: path of the folder that holds annotation caches.
        resume: bool. Whether to go on with the run in the folder; a finished one stays as it is.
            Defaults to `False`.
        verbose: as in `keras.Model.fit`.
    Returns:
        The history: a list of dicts, one an epoch.
    Raises:
        InputError: if a file of the run is damaged, or it was begun with other data.
    """
    run, training = Path(run), settings.training
    if resume and (run / LOG).exists() and _is_over(training, log := read_log(run)):
        return log
    resume = resume and (run / CHECKPOINT).exists()  # stopped in its first epoch, it begins anew
    history = read_checkpoint_history(run, builder) if resume else []
    keras.config.set_dtype_policy(training.precision)
    keras.utils.set_random_seed(training.seed)
    captioner, encoder = _begin(run, settings, resume)
    caches = _caches(settings, builder, cache_dir, encoder)
    if captioner is None:
        captioner = _fresh_captioner(settings, encoder, caches["train"].records)
    data = _batches(settings, caches, captioner, first_epoch=len(history))
    if not resume:
        for product in (CAPTIONER, CHECKPOINT, LOG):  # of another training in this folder
            (run / product).unlink(missing_ok=True)
        settings.save(run)
        captioner.vocabulary.save(run / VOCABULARY)
        compile_captioner(captioner, settings, training.epochs * int(data["train"].cardinality()))
    if captioner.objective.needs_references:
        captions = _caption_ids(captioner, caches["train"].records)
        captioner.objective.prepare(captions, captioner.vocabulary)
    with Interrupt() as interrupt:
        captioner.fit(
            data["train"],
            validation_data=data["validation"],
            initial_epoch=len(history),
            epochs=training.epochs,
            callbacks=[
                interrupt,
                ValidationCider(caches["validation"]),
                EpochWriter(
                    run, lambda log: _is_over(training, log), history, builder.info.full_name
                ),
                keras.callbacks.TensorBoard(run / "tensorboard"),
            ],
            verbose=verbose,
            shuffle=False,  # the pipeline shuffles
        )
    return history


def load_encoder(settings, weights=None):
    """The `Encoder` of `EncoderSettings`, with `weights` as it takes them."""
    size = (settings.image_size, settings.image_size)
    return Encoder(
        settings.name,
        settings.layer,
        settings.alpha,
        size,
        weights,
        settings.patches,
        settings.fine_layer,
    )


def check_names(settings):
    """Raises `InputError` for an unknown encoder or scorer, before anything slow."""
    check_choice("encoder", settings.encoder.name, BACKBONES)
    check_choice("scorer", settings.decoder.scorer, Scorer.known)


# === The captioner ===


def _begin(run, settings, resume):
    """What training begins with: a captioner, or `None`, and its encoder."""
    if resume:
        captioner = load_keras(run / CHECKPOINT, "train without --resume, elsewhere")
        return captioner, captioner.encoder
    if settings.training.warm_start:
        captioner = _load_start(settings)
        return captioner, captioner.encoder
    return None, load_encoder(settings.encoder, settings.encoder.weights)


def _fresh_captioner(settings, encoder, records):
    captions = (text for each in records for text in each["captions"])
    vocabulary = Vocabulary.from_captions(captions, settings.data.min_count)
    return Captioner(encoder, vocabulary, search=settings.search, **vars(settings.decoder))


def _load_start(settings):
    """The captioner to begin with, as the settings have it."""
    source = settings.training.warm_start
    captioner = load_captioner(source, settings.encoder.weights)
    encoder = captioner.encoder
    found = {
        "encoder": encoder.backbone,
        "layer": encoder.layer,
        "alpha": encoder.alpha,
        "image_size": encoder.image_size[0],
        "patches": encoder.patches,
        "fine_layer": encoder.fine_layer,
    }
    wanted = {**vars(settings.encoder), "encoder": settings.encoder.name}
    decoder = vars(settings.decoder)
    kept = [name for name in decoder if name not in _FREE]
    found |= {name: getattr(captioner, name) for name in kept}
    wanted |= {name: decoder[name] for name in kept}
    for name, value in found.items():
        if wanted[name] != value:
            raise InputError(f"{source}: was trained with {name} {value}; name the same")
    if (captioner.attention == "none") != (decoder["attention"] == "none"):
        raise InputError(f"{source}: was trained with attention {captioner.attention}")
    captioner.search = settings.search
    policies = {captioner.dtype_policy.name, keras.config.dtype_policy().name}
    same = len(policies) == 1 and all(getattr(captioner, name) == decoder[name] for name in _FREE)
    if same and captioner.trust is None:  # what it says of captions will not be true any more
        return captioner
    changed = Captioner(encoder, captioner.vocabulary, search=settings.search, **decoder)
    changed.decoder.set_weights(captioner.decoder.get_weights())
    return changed


def compile_captioner(captioner, settings, steps):
    """Compiles a captioner as the settings have it.

    Args:
        captioner: `Captioner`. Which layers of its encoder learn is set too.
        settings: `RunSettings`.
        steps: int. The learning rate falls to zero in so many.
    """
    training = settings.training
    captioner.encoder.trainable = False
    if training.fine_tune is not None:
        captioner.encoder.fine_tune(None if training.fine_tune == ALL else training.fine_tune)
    optimizer = keras.optimizers.Adam(
        _learning_rate(training, steps), global_clipnorm=training.clip_norm
    )
    captioner.compile(optimizer, objective=Objective.from_config(settings.objective))


def _learning_rate(training, steps):
    """The schedule over all steps."""
    cosine = keras.optimizers.schedules.CosineDecay
    if not training.warmup:
        return cosine(training.learning_rate, steps)
    return cosine(
        0.0,
        max(1, steps - training.warmup),
        warmup_target=training.learning_rate,
        warmup_steps=training.warmup,
    )


# === The data ===


def _caches(settings, builder, cache_dir, encoder):
    """The `AnnotationCache` of each split that training reads."""
    return {
        split: build_annotation_cache(
            cache_dir, builder, split, encoder, pixels=settings.reads_photos
        )
        for split in ("train", "validation")
    }


def _batches(settings, caches, captioner, first_epoch):
    """Batches of both splits."""
    data, vocabulary = settings.data, captioner.vocabulary
    needs_boxes = Objective.from_config(settings.objective).needs_boxes
    options = {
        "batch_size": data.batch_size,
        "captions_per_photo": data.captions_per_photo,
        "max_length": settings.decoder.max_length,
        "regions": captioner.encoder.regions if needs_boxes else None,
        "seed": settings.training.seed,
    }
    train = pipeline.batches(
        caches["train"],
        vocabulary,
        by_length=settings.training.fine_tune != ALL,
        augment=data.augment,
        first_epoch=first_epoch,
        **options,
    )
    validation = pipeline.batches(caches["validation"], vocabulary, shuffle=False, **options)
    return {"train": train, "validation": validation}


def _caption_ids(captioner, records):
    """The ids of every record's captions as they are in batches, `<start>` left out."""
    encode, max_length = captioner.vocabulary.encode, captioner.max_length
    return [[encode(text, max_length)[1:] for text in each["captions"]] for each in records]


# === Its end ===


def _is_over(training, history):
    """Whether all epochs are done, or `patience` of them since the best one."""
    scores = [each["val_cider"] for each in history]
    since_best = len(scores) - 1 - scores.index(max(scores))
    return len(history) >= training.epochs or 0 < training.patience <= since_best
