import keras
import numpy as np
import pytest
import tensorflow as tf

from sat_keras.layers import INJECTIONS, InjectDecoder

B, L, D, E, H, T, V = 3, 5, 4, 6, 7, 4, 11


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.fixture
def build(draw_weights):
    def build(inject):
        keras.utils.set_random_seed(0)
        decoder = InjectDecoder(V, H, E, inject)
        decoder.build((None, L, D))
        draw_weights(decoder)
        return decoder

    return build


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(1)
    return rng.normal(size=(B, L, D)).astype("float32"), rng.integers(0, V, (B, T))


def numpy_logits(decoder, annotations, tokens):
    """The equations of the class, in NumPy."""
    W_x, b_x = decoder.project_image.get_weights()
    embeddings = decoder.embedding.get_weights()  # none where words are left out
    W_in, W_h, b = decoder.lstm.get_weights()
    W, b_w = decoder.project_word.get_weights()

    def lstm(inputs, h, c):
        i, f, g, o = np.split(inputs @ W_in + h @ W_h + b, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c

    x = annotations.mean(1) @ W_x + b_x
    h = c = np.zeros((B, H))
    if decoder.inject == "first":
        h, c = lstm(x, h, c)
    logits = []
    for t in range(T):
        inputs = x
        if decoder.inject != "only":
            inputs = word = embeddings[0][tokens[:, t]]
        if decoder.inject == "every":
            inputs = np.concatenate([word, x], axis=1)
        h, c = lstm(inputs, h, c)
        logits.append(h @ W + b_w)
    return np.stack(logits, axis=1)


@pytest.mark.parametrize("inject", INJECTIONS)
def test_no_picture_has_no_caption(build, batch, inject):
    """A replica may have none of a batch."""
    annotations, tokens = batch
    shapes = [tf.TensorSpec((None, L, D)), tf.TensorSpec((None, T), tf.int64)]
    call = tf.function(build(inject).__call__, input_signature=shapes)
    logits, alphas, _ = call(annotations[:0], tokens[:0])
    assert logits.shape == (0, T, V) and alphas.shape == (0, T, L)


@pytest.mark.parametrize("inject", INJECTIONS)
def test_equals_the_equations_and_step_by_step(build, batch, inject):
    annotations, tokens = batch
    decoder = build(inject)
    logits, alphas, samples = decoder(annotations, tokens)
    np.testing.assert_allclose(logits, numpy_logits(decoder, annotations, tokens), atol=1e-5)
    np.testing.assert_allclose(alphas, np.full((B, T, L), 1 / L))
    assert samples is None

    memory, state = decoder.start(annotations)
    assert len(memory) == len(decoder.memory_names)
    for t in range(T):
        step_logits, state, step_alphas = decoder.step(tokens[:, t], state, memory)
        np.testing.assert_allclose(step_logits, logits[:, t], atol=1e-5)
        np.testing.assert_allclose(step_alphas, alphas[:, t])


def test_without_the_previous_word_words_do_not_matter(build, batch):
    annotations, tokens = batch
    decoder = build("only")
    logits, *_ = decoder(annotations, tokens)
    other, *_ = decoder(annotations, (tokens + 3) % V)
    np.testing.assert_array_equal(logits, other)


def test_several_captions_a_picture(build, batch):
    annotations, tokens = batch
    decoder = build("every")
    logits, *_ = decoder(annotations[:1], tokens)
    wanted, *_ = decoder(annotations[[0, 0, 0]], tokens)
    np.testing.assert_allclose(logits, wanted, atol=1e-6)
