"""Word by word through a Markov chain, whose captions can be worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf

from sat_edge.caption import END, PAD, START, UNKNOWN
from sat_keras.decoding import greedy, mix_in_own_words, sample

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


# === Sampling ===


def draw(table, count=4000, **options):
    table = tf.constant(table, tf.float32)

    def step(token, state):
        return tf.gather(table, token), state, tf.ones((count, L)) / L

    outputs = sample(step, tf.zeros([count]), count, L, T, **{"seed": [1, 2], **options})
    return [output.numpy() for output in outputs]


@pytest.fixture(scope="module")
def loose():
    """Four words and the end, of falling probability, whatever came before."""
    table = np.full((V, V), -50.0, "float32")
    table[:, [4, 5, 6, 7, END]] = np.log([0.4, 0.3, 0.15, 0.1, 0.05])
    return table


def first_word_shares(tokens):
    return np.bincount(tokens[:, 0], minlength=V)[[4, 5, 6, 7, END]] / len(tokens)


@pytest.mark.parametrize(
    "options, wanted",
    [
        ({}, [0.4, 0.3, 0.15, 0.1, 0.05]),
        ({"temperature": 0.5}, np.square([0.4, 0.3, 0.15, 0.1, 0.05]) / 0.285),
        ({"top_k": 2}, [4 / 7, 3 / 7, 0, 0, 0]),
        ({"top_p": 0.75}, [8 / 17, 6 / 17, 3 / 17, 0, 0]),  # 0.4 + 0.3 are not enough
        ({"top_p": 0.69}, [4 / 7, 3 / 7, 0, 0, 0]),
        ({"top_k": 3, "top_p": 0.5}, [4 / 7, 3 / 7, 0, 0, 0]),
    ],
)
def test_words_are_drawn_from_the_distribution(loose, options, wanted):
    shares = first_word_shares(draw(loose, **options)[0])
    wanted = np.array(wanted)
    error = np.sqrt(wanted * (1 - wanted) / 4000)
    assert (np.abs(shares - wanted) <= 4 * error + 1e-9).all()


def test_log_prob_is_the_model_s_own(loose):
    tokens, _, log_prob = draw(loose, count=50, temperature=0.5)
    p = {4: 0.4, 5: 0.3, 6: 0.15, 7: 0.1, END: 0.05}
    wanted = [sum(np.log(p[word]) for word in row if word != PAD) for row in tokens]
    np.testing.assert_allclose(log_prob, wanted, rtol=1e-4)
    for row in tokens:
        if END in row:
            assert (row[list(row).index(END) + 1 :] == PAD).all()


def test_the_same_seed_draws_the_same(loose):
    one, same = draw(loose, count=50)[0], draw(loose, count=50)[0]
    np.testing.assert_array_equal(one, same)
    assert (one != draw(loose, count=50, seed=[3, 2])[0]).any()
    assert len({tuple(row) for row in one}) > 10
    # The words of a caption are drawn apart from each other.
    assert 0.1 < (one[:, 0] == one[:, 1]).mean() < 0.6


# === Scheduled sampling ===


def test_own_words_take_the_captions_places():
    """The model always says 7 behind what it said itself, 6 behind the caption's words."""
    table = np.full((V, V), -50.0, "float32")
    table[:, 6] = 0.0
    table[[6, 7]] = -50.0
    table[[6, 7], 7] = 0.0
    rows, steps = 3000, 5
    tokens = tf.constant([[START, 4, 5, 4, 5]] * rows)

    def step(token, state):
        return tf.gather(tf.constant(table), token), state, None

    def mix(probability):
        state = tf.zeros([rows])
        return mix_in_own_words(step, state, tokens, probability, [5, 6]).numpy()

    np.testing.assert_array_equal(mix(0.0), tokens)
    np.testing.assert_array_equal(mix(1.0), [[START, 6, 7, 7, 7]] * rows)
    some = mix(0.3)
    own = np.isin(some, (6, 7))
    assert (some[:, 0] == START).all()
    shares = own[:, 1:].mean(0)
    assert (np.abs(shares - 0.3) < 4 * np.sqrt(0.3 * 0.7 / rows)).all()
    for t in range(2, steps):
        wanted = np.where(own[:, t - 1], 7, 6)
        np.testing.assert_array_equal(some[own[:, t], t], wanted[own[:, t]])
        np.testing.assert_array_equal(some[~own[:, t], t], tokens.numpy()[~own[:, t], t])
