import keras
import numpy as np
import pytest

from sat_keras.layers import HardSelection, SoftSelection

B, L, D = 2, 3, 4


@pytest.fixture
def inputs():
    rng = np.random.default_rng(0)
    return rng.normal(size=(B, L)).astype("float32"), rng.normal(size=(B, L, D)).astype("float32")


def test_samples_follow_the_weights(inputs):
    scores, annotations = inputs
    selection = HardSelection(expectation=0.0, seed=0)
    gumbel, sampled = selection.draw_noise(20_000, B, L)
    assert gumbel.shape == (20_000, B, L) and (np.asarray(sampled) == 1).all()
    location = (scores + np.asarray(gumbel)).argmax(-1)  # (20000, B)
    shares = np.stack([(location == i).mean(0) for i in range(L)], axis=1)  # (B, L)
    _, alphas, _ = selection(scores, annotations)
    alphas = np.asarray(alphas)
    error = np.sqrt(alphas * (1 - alphas) / 20_000)
    assert (np.abs(shares - alphas) < 4 * error).all()

    for t in range(5):
        context, _, sample = selection(scores, annotations, (gumbel[t], sampled[t]))
        np.testing.assert_array_equal(np.asarray(sample).argmax(-1), location[t])
        np.testing.assert_allclose(np.asarray(sample).sum(-1), 1)
        np.testing.assert_allclose(context, annotations[np.arange(B), location[t]], atol=1e-6)


def test_coin_takes_the_expectation(inputs):
    scores, annotations = inputs
    selection = HardSelection(expectation=0.25, seed=0)
    gumbel, sampled = (np.asarray(each) for each in selection.draw_noise(4000, B, L))
    assert sampled.shape == (4000, B, 1)
    assert sampled.mean() == pytest.approx(0.75, abs=0.02)
    assert (sampled[:, 0] != sampled[:, 1]).mean() > 0.15  # one coin each

    sampled = np.array([[1.0], [0.0]], "float32")
    context, alphas, sample = selection(scores, annotations, (gumbel[0], sampled))
    np.testing.assert_allclose(np.asarray(sample).sum(-1), [1, 0])
    np.testing.assert_allclose(context[1], np.asarray(alphas)[1] @ annotations[1], atol=1e-6)


def test_without_noise_it_is_soft_and_without_chance_the_most_probable(inputs):
    scores, annotations = inputs
    selection = HardSelection()
    for got, wanted in zip(
        selection(scores, annotations)[:2], SoftSelection()(scores, annotations)[:2], strict=True
    ):
        np.testing.assert_array_equal(got, wanted)
    chanceless = (np.zeros((B, L), "float32"), np.ones((B, 1), "float32"))
    context, _, _ = selection(scores, annotations, chanceless)
    np.testing.assert_allclose(context, annotations[np.arange(B), scores.argmax(-1)], atol=1e-6)


def test_soft_draws_nothing():
    assert SoftSelection().draw_noise(3, B, L) == ()


def test_config_round_trip():
    selection = HardSelection(expectation=0.3, seed=5)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(selection))
    assert (copy.expectation, copy.seed) == (0.3, 5)
