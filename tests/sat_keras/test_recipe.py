"""Phases on six tiny photos."""

import json

import pytest

from sat_edge import InputError
from sat_keras import datasets, recipe
from sat_keras.recipe import load_recipe, train_recipe
from sat_keras.run import load_run, train
from sat_keras.run_config import RunConfig

SETTINGS = {
    "dataset": "flickr8k",
    "encoder": "mobilenet",
    "alpha": 0.25,
    "layer": "conv_pw_11_relu",
    "image_size": 32,
    "units": 8,
    "embedding_size": 8,
    "attention_size": 8,
    "batch_size": 10,
    "captions_per_photo": 5,
    "learning_rate": 1e-2,
    "min_count": 1,
    "epochs": 2,
}
PHASES = {
    "cross-entropy": SETTINGS,
    "fine-tuning": {**SETTINGS, "train_encoder": True, "train_from": "conv_pw_11", "epochs": 1},
    "self-critical": {**SETTINGS, "self_critical": True, "epochs": 1},
}


@pytest.fixture(scope="module")
def builder(make_flickr8k, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return datasets.build_records("flickr8k", folder / "records", make_flickr8k(folder / "data"))


class Stopped(Exception):
    pass


@pytest.mark.slow
def test_phases_go_on_from_each_other_and_after_a_stop(builder, tmp_path, monkeypatch):
    trained = []

    def train(folder, config, *arguments, **options):
        trained.append(folder.name)
        if len(trained) == 3:
            raise Stopped
        return real_train(folder, config, *arguments, **options)

    real_train = recipe.train
    monkeypatch.setattr(recipe, "train", train)
    run = tmp_path / "run"
    with pytest.raises(Stopped):
        train_recipe(run, PHASES, builder, tmp_path / "cache", verbose=0)
    log = (run / "cross-entropy" / "log.csv").stat().st_mtime_ns
    history = train_recipe(run, load_recipe(run), builder, tmp_path / "cache", verbose=0)
    assert trained == ["cross-entropy", "fine-tuning", "run"] * 2
    assert (run / "cross-entropy" / "log.csv").stat().st_mtime_ns == log  # not trained again
    assert [each["epoch"] for each in history] == [1] and "reward" in history[0]
    config = RunConfig.load(run)
    assert config.self_critical and config.warm_start == str(run / "fine-tuning")
    assert RunConfig.load(run / "fine-tuning").warm_start == str(run / "cross-entropy")

    # The encoder is the fine-tuned one, its earlier layers as they came.
    first, second, last = (
        load_run(each).encoder.get_layer("mobilenet")
        for each in (run / "cross-entropy", run / "fine-tuning", run)
    )

    def kernel(network, layer):
        return network.get_layer(layer).get_weights()[0]

    for layer, moved in (("conv_pw_10", False), ("conv_pw_11", True)):
        assert (kernel(first, layer) != kernel(second, layer)).any() == moved
        assert (kernel(second, layer) == kernel(last, layer)).all()


def test_other_settings(builder, tmp_path):
    run, cache = tmp_path / "run", tmp_path / "cache"
    phases = {"": {**SETTINGS, "epochs": 1}}
    train_recipe(run, phases, builder, cache, verbose=0)
    assert load_recipe(run) == {"": vars(RunConfig(**phases[""]))}
    for other in ({"": SETTINGS}, {"first": phases[""], "second": SETTINGS}):
        with pytest.raises(InputError, match="run: was begun with other settings"):
            train_recipe(run, other, builder, cache, verbose=0)
        assert not (run / recipe.RECIPE).exists()
    (run / "checkpoint.keras").unlink()  # to save space: it is finished all the same
    train_recipe(run, phases, builder, cache, verbose=0)
    assert not (run / "checkpoint.keras").exists()


def test_other_data(builder, make_flickr8k, tmp_path):
    run, cache = tmp_path / "run", tmp_path / "cache"
    config = RunConfig(**{**SETTINGS, "epochs": 1})
    train(run, config, builder, cache, verbose=0)
    (run / "log.csv").unlink()

    class Other:
        info = type("Info", (), {"full_name": "folder/abc/1.0.0", "splits": builder.info.splits})

    with pytest.raises(InputError, match=r"run: was begun with flickr8k/1.0.0, and this is folder"):
        train(run, config, Other, cache, resume=True, verbose=0)


@pytest.mark.parametrize("text", [json.dumps(PHASES)[:20], "[1]", '{"": {"color": "red"}}'])
def test_damaged_recipe(tmp_path, text):
    (tmp_path / "recipe.json").write_text(text)
    with pytest.raises(InputError, match=r"recipe.json: damaged"):
        load_recipe(tmp_path)
