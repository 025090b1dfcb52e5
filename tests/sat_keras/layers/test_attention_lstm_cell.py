"""One step of the cell against the paper's equations, written out in NumPy."""

import keras
import numpy as np

from sat_keras.layers import AdditiveScorer, AttentionLSTMCell, SoftSelection

B, L, D, E, H, A = 3, 5, 4, 6, 7, 8


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def build_cell(seed=0):
    keras.utils.set_random_seed(seed)
    cell = AttentionLSTMCell(H, AdditiveScorer(A), SoftSelection())
    cell.build((None, L, D), E)
    rng = np.random.default_rng(seed)
    for weight in cell.weights:  # biases too, which are zero at first
        weight.assign(rng.normal(0, 0.5, weight.shape))
    return cell


def run(cell, words, h, c, annotations):
    projected = cell.project_annotations(annotations)
    state, context, alphas, _ = cell(cell.project_words(words), (h, c), annotations, projected)
    return [np.asarray(x) for x in (*state, context, alphas)]


def numpy_step(cell, words, h, c, a):
    """Xu et al., 2015, eq. 1-5, location by location."""
    scorer = cell.scorer
    W_a, b = (np.asarray(w) for w in scorer.project_annotation.weights)
    W_h, v = np.asarray(scorer.project_state.kernel), np.asarray(scorer.score.kernel)[:, 0]
    e = np.empty((B, L))
    for n in range(B):
        for i in range(L):
            e[n, i] = v @ np.tanh(a[n, i] @ W_a + b + h[n] @ W_h)
    alphas = np.exp(e) / np.exp(e).sum(1, keepdims=True)
    W_beta, b_beta = (np.asarray(w) for w in cell.beta.weights)
    beta = sigmoid(h @ W_beta + b_beta)
    z = beta * np.array([sum(alphas[n, i] * a[n, i] for i in range(L)) for n in range(B)])
    W_y, b_y = (np.asarray(w) for w in cell.word_gates.weights)
    gates = words @ W_y + b_y + h @ np.asarray(cell.state_gates.kernel)
    gates += z @ np.asarray(cell.context_gates.kernel)
    i, f, g, o = (gates[:, n * H : (n + 1) * H] for n in range(4))
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c, z, alphas


def test_equals_the_equations():
    rng = np.random.default_rng(1)
    shapes = ((B, E), (B, H), (B, H), (B, L, D))
    words, h, c, annotations = (rng.normal(size=shape).astype("float32") for shape in shapes)
    cell = build_cell()
    for got, wanted in zip(
        run(cell, words, h, c, annotations),
        numpy_step(cell, words, h, c, annotations),
        strict=True,
    ):
        np.testing.assert_allclose(got, wanted, atol=2e-6)


def test_forget_gate_starts_open():
    cell = AttentionLSTMCell(H, AdditiveScorer(A), SoftSelection())
    cell.build((None, L, D), E)
    bias = np.asarray(cell.word_gates.bias)
    np.testing.assert_array_equal(bias, np.repeat([0.0, 1.0, 0.0, 0.0], H))


def test_config_round_trip():
    cell = build_cell()
    copy = AttentionLSTMCell.from_config(cell.get_config())
    copy.build((None, L, D), E)
    assert isinstance(copy.scorer, AdditiveScorer)
    copy.set_weights(cell.get_weights())
    rng = np.random.default_rng(2)
    shapes = ((B, E), (B, H), (B, H), (B, L, D))
    inputs = [rng.normal(size=shape).astype("float32") for shape in shapes]
    for got, wanted in zip(run(copy, *inputs), run(cell, *inputs), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-6)
