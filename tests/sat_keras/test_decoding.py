"""Greedy decoding of a Markov chain, whose captions can be worked out by hand."""

import numpy as np
import tensorflow as tf

from sat_edge.caption import END, PAD, START, UNKNOWN
from sat_keras.decoding import greedy

V, L, T = 8, 3, 5


def decode(table, batch_size=1):
    """`table[previous]` are the next word's logits; attention tells the step it was made at."""
    table = tf.constant(table, tf.float32)

    def step(token, count):
        alphas = tf.one_hot(count % L, L) * 0.9 + 0.1 / L
        return tf.gather(table, token), count + 1, alphas

    outputs = tf.function(greedy)(step, tf.zeros([batch_size], tf.int32), batch_size, L, T)
    return [output.numpy() for output in outputs]


def chain(*words):
    table = np.zeros((V, V), "float32")
    for previous, word in zip((START, *words), words, strict=False):
        table[previous, word] = 4.0
    return table


def test_words_up_to_end_then_padding():
    table = chain(5, 6, END)
    tokens, alphas, log_prob = decode(table)
    np.testing.assert_array_equal(tokens, [[5, 6, END, PAD, PAD]])
    np.testing.assert_allclose(alphas[0].sum(-1), [1, 1, 1, 0, 0], atol=1e-6)
    np.testing.assert_array_equal(alphas[0, :3].argmax(-1), [0, 1, 2])
    word = 4 - np.log(np.exp(4) + V - 1)  # each of the three was chosen with this
    np.testing.assert_allclose(log_prob, [3 * word], rtol=1e-5)


def test_end_never_comes():
    tokens, alphas, log_prob = decode(chain(5, 6, 5))
    np.testing.assert_array_equal(tokens, [[5, 6, 5, 6, 5]])
    np.testing.assert_allclose(alphas.sum(-1), np.ones((1, T)), atol=1e-6)
    assert np.isfinite(log_prob).all()


def test_special_words_are_passed_over_but_keep_their_probability():
    table = chain(5, END)
    for special in (PAD, START, UNKNOWN):
        table[START, special] = 9.0
    tokens, _, log_prob = decode(table)
    np.testing.assert_array_equal(tokens[0, :2], [5, END])
    first = 4 - np.log(3 * np.exp(9) + np.exp(4) + V - 4)
    last = 4 - np.log(np.exp(4) + V - 1)
    np.testing.assert_allclose(log_prob, [first + last], rtol=1e-5)


def test_captions_of_a_batch_end_on_their_own():
    # The first step's word depends on the row, through the state.
    first = np.array([[0, 0, 9, 0, 0, 0, 0, 0], [0, 0, 0, 0, 9, 0, 0, 0]], "float32")
    table = tf.constant(chain(5, 4, 7, END))

    def step(token, count):
        logits = tf.where((count == 0)[:, None], first, tf.gather(table, token))
        return logits, count + 1, tf.ones((2, L)) / L

    tokens, alphas, log_prob = greedy(step, tf.zeros([2], tf.int32), 2, L, T)
    np.testing.assert_array_equal(tokens, [[END, 0, 0, 0, 0], [4, 7, END, 0, 0]])
    np.testing.assert_allclose(alphas.numpy().sum((1, 2)), [1, 3], rtol=1e-6)
    one = 9 - np.log(np.exp(9) + V - 1)
    np.testing.assert_allclose(log_prob[0], one, rtol=1e-4)
