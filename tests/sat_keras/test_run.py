"""Runs on six tiny photos: what a run folder holds, and that stopping changes nothing."""

import json
import shutil

import keras
import numpy as np
import pytest

from sat_edge import InputError
from sat_keras import datasets, run
from sat_keras.run import _learning_rate, load_captioner, load_run, train
from sat_keras.run_config import RunConfig

CONFIG = RunConfig(
    dataset="flickr8k",
    encoder="mobilenet",
    alpha=0.25,
    layer="conv_pw_11_relu",
    image_size=32,
    units=8,
    embedding_size=8,
    attention_size=8,
    epochs=4,
    batch_size=8,
    learning_rate=1e-2,
    min_count=1,
)


@pytest.fixture(scope="module")
def builder(make_flickr8k, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    official = make_flickr8k(folder / "flickr8k", photos=8, validation=3)
    return datasets.build_records("flickr8k", folder / "records", official)


@pytest.fixture(scope="module")
def soft(builder, tmp_path_factory):
    """A run and its cache, to read and to copy."""
    folder = tmp_path_factory.mktemp("soft")
    history = train(folder / "run", CONFIG, builder, folder / "cache", verbose=0)
    return folder / "run", folder / "cache", history


def weights(path):
    return load_run(path).get_weights()


class Killed(Exception):
    pass


PHASES = {
    "soft": {},
    "fine-tuned": {
        "train_encoder": True,
        "train_from": "conv_pw_10",
        "augment": True,
        "warmup": 3,
        "captions_per_photo": 2,
        "batch_size": 4,
    },
    "hard": {"attention": "hard", "entropy": 0.01},
    "scheduled sampling": {"scheduled_sampling": 0.5},
    "self-critical": {"self_critical": True, "captions_per_photo": 5, "batch_size": 10},
}


@pytest.mark.parametrize(
    "phase",
    [pytest.param(each, marks=[pytest.mark.slow] * (each != "soft")) for each in PHASES],
)
def test_killed_and_resumed_ends_like_one_that_was_not(builder, soft, tmp_path, monkeypatch, phase):
    options = {**PHASES[phase]}
    if phase == "self-critical":
        options["warm_start"] = str(soft[0])
    config = RunConfig(**{**vars(CONFIG), **options})
    cache = soft[1]
    whole = train(tmp_path / "whole", config, builder, cache, verbose=0)

    # Killed in the middle of the third epoch.
    steps = []

    class KillInThirdEpoch(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            steps.append(batch)
            if steps.count(0) == 3 and batch == 1:
                raise Killed

    fit = run.Captioner.fit

    def killed_fit(self, *args, callbacks, **kwargs):
        return fit(self, *args, callbacks=[*callbacks, KillInThirdEpoch()], **kwargs)

    monkeypatch.setattr(run.Captioner, "fit", killed_fit)
    with pytest.raises(Killed):
        train(tmp_path / "parts", config, builder, cache, verbose=0)
    monkeypatch.setattr(run.Captioner, "fit", fit)

    resumed = train(tmp_path / "parts", config, builder, cache, resume=True, verbose=0)
    assert [each["epoch"] for each in resumed] == [1, 2, 3, 4]
    for one, other in zip(whole, resumed, strict=True):
        assert one == pytest.approx(other, rel=1e-4)
    for one, other in zip(weights(tmp_path / "whole"), weights(tmp_path / "parts"), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    paths = [tmp_path / name / run.CHECKPOINT for name in ("whole", "parts")]
    last = [keras.saving.load_model(path) for path in paths]
    for one, other in zip(last[0].get_weights(), last[1].get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.slow
def test_training_stops_when_validation_gets_no_better(builder, soft, tmp_path, monkeypatch):
    scores = iter([0.1, 0.3, 0.2, 0.25, 0.5])
    monkeypatch.setattr(run, "cider", lambda *_: {"CIDEr": next(scores)})
    config = RunConfig(**{**vars(CONFIG), "epochs": 5, "patience": 2})
    history = train(tmp_path / "run", config, builder, soft[1], verbose=0)
    assert [each["val_cider"] for each in history] == [0.1, 0.3, 0.2, 0.25]
    again = train(tmp_path / "run", config, builder, soft[1], resume=True, verbose=0)
    assert len(again) == 4


FROM_NOTHING = {"train_encoder": True}
FINE_TUNED = {"train_encoder": True, "train_from": "conv_pw_10"}


@pytest.mark.parametrize(
    ("settings", "augment", "by_length"),
    [
        ({}, False, True),
        pytest.param({"augment": True}, True, True, marks=pytest.mark.slow),
        pytest.param(FINE_TUNED, False, True, marks=pytest.mark.slow),
        # Batch statistics would tell how much there is in a batch of short captions' pictures.
        pytest.param(FROM_NOTHING, False, False, marks=pytest.mark.slow),
    ],
)
def test_training_batches(builder, soft, tmp_path, monkeypatch, settings, augment, by_length):
    asked = []
    real = run.batches

    def batches(*arguments, **options):
        asked.append({"augment": False, "by_length": True, **options})
        return real(*arguments, **options)

    monkeypatch.setattr(run, "batches", batches)
    config = RunConfig(**{**vars(CONFIG), "epochs": 1, **settings})
    train(tmp_path / "run", config, builder, soft[1], verbose=0)
    training, validation = asked
    assert (training["augment"], training["by_length"]) == (augment, by_length)
    assert not validation["augment"]  # it is as it was


def test_run_folder(builder, soft):
    path, cache_dir, history = soft
    assert {each.name for each in path.iterdir()} == {
        "config.json",
        "vocabulary.txt",
        "captioner.keras",
        "checkpoint.keras",
        "log.csv",
        "tensorboard",
    }
    assert json.loads((path / "config.json").read_text())["units"] == 8
    lines = (path / "log.csv").read_text().splitlines()
    assert len(lines) == 1 + len(history) == 5
    # The weights are those of the best epoch.
    scores = [each["val_cider"] for each in history]
    assert len(set(scores)) > 1
    best = max(range(4), key=lambda i: (scores[i], i))
    captioner = load_run(path)
    captioner.compile()
    from sat_keras.annotation_cache import build_annotation_cache
    from sat_keras.pipeline import batches

    cache = build_annotation_cache(cache_dir, builder, "validation", captioner.encoder)
    found = captioner.evaluate(
        batches(cache, captioner.vocabulary, 8, shuffle=False), return_dict=True, verbose=0
    )
    assert found["cross_entropy"] == pytest.approx(history[best]["val_cross_entropy"], rel=1e-4)


def test_folder_that_is_no_run(tmp_path):
    with pytest.raises(InputError, match="not a run folder"):
        load_run(tmp_path)


def test_run_without_weights(tmp_path, vocabulary):
    CONFIG.save(tmp_path)
    vocabulary.save(tmp_path / "vocabulary.txt")
    with pytest.raises(InputError, match="no trained captioner yet"):
        load_run(tmp_path)


def test_stopped_in_its_first_epoch_it_begins_anew(builder, soft, tmp_path):
    config = RunConfig(**{**vars(CONFIG), "epochs": 1})
    config.save(tmp_path)
    history = train(tmp_path, config, builder, soft[1], resume=True, verbose=0)
    assert [each["epoch"] for each in history] == [1]


def test_damaged_checkpoint(builder, tmp_path):
    CONFIG.save(tmp_path)
    (tmp_path / run.CHECKPOINT).write_bytes(b"PK but not really")
    with pytest.raises(InputError, match=r"checkpoint.keras: damaged"):
        train(tmp_path, CONFIG, builder, tmp_path / "cache", resume=True, verbose=0)


def test_a_new_training_leaves_nothing_of_an_old_one(builder, soft, tmp_path, monkeypatch):
    path, cache = shutil.copytree(soft[0], tmp_path / "run"), soft[1]

    def stopped(*_, **__):
        raise Killed

    monkeypatch.setattr(run.Captioner, "fit", stopped)
    with pytest.raises(Killed):
        train(path, CONFIG, builder, cache, verbose=0)
    assert {each.name for each in path.iterdir()} == {
        "config.json",
        "vocabulary.txt",
        "tensorboard",
    }


def test_vocabulary_that_does_not_fit(soft, tmp_path):
    path = shutil.copytree(soft[0], tmp_path / "run")
    with open(path / "vocabulary.txt", "a") as file:
        file.write("zebra\n")
    with pytest.raises(InputError, match=r"vocabulary.txt: its 19 words are not the 18 that"):
        load_run(path)


def test_settings_that_are_none(tmp_path):
    (tmp_path / "config.json").write_text('{"dataset": "shapes", "wings": 2}')
    with pytest.raises(InputError, match="not the settings of a run"):
        load_run(tmp_path)


@pytest.mark.slow
def test_warm_start_begins_with_the_other_run_s_weights(builder, soft, tmp_path):
    path, cache, _ = soft
    caches = len(list(cache.iterdir()))
    # Another seed: the encoder's weights, random ones here, are the other run's too.
    options = {"attention": "hard", "seed": 1, "learning_rate": 0.0, "epochs": 1}
    config = RunConfig(**{**vars(CONFIG), **options, "warm_start": str(path)})
    train(tmp_path, config, builder, cache, verbose=0)
    first, hard = load_run(path), load_run(tmp_path)
    assert hard.attention == "hard"
    assert hard.vocabulary == first.vocabulary
    for mine, other in (
        (hard.encoder.get_weights(), first.encoder.get_weights()),
        (hard.decoder.trainable_weights, first.decoder.trainable_weights),
    ):
        for one, another in zip(mine, other, strict=True):
            np.testing.assert_array_equal(one, another)
    assert len(list(cache.iterdir())) == caches  # both trained on the same annotations


@pytest.mark.parametrize(
    "options, says",
    [
        ({"units": 9}, "was trained with units 8; name the same"),
        ({"image_size": 64}, "was trained with image_size 32"),
        ({"scorer": "bilinear"}, "was trained with scorer additive"),
        ({"attention": "none"}, "was trained with attention soft"),
    ],
)
def test_warm_start_that_does_not_fit(builder, soft, tmp_path, options, says):
    config = RunConfig(**{**vars(CONFIG), **options, "warm_start": str(soft[0])})
    with pytest.raises(InputError, match=says):
        train(tmp_path / "second", config, builder, soft[1], verbose=0)
    assert not (tmp_path / "second").exists()


def test_training_goes_on_from_a_preset(builder, soft, tmp_path):
    load_run(soft[0]).save_to_preset(tmp_path / "preset")
    settings = {**vars(CONFIG), "epochs": 1, "warm_start": str(tmp_path / "preset")}
    train(tmp_path / "run", RunConfig(**settings), builder, soft[1], verbose=0)
    before, after = load_captioner(tmp_path / "preset"), load_run(tmp_path / "run")
    assert after.vocabulary == load_run(soft[0]).vocabulary
    for one, other in zip(before.encoder.get_weights(), after.encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(InputError, match="preset: was trained with units 8; name the same"):
        train(tmp_path / "x", RunConfig(**{**settings, "units": 9}), builder, soft[1], verbose=0)


@pytest.mark.parametrize(
    "options, says",
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"warmup": -1}, "warmup is -1"),
        ({"captions_per_photo": 3}, "batch_size 8 is no multiple of captions_per_photo 3"),
        ({"precision": "float8"}, "unknown precision 'float8'"),
        ({"self_critical": True, "captions_per_photo": 4}, "name warm_start"),
        ({"self_critical": True, "warm_start": "run"}, "name warm_start, captions_per_photo"),
    ],
)
def test_settings_that_cannot_be(options, says):
    with pytest.raises(InputError, match=says):
        RunConfig(**{**vars(CONFIG), **options})


@pytest.mark.parametrize(
    ("warmup", "wanted"),
    [(0, {0: 2, 55: 1, 110: 0}), (10, {0: 0, 5: 1, 10: 2, 60: 1, 110: 0})],
)
def test_the_learning_rate_rises_and_falls_along_a_cosine(warmup, wanted):
    config = RunConfig(dataset="flickr8k", learning_rate=2.0, warmup=warmup)
    schedule = _learning_rate(config, 110)
    found = {step: float(schedule(step)) for step in wanted}
    assert found == pytest.approx(wanted, abs=1e-6)
