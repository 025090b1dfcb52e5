"""Beam search of chains small enough to write down every caption."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from sat_edge.caption import END, PAD, START
from sat_edge.search import Search
from sat_keras.decoding import beam_search, greedy

V, L, T = 7, 2, 4
WORDS = (4, 5, 6)


@pytest.fixture(scope="module")
def tables():
    """Logits `(pictures, T, previous, next)`: each picture a chain of its own."""
    return np.random.default_rng(0).normal(0, 1.5, (5, T, V, V)).astype("float32")


def step_over(tables):
    """The step function; its state is the picture and how many words have been said."""

    def step(token, state):
        picture, count = state
        logits = tf.gather_nd(tables, tf.stack([picture, tf.minimum(count, T - 1), token], axis=1))
        alphas = tf.stack([tf.cast(token, tf.float32), tf.cast(picture, tf.float32)], axis=1)
        return logits, (picture, count + 1), alphas

    return step


def search(tables, width, **options):
    pictures, how = tf.repeat(tf.range(len(tables)), width), Search(width, **options)
    state = (pictures, tf.zeros_like(pictures))
    run = tf.function(lambda: beam_search(step_over(tables), state, len(tables), L, T, how))
    return [each.numpy() for each in run()]


def padded(words):
    return list(words) + [PAD] * (T - len(words))


@pytest.mark.parametrize("length_penalty", [0.0, 0.7, 1.0])
def test_a_width_that_covers_everything_is_brute_force(tables, every_caption, length_penalty):
    tokens, _, log_prob, score = search(
        tables, 125, length_penalty=length_penalty, n_best=6
    )  # 121 captions
    for i, table in enumerate(tables):
        wanted = every_caption(table, WORDS, length_penalty)
        assert len(wanted) == 121
        for k in range(6):
            np.testing.assert_array_equal(tokens[i, k], padded(wanted[k][2]))
            assert score[i, k] == pytest.approx(wanted[k][0], abs=1e-4)
            assert log_prob[i, k] == pytest.approx(wanted[k][1], abs=1e-4)


def test_width_one_is_greedy(tables):
    pictures = tf.range(len(tables))
    state = (pictures, tf.zeros_like(pictures))
    wanted = greedy(step_over(tables), state, len(tables), L, T)
    tokens, alphas, log_prob, score = search(tables, 1, length_penalty=0.7)
    np.testing.assert_array_equal(tokens[:, 0], wanted[0])
    np.testing.assert_allclose(alphas[:, 0], wanted[1])
    np.testing.assert_allclose(log_prob[:, 0], wanted[2], atol=1e-5)
    lengths = (np.asarray(wanted[0]) != PAD).sum(1)
    np.testing.assert_allclose(score[:, 0], wanted[2] / lengths**0.7, atol=1e-5)


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_batched_is_one_at_a_time(tables, length_penalty):
    options = {"length_penalty": length_penalty, "n_best": 2}
    together = search(tables, 3, **options)
    for i in range(len(tables)):
        alone = search(tables[i : i + 1], 3, **options)
        np.testing.assert_array_equal(together[0][i, :2], alone[0][0, :2])
        np.testing.assert_allclose(together[2][i, :2], alone[2][0, :2], atol=1e-5)


def test_wider_never_scores_lower(tables):
    best = [search(tables, width)[3][:, 0] for width in (1, 2, 4, 125)]
    assert all((wide >= narrow - 1e-5).all() for narrow, wide in itertools.pairwise(best[1:]))
    assert (best[-1] > best[0] + 1e-3).any()


def test_attention_follows_its_words(tables):
    tokens, alphas, _, _ = search(tables, 4)
    for i in range(len(tables)):
        words = tokens[i, 0]
        length = int((words != PAD).sum())
        before = [START, *words[: length - 1]]  # attention tells the word it was made behind
        np.testing.assert_array_equal(alphas[i, 0, :length, 0], before)
        np.testing.assert_array_equal(alphas[i, 0, :length, 1], [i] * length)
        assert (alphas[i, 0, length:] == 0).all()


def test_end_never_comes(tables, every_caption):
    endless = tables.copy()
    endless[..., END] = -30.0
    tokens, _, log_prob, _ = search(endless, 125)
    assert np.isin(tokens[:, 0], WORDS).all()
    for i, table in enumerate(endless):
        wanted = every_caption(table, WORDS)[0]
        np.testing.assert_array_equal(tokens[i, 0], wanted[2])
        assert log_prob[i, 0] == pytest.approx(wanted[1], abs=1e-4)


def repeats(n):
    def allowed(words):
        words = [word for word in words if word != END]
        runs = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        return len(runs) == len(set(runs))

    return allowed


@pytest.mark.parametrize("n", [1, 2])
def test_no_run_of_words_twice(tables, every_caption, n):
    echoing = tables.copy()
    for word in WORDS:
        echoing[:, :, word, word] += 4  # it would like to say the same again
    tokens, _, log_prob, _ = search(echoing, 125, no_repeat_ngram=n)
    changed = 0
    for i, table in enumerate(echoing):
        wanted = every_caption(table, WORDS, allowed=repeats(n))[0]
        np.testing.assert_array_equal(tokens[i, 0], padded(wanted[2]))
        assert log_prob[i, 0] == pytest.approx(wanted[1], abs=1e-4)
        changed += wanted[2] != every_caption(table, WORDS)[0][2]
    assert changed > 0


def test_stops_when_nothing_can_win():
    """`<end>` is all but certain at once: the search takes one step, not T."""
    table = np.zeros((1, T, V, V), "float32")
    table[..., END] = 20.0
    steps = []

    def step(token, state):
        steps.append(1)
        return step_over(table)(token, state)

    state = (tf.zeros([3], tf.int32), tf.zeros([3], tf.int32))
    beam_search(step, state, 1, L, T, Search(beam_width=3))  # eagerly: the loop is Python's
    assert len(steps) == 1
