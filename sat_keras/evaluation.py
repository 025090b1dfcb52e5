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
from sat_keras.metrics import Grounding, caption_scores, fluency, sexes, trust_scores
from sat_keras.tokenizer import tokenize

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


def evaluate(caption, builder, split, limit=None, attend=None):
    """Captions every photo of a split and scores the captions.

    Args:
        caption: callable, list of `PIL.Image.Image` to list of `Caption`.
        builder: TFDS builder with its records made.
        split: str.
        limit: int. Only so many photos. Defaults to `None`: all.
        attend: callable, list of photos and for each a list of captions, as words, to the attention
            on them, see `Captioner.attend`. Defaults to `None`: grounding on the references is not
            measured.
    Returns:
        `(scores, captions)`. `scores` is a dict of `metrics.caption_scores`; the mean entropy of
        attention over all words, in nats; `metrics.fluency` of `captions` and of `references`;
        `metrics.sexes`; the number of `photos`; and, if a phrase of these photos has boxes,
        `grounding`, a dict of `metrics.Grounding.scores`: `references` on the words of the
        references, `own` on those of the captions that were made. Fluency is that of all
        references of a photo, but their `distinct` is of the first of each photo: of as many
        captions as are compared with them. Of a captioner that is calibrated, `trust` is
        `metrics.trust_scores`. `captions` is a list of `{"image_id", "caption"}`, coco-caption's
        results format: COCO's number of the photo, with other data sets its file name; and of a
        captioner that is calibrated its `confidence` and `familiarity`.
    """
    captions, references, entropies, boxes_known = [], [], [], False
    grounding = {"references": Grounding(), "own": Grounding()}
    for photos, records in photo_batches(builder, split, limit):
        found = caption(photos)
        captions += [
            {
                "image_id": _image_id(builder, record["filename"]),
                "caption": each.text,
                **each.trust,
            }
            for record, each in zip(records, found, strict=True)
        ]
        references += [record["captions"] for record in records]
        entropies += [_entropies(each.attention) for each in found]
        boxes_known = boxes_known or any(map(datasets.has_boxes, records))
        for each, record in zip(found, records, strict=True):
            phrases = named_phrases(builder, each.words, record)
            grounding["own"].add(each.attention, each.regions, phrases)
        if attend:
            ground_references(grounding["references"], attend, found[0].regions, photos, records)
    scores = caption_scores([each["caption"] for each in captions], references)
    scores["attention_entropy"] = float(np.concatenate(entropies).mean())
    scores |= _wording(captions, references) | _trust(captions, references)
    if boxes_known:
        measured = grounding if attend else {"own": grounding["own"]}
        scores["grounding"] = {name: each.scores() for name, each in measured.items()}
    return {**scores, "photos": len(captions)}, captions


def named_phrases(builder, words, record):
    """The phrases in a caption's words, see `sat_keras.datasets`; none where no boxes are known."""
    return builder.named_phrases(words, record) if hasattr(builder, "named_phrases") else []


def ground_references(grounding, attend, regions, photos, records):
    """Measures attention on those phrases of the references that have boxes.

    What a reference names without one may well be in the photo, so it is left out.

    Args:
        grounding: `Grounding`, which grows.
        attend: see `evaluate`.
        regions: float array `(L, 4)`, of the captioner, see `Caption`.
        photos, records: as `photo_batches` yields them.
    """
    named = [  # of each photo the captions that name something, with its phrases
        [
            (text, boxed)
            for text, phrases in zip(record["captions"], record["phrases"], strict=True)
            if (boxed := [each for each in phrases if each["boxes"]])
        ]
        for record in records
    ]
    rows = [row for row, each in enumerate(named) if each]
    if not rows:
        return
    words = [[tokenize(text) for text, _ in named[row]] for row in rows]
    attention = attend([photos[row] for row in rows], words)
    for row, of_photo in zip(rows, attention, strict=True):
        for (_, phrases), weights in zip(named[row], of_photo, strict=True):
            grounding.add(weights, regions, phrases)


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


def _entropies(attention):
    """The entropy of each word's attention `(T, rows, columns)`: `(T,)`, in nats."""
    weights = attention.reshape(len(attention), -1)  # (T, L)
    return -(weights * np.log(weights.clip(1e-30))).sum(axis=1)


def _wording(captions, references):
    """Fluency of captions and of references, and the sexes that captions name."""
    captions = [tokenize(each["caption"]) for each in captions]
    references = [[tokenize(each) for each in of_photo] for of_photo in references]
    of_people = fluency(list(itertools.chain.from_iterable(references)))
    of_people["distinct"] = fluency([first for first, *_ in references])["distinct"]
    return {
        "fluency": {"captions": fluency(captions), "references": of_people},
        "sexes": sexes(captions, references),
    }


def _trust(captions, references):
    """`metrics.trust_scores`, where captions have a confidence and photos several references."""
    if not all("confidence" in each for each in captions):
        return {}
    if not any(len(each) > 1 for each in references):
        return {}
    confidence, familiarity = (
        np.array([each[name] for each in captions]) for name in ("confidence", "familiarity")
    )
    sentences = [each["caption"] for each in captions]
    return {"trust": trust_scores(sentences, references, confidence, familiarity)}
