"""Compares an exported captioner with its source, and lists its contents."""

import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from rapidfuzz.distance import Levenshtein

from sat_edge import Captioner as EdgeCaptioner
from sat_edge.caption import Caption
from sat_edge.errors import InputError
from sat_edge.photo import to_pixels
from sat_edge.settings import Settings
from sat_export.captioner_files import CAPTIONER_JSON, VOCABULARY
from sat_export.flatbuffer import operators, parse, type_of
from sat_export.signatures import TRUST
from sat_keras.evaluation import ground_references, photo_batches
from sat_keras.metrics import Grounding, caption_scores

# A float32 artefact is the same arithmetic in another order.
SAME = 0.99  # share of captions that are the same
CLOSE = 1e-3  # of attention, where the words are the same


def verify(captioner, path, builder, split="test", limit=None, most_lost=0.05):
    """Captions real photos with both, by the artefact's own search, and compares.

    Args:
        captioner: `sat_keras.Captioner`, the source.
        path: the artefact: a `.tflite` file, or a SavedModel's folder.
        builder: TFDS builder with its records made.
        split: str. Defaults to `"test"`.
        limit: int. Only so many photos. Defaults to `None`: all.
        most_lost: float. The share of CIDEr that a quantised file may lose. Defaults to `0.05`.
    Returns:
        Dict: `passed` and, where it is false, `why`; `same`, the share of equal captions; of words
        `edit_distance`, mean over captions; `BLEU-4`, `METEOR` (with Java), `CIDEr` of the artefact
        and how far they are from the source's; `log_prob_difference`, `attention_difference`, the
        largest of captions that are equal, and where both are calibrated, `confidence_difference`
        and `familiarity_difference`; and of a file, `contents` and, where the data set has boxes,
        `grounding` of `file` and `Keras` on the references, see `metrics.Grounding`.
    Raises:
        InputError: if the artefact cannot be read, or has another vocabulary.
    """
    path = Path(path)
    artefact = _load_saved_model(path) if path.is_dir() else _load_file(path)
    if artefact.vocabulary != captioner.vocabulary.words:
        raise InputError(f"{path}: its vocabulary is not the captioner's; export it again")
    # A caption is the best of its search, whatever `n_best` is.
    search = {k: v for k, v in artefact.settings.search.as_dict().items() if k != "n_best"}
    found, wanted, references = [], [], []
    attends = {"file": artefact.attend, "Keras": captioner.attend} if artefact.attend else {}
    groundings = {name: Grounding() for name in attends}
    for photos, records in photo_batches(builder, split, limit):
        wanted += captioner.caption(photos, **search)
        found += artefact.caption(photos)
        references += [record["captions"] for record in records]
        for name, attend in attends.items():
            ground_references(groundings[name], attend, wanted[0].regions, photos, records)

    pairs = list(zip(found, wanted, strict=True))
    equal = [(a, b) for a, b in pairs if a.words == b.words]
    scores, source = (
        caption_scores([each.text for each in captions], references) for captions in (found, wanted)
    )
    result = {
        "photos": len(pairs),
        "same": len(equal) / len(pairs),
        "edit_distance": float(np.mean([Levenshtein.distance(a.words, b.words) for a, b in pairs])),
        "log_prob_difference": max((abs(a.log_prob - b.log_prob) for a, b in equal), default=None),
        "attention_difference": max(
            (float(np.abs(a.attention - b.attention).max()) for a, b in equal), default=None
        ),
    }
    for name in ("confidence", "familiarity"):
        ends = [(getattr(a, name), getattr(b, name)) for a, b in equal]
        known = [(a, b) for a, b in ends if a is not None and b is not None]
        if known:
            result[f"{name}_difference"] = max(abs(a - b) for a, b in known)
    calibrated = [any(c.confidence is not None for c in each) for each in (found, wanted)]
    for name in (each for each in ("BLEU-4", "METEOR", "CIDEr") if each in scores):
        result |= {name: scores[name], f"{name}_difference": scores[name] - source[name]}
    grounding = {name: each.scores()["all"] for name, each in groundings.items()}
    if any(each["phrases"] for each in grounding.values()):
        result["grounding"] = grounding
    why = _shortcomings(result, artefact.is_exact, source["CIDEr"], most_lost)
    if calibrated[0] != calibrated[1]:
        one = "it" if calibrated[0] else "its captioner"
        why.append(f"{one} alone is calibrated: export again")
    if path.is_file():
        result["contents"] = contents(path, captioner.encoder.name)
    return {"passed": not why, "why": "; ".join(why), **result}


def _shortcomings(result, exact, cider, most_lost):
    if not exact:
        lost = -result["CIDEr_difference"] / max(cider, 1e-9)
        return [f"{lost:.1%} of CIDEr lost"] if lost > most_lost else []
    why = []
    if result["same"] < SAME:
        why.append(f"{result['same']:.1%} of captions are the same")
    for name in ("attention", "confidence", "familiarity"):
        if (result.get(f"{name}_difference") or 0) > CLOSE:
            why.append(f"{name} differs by {result[f'{name}_difference']:.1e}")
    return why


@dataclass(frozen=True)
class _Artefact:
    """An exported captioner: its words, its settings, and images to `Caption`s; of a file also
    images and captions to attention, as `Captioner.attend`."""

    vocabulary: list[str]
    settings: Settings
    caption: Callable
    attend: Callable | None = None

    @property
    def is_exact(self):
        """Whether it is the source's arithmetic: float32, and nothing left out."""
        quantization = set(self.settings.quantization.values())
        return quantization == {"none"} and not self.settings.compression


def _load_file(path):
    edge = EdgeCaptioner(path)
    return _Artefact(
        edge.vocabulary,
        edge.settings,
        lambda images: [edge.caption(each) for each in images],
        lambda images, captions: list(map(edge.attend, images, captions)),
    )


def _load_saved_model(path):
    extra = path / "assets.extra"
    try:
        settings = Settings.from_json((extra / CAPTIONER_JSON).read_bytes())
        words = (extra / VOCABULARY).read_bytes().decode().removesuffix("\n").split("\n")
        served = tf.saved_model.load(path).signatures["tensor"]
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: not a captioner's SavedModel ({error})") from error

    def caption(images):
        pixels = np.stack([to_pixels(each, settings.image_size) for each in images])
        outputs = served(pixels=tf.constant(pixels, tf.float32))
        columns = (outputs[name].numpy() for name in ("tokens", "attention", "log_prob"))
        unknown = [None] * len(images)  # of a captioner that was never calibrated
        trust = (outputs.get(name, unknown) for name in ("confidence", "familiarity"))
        return [
            Caption.from_decoder(words, *row, row[2], settings.grid, settings.regions, *trusted)
            for *row, trusted in zip(*columns, zip(*trust, strict=True), strict=True)
        ]

    return _Artefact(words, settings, caption)


def contents(path, encoder_name="encoder"):
    """What a `.tflite` file is made of.

    Returns:
        Dict: `operators`, their number by kind, over all signatures; `weights`, bytes by type;
        `components`, bytes of the encoder's weights, the embedding, the rest of the decoder's, what
        confidence and familiarity need, what is inside the zip, and all else (the graphs).
    """
    size = Path(path).stat().st_size
    model = parse(Path(path).read_bytes())
    kinds = Counter(kind for _, _, kind in operators(model))
    weights, components, counted = Counter(), Counter(), set()
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            data = model.buffers[tensor.buffer].data
            if data is None or tensor.buffer in counted:
                continue
            counted.add(tensor.buffer)  # signatures share their weights
            weights[type_of(tensor)] += len(data)
            name = tensor.name.decode()
            part = "trust" if f"{TRUST}/" in name else "decoder"
            part = "encoder" if encoder_name in name else part
            components["embedding" if "/E_" in f"/{name}" else part] += len(data)
    with zipfile.ZipFile(path) as inside:
        components["vocabulary and settings"] = sum(each.file_size for each in inside.infolist())
    components["graphs"] = size - sum(components.values())
    return {
        "bytes": size,
        "operators": dict(kinds.most_common()),
        "weights": dict(weights.most_common()),
        "components": dict(components),
    }
