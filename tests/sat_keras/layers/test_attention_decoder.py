"""The whole decoder: teacher forcing against the step function and against NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sat_keras.layers import (
    AdditiveScorer,
    AttentionDecoder,
    AttentionLSTMCell,
    HardSelection,
    SoftSelection,
)

B, L, D, E, H, A, T, V = 3, 5, 4, 6, 7, 8, 4, 11


@pytest.fixture(scope="module")
def decoder(draw_weights):
    keras.utils.set_random_seed(0)
    decoder = AttentionDecoder(V, AttentionLSTMCell(H, AdditiveScorer(A), SoftSelection()), E)
    decoder.build((None, L, D))
    draw_weights(decoder)
    return decoder


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(1)
    return rng.normal(size=(B, L, D)).astype("float32"), rng.integers(0, V, (B, T))


def test_teacher_forcing_equals_step_by_step(decoder, batch):
    annotations, tokens = batch
    logits, alphas, _ = decoder(annotations, tokens)
    memory, state = decoder.start(annotations)
    for t in range(T):
        step_logits, state, step_alphas = decoder.step(tokens[:, t], state, memory)
        np.testing.assert_allclose(logits[:, t], step_logits, atol=1e-5)
        np.testing.assert_allclose(alphas[:, t], step_alphas, atol=1e-6)


def test_first_state_and_deep_output_equal_the_equations(decoder, batch):
    annotations, tokens = batch
    mean = annotations.mean(1)
    init = decoder.initial_state
    h0, c0 = (
        np.tanh(mean @ np.asarray(mlp[0].kernel) + np.asarray(mlp[0].bias))
        for mlp in (init.hidden_mlp, init.cell_mlp)
    )
    memory, (h, c) = decoder.start(annotations)
    np.testing.assert_allclose(h, h0, atol=1e-6)
    np.testing.assert_allclose(c, c0, atol=1e-6)

    words = np.asarray(decoder.embedding.embeddings)[tokens[:, 0]]
    (h1, _), z, *_ = decoder.cell(decoder.cell.project_words(words), (h, c), *memory)
    output = decoder.deep_output
    L_h, b = (np.asarray(w) for w in output.project_state.weights)
    L_z = np.asarray(output.project_context.kernel)
    L_o, b_o = (np.asarray(w) for w in output.project_word.weights)
    wanted = np.tanh(np.asarray(h1) @ L_h + b + np.asarray(z) @ L_z + words) @ L_o + b_o
    got, _, _ = decoder.step(tokens[:, 0], (h, c), memory)
    np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_gradient_through_the_loop_equals_finite_differences(decoder, batch):
    annotations, tokens = batch
    kernel = decoder.cell.context_gates.kernel

    @tf.function
    def loss():
        logits, alphas, _ = decoder(annotations, tokens)
        return tf.reduce_mean(logits**2) + tf.reduce_mean(alphas**2)

    with tf.GradientTape() as tape:
        value = loss()
    gradient = tape.gradient(value, kernel.value).numpy()
    rng, step = np.random.default_rng(0), 1e-2
    for row, column in rng.integers(0, kernel.shape, (6, 2)):
        original = kernel.numpy()
        sides = []
        for sign in (1, -1):
            moved = original.copy()
            moved[row, column] += sign * step
            kernel.assign(moved)
            sides.append(float(loss()))
        kernel.assign(original)
        finite = (sides[0] - sides[1]) / (2 * step)
        assert gradient[row, column] == pytest.approx(finite, rel=0.02, abs=2e-4)


def test_noise_is_that_of_each_step(batch, draw_weights):
    annotations, tokens = batch
    decoder = AttentionDecoder(V, AttentionLSTMCell(H, AdditiveScorer(A), HardSelection()), E)
    decoder.build((None, L, D))
    draw_weights(decoder)
    rng = np.random.default_rng(2)
    noise = (
        rng.gumbel(size=(T, B, L)).astype("float32"),
        rng.integers(0, 2, (T, B, 1)).astype("float32"),
    )
    logits, alphas, samples = decoder(annotations, tokens, noise=noise)
    np.testing.assert_array_equal(np.asarray(samples).sum(-1), noise[1][..., 0].T)
    memory, state = decoder.start(annotations)
    for t in range(T):
        step_noise = (noise[0][t], noise[1][t])
        step_logits, state, step_alphas = decoder.step(tokens[:, t], state, memory, step_noise)
        np.testing.assert_allclose(logits[:, t], step_logits, atol=1e-5)
        np.testing.assert_allclose(alphas[:, t], step_alphas, atol=1e-6)
    assert decoder(annotations, tokens)[2] is None


def test_several_captions_a_picture(decoder, batch):
    annotations, tokens = batch
    logits, *_ = decoder(annotations[:1], tokens)
    wanted, *_ = decoder(annotations[[0, 0, 0]], tokens)
    np.testing.assert_allclose(logits, wanted, atol=1e-5)


def test_no_picture_has_no_caption(decoder, batch):
    """A replica may have none of a batch."""
    annotations, tokens = batch
    logits, alphas, _ = decoder(annotations[:0], tokens[:0])
    assert logits.shape == (0, T, V) and alphas.shape == (0, T, L)


def test_dropout_only_in_training(decoder, batch):
    still = [decoder(*batch)[0].numpy() for _ in range(2)]
    np.testing.assert_allclose(*still, atol=1e-6)
    assert np.abs(decoder(*batch, training=True)[0].numpy() - still[0]).max() > 0.1


def test_config_round_trip(decoder, batch):
    copy = AttentionDecoder.from_config(decoder.get_config())
    copy.build((None, L, D))
    copy.set_weights(decoder.get_weights())
    np.testing.assert_allclose(copy(*batch)[0], decoder(*batch)[0], atol=1e-6)
