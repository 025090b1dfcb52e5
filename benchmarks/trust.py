"""Can a captioner be trusted, and its files as much as itself?

    python benchmarks/trust.py RUN float.tflite int8.tflite int4.tflite --data-dir Flickr8k \\
        --entities Flickr30kEntities --other PHOTOS --out runs/trust

Captions the test split by each source, a run, a preset or a file, in its own search: scores,
attention on what is named, how true its confidence is, and how well its familiarity tells these
photos from those in the folder `--other`, from the same squashed and saved as Flickr8k's are, and
from drawn pictures. Of the second source on, how far each figure is from the first one's. Writes
`trust.md` and `.json`.
"""

import argparse
import io
from pathlib import Path

import numpy as np
from drawn_pictures import drawn_pictures
from PIL import Image
from tables import grounding_of, percent, save_table, table

from sat_edge.photo import open_photo
from sat_keras import datasets
from sat_keras.evaluation import evaluate
from sat_keras.memory import keep_freed_memory
from sat_keras.runs.sources import captions_by

SEARCHES = {"own": {}, "greedy": {"beam_width": 1}}
_SQUASHED, _QUALITY = (224, 224), 85


def auroc(familiar, strange):
    """How often a photo of the first kind is the more familiar one of a pair; equal ones half."""
    familiar, strange = np.asarray(familiar)[:, None], np.asarray(strange)
    return float((familiar > strange).mean() + 0.5 * (familiar == strange).mean())


def other_photos(folder):
    return [open_photo(path) for path in sorted(Path(folder).iterdir()) if path.suffix == ".jpg"]


def squashed(photo):
    """A photo as those of Flickr8k are here."""
    file = io.BytesIO()
    photo.resize(_SQUASHED, Image.Resampling.BICUBIC).save(file, "JPEG", quality=_QUALITY)
    return open_photo(file)


def familiarities(caption, photos):
    """The familiarity of each photo, a few at a time."""
    photos = list(photos)
    parts = (photos[i : i + 32] for i in range(0, len(photos), 32))
    return [each.familiarity for part in parts for each in caption(part)]


def measure(source, search, builder, options):
    """One row: scores, and each caption's confidence and familiarity."""
    caption, attend, how = captions_by(source, **SEARCHES[search])
    scores, captions = evaluate(caption, builder, "test", options.limit, attend)
    row = {"source": str(source), "search": how, **scores}
    row["each"] = {k: [each[k] for each in captions] for k in ("confidence", "familiarity")}
    if search == "own" and options.other:
        known, others = row["each"]["familiarity"], other_photos(options.other)
        strange = {
            "other photos": others,
            "squashed": map(squashed, others),
            "drawn": drawn_pictures(),
        }
        row["auroc"] = {
            name: auroc(known, familiarities(caption, photos)) for name, photos in strange.items()
        }
    return row


def difference(row, first, name):
    """The mean distance of a caption's figure from the first source's."""
    return float(np.mean(np.abs(np.subtract(row["each"][name], first["each"][name]))))


def markdown(rows):
    head = ["source", "search", "BLEU-4", "METEOR", "CIDEr", "pointing, references / own"]
    head += ["rank correlation", "calibration error", "mean confidence, share"]
    head += ["AUROC: other photos", "squashed", "drawn"]
    head += ["distance of confidence", "of familiarity"]
    lines = []
    for i, row in enumerate(rows):
        trust, strange = row["trust"], row.get("auroc", {})
        first = rows[i % len(SEARCHES)]
        cells = [Path(row["source"]).name, row["name"], *percent(row, ("BLEU-4", "METEOR"))]
        cells += [f"{row['CIDEr']:.3f}", grounding_of(row, "pointing")]
        cells += [f"{trust[each]:.3f}" for each in ("rank_correlation", "calibration_error")]
        cells += [f"{trust['confidence']:.3f}, {trust['share']:.3f}"]
        cells += [
            f"{strange[name]:.4f}" if name in strange else ""
            for name in ("other photos", "squashed", "drawn")
        ]
        cells += [
            "" if row is first else f"{difference(row, first, each):.4f}"
            for each in ("confidence", "familiarity")
        ]
        lines.append(cells)
    return table(head, lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sources", nargs="+", help="runs, presets, .tflite files; calibrated")
    parser.add_argument("--data-dir")
    parser.add_argument("--entities")
    parser.add_argument("--other", help="a folder of JPEGs unlike the data set's")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--cache", type=Path, help="default: the folder --out")
    parser.add_argument("--limit", type=int, help="only the first N photos of the split")
    options = parser.parse_args()
    keep_freed_memory()
    records = (options.cache or options.out) / "records"
    builder = datasets.build_records("flickr8k", records, options.data_dir, options.entities)
    rows = []
    for source in options.sources:
        for search in SEARCHES:
            rows.append({"name": search, **measure(source, search, builder, options)})
            save_table(options.out / "trust", rows, markdown(rows))
    print(markdown(rows))


if __name__ == "__main__":
    main()
