"""A training step's rate of operations, compared with the machine's own for matrix products.

    python benchmarks/train_step.py

Prints one JSON object: seconds a training step (median), captions a second, the floating-point
operations of the step's matrix products as counted below, the rate at which this machine multiplies
matrices of the step's own shapes in the same process, and the ratio of the two rates.
"""

import argparse
import json

import keras
import tensorflow as tf

from sat_export.benchmark import median_seconds
from sat_keras import Captioner, Vocabulary, encoders
from sat_keras.memory import keep_freed_memory

B, L, D, E, H, A, V, T = 64, 49, 1280, 512, 512, 512, 9000, 20


def products():
    """The step's matrix products, forward: (name, times, rows, inner, columns)."""
    return [
        ("W_a a", 1, B * L, D, A),
        ("W_y E y", 1, B * T, E, 4 * H),
        ("W_h h (scorer)", T, B, H, A),
        ("v tanh", T, B * L, A, 1),
        ("sum alpha a", T * B, 1, L, D),
        ("W_beta h", T, B, H, 1),
        ("W_h h (gates)", T, B, H, 4 * H),
        ("W_z z", T, B, D, 4 * H),
        ("h_0, c_0", 2, B, D, H),
        ("L_h h", 1, B * T, H, E),
        ("L_z z", 1, B * T, D, E),
        ("L_o", 1, B * T, E, V),
    ]


def operations():
    """Forward and backward. The backward pass multiplies twice per product (by its inputs and by
    its weights); annotations come from a frozen encoder, so products of them do so once."""
    total = 0
    for name, times, rows, inner, columns in products():
        backward = 1 if name in ("W_a a", "sum alpha a", "h_0, c_0") else 2
        total += (1 + backward) * times * 2 * rows * inner * columns
    return total


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    keep_freed_memory()
    encoder = encoders.mobilenet_v2()
    words = [f"w{i}" for i in range(V - 4)]
    captioner = Captioner(
        encoder,
        Vocabulary.from_captions([" ".join(words)]),
        units=H,
        embedding_size=E,
        attention_size=A,
    )
    captioner.compile(keras.optimizers.Adam(4e-4, global_clipnorm=5.0))
    assert encoder.output_shape == (None, L, D)
    assert len(captioner.vocabulary) == V
    tokens = tf.random.uniform((B, T + 1), 4, V, tf.int32)
    batch = (tf.random.normal((B, L, D)), tokens)
    step = tf.function(captioner.train_step, autograph=False)

    # The rate of products is that of the step's three largest, each at its own shape.
    multiply = tf.function(tf.matmul)
    functions = {"step": lambda: step(batch)["loss"].numpy()}
    largest = sorted(products(), key=lambda p: -p[1] * p[2] * p[3] * p[4])[:3]
    for name, _, rows, inner, columns in largest:
        a, b = tf.random.normal((rows, inner)), tf.random.normal((inner, columns))
        functions[name] = lambda a=a, b=b: multiply(a, b).numpy()
    seconds = median_seconds(functions, repeats=12)
    product_operations = sum(times * 2 * r * i * c for _, times, r, i, c in largest)
    rate = product_operations / sum(times * seconds[name] for name, times, *_ in largest)
    print(
        json.dumps(
            {
                "seconds_per_step": seconds["step"],
                "captions_per_second": B / seconds["step"],
                "operations_per_step": operations(),
                "step_operations_per_second": operations() / seconds["step"],
                "product_operations_per_second": rate,
                "ratio": operations() / seconds["step"] / rate,
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
