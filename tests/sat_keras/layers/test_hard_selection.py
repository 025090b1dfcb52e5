import keras
import numpy as np
import pytest

from sat_keras.layers import HardSelection, SoftSelection, gumbel

B, L, D = 2, 3, 4


@pytest.fixture
def inputs():
    rng = np.random.default_rng(0)
    return rng.normal(size=(B, L)).astype("float32"), rng.normal(size=(B, L, D)).astype("float32")


def softmax(scores):
    return np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)


def test_noise_of_gumbel_s_distribution_samples_by_the_weights(inputs):
    scores, annotations = inputs
    selection = HardSelection()
    uniform = np.random.default_rng(1).uniform(size=(20_000, B, L)).astype("float32")
    noise = np.asarray(gumbel(uniform))
    assert np.isfinite(np.asarray(gumbel(np.zeros(1, "float32")))).all()
    np.testing.assert_allclose(noise, -np.log(-np.log(uniform)), rtol=1e-3, atol=1e-5)
    sampled = np.ones((B, 1), "float32")
    chosen = np.zeros((B, L))
    for t in range(200):
        context, _, sample = selection(scores, annotations, (noise[t], sampled))
        location = (scores + noise[t]).argmax(-1)
        np.testing.assert_array_equal(sample, np.eye(L)[location])
        np.testing.assert_allclose(context, annotations[np.arange(B), location], atol=1e-6)
        chosen += sample
    shares = np.eye(L)[(scores + noise).argmax(-1)].mean(0)  # (B, L)
    alphas = softmax(scores)
    error = np.sqrt(alphas * (1 - alphas))
    assert (np.abs(shares - alphas) < 4 * error / np.sqrt(20_000)).all()
    assert (np.abs(chosen / 200 - alphas) < 4 * error / np.sqrt(200)).all()


def test_where_nothing_is_sampled_it_takes_the_expectation(inputs):
    scores, annotations = inputs
    sampled = np.array([[1.0], [0.0]], "float32")
    noise = np.zeros((B, L), "float32")
    context, alphas, sample = HardSelection()(scores, annotations, (noise, sampled))
    np.testing.assert_allclose(alphas, softmax(scores), rtol=1e-5)
    np.testing.assert_array_equal(sample, [np.eye(L)[scores[0].argmax()], [0, 0, 0]])
    np.testing.assert_allclose(context[0], annotations[0, scores[0].argmax()], atol=1e-6)
    np.testing.assert_allclose(context[1], softmax(scores)[1] @ annotations[1], atol=1e-6)


def test_without_noise_it_is_soft(inputs):
    scores, annotations = inputs
    found, wanted = HardSelection()(scores, annotations), SoftSelection()(scores, annotations)
    for got, expected in zip(found[:2], wanted[:2], strict=True):
        np.testing.assert_array_equal(got, expected)
    assert found[2] is None


def test_noise_stays_float32_under_mixed_precision(inputs):
    """Half a float has too few numbers: of equal scores the first location would come too often."""
    _, annotations = inputs
    selection = HardSelection(dtype="mixed_bfloat16")
    noise = np.array([[1.0, 1.001, 1.0005]] * B, "float32")  # alike in bfloat16
    sampled = np.ones((B, 1), "float32")
    _, _, sample = selection(np.zeros((B, L), "float32"), annotations, (noise, sampled))
    np.testing.assert_array_equal(sample, [[0, 1, 0]] * B)


def test_config_round_trip(inputs):
    selection = HardSelection(name="chosen")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(selection))
    assert isinstance(copy, HardSelection) and copy.name == "chosen"
