"""What tests of runs share: a tiny data set's records, settings of seconds, one trained run."""

import pytest

from sat_keras import datasets
from sat_keras.runs.settings import RunSettings
from sat_keras.runs.training import train

TINY = {
    "dataset": "flickr8k",
    "encoder": {"name": "mobilenet", "alpha": 0.25, "layer": "conv_pw_11_relu", "image_size": 32},
    "decoder": {"units": 8, "embedding_size": 8, "attention_size": 8},
    "data": {"batch_size": 8, "min_count": 1},
    "training": {"epochs": 4, "learning_rate": 1e-2},
}


@pytest.fixture(scope="session")
def nested():
    """A function that gives tiny settings, nested, with other values of the parts it is given."""

    def make(**parts):
        content = dict(TINY)
        for name, value in parts.items():
            is_part = isinstance(value, dict) and name != "objective"
            content[name] = {**TINY.get(name, {}), **value} if is_part else value
        return content

    return make


@pytest.fixture(scope="session")
def settings_of(nested):
    """The same as `RunSettings`."""
    return lambda **parts: RunSettings.from_dict(nested(**parts))


@pytest.fixture(scope="session")
def builder(make_flickr8k, make_entities, tmp_path_factory):
    """Records with boxes of four photos to train on, three to validate, one to test."""
    folder = tmp_path_factory.mktemp("data")
    official = make_flickr8k(folder / "flickr8k", photos=8, validation=3)
    entities = make_entities(folder / "entities", photos=8)
    return datasets.build_records("flickr8k", folder / "records", official, entities)


@pytest.fixture(scope="session")
def soft(builder, settings_of, tmp_path_factory):
    """A run, its cache and its history, to read and to copy."""
    folder = tmp_path_factory.mktemp("soft")
    history = train(folder / "run", settings_of(), builder, folder / "cache", verbose=0)
    return folder / "run", folder / "cache", history
