"""One self-contained HTML page about a run: scores, curves, and captions with where they looked."""

import base64
import html
import io
import string
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from sat_edge.caption import UNFAMILIAR
from sat_edge.photo import open_photo
from sat_keras import datasets
from sat_keras.evaluation import evaluate, named_phrases
from sat_keras.files import atomic_output
from sat_keras.metrics import CiderD
from sat_keras.metrics.trust_scores import person_cider, reliability
from sat_keras.runs.folder import load_run, read_log
from sat_keras.runs.phases import load_phases
from sat_keras.runs.settings import RunSettings
from sat_keras.tokenizer import tokenize
from sat_keras.visualize import overlay

_TEMPLATE = Path(__file__).with_suffix(".html")
_RANDOM, _EXTREME = 24, 6  # photos shown
_WIDTH = 320  # pixels
_SHOWN = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr", "photos")
_FLUENCY = {  # of `metrics.fluency`
    "repeated_bigram": "two words in a row come twice",
    "word_and_same_word": 'one word on both sides of "and"',
    "near_repeat": "a content word comes again within four words",
    "distinct": "different captions (of the references, one a photo)",
    "mean_length": "words a caption",
}

_GROUNDED = {"references": "words of the references", "own": "words of its own captions"}
_MAPS = ("uniform", "middle", "best fixed")
_GROUNDING = ("phrases", "pointing", *_MAPS, "mass", *_MAPS, "correctness")
_WHAT = (
    "At the last word of each phrase that names something: how often the highest weight lies in "
    "its box (pointing) and the share of the weights inside (mass). Beside each what uniform "
    "weights reach, the middle of the photo, and the best map that is the same for all photos. "
    "Correctness is the largest mass of a phrase's words. In the pictures below the boxes of what "
    "a word names are outlined."
)


def write_report(run, path, builder, split="test", seed=0, **search):
    """Evaluates a run and writes its page.

    Args:
        run: path of the run folder.
        path: the page, `.html`.
        builder: TFDS builder of the run's data set with its records made.
        split: str. Defaults to `"test"`.
        seed: int. Of the photos drawn. Defaults to `0`.
        **search: see `Captioner.caption`.
    Returns:
        The scores, see `evaluate`.
    """
    captioner, settings = load_run(run), RunSettings.load(run)
    caption_all = partial(captioner.caption, **search)
    scores, captions = evaluate(caption_all, builder, split, attend=captioner.attend)
    references = [
        [tokenize(each) for each in record["captions"]]
        for _, _, record in datasets.read_photos(builder, split)
    ]
    words = [tokenize(each["caption"]) for each in captions]
    ciders = CiderD(references).score(words, references)  # (N,)
    ranked = np.argsort(ciders, kind="stable")
    drawn = np.random.default_rng(seed).permutation(len(ciders))[:_RANDOM]
    best, worst = ranked[::-1][:_EXTREME], ranked[:_EXTREME]
    photos = {
        row: (open_photo(io.BytesIO(encoded), name), record)
        for row, (name, encoded, record) in enumerate(datasets.read_photos(builder, split))
        if row in {*drawn, *best, *worst}
    }

    def section(title, rows):
        found = caption_all([photos[row][0] for row in rows])
        cards = [
            _card(*photos[row], caption, ciders[row], _boxes(builder, caption, photos[row][1]))
            for caption, row in zip(found, rows, strict=True)
        ]
        return f'<h2>{title}</h2>\n<div class="cards">\n{"".join(cards)}</div>\n'

    shown = _flat({**settings.as_dict(), "search": captioner.search.override(**search).as_dict()})
    page = string.Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=html.escape(f"{Path(run).resolve().name}: {settings.dataset}, {split} split"),
        scores="".join(_score(name, scores[name]) for name in _SHOWN if name in scores),
        fluency="".join(_fluency(name, scores["fluency"]) for name in _FLUENCY),
        curves=_curves(run),
        trust=_trust(scores, captions, ciders, references),
        sections=_grounding(scores.get("grounding", {}))
        + section(f"{len(drawn)} photos drawn by lot", drawn)
        + section("The best by CIDEr", best)
        + section("The worst by CIDEr", worst),
        settings="".join(
            f"<tr><td>{html.escape(name)}</td><td>{html.escape(str(value))}</td></tr>"
            for name, value in shown.items()
        ),
    )
    with atomic_output(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return scores


def _flat(settings):
    """Nested settings by names such as `decoder: units`."""
    flat = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            flat |= {f"{name}: {part}": each for part, each in value.items()}
        else:
            flat[name] = value
    return flat


def _score(name, value):
    shown = value if isinstance(value, int) else f"{value:.3f}"
    return f'<div class="score">{name}<b>{shown}</b></div>\n'


def _fluency(name, fluency):
    form = "{:.1f}" if name == "mean_length" else "{:.2%}"
    cells = (form.format(fluency[of][name]) for of in ("captions", "references"))
    return f"<tr><th>{_FLUENCY[name]}</th>{''.join(f'<td>{each}</td>' for each in cells)}</tr>\n"


def _grounding(parts):
    """A table of each part of `evaluate`'s grounding, a row for each type of phrase."""
    if not parts:
        return ""
    tables = []
    for part, types in parts.items():
        rows = [(_GROUNDED[part], *_GROUNDING)]
        for type_, row in types.items():
            means = (*row["pointing"].values(), *row["mass"].values(), row["correctness"])
            rows.append((type_, row["phrases"], *(f"{each:.3f}" for each in means)))
        cells = ("".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) for row in rows)
        lines = "".join(f"<tr>{each}</tr>\n" for each in cells)
        tables.append(f'<table class="numbers">\n{lines}</table>\n')
    return f'<h2>Grounding</h2>\n<p class="faint">{_WHAT}</p>\n{"".join(tables)}'


def _boxes(builder, caption, record):
    """The boxes of what words of a caption name, by the word's place."""
    return {
        place: phrase["boxes"]
        for phrase in named_phrases(builder, caption.words, record)
        for place in range(phrase["first"], phrase["end"])
    }


def _card(image, record, caption, cider, boxes):
    image = image.resize((_WIDTH, round(_WIDTH * image.height / image.width)))
    name = html.escape(record["filename"])
    overlays = (
        _jpeg(overlay(image, weights, caption.regions, boxes.get(place, ())))
        for place, weights in enumerate(caption.attention)
    )
    words = " ".join(
        f'<button type="button" data-overlay="{lit}">{html.escape(word)}</button>'
        for word, lit in zip(caption.words, overlays, strict=False)
    )
    references = "".join(f"<li>{html.escape(each)}</li>" for each in record["captions"])
    return (
        f'<article class="card"><img alt="{name}" src="{_jpeg(np.asarray(image))}"><div>\n'
        f'<p class="caption">{words}</p>\n'
        f'<p class="faint">CIDEr {cider:.2f}, log-probability {caption.log_prob:.1f}'
        f"{_trust_in_words(caption)}</p>\n"
        f'<details><summary class="faint">{name}</summary><ul>{references}</ul></details>\n'
        "</div></article>\n"
    )


def _trust_in_words(caption):
    if caption.confidence is None:
        return ""
    words = f", confidence {caption.confidence:.2f}, familiarity {caption.familiarity:.2f}"
    return words + (": unlike the training photos" if caption.is_unfamiliar else "")


def _jpeg(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "jpeg", quality=78)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def _curves(run):
    """Loss and validation CIDEr of all phases, an SVG."""
    phases = list(load_phases(run))
    folders = [Path(run) / name for name in phases[:-1]] + [Path(run)]
    figure = Figure(figsize=(10, 3), layout="constrained")
    likelihood, quality = figure.subplots(1, 2)
    first = 0
    for name, folder in zip(phases, folders, strict=True):
        log = read_log(folder)
        epochs = [first + each["epoch"] for each in log]
        for key, style in (("cross_entropy", "--"), ("val_cross_entropy", "-")):
            if key in log[0]:
                split = "validation" if key.startswith("val") else "training"
                values = [each[key] for each in log]
                likelihood.plot(epochs, values, style, marker=".", label=f"{name} {split}")
        quality.plot(epochs, [each["val_cider"] for each in log], marker=".", label=name)
        first = epochs[-1]
    likelihood.set(xlabel="epoch", ylabel="cross-entropy, nats a word")
    likelihood.legend(fontsize=8)
    quality.set(xlabel="epoch", ylabel="validation CIDEr, greedy")
    if len(phases) > 1:
        quality.legend(fontsize=8)
    for axis in (likelihood, quality):
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return _svg(figure)


def _trust(scores, captions, ciders, references):
    """The reliability diagram and how familiar the photos are; nothing where captions have no
    confidence."""
    if "trust" not in scores:
        return ""
    confidence, familiarity = (
        np.array([each[name] for each in captions]) for name in ("confidence", "familiarity")
    )
    person = person_cider(CiderD(references), references)
    rows = reliability(confidence, np.minimum(1, ciders / person))
    figure = Figure(figsize=(10, 3), layout="constrained")
    diagram, photos = figure.subplots(1, 2)
    diagram.plot([0, 1], [0, 1], "--", color="gray")
    diagram.plot(*([each[name] for each in rows] for name in ("confidence", "share")), marker="o")
    diagram.set(xlabel="confidence", ylabel="share of a person's CIDEr", xlim=(0, 1), ylim=(0, 1))
    photos.hist(familiarity, np.linspace(0, 1, 21))
    photos.set(xlabel="familiarity", ylabel="photos")
    unfamiliar = int((familiarity < UNFAMILIAR).sum())
    return (
        f'<h2>Trust</h2>\n<p class="faint">Calibration error '
        f"{scores['trust']['calibration_error']:.3f}, rank correlation of confidence with CIDEr "
        f"{scores['trust']['rank_correlation']:.2f}; {unfamiliar} of {len(familiarity)} photos are "
        f'unlike those of the training.</p>\n<div class="curves">{_svg(figure)}</div>\n'
    )


def _svg(figure):
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True)
    return file.getvalue()[file.getvalue().index("<svg") :]
