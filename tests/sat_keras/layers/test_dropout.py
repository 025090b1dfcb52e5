import keras
import numpy as np

from sat_keras.layers import Dropout


def test_on_one_device_it_is_that_of_keras():
    x = np.random.default_rng(0).normal(size=(50, 40)).astype("float32")
    found, wanted = (
        np.asarray(layer(0.3, seed=4)(x, training=True))
        for layer in (Dropout, keras.layers.Dropout)
    )
    np.testing.assert_array_equal(found, wanted)
    kept = found != 0
    np.testing.assert_allclose(found[kept], x[kept] / 0.7, rtol=1e-6)
    assert abs(kept.mean() - 0.7) < 4 * np.sqrt(0.3 * 0.7 / x.size)


def test_nothing_is_dropped_outside_of_training():
    x = np.ones((5, 4), "float32")
    np.testing.assert_array_equal(Dropout(0.9)(x), x)
    np.testing.assert_array_equal(Dropout(0.0)(x, training=True), x)
