"""What hard attention, beam search and CIDEr-D rewards cost.

    python benchmarks/attention_family.py

At B 64, L 49, D 1280, E = H = A 512, V 9000, T 20. Prints one JSON object: seconds (median) of a
training step with soft and with hard attention, of 64 photos' captions greedily and by beam search
of width 5, and of the CIDEr-D rewards of 64 captions with five references each; and the ratios of
hard to soft attention, of beam to greedy search, and of rewards to a training step.
"""

import argparse
import json

import keras
import numpy as np
import tensorflow as tf

from sat_export.benchmark import median_seconds
from sat_keras import Captioner, Search, Vocabulary, encoders
from sat_keras.memory import keep_freed_memory
from sat_keras.metrics import CiderD

B, L, D, V, T = 64, 49, 1280, 9000, 20


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    keep_freed_memory()
    rng = np.random.default_rng(0)
    vocabulary = Vocabulary.from_captions([" ".join(f"w{i}" for i in range(V - 4))])
    encoder = encoders.mobilenet_v2()
    x = tf.constant(rng.normal(size=(B, L, D)), tf.float32)
    tokens = tf.constant(rng.integers(4, V, (B, T + 1)), tf.int32)
    batch = (x, tokens)

    functions, captioners = {}, {}
    for attention in ("soft", "hard"):
        captioner = Captioner(encoder, vocabulary, attention)
        captioner.compile(keras.optimizers.Adam(4e-4, global_clipnorm=5.0))
        captioners[attention] = captioner
        step = tf.function(captioner.train_step, autograph=False)
        functions[f"{attention}_step"] = lambda step=step: step(batch)["loss"].numpy()
    soft = captioners["soft"]
    greedy = tf.function(soft.greedy)
    beam = tf.function(lambda x: soft.beam(x, Search(beam_width=5)))
    functions["greedy"] = lambda: greedy(x)[0].numpy()
    functions["beam_5"] = lambda: beam(x)[0].numpy()

    def caption(length):
        return (4 + rng.zipf(1.3, length) % (V - 4)).tolist()  # words as frequent as in language

    references = [[caption(11) for _ in range(5)] for _ in range(6000)]
    cider = CiderD(references)
    drawn = [caption(11) for _ in range(B)]
    of_drawn = references[:B]
    functions["cider"] = lambda: cider.score(drawn, of_drawn)

    seconds = median_seconds(functions, repeats=8)
    ratios = {
        "hard_to_soft_step": seconds["hard_step"] / seconds["soft_step"],
        "beam_5_to_greedy": seconds["beam_5"] / seconds["greedy"],
        "cider_to_step": seconds["cider"] / seconds["soft_step"],
    }
    print(json.dumps({**{f"{name}_s": each for name, each in seconds.items()}, **ratios}, indent=2))


if __name__ == "__main__":
    main()
