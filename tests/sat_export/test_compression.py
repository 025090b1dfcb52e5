"""Fewer weights and fewer different ones, as asked, and a student that learns."""

import keras
import numpy as np
import pytest

from sat_edge import InputError, to_pixels
from sat_edge.caption import START
from sat_export.compression import _kernels, compress
from sat_export.distillation import LOSSES


@pytest.fixture(scope="module")
def images(captioner, photos):
    size = captioner.encoder.image_size
    return np.stack([to_pixels(each, size) for each in [*photos, *photos[::-1]]])


@pytest.mark.slow
def test_pruned_then_clustered(captioner, images):
    before = captioner.get_weights()
    student = compress(captioner, images, sparsity=0.5, clusters=8, epochs=30)
    for kernel in _kernels(student):
        values = np.unique(kernel.numpy())
        assert len(values) <= 8 and 0 in values
        # Where a weight lies on the threshold, with its like or alone, one more or less is left.
        assert (kernel.numpy() == 0).mean() == pytest.approx(0.5, abs=0.02)
    assert len(_kernels(student)) > 10
    for now, then in zip(captioner.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)
    sparse = {
        layer.name
        for layer in student._flatten_layers()
        if type(layer).__name__ in ("Conv2D", "Dense", "Embedding")
        and min(layer.weights[0].shape[-2:]) > 3
        and (layer.weights[0].numpy() == 0).mean() > 0.4
    }
    # Of the network, all but the first and the depthwise convolutions; of the decoder, every
    # product but the one to a score.
    assert {"E", "L_o", "L_h", "L_z", "W_a", "conv_pw_1", "conv_pw_11"} <= sparse
    assert not sparse & {"conv1", "v", "conv_dw_1"}


@pytest.mark.slow
def test_of_each_four_weights_two_are_left(captioner, images):
    student = compress(captioner, images, sparsity=0.5, pattern="2:4", epochs=3)
    for kernel in _kernels(student):
        columns = kernel.numpy().reshape(-1, kernel.shape[-1])  # (inputs, outputs)
        columns = columns[: len(columns) // 4 * 4]
        left = (columns.reshape(-1, 4, columns.shape[-1]) != 0).sum(axis=1)
        assert left.max() <= 2


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
def test_a_student_learns(captioner, images, loss):
    """Lessons bring a pruned captioner closer to what it was than it is without."""
    images = images.astype("float32")
    annotations = captioner.encoder(images)  # (N, L, D)
    tokens, *_ = captioner.greedy(annotations)  # (N, T)
    previous = np.pad(tokens[:, :-1], [(0, 0), (1, 0)], constant_values=START)  # (N, T)
    wanted = keras.ops.softmax(captioner.decoder(annotations, previous)[0])  # (N, T, V)
    differences = []
    for learning_rate in (0.0, 1e-3):
        student = compress(
            captioner, images, sparsity=0.5, loss=loss, epochs=30, learning_rate=learning_rate
        )
        found = student.encoder(images)  # (N, L, D)
        if loss == "annotations":
            difference = np.square(found - annotations)
        else:
            said = keras.ops.softmax(student.decoder(found, previous)[0])  # (N, T, V)
            difference = keras.losses.kl_divergence(wanted, said)  # (N, T)
        differences.append(np.mean(difference))
    assert differences[1] < 0.7 * differences[0]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"sparsity": 1.0}, "sparsity is 1.0: it is a share"),
        ({"sparsity": 0.5, "pattern": "1:3"}, "unknown pattern '1:3'"),
        ({"clusters": 2}, "clusters is 2: name 3 or more"),
        ({"sparsity": 0.5, "loss": "letters"}, "unknown loss 'letters'"),
    ],
)
def test_options_that_cannot_be(captioner, images, options, says):
    with pytest.raises(InputError, match=says):
        compress(captioner, images, **options)
