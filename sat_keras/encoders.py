"""Functional encoders over `keras.applications`: RGB 0..255 in, annotations `(B, L, D)` out.

    encoder = mobilenet_v2(weights="imagenet")                  # 7 x 7 x 1280
    encoder = mobilenet_v2(layer="block_13_expand_relu")        # 14 x 14 x 576
    encoder = mobilenet(alpha=0.75, weights="weights.h5")       # a file instead of a download
    encoder = mobilenet_v2(patches=3)                           # 3 x 3 crops, one vector each
    encoder = vgg16(layer="fc2")                                # 1 x 1 x 4096: no grid at all

Every location keeps its place: location i of the annotations is row `i // columns`, column
`i % columns` of `encoder.grid`, and lies at `encoder.regions[i]`. The
normalisation that a network was trained with is part of the model.
"""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import h5py
import keras
import numpy as np
from keras import ops
from keras.layers import Concatenate, Rescaling, Reshape, UpSampling2D

from sat_edge.errors import InputError, check_choice
from sat_keras.efficientnet_lite import efficientnet_lite, load_pytorch_weights

applications = keras.applications


def _minus_one_to_one(pixels):
    """MobileNet v1 and v2: RGB, -1..1."""
    return Rescaling(1 / 127.5, offset=-1.0)(pixels)


def _by_127(pixels):
    """EfficientNet-Lite: RGB, -127/128..1."""
    return Rescaling(1 / 128, offset=-127 / 128)(pixels)


def _caffe(pixels):
    """VGG and ResNet50: BGR, the mean of ImageNet taken off."""
    # Slices instead of a flip: GPU runtimes of LiteRT have no REVERSE.
    bgr = ops.concatenate([pixels[..., 2:], pixels[..., 1:2], pixels[..., :1]], axis=-1)
    return Rescaling(1.0, offset=[-103.939, -116.779, -123.68])(bgr)


def _as_it_comes(pixels):
    """MobileNet v3 normalises by itself."""
    return pixels


class Backbone(NamedTuple):
    build: Callable[..., keras.Model]
    normalise: Callable
    layer: str | None = None  # the default grid; None: the last layer
    has_alpha: bool = True
    fully_connected: tuple[str, ...] = ()  # layers of the network's top


BACKBONES = {
    "mobilenet": Backbone(applications.MobileNet, _minus_one_to_one),
    "mobilenet_v2": Backbone(applications.MobileNetV2, _minus_one_to_one),
    "mobilenet_v3_small": Backbone(applications.MobileNetV3Small, _as_it_comes),
    "mobilenet_v3_large": Backbone(applications.MobileNetV3Large, _as_it_comes),
    "efficientnet_lite0": Backbone(partial(efficientnet_lite, 1.0, 1.0), _by_127, has_alpha=False),
    "efficientnet_lite2": Backbone(partial(efficientnet_lite, 1.1, 1.2), _by_127, has_alpha=False),
    # The last convolution, not the pooling behind it, as in the paper: 14 x 14.
    "vgg16": Backbone(applications.VGG16, _caffe, "block5_conv3", False, ("fc1", "fc2")),
    "vgg19": Backbone(applications.VGG19, _caffe, "block5_conv4", False, ("fc1", "fc2")),
    "resnet50": Backbone(applications.ResNet50, _caffe, has_alpha=False),
}


_LEAST = 32  # pixels that a network of Keras Applications takes


@keras.saving.register_keras_serializable("sat_keras")
class Encoder(keras.Model):
    """A convolutional network up to one layer, its grid flattened to annotations.

    Args:
        backbone: str. A key of `BACKBONES`: `"mobilenet"`, `"mobilenet_v2"`,
            `"mobilenet_v3_small"`, `"mobilenet_v3_large"`, `"efficientnet_lite0"`,
            `"efficientnet_lite2"`, `"vgg16"`, `"vgg19"`, `"resnet50"`.
        layer: str. The layer whose output is used. Defaults to the network's last one (VGG: the
            last convolution). One without a grid (VGG's `"fc1"`, `"fc2"`) is one location.
        alpha: float. Width multiplier (MobileNet only). Defaults to `1.0`.
        image_size: pair of ints (height, width). Defaults to `(224, 224)`.
        weights: `None` for random ones, `"imagenet"` to download them, or the path of a
            weights file (EfficientNet-Lite: `.pth`). Defaults to `None`.
        patches: int n. Instead of one grid of the whole picture, n x n crops that overlap by half
            go through the network, and a crop's mean over its grid is one location. Its vector
            ends in where the crop lies, its row of `regions`, which a crop itself does not show
            and a grid's cell does, by the network's padding. Defaults to `0`: none.
        fine_layer: str. An earlier layer, of a finer grid. Its channels stand beside those of
            `layer`, which are interpolated to that grid: attention sees what things are and, more
            exactly, where. Defaults to `None`: the grid of `layer` alone.
    Call arguments:
        images: tensor `(B, height, width, 3)`, RGB 0..255.
    Returns:
        Annotations, float tensor `(B, L, D)`, L the rows times the columns of `grid`.
    Attributes:
        grid: `(rows, columns)`.
        regions: float array `(L, 4)`: each location's part of the picture, (ymin, xmin, ymax,
            xmax), the picture being 0..1. A grid's cells lie around the middle of what they see;
            some networks' padding moves that by half a cell, and the outermost ones over the edge.
    Raises:
        InputError: for an unknown backbone, layer or weights file, with what there is instead.
        ModuleNotFoundError: for `"imagenet"` without the package of EfficientNet-Lite's weights.
    """

    def __init__(
        self,
        backbone,
        layer=None,
        alpha=1.0,
        image_size=(224, 224),
        weights=None,
        patches=0,
        fine_layer=None,
        **kwargs,
    ):
        check_choice("encoder", backbone, BACKBONES)
        spec = BACKBONES[backbone]
        if alpha != 1.0 and not spec.has_alpha:
            raise InputError(f"encoder {backbone} has no width multiplier: leave alpha at 1.0")

        # === Functional graph ===
        height, width = image_size
        seen = (2 * height // (patches + 1), 2 * width // (patches + 1)) if patches else image_size
        if min(seen) < _LEAST:
            what = "crops" if patches else "pictures"
            raise InputError(f"{what} of {seen[0]} x {seen[1]} are too small: {_LEAST} or more")
        network = spec.build(
            include_top=layer in spec.fully_connected,
            input_shape=(*seen, 3),
            weights="imagenet" if weights == "imagenet" else None,
            **({"alpha": alpha} if spec.has_alpha else {}),
        )
        name = layer or spec.layer or network.layers[-1].name
        check_choice("layer", name, [each.name for each in network.layers])
        network = keras.Model(network.input, network.get_layer(name).output, name=backbone)
        if weights not in (None, "imagenet"):
            _load_weights(network, Path(weights))
        if fine_layer is not None:
            if patches:
                raise InputError("patches have no grid that a fine layer could refine: name one")
            network = _with_fine_layer(network, fine_layer)

        images = keras.Input((height, width, 3), name="image")
        pixels = spec.normalise(images)  # (B, H, W, 3)
        if patches:
            features = network(_overlapping_crops(pixels, patches, seen))  # (n n B, ...)
            if len(features.shape) == 4:
                features = ops.mean(features, axis=(1, 2))  # (n n B, D)
            features = ops.reshape(features, (patches**2, -1, features.shape[-1]))  # (n n, B, D)
            annotations = _with_places(ops.transpose(features, (1, 0, 2)), patches)
            rows = columns = patches
            regions = _crop_regions(patches)
        else:
            features = network(pixels)  # (B, rows, columns, D) or (B, D)
            # Without a grid, (B, D), it is one of 1 x 1.
            *_, rows, columns, size = (1, 1, *features.shape[1:])
            annotations = Reshape((rows * columns, size), name="annotations")(features)
            regions = _cell_regions(network, (rows, columns), image_size)
        kwargs.setdefault("name", "encoder")
        super().__init__(inputs=images, outputs=annotations, **kwargs)

        # === Config ===
        self.backbone = backbone
        self.layer = layer
        self.alpha = alpha
        self.image_size = (height, width)
        self.patches = patches
        self.fine_layer = fine_layer
        self.grid = (rows, columns)
        self.regions = regions

    def fine_tune(self, layer=None):
        """Lets the network learn, or a part of it. Compile the captioner afterwards.

        Args:
            layer: str, a layer's name. This layer and those behind it learn. Their batch
                normalisation keeps its statistics: those of small batches would undo what the
                network has learnt. Defaults to `None`: all of it learns, statistics too, as a
                network does that begins with random weights.
        Raises:
            InputError: for an unknown layer, with what there is instead.
        """
        network = self.get_layer(self.backbone)
        names = [each.name for each in network.layers]
        if layer is not None:
            check_choice("layer", layer, names)
        first = 0 if layer is None else names.index(layer)
        self.trainable = network.trainable = True
        # One by one: where a model learns already, Keras does not pass this on to its layers.
        for i, each in enumerate(network.layers):
            kept = layer is not None and isinstance(each, keras.layers.BatchNormalization)
            each.trainable = i >= first and not kept

    def get_config(self):
        return {
            "backbone": self.backbone,
            "layer": self.layer,
            "alpha": self.alpha,
            "image_size": self.image_size,
            "patches": self.patches,
            "fine_layer": self.fine_layer,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)

    def digest(self):
        """SHA-256 of everything that decides what this encoder says about a picture."""
        config = self.get_config()
        if self.fine_layer is None:  # so that digests are those of before there was one
            del config["fine_layer"]
        digest = hashlib.sha256(repr(sorted(config.items())).encode())
        for weight in self.get_weights():
            digest.update(weight.tobytes())
        return digest.hexdigest()


mobilenet = partial(Encoder, "mobilenet")
mobilenet_v2 = partial(Encoder, "mobilenet_v2")
mobilenet_v3_small = partial(Encoder, "mobilenet_v3_small")
mobilenet_v3_large = partial(Encoder, "mobilenet_v3_large")
vgg16 = partial(Encoder, "vgg16")
vgg19 = partial(Encoder, "vgg19")
resnet50 = partial(Encoder, "resnet50")
efficientnet_lite0 = partial(Encoder, "efficientnet_lite0")
efficientnet_lite2 = partial(Encoder, "efficientnet_lite2")


def trainable_layers(encoder):
    """The names of all layers of an encoder that learn, inner ones as `outer/inner`."""
    if not encoder.trainable:  # whatever its layers say
        return []
    return [name for name, layer in _flat(encoder) if layer.trainable]


def set_trainable_layers(encoder, names):
    """Lets these layers learn and no others; `names` as `trainable_layers` gives them."""
    encoder.trainable = bool(names)
    names = set(names)
    for name, layer in _flat(encoder):
        if not isinstance(layer, keras.Model):  # whose setting is also that of its layers
            layer.trainable = name in names


def _flat(model, prefix=""):
    for layer in model.layers:
        yield f"{prefix}{layer.name}", layer
        if isinstance(layer, keras.Model):
            yield from _flat(layer, f"{prefix}{layer.name}/")


def _cell_regions(network, grid, image_size):
    """`(L, 4)`: a grid's cells, each around the middle of what it sees."""
    if len(network.output.shape) < 4:  # no grid
        return np.array([[0.0, 0.0, 1.0, 1.0]])
    step, middle = _cells(network.output)
    places = np.indices(grid).reshape(2, -1).T  # (L, 2)
    low = middle + (places - 0.5) * step  # (L, 2), pixels
    return np.concatenate([low, low + step], axis=1) / (*image_size, *image_size)


def _cells(output):
    """From cell to cell of a grid, and the middle of what its first one sees: pixels (y, x).

    Along one path from `output` to the picture: all of them move the middle alike.
    """
    path = []
    while not isinstance(layer := output._keras_history.operation, keras.layers.InputLayer):
        path.append(layer)
        output = layer.input[0] if isinstance(layer.input, list) else layer.input
    step, middle = np.ones(2), np.full(2, 0.5)
    for layer in reversed(path):
        if isinstance(layer, keras.layers.ZeroPadding2D):
            middle = middle - step * np.array(layer.padding)[:, 0]
        window = getattr(layer, "kernel_size", getattr(layer, "pool_size", None))
        if window is None:
            continue
        window, strides = np.array(window), np.array(layer.strides)
        before = np.zeros(2)
        if layer.padding == "same":
            size = np.array(layer.input.shape[1:3])
            before = ((np.ceil(size / strides) - 1) * strides + window - size).clip(0) // 2
        middle = middle + step * ((window - 1) / 2 - before)
        step = step * strides
    return step, middle


def _with_fine_layer(network, name):
    """The same network, its output behind that of an earlier layer: `(B, rows, columns, D' + D)`
    on the earlier layer's grid."""
    coarse = network.output  # (B, r, c, D)
    check_choice("fine_layer", name, [each.name for each in network.layers])
    fine = network.get_layer(name).output  # (B, rows, columns, D')
    ranks = len(fine.shape), len(coarse.shape)
    if ranks != (4, 4) or fine.shape[1] % coarse.shape[1] or fine.shape[2] % coarse.shape[2]:
        raise InputError(
            f"fine_layer {name} has the grid {fine.shape[1:-1]}, no multiple of "
            f"{coarse.shape[1:-1]}: name an earlier layer, or another image size"
        )
    factors = fine.shape[1] // coarse.shape[1], fine.shape[2] // coarse.shape[2]
    enlarged = UpSampling2D(factors, interpolation="bilinear")(coarse)  # (B, rows, columns, D)
    # The fine layer first: it is the one whose cells the grid has.
    return keras.Model(network.input, Concatenate()([fine, enlarged]), name=network.name)


def _overlapping_crops(images, patches, size):
    """n x n crops `(n n B, h, w, 3)` of `(B, H, W, 3)`, a crop's pictures one after the other.

    Along the batch, not an axis of their own: GPU runtimes of LiteRT have at most four axes.
    """
    height, width = size
    return ops.concatenate(
        [
            images[:, y : y + height, x : x + width]
            for y in (row * height // 2 for row in range(patches))
            for x in (column * width // 2 for column in range(patches))
        ],
        axis=0,
    )


def _crop_regions(patches):
    """`(n n, 4)`: crops are two steps wide, n + 1 steps to the picture."""
    y, x = np.indices((patches, patches)).reshape(2, -1)  # (n n,), (n n,)
    return np.stack([y, x, y + 2, x + 2], axis=1) / (patches + 1)


def _with_places(vectors, patches):
    """Crops' vectors `(B, n n, D)` to `(B, n n, D + 4)`."""
    places = ops.zeros_like(vectors[:, :, :4]) + _crop_regions(patches).astype("float32")
    return ops.concatenate([vectors, places], axis=-1)


def _load_weights(network, path):
    """Loads a Keras weights file, also one of a longer network, matched by layer name."""
    if not path.is_file():
        raise InputError(f"{path}: no such weights file")
    if path.suffix == ".pth":
        load_pytorch_weights(network, path)
        return
    try:
        with h5py.File(path) as file:
            names = file.attrs.get("layer_names", [])
            saved = [name.decode() if isinstance(name, bytes) else name for name in names]
    except OSError as error:
        raise InputError(f"{path}: not a Keras weights file (.h5)") from error
    missing = [each.name for each in network.layers if each.weights and each.name not in saved]
    if missing:
        raise InputError(
            f"{path}: weights of {missing[0]} are missing; are they of another encoder?"
        )
    try:
        network.load_weights(path, by_name=True)
    except ValueError as error:
        raise InputError(f"{path}: weights of another size; check alpha and the encoder") from error
