"""A step of several replicas gives the weights of one device for the whole batch."""

import functools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from sat_keras import replicas

TRAINING = Path(__file__).with_name("train_on_replicas.py")
CASES = (
    "soft, images",
    "hard, 3 samples",
    "CNN-LSTM, scheduled sampling",
    "self-critical, given captions",
)
SLOW_CASES = ("soft", "hard", "scheduled sampling", "CNN-LSTM", "self-critical")
CLIP = 1.0  # of the gradient's norm


@functools.cache
def trained(cases):
    """The results of `train_on_replicas.py`, all in one process."""
    command = [sys.executable, TRAINING, *cases]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def check(found):
    assert found["moved"] > 0.1
    assert found["apart"] < 2e-6
    alone, together = found["metrics"]
    assert alone["gradient_norm"] > 1.5 * CLIP  # it was clipped
    assert together == pytest.approx(alone, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_weights_and_metrics_are_those_of_one_device(case):
    check(trained(CASES)[case])


@pytest.mark.slow
@pytest.mark.parametrize("case", SLOW_CASES)
def test_so_they_are_of_simpler_cases(case):
    check(trained(SLOW_CASES)[case])


def test_without_a_strategy_nothing_is_exchanged():
    tensors = [tf.constant([1.0, 2.0]), {"name": (tf.constant(3.0), tf.constant(4.0))}]
    assert replicas.count() == 1
    assert replicas.add_up(tensors) is tensors
    assert replicas.hand_in_once(tensors) is tensors
    rows = replicas.rows(5)
    assert (rows.first, rows.count, rows.total) == (0, 5, 5)
    drawn = tf.random.normal((5, 3))
    assert rows.of(drawn) is drawn and rows.spread(drawn) is drawn
    assert replicas.map_rows(lambda x: x, drawn) is drawn


def test_a_replica_takes_its_rows_of_the_whole_batch():
    rows = replicas.Rows(tf.constant(2), tf.constant(3), tf.constant(7))
    whole = np.arange(14.0).reshape(7, 2)
    np.testing.assert_array_equal(rows.of(whole), whole[2:5])
    np.testing.assert_array_equal(rows.of(whole.T, axis=1), whole.T[:, 2:5])
    spread = rows.spread(tf.constant(whole[2:5]))
    np.testing.assert_array_equal(
        spread, np.where(np.isin(np.arange(7), (2, 3, 4))[:, None], whole, 0)
    )
