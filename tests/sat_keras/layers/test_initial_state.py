import numpy as np

from sat_keras.layers import InitialState


def test_hidden_layers_use_relu():
    layer = InitialState(3, hidden_units=(5,))
    layer.build((None, 4, 2))
    annotations = np.random.default_rng(0).normal(size=(6, 4, 2)).astype("float32")
    h, _ = layer(annotations)
    hidden, last = layer.hidden_mlp
    m = annotations.mean(1)
    m = np.maximum(m @ np.asarray(hidden.kernel), 0)
    np.testing.assert_allclose(h, np.tanh(m @ np.asarray(last.kernel)), atol=1e-6)
