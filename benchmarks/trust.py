"""Can a captioner be trusted, and its files as much as itself?

    python benchmarks/trust.py RUN float.tflite int8.tflite int4.tflite --data-dir Flickr8k \\
        --entities Flickr30kEntities --other PHOTOS --out runs/trust

Captions the test split by each source: a run, a preset or a file, calibrated. Measures scores,
attention on what is named, how true confidence is, and how well familiarity tells the test photos
from strange ones: those in the folder `--other`, the same squashed and saved as Flickr8k's are
here, and drawn pictures. Of every source but the first it also says how far, in the mean of all
captions, confidence and familiarity are from the first one's. Writes `trust.md` and `.json`.
"""

import argparse
import io
from pathlib import Path

import numpy as np
from drawn_pictures import drawn_pictures
from PIL import Image
from tables import grounding_of, percent, save_table, table

from sat_edge.errors import InputError
from sat_edge.photo import open_photo
from sat_keras import datasets
from sat_keras.evaluation import evaluate
from sat_keras.memory import keep_freed_memory
from sat_keras.runs.sources import captions_by

SEARCHES = {"own": {}, "greedy": {"beam_width": 1}}
KINDS = ("other photos", "squashed", "drawn")  # of strange pictures
DISTANCES = ("confidence", "familiarity")
_SQUASHED, _QUALITY = (224, 224), 85


def strange_pictures(folder):
    """Pictures unlike the test photos, a list a kind; drawn ones alone where no folder is named."""
    kinds = {"drawn": list(drawn_pictures())}
    if folder:
        paths = sorted(each for each in folder.iterdir() if each.is_file())
        if not paths:
            raise InputError(f"{folder}: no photos in it; name a folder of photos")
        photos = list(map(open_photo, paths))
        kinds |= {"other photos": photos, "squashed": list(map(squashed, photos))}
    return kinds


def squashed(photo):
    """A photo as those of Flickr8k are here."""
    file = io.BytesIO()
    photo.resize(_SQUASHED, Image.Resampling.BICUBIC).save(file, "JPEG", quality=_QUALITY)
    return open_photo(file)


def auroc(familiar, strange):
    """The share of pairs, one of each kind, where the first has the higher value; ties are half."""
    familiar, strange = np.asarray(familiar)[:, None], np.asarray(strange)
    return float((familiar > strange).mean() + 0.5 * (familiar == strange).mean())


def measure(source, builder, strange, limit):
    """A source's rows, one a search: scores, and each caption's confidence and familiarity."""
    rows = []
    for name, search in SEARCHES.items():
        caption, attend, how = captions_by(source, **search)
        if caption(strange["drawn"][:1])[0].familiarity is None:
            raise InputError(f"{source}: not calibrated; calibrate it first")
        scores, captions = evaluate(caption, builder, "test", limit, None if rows else attend)
        row = {"source": source, "name": name, "search": how, **scores}
        row["captions"] = {k: [each[k] for each in captions] for k in DISTANCES}
        if rows:  # attention on the references is the same by every search
            row["grounding"]["references"] = rows[0]["grounding"]["references"]
        else:  # and so is familiarity
            known = row["captions"]["familiarity"]
            row["auroc"] = {
                kind: auroc(known, [each.familiarity for each in caption(pictures)])
                for kind, pictures in strange.items()
            }
        rows.append(row)
    return rows


def distance(row, first, name):
    """How far a figure of each caption is from the first source's, in the mean."""
    return float(np.mean(np.abs(np.subtract(row["captions"][name], first["captions"][name]))))


def markdown(rows):
    head = ["source", "search", "BLEU-4", "METEOR", "CIDEr", "pointing, references / own"]
    head += ["rank correlation", "calibration error", "mean confidence, share"]
    head += [f"AUROC: {KINDS[0]}", *KINDS[1:]]
    head += ["distance of confidence", "of familiarity"]
    firsts = {row["name"]: row for row in reversed(rows)}  # by search
    lines = []
    for row in rows:
        trust, strange, first = row["trust"], row.get("auroc", {}), firsts[row["name"]]
        cells = [Path(row["source"]).name, row["name"], *percent(row, ("BLEU-4", "METEOR"))]
        cells += [f"{row['CIDEr']:.3f}", grounding_of(row, "pointing")]
        cells += [f"{trust[each]:.3f}" for each in ("rank_correlation", "calibration_error")]
        cells += [f"{trust['confidence']:.3f}, {trust['share']:.3f}"]
        cells += [f"{strange[kind]:.4f}" if kind in strange else "" for kind in KINDS]
        cells += ["" if row is first else f"{distance(row, first, k):.4f}" for k in DISTANCES]
        lines.append(cells)
    return table(head, lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sources", nargs="+", help="runs, presets, .tflite files; calibrated")
    parser.add_argument("--data-dir")
    parser.add_argument("--entities")
    parser.add_argument("--other", type=Path, help="a folder of photos unlike the data set's")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--cache", type=Path, help="default: the folder --out")
    parser.add_argument("--limit", type=int, help="only the first N photos of the split")
    options = parser.parse_args()
    keep_freed_memory()
    records = (options.cache or options.out) / "records"
    builder = datasets.build_records("flickr8k", records, options.data_dir, options.entities)
    strange, rows = strange_pictures(options.other), []
    for source in options.sources:
        rows += measure(source, builder, strange, options.limit)
        save_table(options.out / "trust", rows, markdown(rows))
    print(markdown(rows))


if __name__ == "__main__":
    main()
