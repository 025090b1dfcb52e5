"""From Flickr8k's raw files to the rows of the README's table.

    python benchmarks/flickr8k.py --data-dir Flickr8k --entities Flickr30kEntities \\
        --encoder-weights imagenet --out runs

Trains each recipe with each seed: a stopped run goes on, and a phase that another recipe has
already trained is taken from there. Scores every phase's captioner on the validation split, and the
last phase's on the test split too: greedily, and by the recipe's own search. Then scores the
consensus of the last captioners, one and several, on both splits. Writes `flickr8k.md` and
`flickr8k.json`.
"""

import argparse
import json
import shutil
from functools import partial
from pathlib import Path

from tables import grounding_of, percent, save_table, table

from sat_keras import datasets
from sat_keras.consensus import WIDE
from sat_keras.evaluation import evaluate, save_results
from sat_keras.files import atomic_output
from sat_keras.memory import keep_freed_memory
from sat_keras.recipes import RECIPES
from sat_keras.runs.paths import CAPTIONER
from sat_keras.runs.phases import override, phase_settings
from sat_keras.runs.settings import RunSettings
from sat_keras.runs.sources import load_captioner, load_consensus
from sat_keras.runs.training import train_phases

NAMES = [name for name in RECIPES if name != "demo"]  # which is of drawn shapes
SEARCHES = {"greedy": {"beam_width": 1}, "beam": {}}  # what replaces the recipe's own
CONSENSUS = (
    ("soft-mobilenet-v2",),
    ("soft-efficientnet-lite2",),
    ("soft-efficientnet-lite2", "soft-mobilenet-v2"),
)
COLUMNS = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L")


def phases_of(recipe, seed, weights):
    """A recipe's phases with a seed; `weights` are MobileNetV2's."""
    named = {"training": {"seed": seed}}
    if "mobilenet-v2" in recipe:
        named["encoder"] = {"weights": weights}
    return override(RECIPES[recipe](), "flickr8k", named)


def take_phases(folder, phases, others):
    """Copies the first phases into `folder` that are the same, settings and all, in another."""
    for other, other_phases in others.items():
        for name in list(phases)[:-1]:
            if phases[name] != other_phases.get(name):
                break
            source = other / name
            if (source / CAPTIONER).exists() and not (folder / name).exists():
                with atomic_output(folder / name) as temporary:
                    shutil.copytree(source, temporary)


def scores_of(runs, builder, split, name, load, search):
    """Scores of one way to caption; kept beside the first run, with the captions.

    Args:
        runs: list of paths of run folders.
        builder, split: see `evaluate`.
        name: str, of the way.
        load: function that loads the captioner or the consensus.
        search: fields of `Search` that replace its own.
    """
    path = runs[0] / f"{split}-{name}.json"
    changed = max((run / CAPTIONER).stat().st_mtime for run in runs)
    if not path.exists() or path.stat().st_mtime < changed:
        model = load()
        attend = getattr(model, "attend", None)  # several captioners have no one attention
        scores, captions = evaluate(partial(model.caption, **search), builder, split, attend=attend)
        used = RunSettings.load(runs[0]).search.override(**search).as_dict()
        settings = {"runs": [run.name for run in runs], "split": split, **used}
        save_results(path, scores, captions, settings)
    return json.loads(path.read_text())["scores"]


def rows_of_phases(recipe, seed, folders, builder):
    """Rows of a trained recipe: every phase on validation, the last one on the test split too."""
    *_, last = folders
    rows = []
    for phase, split in [*((name, "validation") for name in folders), (last, "test")]:
        row = {"recipe": recipe, "seed": seed, "phase": phase, "split": split}
        load = partial(load_captioner, folders[phase])
        for name, search in SEARCHES.items():
            scores = scores_of([folders[phase]], builder, split, name, load, search)
            rows.append({**row, "search": name, **scores})
    return rows


def rows_of_consensus(recipes, seed, out, builder, annotations):
    """Rows of the consensus of trained recipes."""
    name = " + ".join(recipes)
    *_, last = RECIPES[recipes[-1]]()
    runs = [out / f"{recipe}-{seed}" for recipe in recipes]
    load = partial(load_consensus, runs, builder, annotations)
    row = {"recipe": name, "seed": seed, "phase": last, "search": "consensus"}
    rows = []
    for split in ("validation", "test"):
        scores = scores_of(runs, builder, split, f"consensus of {name}", load, WIDE)
        rows.append({**row, "split": split, **scores})
    return rows


def markdown(rows):
    head = ["recipe, seed", "phase", "split", "search", *COLUMNS, "CIDEr"]
    head += ["pointing, references / own", "mass, references / own", "words repeated"]
    lines = []
    for row in rows:
        cells = [f"{row['recipe']}, {row['seed']}", row["phase"], row["split"], row["search"]]
        cells += [*percent(row, COLUMNS), f"{row['CIDEr']:.3f}"]
        cells += [grounding_of(row, "pointing"), grounding_of(row, "mass")]
        repeated = row["fluency"]["captions"]["repeated_bigram"]
        lines.append([*cells, f"{100 * repeated:.1f} %"])
    return table(head, lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--entities", help="default: Flickr30kEntities in --data-dir")
    parser.add_argument("--encoder-weights", default="imagenet", help="MobileNetV2's")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--cache", type=Path, help="default: the folder --out")
    parser.add_argument("--recipes", nargs="*", default=NAMES, choices=NAMES)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1])
    options = parser.parse_args()
    keep_freed_memory()
    cache = options.cache or options.out
    annotations = cache / "annotations"
    builder = datasets.build_records(
        "flickr8k", cache / "records", options.data_dir, options.entities
    )
    rows, trained = [], {}
    for seed in options.seeds:
        for recipe in options.recipes:
            phases = phases_of(recipe, seed, options.encoder_weights)
            run = options.out / f"{recipe}-{seed}"
            take_phases(run, phases, trained)
            train_phases(run, phases, builder, annotations, verbose=2)
            trained[run] = phases
            folders = dict(zip(phases, phase_settings(run, phases), strict=True))
            rows += rows_of_phases(recipe, seed, folders, builder)
        for recipes in CONSENSUS:
            if set(recipes) <= set(options.recipes):
                rows += rows_of_consensus(recipes, seed, options.out, builder, annotations)
    save_table(options.out / "flickr8k", rows, markdown(rows))
    print(markdown(rows))


if __name__ == "__main__":
    main()
