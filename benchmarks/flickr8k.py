"""From Flickr8k's raw files to the rows of the README's table.

    python benchmarks/flickr8k.py --data-dir Flickr8k --encoder-weights imagenet --out runs

Trains each preset with each seed (a stopped run goes on; a phase that another preset has already
trained is taken from there), scores every phase's captioner on the validation split and the last
one's on the test split, greedily and by beam search, and the consensus of the last ones, one and
several, on both; writes `flickr8k.md` and `flickr8k.json`.
"""

import argparse
import json
import shutil
from functools import partial
from pathlib import Path

from tables import percent, save_table, table

from sat_keras import datasets
from sat_keras.evaluation import evaluate, save_results
from sat_keras.files import atomic_output
from sat_keras.memory import keep_freed_memory
from sat_keras.presets import PRESETS, SEARCH
from sat_keras.recipe import train_recipe
from sat_keras.run import CAPTIONER, load_consensus, load_run

SEARCHES = {"greedy": {}, "beam": SEARCH}
CONSENSUS = (
    ("soft-mobilenet-v2",),
    ("soft-efficientnet-lite2",),
    ("soft-efficientnet-lite2", "soft-mobilenet-v2"),
)
CONSENSUS_SEARCH = {"beam_width": 20, "length_penalty": 0.5}
COLUMNS = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L")


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
    """Of one way to caption; kept beside the first run, with the captions."""
    path = runs[0] / f"{split}-{name}.json"
    changed = max((run / CAPTIONER).stat().st_mtime for run in runs)
    if not path.exists() or path.stat().st_mtime < changed:
        scores, captions = evaluate(partial(load().caption, **search), builder, split)
        settings = {"runs": [run.name for run in runs], "split": split, **search}
        save_results(path, scores, captions, settings)
    return json.loads(path.read_text())["scores"]


def markdown(rows):
    head = ["preset, seed", "phase", "split", "search", *COLUMNS, "CIDEr"]
    lines = []
    for row in rows:
        cells = [f"{row['preset']}, {row['seed']}", row["phase"], row["split"], row["search"]]
        lines.append([*cells, *percent(row, COLUMNS), f"{row['CIDEr']:.3f}"])
    return table(head, lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--encoder-weights", default="imagenet", help="MobileNetV2's")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--cache", type=Path, help="default: the folder --out")
    parser.add_argument("--presets", nargs="*", default=list(PRESETS), choices=PRESETS)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1])
    options = parser.parse_args()
    keep_freed_memory()
    cache = options.cache or options.out
    builder = datasets.build_records("flickr8k", cache / "records", options.data_dir)
    rows, trained = [], {}
    for seed in options.seeds:
        for preset in options.presets:
            given = {"dataset": "flickr8k", "seed": seed}
            if "mobilenet-v2" in preset:
                given["encoder_weights"] = options.encoder_weights
            phases = {name: {**each, **given} for name, each in PRESETS[preset].items()}
            run = options.out / f"{preset}-{seed}"
            take_phases(run, phases, trained)
            train_recipe(run, phases, builder, cache / "annotations", verbose=2)
            trained[run] = phases
            folders = {name: run / name for name in phases}
            last = list(phases)[-1]
            folders[last] = run
            measured = [(name, "validation") for name in phases] + [(last, "test")]
            for phase, split in measured:
                row = {"preset": preset, "seed": seed, "phase": phase, "split": split}
                load = partial(load_run, folders[phase])
                for name, search in SEARCHES.items():
                    scores = scores_of([folders[phase]], builder, split, name, load, search)
                    rows.append({**row, "search": name, **scores})
        for presets in CONSENSUS:
            if not set(presets) <= set(options.presets):
                continue
            name = " + ".join(presets)
            runs = [options.out / f"{preset}-{seed}" for preset in presets]
            load = partial(load_consensus, runs, builder, cache / "annotations")
            row = {"preset": name, "seed": seed, "phase": last, "search": "consensus"}
            for split in ("validation", "test"):
                scores = scores_of(
                    runs, builder, split, f"consensus of {name}", load, CONSENSUS_SEARCH
                )
                rows.append({**row, "split": split, **scores})
    save_table(options.out / "flickr8k", rows, markdown(rows))
    print(markdown(rows))


if __name__ == "__main__":
    main()
