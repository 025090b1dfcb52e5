"""Every system of the family on one data set, with the same budget, in one table.

    python benchmarks/compare_systems.py shapes --out runs/shapes
    python benchmarks/compare_systems.py flickr8k --out runs/flickr8k --data-dir Flickr8k \\
        --entities Flickr30kEntities --encoder-weights imagenet

Trains the systems that are missing in the folder (a stopped run goes on), captions the test split
greedily with each, exports each to a `.tflite` file, and counts the test photos that this file
captions the same. Writes `table.md` and `table.json` into the folder.
"""

import argparse
import io
import itertools
import json
from pathlib import Path

import numpy as np
import tensorflow as tf
from tables import percent, save_table, table

from sat_edge import Captioner as EdgeCaptioner
from sat_edge import open_photo
from sat_export import export_tflite
from sat_export.benchmark import median_seconds
from sat_keras import datasets
from sat_keras.annotation_cache import build_annotation_cache
from sat_keras.evaluation import evaluate
from sat_keras.files import write_json
from sat_keras.memory import keep_freed_memory
from sat_keras.pipeline import batches
from sat_keras.recipes import RECIPES
from sat_keras.runs.folder import load_run, read_log
from sat_keras.runs.paths import CAPTIONER
from sat_keras.runs.phases import override
from sat_keras.runs.settings import RunSettings
from sat_keras.runs.sources import trained_on
from sat_keras.runs.training import compile_captioner, train_phases

HARD = {"entropy": 0.002}
GROUNDED = {"grounding": 0.5}
SYSTEMS = {  # settings beside a budget's
    "inject-first": {"decoder": {"attention": "none", "inject": "first"}},
    "inject-every": {"decoder": {"attention": "none", "inject": "every"}},
    "soft-additive": {},
    "soft-bilinear": {"decoder": {"scorer": "bilinear"}},
    "hard-additive": {"decoder": {"attention": "hard"}, "objective": HARD},
    "hard-bilinear": {"decoder": {"attention": "hard", "scorer": "bilinear"}, "objective": HARD},
    "hard-additive-cold": {"decoder": {"attention": "hard"}, "objective": HARD},
    "patches": {"encoder": {"patches": 3}},
    "soft-additive-grounded": {"objective": GROUNDED},
    "hard-additive-grounded": {
        "decoder": {"attention": "hard"},
        "objective": {**HARD, **GROUNDED},
    },
    # A second phase, beyond the budget.
    "soft-additive-self-critical": {
        "objective": {"name": "self-critical"},
        "data": {"captions_per_photo": 5, "batch_size": 60},
        "training": {"epochs": 1, "learning_rate": 5e-5, "warm_start": "soft-additive"},
    },
}
# The same epochs, the first two thirds of them with soft attention.
BEGIN_SOFT = ("hard-additive", "hard-bilinear", "hard-additive-grounded")
BUDGETS = {
    "shapes": RECIPES["demo"]()[""],
    "flickr8k": {
        "decoder": {"units": 256, "embedding_size": 256, "attention_size": 256, "dropout": 0.3},
        "objective": {"doubly_stochastic": 0.0},
        "training": {"epochs": 3, "learning_rate": 1e-3},
    },
}
COMPARED = 200  # photos, with the exported file
COLUMNS = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4")


def phases(name, dataset, folder, weights):
    """A system's training, as `train_phases` takes it."""
    budget, system = BUDGETS[dataset], SYSTEMS[name]
    of_training = {**budget["training"], **system.get("training", {})}
    if "warm_start" in of_training:
        of_training["warm_start"] = str(folder / of_training["warm_start"])

    def settings(decoder, objective, **training):
        named = {
            **system,
            "encoder": {**system.get("encoder", {}), "weights": weights},
            "decoder": decoder,
            "objective": objective,
            "training": {**of_training, **training},
        }
        return override({"": budget}, dataset, named)[""]

    decoder, objective = system.get("decoder", {}), system.get("objective", {})
    if name not in BEGIN_SOFT:
        return {"": settings(decoder, objective)}
    epochs, rate = of_training["epochs"], of_training["learning_rate"]
    first = epochs * 2 // 3
    both = {each: objective[each] for each in GROUNDED if each in objective}
    return {
        "soft": settings({**decoder, "attention": "soft"}, both, epochs=first),
        "hard": settings(decoder, objective, epochs=epochs - first, learning_rate=rate / 3),
    }


def measure(run, builder):
    """One row of the table, but for the time."""
    captioner = load_run(run)
    scores, captions = evaluate(captioner.caption, builder, "test")
    file = run / "captioner.tflite"
    export_tflite(captioner, file, trained_on=trained_on(run))
    edge = EdgeCaptioner(file)
    photos = itertools.islice(datasets.read_photos(builder, "test"), COMPARED)
    same = [
        edge.caption(open_photo(io.BytesIO(encoded), name)).text == found["caption"]
        for (name, encoded, _), found in zip(photos, captions, strict=False)
    ]
    decoder = sum(int(np.prod(weight.shape)) for weight in captioner.decoder.trainable_weights)
    return {
        **scores,
        "validation_CIDEr": max(each["val_cider"] for each in read_log(run)),
        "decoder_parameters": decoder,
        "encoder_parameters": captioner.encoder.count_params(),
        "same_from_the_file": f"{sum(same)}/{len(same)}",
        "bytes": file.stat().st_size,
    }


def training_step(run, builder, cache_dir):
    """A function that takes one training step."""
    settings, captioner = RunSettings.load(run), load_run(run)
    cache = build_annotation_cache(
        cache_dir, builder, "validation", captioner.encoder, pixels=settings.reads_photos
    )
    sizes = (settings.data.batch_size, settings.data.captions_per_photo)
    compile_captioner(captioner, settings, steps=1)
    regions = captioner.encoder.regions if captioner.objective.needs_boxes else None
    data = batches(cache, captioner.vocabulary, *sizes, shuffle=False, regions=regions)
    batch = next(iter(data.skip(8)))
    # Any corpus: only the time matters.
    captioner.objective.prepare([[[4]], [[5]]], captioner.vocabulary)
    step = tf.function(captioner.train_step, autograph=False)
    return lambda: step(batch)["loss"].numpy()


def markdown(rows):
    grounded = "grounding" in next(iter(rows.values()))
    head = ["system", *COLUMNS, "CIDEr", "CIDEr, validation"]
    head += ["pointing (uniform)", "mass (uniform)", "entropy"] if grounded else []
    head += ["decoder parameters", "s / step", "same from .tflite"]
    lines = []
    for name, row in rows.items():
        cells = [name, *percent(row, COLUMNS)]
        cells += [f"{row[each]:.3f}" for each in ("CIDEr", "validation_CIDEr")]
        if grounded:
            for score in ("pointing", "mass"):
                by = row["grounding"]["own"]["all"][score]
                cells.append(f"{by['attention']:.3f} ({by['uniform']:.3f})")
            cells.append(f"{row['attention_entropy']:.2f}")
        millions = f"{row['decoder_parameters'] / 1e6:.2f} M"
        cells += [millions, f"{row['seconds_a_step']:.3f}", row["same_from_the_file"]]
        lines.append(cells)
    return table(head, lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", choices=BUDGETS)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--data-dir")
    parser.add_argument("--entities", help="default: Flickr30kEntities in --data-dir")
    parser.add_argument("--cache", type=Path, help="default: the folder --out")
    parser.add_argument("--encoder-weights")
    parser.add_argument("--only", nargs="*", default=list(SYSTEMS), choices=SYSTEMS)
    options = parser.parse_args()
    keep_freed_memory()
    cache = options.cache or options.out
    builder = datasets.build_records(
        options.dataset, cache / "records", options.data_dir, options.entities
    )
    rows = {}
    for name in options.only:
        run = options.out / name
        trained = phases(name, options.dataset, options.out, options.encoder_weights)
        train_phases(run, trained, builder, cache / "annotations", verbose=2)
        result = run / "result.json"
        if not result.exists() or result.stat().st_mtime < (run / CAPTIONER).stat().st_mtime:
            row = measure(run, builder)
            write_json(result, row)
        rows[name] = json.loads(result.read_text())
    steps = {
        name: training_step(options.out / name, builder, cache / "annotations") for name in rows
    }
    for name, seconds in median_seconds(steps, repeats=10).items():
        rows[name]["seconds_a_step"] = seconds
    save_table(options.out / "table", rows, markdown(rows))
    print(markdown(rows))


if __name__ == "__main__":
    main()
