"""Every system of the family on one data set, with one budget, in one table.

    python benchmarks/compare_systems.py shapes --out runs/shapes
    python benchmarks/compare_systems.py flickr8k --out runs/flickr8k --data-dir Flickr8k \\
        --encoder-weights imagenet

Trains what is not there yet (a stopped run goes on), captions the test split greedily with each,
exports each to one `.tflite` file, and counts on how many test photos that file says the same.
Writes `table.md` and `table.json` into the folder.
"""

import argparse
import io
import itertools
import json
from pathlib import Path

import keras
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
from sat_keras.files import atomic_output
from sat_keras.memory import keep_freed_memory
from sat_keras.metrics import CaptionReward
from sat_keras.pipeline import batches
from sat_keras.presets import DEMO
from sat_keras.recipe import train_recipe
from sat_keras.run import CAPTIONER, load_run, read_log
from sat_keras.run_config import RunConfig

SYSTEMS = {
    "inject-first": {"attention": "none", "inject": "first"},
    "inject-every": {"attention": "none", "inject": "every"},
    "soft-additive": {},
    "soft-bilinear": {"scorer": "bilinear"},
    # The same epochs, the first two thirds of them soft.
    "hard-additive": {"attention": "hard", "warm": True},
    "hard-bilinear": {"attention": "hard", "scorer": "bilinear", "warm": True},
    "hard-additive-cold": {"attention": "hard"},
    "patches": {"patches": 3},
    # A second phase, beyond the budget.
    "soft-additive-self-critical": {
        "self_critical": True,
        "captions_per_photo": 5,
        "batch_size": 60,
        "epochs": 1,
        "learning_rate": 5e-5,
        "warm_start": "soft-additive",
    },
}
BUDGETS = {
    "shapes": DEMO,
    "flickr8k": {
        "dataset": "flickr8k",
        "units": 256,
        "embedding_size": 256,
        "attention_size": 256,
        "dropout": 0.3,
        "epochs": 3,
        "learning_rate": 1e-3,
        "doubly_stochastic": 0.0,
    },
}
COMPARED = 200  # photos, with the exported file
COLUMNS = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4")


def phases(name, budget, folder):
    """A system's training, as `train_recipe` takes it."""
    settings = {**budget, **SYSTEMS[name]}
    if "warm_start" in settings:
        settings["warm_start"] = str(folder / settings["warm_start"])
    if settings["attention"] == "hard":
        settings["entropy"] = 0.002
    if not settings.pop("warm", False):
        return {"": settings}
    epochs = settings["epochs"]
    soft = {**settings, "attention": "soft", "entropy": 0.0, "epochs": epochs * 2 // 3}
    hard = {
        **settings,
        "epochs": epochs - soft["epochs"],
        "learning_rate": settings["learning_rate"] / 3,
    }
    return {"soft": soft, "hard": hard}


def measure(run, builder):
    """One row of the table, but for the time."""
    config = RunConfig.load(run)
    captioner = load_run(run)
    scores, captions = evaluate(captioner.caption, builder, "test")
    file = run / "captioner.tflite"
    export_tflite(captioner, file, trained_on=config.dataset)
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
    config, captioner = RunConfig.load(run), load_run(run)
    cache = build_annotation_cache(
        cache_dir, builder, "validation", captioner.encoder, pixels=config.reads_photos
    )
    sizes = (config.batch_size, config.captions_per_photo)
    batch = next(iter(batches(cache, captioner.vocabulary, *sizes, shuffle=False).skip(8)))
    captioner.reward = CaptionReward([[[4]], [[5]]])  # of any corpus: it is for the time alone
    captioner.compile(keras.optimizers.Adam(global_clipnorm=config.clip_norm))
    step = tf.function(captioner.train_step)
    return lambda: step(batch)["loss"].numpy()


def markdown(rows):
    grounded = "grounding_pointing" in next(iter(rows.values()))
    head = ["system", *COLUMNS, "CIDEr", "CIDEr, validation"]
    head += ["pointing (uniform)", "mass (uniform)", "entropy"] if grounded else []
    head += ["decoder parameters", "s / step", "same from .tflite"]
    lines = []
    for name, row in rows.items():
        cells = [name, *percent(row, COLUMNS)]
        cells += [f"{row[each]:.3f}" for each in ("CIDEr", "validation_CIDEr")]
        if grounded:
            for score in ("pointing", "mass"):
                uniform = row[f"grounding_uniform_{score}"]
                cells.append(f"{row[f'grounding_{score}']:.3f} ({uniform:.3f})")
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
    parser.add_argument("--cache", type=Path, help="default: the folder --out")
    parser.add_argument("--encoder-weights")
    parser.add_argument("--only", nargs="*", default=list(SYSTEMS), choices=SYSTEMS)
    options = parser.parse_args()
    keep_freed_memory()
    cache = options.cache or options.out
    builder = datasets.build_records(options.dataset, cache / "records", options.data_dir)
    rows = {}
    budget = {"attention": "soft", **BUDGETS[options.dataset]}
    budget["encoder_weights"] = options.encoder_weights
    for name in options.only:
        run = options.out / name
        train_recipe(run, phases(name, budget, options.out), builder, cache / "annotations", 2)
        result = run / "result.json"
        if not result.exists() or result.stat().st_mtime < (run / CAPTIONER).stat().st_mtime:
            row = measure(run, builder)
            with atomic_output(result) as temporary:
                temporary.write_text(json.dumps(row, indent=2))
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
