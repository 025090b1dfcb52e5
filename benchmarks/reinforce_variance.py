"""How noisy REINFORCE's gradient is, by coin and by baseline, on a trained captioner.

    sat-keras demo --out demo
    python benchmarks/reinforce_variance.py demo

Gives the demo's soft captioner hard attention, takes one batch of validation, and draws the
gradient of the attention's weights many times. Prints one JSON object: the gradient's total
variance, as a ratio to that of one coin for the whole batch with a moving-average baseline (the
paper's published code).
"""

import argparse
import json
from pathlib import Path

import numpy as np
import tensorflow as tf

from sat_keras import datasets
from sat_keras.annotation_cache import build_annotation_cache
from sat_keras.captioner import Batch, Captioner
from sat_keras.objectives import Reinforce
from sat_keras.pipeline import batches
from sat_keras.runs.folder import load_run
from sat_keras.runs.settings import RunSettings

DRAWS = 200
COINS = {  # shape of the coins of a T x B batch
    "batch": lambda steps, batch_size: (1, 1, 1),
    "example": lambda steps, batch_size: (1, batch_size, 1),
    "step": lambda steps, batch_size: (steps, batch_size, 1),
}


def hard_captioner(soft, settings, **options):
    """The soft captioner with hard attention, compiled for REINFORCE with the run's settings."""
    captioner = Captioner.from_config({**soft.get_config(), "attention": "hard", "dropout": 0.0})
    captioner.decoder.set_weights(soft.decoder.get_weights())
    regularisers = {name: value for name, value in settings.objective.items() if name != "name"}
    captioner.compile(objective=Reinforce(**regularisers, **options))
    return captioner


def throw(objective, coin):
    """Makes the objective throw its coin once for each of `coin`."""
    draw = objective.draw_noise

    def draw_noise(words, locations):
        gumbel, _ = draw(words, locations)
        batch_size, steps = words.shape
        coins = tf.random.uniform(COINS[coin](steps, batch_size)) >= objective.expectation
        return gumbel, tf.cast(coins, tf.float32) + tf.zeros((steps, batch_size, 1))

    objective.draw_noise = draw_noise


def variance(captioner, x, tokens, baseline="moving"):
    objective = captioner.objective
    # As many samples in all, however many a caption has: every so many photos.
    x, tokens = x[:: objective.samples], tokens[:: objective.samples]
    batch = Batch.from_data((x, tokens))
    if baseline == "none":
        objective.baselines = lambda rewards, mask: tf.zeros_like(rewards)
    weights = captioner.decoder.cell.scorer.trainable_weights

    @tf.function
    def gradient():
        with tf.GradientTape() as tape:
            losses, totals = objective(captioner, batch, training=True)
            loss = tf.reduce_mean(losses)
        objective.update(totals)
        gradients = tape.gradient(loss, [weight.value for weight in weights])
        return tf.concat([tf.reshape(each, [-1]) for each in gradients], axis=0)

    for _ in range(30):
        gradient()  # until the moving average has arrived
    drawn = np.stack([gradient() for _ in range(DRAWS)])
    return float(drawn.var(axis=0, ddof=1).sum())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="as `sat-keras demo` wrote it")
    folder = parser.parse_args().folder
    soft = load_run(folder)
    builder = datasets.build_records("shapes", folder / "records")
    cache = build_annotation_cache(
        folder / "annotations", builder, "validation", soft.encoder, pixels=True
    )
    pixels, tokens = next(iter(batches(cache, soft.vocabulary, 64, 2, shuffle=False).skip(6)))
    x, settings = soft.encode(pixels), RunSettings.load(folder)

    found = {}
    for coin in COINS:
        captioner = hard_captioner(soft, settings)
        throw(captioner.objective, coin)
        found[f"coin per {coin}, moving average"] = variance(captioner, x, tokens)
    captioner = hard_captioner(soft, settings)
    found["coin per step, no baseline"] = variance(captioner, x, tokens, "none")
    captioner = hard_captioner(soft, settings, samples=4)
    found["coin per step, 4 samples, mean of the other samples"] = variance(captioner, x, tokens)
    paper = found["coin per batch, moving average"]
    print(json.dumps({name: value / paper for name, value in found.items()}, indent=2))


if __name__ == "__main__":
    main()
