"""Which coin and which baseline make REINFORCE's gradient least noisy, on a trained captioner.

    sat-keras demo --out demo
    python benchmarks/reinforce_variance.py demo

Takes the demo's soft captioner as a hard one, and one batch of validation; draws the gradient of
the attention's weights many times. Prints one JSON object: its total variance, as a ratio to that
of one coin for the whole batch with a moving-average baseline (the paper's published code).
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from sat_keras import datasets
from sat_keras.annotation_cache import build_annotation_cache
from sat_keras.captioner import SETTINGS, Captioner
from sat_keras.pipeline import batches
from sat_keras.run import load_run

DRAWS = 200
COINS = {  # shape of the coins of a T x B batch
    "batch": lambda steps, batch_size: (1, 1, 1),
    "example": lambda steps, batch_size: (1, batch_size, 1),
    "step": lambda steps, batch_size: (steps, batch_size, 1),
}


def hard_captioner(soft, **options):
    settings = {name: getattr(soft, name) for name in SETTINGS}
    settings |= {"attention": "hard", "dropout": 0.0, "train_encoder": False, **options}
    captioner = Captioner(soft.encoder, soft.vocabulary, **settings)
    captioner.decoder.set_weights(soft.decoder.get_weights())
    return captioner


def throw(captioner, coin):
    """Makes the captioner throw its coin once for each of `coin`."""
    selection = captioner.decoder.cell.selection
    draw = selection.draw_noise

    def draw_noise(steps, batch_size, locations):
        gumbel, _ = draw(steps, batch_size, locations)
        coins = tf.random.uniform(COINS[coin](steps, batch_size)) >= selection.expectation
        return gumbel, tf.cast(coins, tf.float32) + tf.zeros((steps, batch_size, 1))

    selection.draw_noise = draw_noise


def variance(captioner, batch, baseline="moving"):
    x, tokens, mask = batch
    # As many samples in all, whatever their number a caption: every so many photos.
    each = len(tokens) // len(x)
    photos = np.arange(0, len(x), captioner.samples)
    rows = (photos[:, None] * each + np.arange(each)).ravel()
    x, tokens, mask = (tf.gather(a, i) for a, i in ((x, photos), (tokens, rows), (mask, rows)))
    if baseline == "none":
        captioner._baselines = lambda rewards, mask: tf.zeros_like(rewards)
    weights = captioner.decoder.cell.scorer.trainable_weights

    @tf.function
    def gradient():
        with tf.GradientTape() as tape:
            loss = captioner._loss(x, tokens[:, :-1], tokens[:, 1:], mask, training=True)
        gradients = tape.gradient(loss, [weight.value for weight in weights])
        return tf.concat([tf.reshape(each, [-1]) for each in gradients], axis=0)

    for _ in range(30):
        gradient()  # until the moving average has arrived
    drawn = np.stack([gradient() for _ in range(DRAWS)])
    return float(drawn.var(axis=0, ddof=1).sum())


def main(folder):
    folder = Path(folder)
    soft = load_run(folder)
    builder = datasets.build_records("shapes", folder / "records")
    cache = build_annotation_cache(
        folder / "annotations", builder, "validation", soft.encoder, pixels=True
    )
    batch = next(iter(batches(cache, soft.vocabulary, 64, 2, shuffle=False).skip(6)))
    x = soft.encode(batch[0])
    batch = (x, *batch[1:])

    found = {}
    for coin in COINS:
        captioner = hard_captioner(soft)
        throw(captioner, coin)
        found[f"coin per {coin}, moving average"] = variance(captioner, batch)
    found["coin per step, no baseline"] = variance(hard_captioner(soft), batch, "none")
    found["coin per step, 4 samples, the others' mean"] = variance(
        hard_captioner(soft, samples=4), batch
    )
    paper = found["coin per batch, moving average"]
    print(json.dumps({name: value / paper for name, value in found.items()}, indent=2))


if __name__ == "__main__":
    main(*sys.argv[1:])
