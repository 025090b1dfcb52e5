import numpy as np

from sat_keras import losses


def test_cross_entropy_of_each_word():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 3, 5)).astype("float32")
    tokens = np.array([[1, 4, 2], [3, 2, 0]])
    mask = np.array([[1, 1, 1], [1, 1, 0]], "float32")
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    wanted = [
        [-np.log(p[0, 0, 1]), -np.log(p[0, 1, 4]), -np.log(p[0, 2, 2])],
        [-np.log(p[1, 0, 3]), -np.log(p[1, 1, 2]), 0.0],
    ]
    np.testing.assert_allclose(losses.cross_entropy(tokens, logits, mask), wanted, rtol=1e-5)


def test_label_smoothing_is_the_loss_of_a_mixed_target():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 3, 5)).astype("float32")
    tokens = np.array([[1, 4, 2], [3, 2, 0]])
    mask = np.array([[1, 1, 1], [1, 1, 0]], "float32")
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    target = 0.9 * np.eye(5)[tokens] + 0.1 / 5
    found = losses.cross_entropy(tokens, logits, mask)
    found += 0.1 * losses.label_smoothing(tokens, logits, mask)
    np.testing.assert_allclose(found, -mask * (target * log_p).sum(-1), rtol=1e-5)


def test_doubly_stochastic_counts_words_only():
    alphas = np.array([[[0.5, 0.5], [0.25, 0.75], [1.0, 0.0]]], "float32")
    mask = np.array([[1, 1, 0]], "float32")
    wanted = (1 - 0.75) ** 2 + (1 - 1.25) ** 2
    np.testing.assert_allclose(losses.doubly_stochastic(alphas, mask), [wanted], rtol=1e-6)


def test_grounding_is_the_attention_inside_the_boxes():
    alphas = np.array(
        [[[0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [1.0, 0.0, 0.0], [0.2, 0.2, 0.6]]], "float32"
    )
    # Of the first word one location, of the second a half and a whole one, of the third none.
    cover = np.array([[[1, 0, 0], [0.5, 1, 0], [0, 0, 0], [1, 1, 1]]], "float32")
    mask = np.array([[1, 1, 1, 0]], "float32")
    term, inside, named = losses.grounding(np.array(alphas, "float32"), cover, mask)
    np.testing.assert_allclose(term, [[-np.log(0.5), -np.log(0.15), 0, 0]], rtol=1e-6)
    np.testing.assert_allclose(inside, [[0.5, 0.15, 0, 0]], rtol=1e-6)
    np.testing.assert_array_equal(named, [[1, 1, 0, 0]])


def test_attention_far_from_the_boxes_has_a_finite_term():
    alphas, cover = np.array([[[1.0, 0.0]]], "float32"), np.array([[[0.0, 1.0]]], "float32")
    term, *_ = losses.grounding(alphas, cover, np.ones((1, 1), "float32"))
    assert np.isfinite(term).all() and term[0, 0] > 20
