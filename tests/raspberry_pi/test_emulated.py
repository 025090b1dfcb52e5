"""The same captions on aarch64, emulated, as here: flickr8k-soft in float32 and int8."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

RASPBERRY_PI = Path(__file__).parents[2] / "export" / "raspberry_pi"
DRAWINGS = 3


@pytest.fixture(scope="module")
def emulated(tmp_path_factory):
    """The folder of the emulated system. SAT_KERAS_AARCH64 names one to keep and use again."""
    for tool in ("qemu-aarch64-static", "debootstrap"):
        if not shutil.which(tool):
            pytest.skip(f"no {tool}: apt-get install qemu-user-static debootstrap")
    return Path(os.environ.get("SAT_KERAS_AARCH64") or tmp_path_factory.mktemp("aarch64"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Drawings, and real photos in their own sizes where there are some."""
    from PIL import Image

    from sat_keras.datasets.shapes.scenes import draw_scene

    folder = tmp_path_factory.mktemp("drawings")
    for seed in range(40):
        Image.fromarray(draw_scene(seed)[0]).save(folder / f"{seed:02}.png")
    shared = Path(os.environ.get("SAT_KERAS_SHARED") or Path(__file__).parents[3] / "shared")
    real = sorted((shared / "data" / "photos_original_size").glob("*.jpg"))
    return folder, [*sorted(folder.iterdir())[:DRAWINGS], *real[:DRAWINGS]]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("quantize", "board"), [("none", "pi4"), ("int8", "pi5")])
def test_captions_are_the_same_on_aarch64(emulated, photos, tmp_path, quantize, board):
    from sat_export import export_tflite
    from sat_keras import Captioner

    folder, paths = photos
    model = tmp_path / "captioner.tflite"
    captioner = Captioner.from_preset("flickr8k-soft")
    export_tflite(captioner, model, quantize=quantize, photos=folder)

    script = [RASPBERRY_PI / "sat_caption.py", model, "--json", *paths]
    here = records([sys.executable, *script])
    there = records([RASPBERRY_PI / "emulate.sh", emulated, *script], BOARD=board)
    assert [each["photo"] for each in there] == [str(path) for path in paths]
    assert [each["text"] for each in there] == [each["text"] for each in here]
    assert len({each["text"] for each in there}) > 1
    # int8 is rounded by other instructions on each processor.
    tolerance = 1e-3 if quantize == "none" else 0.1
    for one, other in zip(here, there, strict=True):
        assert other["log_prob"] == pytest.approx(one["log_prob"], abs=tolerance)


def records(command, **environment):
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
