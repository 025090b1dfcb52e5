"""Distillation: a captioner is the teacher of a smaller copy of itself.

It needs photos, but no captions. TFMOT works on Keras 2 only and switches the whole process to it,
so training runs in a process of its own. Its `main` reads `captioner.keras`, `images.npy` and
`task.json` from a folder and writes a file `result` there. The caller names the function that runs.
"""

import importlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from sat_edge.caption import PAD, START
from sat_edge.errors import InputError, check_choice

LOSSES = ("annotations", "words")
_CAPTIONER, _IMAGES, _TASK, _RESULT = "captioner.keras", "images.npy", "task.json", "result"
_BATCH = 16


def distil(captioner, images, task, loss, **options):
    """Runs a function in a process of its own, which has TFMOT.

    Args:
        captioner: `sat_keras.Captioner`, the teacher; it stays as it is.
        images: uint8 array `(N, H, W, 3)`, photos like those that will be captioned.
        task: function of a module, `(captioner, images, loss, **options)` to bytes.
        loss: str. `"annotations"`: the mean square error of annotations relative to their mean
            square. `"words"`: that, and the Kullback-Leibler divergence of the decoder's
            distributions, mean over the words of the captioner's own captions.
        **options: options of the task, `epochs`, and `learning_rate`, the first of Adam, which
            falls to zero along a cosine.
    Returns:
        What the function returned.
    Raises:
        InputError: if it failed.
    """
    check_choice("loss", loss, LOSSES)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        captioner.save(folder / _CAPTIONER)
        np.save(folder / _IMAGES, images)
        named = {"module": task.__module__, "function": task.__name__}
        (folder / _TASK).write_text(json.dumps({**named, "options": {"loss": loss, **options}}))
        # Progress goes to standard error: standard output is for results.
        command = [sys.executable, "-c", f"from {__name__} import main; main({str(folder)!r})"]
        done = subprocess.run(command, stdout=sys.stderr, check=False)
        if done.returncode:
            raise InputError(
                f"{captioner.encoder.backbone}: training it failed; the error is shown above"
            )
        return (folder / _RESULT).read_bytes()


def main(folder):
    """The process; see this file's head."""
    folder = Path(folder)
    # Before Keras 3 is there, as TFMOT asks.
    import tensorflow_model_optimization  # noqa: F401, I001
    import keras

    from sat_keras import Captioner
    from sat_keras.memory import keep_freed_memory

    keep_freed_memory()
    task = json.loads((folder / _TASK).read_text())
    function = getattr(importlib.import_module(task["module"]), task["function"])
    captioner = keras.saving.load_model(
        folder / _CAPTIONER, {"Captioner": Captioner}, compile=False
    )
    images = np.load(folder / _IMAGES, mmap_mode="r")
    (folder / _RESULT).write_bytes(function(captioner, images, **task["options"]))


def count_steps(images, epochs):
    """How many steps `fit` takes."""
    return epochs * (len(images) // _BATCH)


def fit(teacher, images, student, variables, loss, epochs, learning_rate, after_step=None):
    """Trains a student to give its teacher's outputs; prints the loss of each epoch.

    Args:
        teacher: `sat_keras.Captioner`.
        images: uint8 array `(N, H, W, 3)`.
        student: function of float images `(B, H, W, 3)` to annotations of the teacher's size, and
            to its decoder, a function of annotations and words to logits.
        variables: list of `tf.Variable`.
        loss, epochs, learning_rate: see `distil`.
        after_step: function of the number of steps done, run in the graph. Defaults to `None`.
    """
    import tensorflow as tf
    import tf_keras
    from tqdm import tqdm

    steps = count_steps(images, epochs)
    schedule = tf_keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    optimizer = tf_keras.optimizers.Adam(schedule)
    optimizer.build(variables)

    def divergence(annotations, found, decoder):
        """Divergence of the student's words from the teacher's, along the teacher's captions."""
        tokens, *_ = teacher.greedy(annotations)  # (B, T)
        mask = tf.cast(tokens != PAD, "float32")  # (B, T)
        previous = tf.pad(tokens[:, :-1], [[0, 0], [1, 0]], constant_values=START)  # (B, T)
        wanted = tf.nn.log_softmax(teacher.decoder(annotations, previous)[0])  # (B, T, V)
        said = tf.nn.log_softmax(decoder(found, previous))  # (B, T, V)
        each = tf.reduce_sum(tf.exp(wanted) * (wanted - said), axis=-1)  # (B, T)
        return tf.reduce_sum(mask * each) / tf.reduce_sum(mask)

    @tf.function
    def step(batch):
        batch = tf.cast(batch, "float32")
        annotations = teacher.encoder(batch, training=False)  # (B, L, D)
        with tf.GradientTape() as tape:
            found, decoder = student(batch)
            found = tf.reshape(found, tf.shape(annotations))  # (B, L, D)
            square = tf.reduce_mean(tf.square(found - annotations))
            total = square = square / tf.reduce_mean(tf.square(annotations))
            if loss == "words":
                total += divergence(annotations, found, decoder)
        gradients = tape.gradient(total, variables)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        if after_step is not None:
            after_step(optimizer.iterations)
        return total, square

    rng = np.random.default_rng(0)
    with tqdm(total=steps, desc=loss, unit="step", disable=None) as progress:
        for epoch in range(epochs):
            order = rng.permutation(len(images))[: len(images) // _BATCH * _BATCH]
            losses = []
            for rows in order.reshape(-1, _BATCH):
                losses.append([float(each) for each in step(images[np.sort(rows)])])
                progress.update()
            total, square = np.mean(losses, axis=0)
            print(f"epoch {epoch + 1}: loss {total:.4f}, of annotations {square:.4f}", flush=True)
