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

from sat_edge import InputError
from sat_keras import Captioner, Vocabulary, encoders, losses
from sat_keras.objectives import Reinforce
from sat_keras.trainable import Batch

L, T, H = 3, 3, 3
WORDS = np.array([[1, 4, 5, 2]])  # <start> one two <end>
CAPTIONS = 64  # of the same picture in a batch
BATCHES = 400


@pytest.fixture
def build(draw_weights):
    return functools.partial(build_toy, draw_weights)


def build_toy(draw_weights, **settings):
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
    )
    model.compile(objective=Reinforce(doubly_stochastic=0.0, **settings))
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
        for probability, gumbel, sampled, chosen in every_noise(model.objective.expectation):
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


def repeated(annotations, count):
    """The batch of one picture with its caption `count` times."""
    return Batch.from_data((annotations, np.repeat(WORDS[None], count, axis=1)))


def sampled_gradients(model, annotations, batches=BATCHES):
    """`(batches, parameters)`: each the gradient of one batch's loss, as in training."""
    batch = repeated(annotations, CAPTIONS // model.objective.samples)

    @tf.function
    def gradient():
        with tf.GradientTape() as tape:
            each, _ = model.objective(model, batch, training=True)
            loss = tf.reduce_mean(each)
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
    none.objective.baselines = lambda rewards, mask: tf.zeros_like(rewards)
    moving = variance(build(expectation=0.0))
    others = variance(build(expectation=0.0, samples=4))
    assert variance(none) > 24 * moving
    assert variance(none) > 27 * others


@pytest.mark.slow
def test_loss_does_not_depend_on_batch_size(build, annotations):
    """The same caption twice is the same loss and, in the mean, the same gradient."""
    model = build(expectation=0.0)
    few = sampled_gradients(model, annotations, batches=300)
    batch = repeated(annotations, 8)
    small = []
    for _ in range(300):
        with tf.GradientTape() as tape:
            each, _ = model.objective(model, batch, training=True)
            loss = tf.reduce_mean(each)
        gradients = tape.gradient(loss, model.trainable_variables)
        small.append(np.concatenate([np.ravel(tf.convert_to_tensor(g)) for g in gradients]))
    small = np.stack(small)
    error = np.sqrt(few.var(0) / len(few) + small.var(0) / len(small))
    moved = error > 1e-7
    assert (np.abs(few.mean(0) - small.mean(0))[moved] / error[moved]).max() < 4.5


# === Baselines ===


def test_moving_average(build):
    model = build()
    objective = model.objective
    assert float(objective.baseline.numpy()) == pytest.approx(-np.log(len(model.vocabulary)))
    objective.baseline.assign(-1.0)
    rewards = tf.constant([[-2.0, -4.0, 0.0], [-6.0, 0.0, 0.0]])
    mask = tf.constant([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    np.testing.assert_allclose(objective.baselines(rewards, mask), -1.0 * mask)
    objective.update({"reward": (tf.reduce_sum(rewards), tf.reduce_sum(mask))})
    assert float(objective.baseline.numpy()) == pytest.approx(0.9 * -1.0 + 0.1 * -4.0)


def test_a_step_reports_the_baseline_before_it_moves(build, annotations):
    model = build(expectation=0.0)
    before = float(model.objective.baseline.numpy())
    tokens = np.repeat(WORDS[None], 4, axis=1)
    found = model.train_on_batch(annotations, tokens, return_dict=True)
    assert found["baseline"] == pytest.approx(before)
    assert found["reward"] == pytest.approx(-found["cross_entropy"])
    after = float(model.objective.baseline.numpy())
    assert after == pytest.approx(0.9 * before + 0.1 * found["reward"])


def test_leave_one_out(build):
    rewards = tf.constant([[-1.0, -2.0], [-3.0, -4.0], [-5.0, -6.0], [-7.0, -8.0]])
    found = build(samples=2).objective.baselines(rewards, tf.ones((4, 2)))
    np.testing.assert_allclose(found, [[-3, -4], [-1, -2], [-7, -8], [-5, -6]])


# === Noise ===


def draw_noise(batch_size, steps, **settings):
    objective = Reinforce(**settings)
    objective.seeds = keras.random.SeedGenerator(0)
    noise = objective.draw_noise(tf.zeros((batch_size, steps), tf.int32), L)
    return [np.asarray(each) for each in noise]


def test_sampled_locations_follow_the_weights():
    scores = np.array([[0.3, -1.0, 0.5], [-0.2, 0.9, 0.1]])
    gumbel, sampled = draw_noise(2, 20_000, expectation=0.0)
    assert gumbel.shape == (20_000, 2, L) and sampled.shape == (20_000, 2, 1)
    assert (sampled == 1).all()
    location = (scores + gumbel).argmax(-1)  # (20000, B)
    shares = np.stack([(location == i).mean(0) for i in range(L)], axis=1)  # (B, L)
    alphas = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    error = np.sqrt(alphas * (1 - alphas) / 20_000)
    assert (np.abs(shares - alphas) < 4 * error).all()
    # The captions of a batch look apart from each other.
    apart = (alphas[0] * alphas[1]).sum()
    same = (location[:, 0] == location[:, 1]).mean()
    assert abs(same - apart) < 4 * np.sqrt(apart * (1 - apart) / 20_000)


def test_each_step_of_each_caption_throws_its_own_coin():
    _, sampled = draw_noise(2, 4000, expectation=0.25)
    assert sampled.mean() == pytest.approx(0.75, abs=0.02)
    differ = (sampled[:, 0] != sampled[:, 1]).mean()
    assert differ == pytest.approx(2 * 0.25 * 0.75, abs=4 * np.sqrt(0.375 * 0.625 / 4000))


def test_validation_samples_nothing(build, annotations):
    model = build()
    tokens = np.repeat(WORDS[None], 4, axis=1)
    found = [model.test_on_batch(annotations, tokens, return_dict=True) for _ in range(2)]
    assert found[0] == found[1]
    assert "reward" not in found[0]
    logits, *_ = model(annotations, WORDS[:, :-1])
    nll = -tf.math.log_softmax(logits)[0].numpy()[np.arange(T), WORDS[0, 1:]]
    assert found[0]["cross_entropy"] == pytest.approx(nll.mean(), rel=1e-5)


# === Training ===


def test_it_learns_by_heart_and_reports(make_fresh, training_batch, fit):
    keras.utils.set_random_seed(0)
    model = make_fresh(attention="hard", dropout=0.0)
    optimizer = keras.optimizers.Adam(1e-2, global_clipnorm=5.0)
    model.compile(optimizer, objective=Reinforce(doubly_stochastic=0.0, samples=2))
    history = fit(model, steps=60, validation_data=training_batch, epochs=2)
    assert history["val_cross_entropy"][1] < 1.0
    assert history["reward"][1] > history["reward"][0]
    assert history["baseline"][0] < history["baseline"][1] < 0
    assert 0 < history["attention_entropy"][1] <= np.log(4)
    assert "val_reward" not in history


def test_hard_attention_is_trained_by_it_unless_named(make_fresh):
    model = make_fresh(attention="hard")
    model.compile()
    assert isinstance(model.objective, Reinforce)


@pytest.mark.parametrize("attention", ["soft", "none"])
def test_only_hard_attention_is_trained(make_fresh, attention):
    says = f"objective reinforce trains attention hard, not {attention}"
    with pytest.raises(InputError, match=says):
        make_fresh(attention=attention).compile(objective=Reinforce())


@pytest.mark.parametrize(
    "settings, says",
    [
        ({"expectation": -0.1}, "expectation is -0.1: name 0 or more, and at most 1"),
        ({"samples": 0}, "samples is 0: name 1 or more"),
        ({"samples": 1.5}, "samples is 1.5: name a value of type int"),
    ],
)
def test_settings_that_cannot_be(settings, says):
    with pytest.raises(InputError, match=says):
        Reinforce(**settings)
