"""Captioners out of what was trained: a run folder, or a preset by its name or folder.

TensorFlow is imported where a captioner of Keras is loaded: a `.tflite` file is captioned without.
"""

from functools import partial
from pathlib import Path

import numpy as np

from sat_edge import Captioner as EdgeCaptioner
from sat_edge.errors import InputError
from sat_edge.search import Search
from sat_keras import pretrained
from sat_keras.runs.settings import RunSettings
from sat_keras.tokenizer import tokenize

_CONSENSUS_PHOTOS = 20_000  # their kernel takes 1.6 GB
_ROWS = 500  # of a cache, read at a time


def load_captioner(source, encoder_weights="imagenet"):
    """The trained `Captioner` of a run folder or a preset.

    Args:
        source: path of a run's or a preset's folder, or the name of a preset.
        encoder_weights: see `Captioner.from_preset`.
    Raises:
        InputError: see `load_run` and `Captioner.from_preset`.
    """
    from sat_keras.captioner import Captioner
    from sat_keras.runs.folder import load_run

    if pretrained.is_preset(source):
        return Captioner.from_preset(source, encoder_weights)
    return load_run(source)


def captions_by(source, **search):
    """What a source says of photos.

    Args:
        source: see `load_captioner`; or path of a `.tflite` file.
        search: fields of `Search` that replace the captioner's own.
    Returns:
        A function that captions, list of photos to list of `Caption`; one that attends to captions
        that are given, as `Captioner.attend` does, to lists of words; and the search as a dict.
    """
    if Path(source).suffix == ".tflite":
        edge = EdgeCaptioner(source)
        how = edge.search.for_one(**search)
        caption, attend = partial(edge.caption, **search), edge.attend  # of one photo
        return _for_each(caption), _for_each(attend), how.as_dict()
    captioner = load_captioner(source)
    how = captioner.search.for_one(**search)
    return partial(captioner.caption, **search), captioner.attend, how.as_dict()


def _for_each(function):
    """The function of lists that calls a function for each of their elements."""
    return lambda *lists: [function(*each) for each in zip(*lists, strict=True)]


def captions_by_consensus(sources, builder, cache_dir, split, **search):
    """A function that captions by the `Consensus` of several captioners, and its search as a dict.

    Args:
        sources, builder, cache_dir: see `load_consensus`.
        split: str, the split that will be captioned.
        search: fields of `Search` that replace `consensus.WIDE`.
    Raises:
        InputError: for the training split, or a search that finds one caption.
    """
    from sat_keras.consensus import WIDE

    how = Search(**{**WIDE, **search})
    if how.beam_width == 1:
        raise InputError("consensus chooses among captions: name a beam width above 1")
    if split == "train":
        raise InputError("consensus knows the captions of the training photos: name another split")
    consensus = load_consensus(sources, builder, cache_dir)
    return lambda photos: consensus.caption(photos, **search), how.as_dict()


def trained_on(source):
    """The name of the data set of a run or a preset; `None` where a preset does not name it.

    Args:
        source: see `load_captioner`.
    Raises:
        InputError: if the folder is neither.
    """
    if pretrained.is_preset(source):
        return pretrained.trained_on(source)
    return RunSettings.load(source).dataset


def made_with(source):
    """How a captioner was made: a run's settings, or what a `.tflite` file says of itself."""
    if Path(source).suffix == ".tflite":
        return {"file": EdgeCaptioner(source).settings.as_dict()}
    if pretrained.is_preset(source):
        return {"preset": str(source)}
    return {"run": RunSettings.load(source).as_dict()}


def load_consensus(sources, builder, cache_dir):
    """The `Consensus` of trained captioners.

    Args:
        sources: list of runs and presets, see `load_captioner`.
        builder, cache_dir: see `training.train`; the first 20,000 photos of the training split are
            used.
    Raises:
        InputError: see `load_captioner`.
    """
    from sat_keras.annotation_cache import build_annotation_cache
    from sat_keras.consensus import Consensus

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
