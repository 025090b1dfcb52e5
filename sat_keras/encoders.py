"""Functional encoders over `keras.applications`: RGB 0..255 in, annotations `(B, L, D)` out.

    encoder = mobilenet_v2(weights="imagenet")                  # 7 x 7 x 1280
    encoder = mobilenet_v2(layer="block_13_expand_relu")        # 14 x 14 x 576
    encoder = mobilenet(alpha=0.75, weights="weights.h5")       # a file instead of a download

Every location keeps its place: location i of the annotations is row `i // columns`, column
`i % columns` of `encoder.grid`. The normalisation that a network was trained with is part of the
model.
"""

import difflib
import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import h5py
import keras
from keras import ops
from keras.layers import Rescaling, Reshape

from sat_edge.errors import InputError

applications = keras.applications


def _minus_one_to_one(pixels):
    """MobileNet v1 and v2: RGB, -1..1."""
    return Rescaling(1 / 127.5, offset=-1.0)(pixels)


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


BACKBONES = {
    "mobilenet": Backbone(applications.MobileNet, _minus_one_to_one),
    "mobilenet_v2": Backbone(applications.MobileNetV2, _minus_one_to_one),
    "mobilenet_v3_small": Backbone(applications.MobileNetV3Small, _as_it_comes),
    "mobilenet_v3_large": Backbone(applications.MobileNetV3Large, _as_it_comes),
    # The last convolution, not the pooling behind it, as in the paper: 14 x 14.
    "vgg16": Backbone(applications.VGG16, _caffe, "block5_conv3", has_alpha=False),
    "vgg19": Backbone(applications.VGG19, _caffe, "block5_conv4", has_alpha=False),
    "resnet50": Backbone(applications.ResNet50, _caffe, has_alpha=False),
}


@keras.saving.register_keras_serializable("sat_keras")
class Encoder(keras.Model):
    """A convolutional network up to one layer, its grid flattened to annotations.

    Args:
        backbone: str. A key of `BACKBONES`: `"mobilenet"`, `"mobilenet_v2"`,
            `"mobilenet_v3_small"`, `"mobilenet_v3_large"`, `"vgg16"`, `"vgg19"`, `"resnet50"`.
        layer: str. The layer whose output grid is used. Defaults to the network's last one
            (VGG: the last convolution).
        alpha: float. Width multiplier (MobileNet only). Defaults to `1.0`.
        image_size: pair of ints (height, width). Defaults to `(224, 224)`.
        weights: `None` for random ones, `"imagenet"` to download them, or the path of a
            weights file. Defaults to `None`.
    Call arguments:
        images: tensor `(B, height, width, 3)`, RGB 0..255.
    Returns:
        Annotations, float tensor `(B, L, D)`, L the rows times the columns of `grid`.
    Raises:
        InputError: for an unknown backbone, layer or weights file, with what there is instead.
    """

    def __init__(
        self, backbone, layer=None, alpha=1.0, image_size=(224, 224), weights=None, **kwargs
    ):
        spec = _lookup(BACKBONES, backbone, "encoder")
        if alpha != 1.0 and not spec.has_alpha:
            raise InputError(f"encoder {backbone} has no width multiplier: leave alpha at 1.0")

        # === Functional graph ===
        height, width = image_size
        network = spec.build(
            include_top=False,
            input_shape=(height, width, 3),
            weights="imagenet" if weights == "imagenet" else None,
            **({"alpha": alpha} if spec.has_alpha else {}),
        )
        name = layer or spec.layer or network.layers[-1].name
        features = _lookup({each.name: each for each in network.layers}, name, "layer").output
        if len(features.shape) != 4:
            raise InputError(f"layer {name} of {backbone} has no grid: {features.shape}")
        network = keras.Model(network.input, features, name=backbone)
        if weights not in (None, "imagenet"):
            _load_weights(network, Path(weights))

        images = keras.Input((height, width, 3), name="image")
        grid = network(spec.normalise(images))  # (B, rows, columns, D)
        _, rows, columns, size = grid.shape
        annotations = Reshape((rows * columns, size), name="annotations")(grid)  # (B, L, D)
        kwargs.setdefault("name", "encoder")
        super().__init__(inputs=images, outputs=annotations, **kwargs)

        # === Config ===
        self.backbone = backbone
        self.layer = layer
        self.alpha = alpha
        self.image_size = (height, width)
        self.grid = (rows, columns)

    def get_config(self):
        return {
            "backbone": self.backbone,
            "layer": self.layer,
            "alpha": self.alpha,
            "image_size": self.image_size,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)

    def digest(self):
        """SHA-256 of everything that decides what this encoder says about a picture."""
        digest = hashlib.sha256(repr(sorted(self.get_config().items())).encode())
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


def _lookup(choices, name, what):
    if name not in choices:
        near = difflib.get_close_matches(name, choices, n=8, cutoff=0.0)
        raise InputError(f"unknown {what} {name!r}: choose for example {', '.join(near)}")
    return choices[name]


def _load_weights(network, path):
    """Loads a Keras weights file, also one of a longer network, matched by layer name."""
    if not path.is_file():
        raise InputError(f"{path}: no such weights file")
    try:
        with h5py.File(path) as file:
            saved = [name.decode() for name in file.attrs.get("layer_names", [])]
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
