"""What tests of the command share: a run on tiny photos and its file, a photo, how errors look."""

import numpy as np
import pytest
from PIL import Image

from sat_keras import cli

TINY = {
    "encoder": "mobilenet",
    "alpha": 0.25,
    "layer": "conv_pw_11_relu",
    "image-size": 32,
    "units": 8,
    "embedding-size": 8,
    "attention-size": 8,
    "batch-size": 8,
    "min-count": 1,
}


@pytest.fixture(scope="session")
def tiny():
    """Options of a training of seconds; the first four are the encoder's."""
    return [f"--{name}={value}" for name, value in TINY.items()]


@pytest.fixture(scope="session")
def trained(tmp_path_factory, make_flickr8k, tiny):
    """A run on six tiny photos, its cache, and its exported file."""
    folder = tmp_path_factory.mktemp("trained")
    data = make_flickr8k(folder / "flickr8k")
    places = ["--data-dir", str(data), "--cache", str(folder / "cache")]
    run = str(folder / "run")
    training = ["train", "flickr8k", "--out", run, "--epochs=6", "--learning-rate=0.03"]
    assert cli.main([*training, *places, *tiny]) == 0
    assert cli.main(["export", run, "--out", str(folder / "captioner.tflite")]) == 0
    return {"run": run, "tflite": str(folder / "captioner.tflite"), "places": places}


@pytest.fixture(scope="session")
def with_boxes(trained, make_entities, tmp_path_factory):
    """Options that name the same photos with phrases and boxes, and a cache of their own."""
    _, data, *_ = trained["places"]
    folder = tmp_path_factory.mktemp("boxes")
    entities = make_entities(folder / "entities")
    return [f"--data-dir={data}", f"--entities={entities}", f"--cache={folder / 'cache'}"]


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype="uint8")
    Image.fromarray(pixels).save(path)
    return str(path)


@pytest.fixture
def fails(capsys):
    """A function that runs a command which has to fail, with one line that says why."""

    def run(arguments, says):
        capsys.readouterr()
        assert cli.main([str(each) for each in arguments]) == 1
        captured = capsys.readouterr()
        error = [each for each in captured.err.splitlines() if each.startswith("sat-keras:")]
        assert len(error) == 1 and says in error[0], captured.err
        assert "Traceback" not in captured.err
        assert captured.out == ""

    return run
