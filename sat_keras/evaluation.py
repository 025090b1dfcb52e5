import io
import itertools
import platform
from importlib import metadata
from pathlib import Path

import numpy as np
from tqdm import tqdm

from sat_edge.photo import open_photo
from sat_keras import datasets
from sat_keras.files import write_json
from sat_keras.metrics import caption_scores, grounding

_BATCH = 32
_PACKAGES = (
    "sat-keras",
    "tensorflow",
    "keras",
    "ai-edge-litert",
    "numpy",
    "pillow",
    "pycocoevalcap",
)


def evaluate(caption, builder, split, limit=None):
    """Captions every photo of a split and scores the captions.

    Args:
        caption: callable, list of `PIL.Image.Image` to list of `Caption`.
        builder: TFDS builder with its records made.
        split: str.
        limit: int. Only so many photos. Defaults to `None`: all.
    Returns:
        `(scores, captions)`. `scores` is a dict of `metrics.caption_scores`; the mean entropy of
        attention over all words, in nats; grounding, 0..1, if the data set knows boxes; and the
        number of `photos`. `captions` is a list of `{"image_id", "caption"}`, coco-caption's
        results format: COCO's number of the photo, with other data sets its file name.
    """
    captions, records = [], []
    for photos, their_records in photo_batches(builder, split, limit):
        captions += caption(photos)
        records += their_records
    sentences = [each.text for each in captions]
    references = [each["captions"] for each in records]
    scores = caption_scores(sentences, references)
    weights = np.concatenate([each.attention.ravel() for each in captions])
    words = sum(len(each.attention) for each in captions)
    scores["attention_entropy"] = float(-(weights * np.log(weights.clip(1e-30))).sum() / words)
    if any(map(any, (each["phrases"] for each in records))):
        scores |= _grounding(builder, captions, records)
    return {**scores, "photos": len(records)}, [
        {"image_id": _image_id(builder, record["filename"]), "caption": each.text}
        for record, each in zip(records, captions, strict=True)
    ]


def photo_batches(builder, split, limit=None):
    """A split's photos, a few at a time: lists of `PIL.Image.Image` and of their records.

    Args:
        builder, split, limit: see `evaluate`.
    """
    total = builder.info.splits[split].num_examples
    count = min(limit or total, total)
    photos = itertools.islice(datasets.read_photos(builder, split), count)
    with tqdm(total=count, desc=split, unit="photo", disable=None) as progress:
        while batch := list(itertools.islice(photos, _BATCH)):
            names, encoded, records = zip(*batch, strict=True)
            files = map(io.BytesIO, encoded)
            yield [open_photo(*each) for each in zip(files, names, strict=True)], list(records)
            progress.update(len(batch))


def save_results(path, scores, captions, settings):
    """Writes an evaluation as one JSON file: scores, settings, versions, and the captions.

    `captions` in it is what coco-caption's `loadRes` takes.

    Args:
        path: the file.
        scores, captions: as `evaluate` returned them.
        settings: dict, what the scores depend on.
    """
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # an optional one
            versions[package] = None
    results = {"scores": scores, "settings": settings, "versions": versions, "captions": captions}
    write_json(path, results, indent=1)


def _image_id(builder, filename):
    # COCO_val2014_000000391895.jpg
    return int(Path(filename).stem.rpartition("_")[2]) if builder.name == "coco" else filename


def _grounding(builder, captions, records):
    """Means over all words that name an object; see `metrics.grounding`."""
    totals, words = {}, 0
    for caption, record in zip(captions, records, strict=True):
        phrases = builder.named_phrases(caption.words, record)
        heads, boxes = [each["end"] - 1 for each in phrases], [each["boxes"] for each in phrases]
        attention = caption.attention.reshape(len(caption.attention), -1)[heads]  # (N, L)
        for name, value in grounding(attention, caption.regions, boxes).items():
            totals[name] = totals.get(name, 0.0) + value
        words += len(phrases)
    return {f"grounding_{name}": value / max(words, 1) for name, value in totals.items()}
