"""What grounded attention costs and gives: one choice a line, each trained cheaply.

    python benchmarks/compare_grounding.py --data-dir Flickr8k --entities Flickr30kEntities \\
        --encoder-weights imagenet --out runs/grounding

Trains each choice that is missing in the folder by cross-entropy for two epochs, over a frozen
MobileNetV2, and scores greedy captions of the validation split and the attention on its references.
Writes `table.md` and `table.json` into the folder.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

from keras import ops
from tables import grounding_of, save_table, table

from sat_keras import datasets
from sat_keras.evaluation import evaluate
from sat_keras.files import write_json
from sat_keras.memory import keep_freed_memory
from sat_keras.objectives import CrossEntropy
from sat_keras.runs.paths import CAPTIONER
from sat_keras.runs.phases import override
from sat_keras.runs.sources import captions_by
from sat_keras.runs.training import train_phases

_TINY = 1e-10


@dataclass(eq=False)
class HeadsAlone(CrossEntropy, name="grounding-of-heads"):
    """The term at the last word of a phrase alone."""

    def ground(self, batch, alphas):
        cover = batch.cover  # (B, T, L)
        after = ops.pad(cover[:, 1:], [[0, 0], [0, 1], [0, 0]])  # of the next word
        is_head = ops.any(ops.not_equal(cover, after), axis=-1, keepdims=True)  # (B, T, 1)
        return super().ground(
            batch._replace(cover=ops.where(is_head, cover, ops.zeros_like(cover))), alphas
        )


@dataclass(eq=False)
class WholeBox(CrossEntropy, name="grounding-of-whole-boxes"):
    """Cross-entropy between attention and the map of the box: all of the box is to be lit.

    Reference:
        Liu et al., 2017, arXiv 1605.09553.
    """

    def ground(self, batch, alphas):
        _, totals = super().ground(batch, alphas)
        area = ops.sum(batch.cover, axis=-1, keepdims=True)  # (B, T, 1)
        wanted = ops.divide_no_nan(batch.cover, area)  # (B, T, L)
        term = -ops.sum(wanted * ops.log(ops.maximum(alphas, _TINY)), axis=-1)  # (B, T)
        return self.grounding * ops.sum(batch.mask * term, axis=-1), totals


@dataclass(eq=False)
class Margin(CrossEntropy, name="grounding-by-margin"):
    """The highest weight inside the box is to be above the highest one outside, by a factor e."""

    def ground(self, batch, alphas):
        _, totals = super().ground(batch, alphas)
        inside, outside = (
            ops.log(ops.maximum(ops.max(alphas * each, axis=-1), _TINY))
            for each in (batch.cover, 1 - batch.cover)
        )  # (B, T) each
        named = batch.mask * ops.cast(ops.max(batch.cover, axis=-1) > 0, "float32")
        term = named * ops.relu(1 + outside - inside)  # (B, T)
        return self.grounding * ops.sum(term, axis=-1), totals


def variant(name):
    return {"objective": {"name": name, "doubly_stochastic": 0.0, "grounding": 1.0}}


BUDGET = {
    "encoder": {"name": "mobilenet_v2", "layer": "block_16_project_BN"},
    "decoder": {"units": 512, "embedding_size": 256, "attention_size": 256},
    "objective": {"name": "cross-entropy", "doubly_stochastic": 0.0},
    "training": {"epochs": 2, "learning_rate": 8e-4},
}
FINE = {"fine_layer": "block_12_add"}  # 14 x 14
CHOICES = {  # settings beside the budget's
    "no term": {},
    "coverage 1": {"objective": {"doubly_stochastic": 1.0}},
    "sharper, entropy -0.1": {"objective": {"entropy": -0.1}},
    "14 x 14 beside it": {"encoder": FINE},
    "grounding 0.3": {"objective": {"grounding": 0.3}},
    "grounding 1": {"objective": {"grounding": 1.0}},
    "grounding 1, heads alone": variant("grounding-of-heads"),
    "grounding 1, whole boxes": variant("grounding-of-whole-boxes"),
    "grounding 1, by margin": variant("grounding-by-margin"),
    "grounding 1, 14 x 14 alone": {
        "encoder": {"layer": "block_12_add"},
        "objective": {"grounding": 1.0},
    },
    "grounding 0.3, 14 x 14 beside it": {"encoder": FINE, "objective": {"grounding": 0.3}},
    "grounding 1, 14 x 14 beside it": {"encoder": FINE, "objective": {"grounding": 1.0}},
}


def measure(run, builder, limit):
    """One row of the table."""
    caption, attend, _ = captions_by(run, beam_width=1)
    scores, _ = evaluate(caption, builder, "validation", limit, attend)
    return scores


def markdown(rows):
    head = ["choice", "CIDEr", "BLEU-4", "entropy", "words repeated"]
    head += ["pointing, references (middle)", "pointing, own (middle)", "mass, references / own"]
    lines = []
    for name, row in rows.items():
        of_both = [row["grounding"][each]["all"] for each in ("references", "own")]
        lines.append(
            [
                name,
                f"{row['CIDEr']:.3f}",
                f"{100 * row['BLEU-4']:.1f}",
                f"{row['attention_entropy']:.2f}",
                f"{100 * row['fluency']['captions']['repeated_bigram']:.1f} %",
                *(
                    f"{each['pointing']['attention']:.3f} ({each['pointing']['middle']:.3f})"
                    for each in of_both
                ),
                grounding_of(row, "mass"),
            ]
        )
    return table(head, lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--data-dir")
    parser.add_argument("--entities")
    parser.add_argument("--cache", type=Path, help="default: the folder --out")
    parser.add_argument("--encoder-weights", default="imagenet")
    parser.add_argument("--only", nargs="*", default=list(CHOICES), choices=CHOICES)
    parser.add_argument("--limit", type=int, help="only so many photos of the validation split")
    options = parser.parse_args()
    keep_freed_memory()
    cache = options.cache or options.out
    builder = datasets.build_records(
        "flickr8k", cache / "records", options.data_dir, options.entities
    )
    named = {"encoder": {"weights": options.encoder_weights}}
    rows = {}
    for name in options.only:
        run = options.out / name.replace(" ", "-").replace(",", "")
        settings = override(override({"": BUDGET}, "flickr8k", CHOICES[name]), "flickr8k", named)
        train_phases(run, settings, builder, cache / "annotations", verbose=2)
        result = run / f"result-{options.limit or 'all'}.json"
        if not result.exists() or result.stat().st_mtime < (run / CAPTIONER).stat().st_mtime:
            write_json(result, measure(run, builder, options.limit))
        rows[name] = json.loads(result.read_text())
        save_table(options.out / "table", rows, markdown(rows))
    print(markdown(rows))


if __name__ == "__main__":
    main()
