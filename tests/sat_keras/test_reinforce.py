"""Hard attention's sampled gradient against the exact one, on a toy that can be enumerated.

Three locations, three words: 27 ways to look, or 8 * 27 with the coin that now and then takes the
expectation. The gradient of the expected negative log-likelihood, written out over all of them,
is what REINFORCE's estimates have to average to.
"""

import functools
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from sat_keras import Captioner, Vocabulary, encoders, losses

L, T, H = 3, 3, 3
WORDS = np.array([[1, 4, 5, 2]])  # <start> one two <end>
CAPTIONS = 64  # of the same picture in a batch
BATCHES = 400


@pytest.fixture
def build(draw_weights):
    return functools.partial(build_toy, draw_weights)


def build_toy(draw_weights, **options):
    keras.utils.set_random_seed(0)
    encoder = encoders.mobilenet(alpha=0.25, image_size=(32, 96))  # 1 x 3 locations
    model = Captioner(
        encoder,
        Vocabulary.from_captions(["one two"]),
        attention="hard",
        units=H,
        embedding_size=3,
        attention_size=3,
        dropout=0.0,
        doubly_stochastic=0.0,
        **options,
    )
    model.compile()
    draw_weights(model, 0.8)
    return model


@pytest.fixture(scope="module")
def annotations():
    return tf.constant(np.random.default_rng(1).normal(0, 0.3, (1, L, 256)), tf.float32)


def every_noise(expectation):
    """(probability of the coins, noise that forces the choice, sampled (T,)) of every way."""
    coins = itertools.product((0, 1), repeat=T) if expectation else [(1,) * T]
    for sampled in coins:
        places = [range(L) if each else (0,) for each in sampled]
        probability = np.prod([1 - expectation if each else expectation for each in sampled])
        for chosen in itertools.product(*places):
            gumbel = 1e4 * np.eye(L, dtype="float32")[list(chosen)]  # (T, L)
            yield probability, gumbel, np.array(sampled, "float32"), chosen


def exact_gradient(model, annotations):
    """d/dtheta sum over every way of p(way) * -log p(words | way), step by step."""
    decoder = model.decoder
    with tf.GradientTape() as tape:
        expected = 0.0
        memory, start = decoder.start(annotations)
        for probability, gumbel, sampled, chosen in every_noise(model.expectation):
            state, log_way, nll = start, float(np.log(probability)), 0.0
            for t in range(T):
                noise = (gumbel[None, t], sampled[None, t : t + 1])
                logits, state, alphas = decoder.step(WORDS[:, t], state, memory, noise)
                nll -= tf.nn.log_softmax(logits)[0, WORDS[0, t + 1]]
                if sampled[t]:
                    log_way += tf.math.log(alphas[0, chosen[t]])
            expected += tf.exp(log_way) * nll
    gradients = tape.gradient(expected, model.trainable_variables)
    return np.concatenate([np.ravel(tf.convert_to_tensor(each)) for each in gradients])


def sampled_gradients(model, annotations, batches=BATCHES):
    """`(batches, parameters)`: each the gradient of one batch's loss, as in training."""
    words = np.repeat(WORDS, CAPTIONS // model.samples, axis=0)  # (B, T + 1)
    mask = np.ones((len(words), T), "float32")

    @tf.function
    def gradient():
        with tf.GradientTape() as tape:
            loss = model._loss(annotations, words[:, :-1], words[:, 1:], mask, training=True)
        gradients = tape.gradient(loss, model.trainable_variables)
        return tf.concat([tf.reshape(tf.convert_to_tensor(g), [-1]) for g in gradients], axis=0)

    return np.stack([gradient() for _ in range(batches)])


def standard_errors_off(gradients, exact):
    """How far each component's mean is from the exact gradient, in its own standard errors."""
    error = gradients.std(axis=0, ddof=1) / np.sqrt(len(gradients))
    return np.abs(gradients.mean(0) - exact) / np.maximum(error, 1e-6)  # float32's own


@pytest.mark.parametrize(
    "options",
    [
        {"expectation": 0.5},
        pytest.param({"expectation": 0.0}, marks=pytest.mark.slow),
        pytest.param({"samples": 4}, marks=pytest.mark.slow),
    ],
)
def test_mean_of_sampled_gradients_is_the_exact_gradient(build, annotations, options):
    model = build(**options)
    exact = exact_gradient(model, annotations)
    gradients = sampled_gradients(model, annotations)
    assert len(gradients) * CAPTIONS >= 20_000
    off = standard_errors_off(gradients, exact)
    assert off.max() < 4.0


@pytest.mark.parametrize("planted", ["wrong sign", "advantage not detached"])
def test_planted_errors_are_found(build, annotations, monkeypatch, planted):
    if planted == "wrong sign":
        right = losses.reinforce
        monkeypatch.setattr(losses, "reinforce", lambda *arguments: -right(*arguments))
    else:
        monkeypatch.setattr(losses.tf, "stop_gradient", tf.identity)
    model = build(expectation=0.0)
    exact = exact_gradient(model, annotations)
    off = standard_errors_off(sampled_gradients(model, annotations), exact)
    assert off.max() > 8.0


@pytest.mark.slow
def test_baselines_lower_the_variance(build, annotations):
    """Without moving the mean, which the tests above see to; the factors are measured ones, halved:
    48 for the moving average and 55 for the other samples' mean, at the same 64 samples a batch."""

    def variance(model):
        return sampled_gradients(model, annotations, batches=100).var(axis=0, ddof=1).sum()

    none = build(expectation=0.0)
    none._baselines = lambda rewards, mask: tf.zeros_like(rewards)
    moving = variance(build(expectation=0.0))
    others = variance(build(expectation=0.0, samples=4))
    assert variance(none) > 24 * moving
    assert variance(none) > 27 * others


@pytest.mark.slow
def test_loss_does_not_depend_on_batch_size(build, annotations):
    """The same caption twice is the same loss and, in the mean, the same gradient."""
    model = build(expectation=0.0)
    few = sampled_gradients(model, annotations, batches=300)
    words = np.repeat(WORDS, 8, axis=0)
    mask = np.ones((len(words), T), "float32")
    small = []
    for _ in range(300):
        with tf.GradientTape() as tape:
            loss = model._loss(annotations, words[:, :-1], words[:, 1:], mask, training=True)
        gradients = tape.gradient(loss, model.trainable_variables)
        small.append(np.concatenate([np.ravel(tf.convert_to_tensor(g)) for g in gradients]))
    small = np.stack(small)
    error = np.sqrt(few.var(0) / len(few) + small.var(0) / len(small))
    moved = error > 1e-7
    assert (np.abs(few.mean(0) - small.mean(0))[moved] / error[moved]).max() < 4.5


def test_moving_average(build, annotations):
    model = build()
    assert float(model.baseline.numpy()) == pytest.approx(-np.log(len(model.vocabulary)))
    model.baseline.assign(-1.0)
    rewards = tf.constant([[-2.0, -4.0, 0.0], [-6.0, 0.0, 0.0]])
    mask = tf.constant([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    baselines = model._baselines(rewards, mask)
    np.testing.assert_allclose(baselines, -1.0 * mask)  # as it was before this batch
    assert float(model.baseline.numpy()) == pytest.approx(0.9 * -1.0 + 0.1 * -4.0)


def test_leave_one_out(build):
    model = build(samples=2)
    rewards = tf.constant([[-1.0, -2.0], [-3.0, -4.0], [-5.0, -6.0], [-7.0, -8.0]])
    found = model._baselines(rewards, tf.ones((4, 2)))
    np.testing.assert_allclose(found, [[-3, -4], [-1, -2], [-7, -8], [-5, -6]])
