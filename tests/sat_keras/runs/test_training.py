"""Training on tiny photos: stopping changes nothing, phases go on from each other."""

import shutil

import keras
import numpy as np
import pytest

from sat_edge import InputError
from sat_edge.search import Search
from sat_keras import datasets
from sat_keras.runs import callbacks, training
from sat_keras.runs.folder import load_run
from sat_keras.runs.phases import load_phases
from sat_keras.runs.settings import RunSettings
from sat_keras.runs.sources import load_captioner
from sat_keras.runs.training import _learning_rate, train, train_phases


def weights(path):
    return load_run(path).get_weights()


class Killed(Exception):
    pass


# === Stopped and resumed ===

PHASES = {
    "soft": {},
    "fine-tuned": {
        "data": {"augment": True, "captions_per_photo": 2, "batch_size": 4},
        "training": {"fine_tune": "conv_pw_10", "warmup": 3},
    },
    "hard": {"decoder": {"attention": "hard"}, "objective": {"entropy": 0.01}},
    "grounded": {"objective": {"grounding": 0.5}},
    "scheduled sampling": {"objective": {"scheduled_sampling": 0.5}},
    "self-critical": {
        "objective": {"name": "self-critical"},
        "data": {"captions_per_photo": 5, "batch_size": 10},
    },
}


@pytest.mark.parametrize(
    "phase",
    [pytest.param(each, marks=[pytest.mark.slow] * (each != "soft")) for each in PHASES],
)
def test_killed_and_resumed_ends_like_one_that_was_not(
    builder, soft, settings_of, tmp_path, monkeypatch, phase
):
    parts = dict(PHASES[phase])
    if phase == "self-critical":
        parts["training"] = {"warm_start": str(soft[0])}
    settings = settings_of(**parts)
    cache = soft[1]
    whole = train(tmp_path / "whole", settings, builder, cache, verbose=0)

    # Killed in the middle of the third epoch.
    steps = []

    class KillInThirdEpoch(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            steps.append(batch)
            if steps.count(0) == 3 and batch == 1:
                raise Killed

    fit = training.Captioner.fit

    def killed_fit(self, *args, callbacks, **kwargs):
        return fit(self, *args, callbacks=[*callbacks, KillInThirdEpoch()], **kwargs)

    monkeypatch.setattr(training.Captioner, "fit", killed_fit)
    with pytest.raises(Killed):
        train(tmp_path / "parts", settings, builder, cache, verbose=0)
    monkeypatch.setattr(training.Captioner, "fit", fit)

    resumed = train(tmp_path / "parts", settings, builder, cache, resume=True, verbose=0)
    assert [each["epoch"] for each in resumed] == [1, 2, 3, 4]
    assert resumed == whole
    for one, other in zip(weights(tmp_path / "whole"), weights(tmp_path / "parts"), strict=True):
        np.testing.assert_array_equal(one, other)
    last = [
        keras.saving.load_model(tmp_path / name / "checkpoint.keras") for name in ("whole", "parts")
    ]
    for one, other in zip(states(last[0]), states(last[1]), strict=True):
        np.testing.assert_array_equal(one, other)


def states(captioner):
    """Weights, the optimizer's, and the random and the objective's states."""
    variables = [*captioner.optimizer.variables, *captioner._states().values()]
    return [*captioner.get_weights(), *(each.numpy() for each in variables)]


@pytest.mark.slow
def test_training_stops_when_validation_gets_no_better(
    builder, soft, settings_of, tmp_path, monkeypatch
):
    scores = iter([0.1, 0.3, 0.2, 0.25, 0.5])
    monkeypatch.setattr(callbacks, "cider", lambda *_: {"CIDEr": next(scores)})
    settings = settings_of(training={"epochs": 5, "patience": 2})
    history = train(tmp_path / "run", settings, builder, soft[1], verbose=0)
    assert [each["val_cider"] for each in history] == [0.1, 0.3, 0.2, 0.25]
    again = train(tmp_path / "run", settings, builder, soft[1], resume=True, verbose=0)
    assert len(again) == 4


@pytest.mark.slow
def test_stopped_in_its_first_epoch_it_begins_anew(builder, soft, settings_of, tmp_path):
    settings = settings_of(training={"epochs": 1})
    settings.save(tmp_path)
    history = train(tmp_path, settings, builder, soft[1], resume=True, verbose=0)
    assert [each["epoch"] for each in history] == [1]


def test_damaged_checkpoint(builder, settings_of, tmp_path):
    settings_of().save(tmp_path)
    (tmp_path / "checkpoint.keras").write_bytes(b"PK but not really")
    with pytest.raises(InputError, match=r"checkpoint.keras: damaged; train without --resume"):
        train(tmp_path, settings_of(), builder, tmp_path / "cache", resume=True, verbose=0)


def test_a_new_training_leaves_nothing_of_an_old_one(
    builder, soft, settings_of, tmp_path, monkeypatch
):
    path, cache = shutil.copytree(soft[0], tmp_path / "run"), soft[1]

    def stopped(*_, **__):
        raise Killed

    monkeypatch.setattr(training.Captioner, "fit", stopped)
    with pytest.raises(Killed):
        train(path, settings_of(), builder, cache, verbose=0)
    assert {each.name for each in path.iterdir()} == {
        "config.json",
        "vocabulary.txt",
        "tensorboard",
    }


def test_other_data(builder, soft, settings_of, tmp_path):
    path = shutil.copytree(soft[0], tmp_path / "run")
    (path / "log.csv").unlink()

    class Other:
        info = type("Info", (), {"full_name": "folder/abc/1.0.0", "splits": builder.info.splits})

    with pytest.raises(InputError, match="begun with flickr8k/entities/1.1.0, and this is folder"):
        train(path, settings_of(), Other, soft[1], resume=True, verbose=0)


# === What is asked of the pipeline and of the optimizer ===

FROM_NOTHING = {"training": {"fine_tune": "all", "epochs": 1}}
FINE_TUNED = {"training": {"fine_tune": "conv_pw_10", "epochs": 1}}
AUGMENTED = {"data": {"augment": True}, "training": {"epochs": 1}}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parts", "augment", "by_length"),
    [
        ({"training": {"epochs": 1}}, False, True),
        pytest.param(AUGMENTED, True, True, marks=pytest.mark.slow),
        pytest.param(FINE_TUNED, False, True, marks=pytest.mark.slow),
        # Batch statistics would tell how much there is in a batch of short captions' pictures.
        pytest.param(FROM_NOTHING, False, False, marks=pytest.mark.slow),
    ],
)
def test_training_batches(
    builder, soft, settings_of, tmp_path, monkeypatch, parts, augment, by_length
):
    asked = []
    real = training.pipeline.batches

    def batches(*arguments, **options):
        asked.append({"augment": False, "by_length": True, **options})
        return real(*arguments, **options)

    monkeypatch.setattr(training.pipeline, "batches", batches)
    train(tmp_path / "run", settings_of(**parts), builder, soft[1], verbose=0)
    of_training, of_validation = asked
    assert (of_training["augment"], of_training["by_length"]) == (augment, by_length)
    assert not of_validation["augment"]  # it is as it was


@pytest.mark.parametrize(
    ("warmup", "wanted"),
    [(0, {0: 2, 55: 1, 110: 0}), (10, {0: 0, 5: 1, 10: 2, 60: 1, 110: 0})],
)
def test_the_learning_rate_rises_and_falls_along_a_cosine(settings_of, warmup, wanted):
    settings = settings_of(training={"learning_rate": 2.0, "warmup": warmup})
    schedule = _learning_rate(settings.training, 110)
    found = {step: float(schedule(step)) for step in wanted}
    assert found == pytest.approx(wanted, abs=1e-6)


def test_gradients_are_clipped_and_layers_learn_as_the_settings_have_it(
    builder, soft, settings_of, tmp_path, monkeypatch
):
    compiled = []

    def stopped(self, *_, **__):
        layers = {each.name: each.trainable for each in self.encoder.get_layer("mobilenet").layers}
        compiled.append((self.optimizer.global_clipnorm, layers))
        raise Killed

    monkeypatch.setattr(training.Captioner, "fit", stopped)
    for fine_tune in (None, "conv_pw_10", "all"):
        settings = settings_of(training={"fine_tune": fine_tune, "clip_norm": 0.5})
        with pytest.raises(Killed):
            train(tmp_path / "run", settings, builder, soft[1], verbose=0)
    assert [clip_norm for clip_norm, _ in compiled] == [0.5, 0.5, 0.5]
    names = ("conv_pw_9", "conv_pw_10", "conv_pw_10_bn", "conv_pw_11")
    assert [[layers[name] for name in names] for _, layers in compiled] == [
        [False, False, False, False],
        [False, True, False, True],  # batch normalisation keeps its statistics
        [True, True, True, True],
    ]


# === What it begins with ===


@pytest.mark.slow
def test_warm_start_begins_with_the_other_run_s_weights(builder, soft, settings_of, tmp_path):
    path, cache, _ = soft
    caches = len(list(cache.iterdir()))
    # Another seed: the encoder's weights, random ones here, are the other run's too. A learning
    # rate so small that float32 does not see it.
    settings = settings_of(
        decoder={"attention": "hard"},
        training={"seed": 1, "learning_rate": 1e-30, "epochs": 1, "warm_start": str(path)},
    )
    train(tmp_path, settings, builder, cache, verbose=0)
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
    ("parts", "says"),
    [
        ({"decoder": {"units": 9}}, "was trained with units 8; name the same"),
        ({"encoder": {"image_size": 64}}, "was trained with image_size 32"),
        ({"encoder": {"name": "mobilenet_v2"}}, "was trained with encoder mobilenet; name"),
        ({"encoder": {"layer": None}}, "was trained with layer conv_pw_11_relu; name the same"),
        ({"decoder": {"scorer": "bilinear"}}, "was trained with scorer additive"),
        ({"decoder": {"attention": "none"}}, "was trained with attention soft"),
    ],
)
def test_warm_start_that_does_not_fit(builder, soft, settings_of, tmp_path, parts, says):
    settings = settings_of(**parts, training={"warm_start": str(soft[0])})
    with pytest.raises(InputError, match=f"^{soft[0]}: {says}"):
        train(tmp_path / "second", settings, builder, soft[1], verbose=0)
    assert not (tmp_path / "second").exists()


@pytest.mark.parametrize(
    "parts",
    [
        {"training": {"precision": "mixed_bfloat16"}},
        {"decoder": {"dropout": 0.1}},
        {"decoder": {"max_length": 9}},
        {"search": {"beam_width": 3}},
    ],
)
def test_what_may_differ_from_the_start_is_as_the_settings_have_it(
    builder, soft, settings_of, tmp_path, monkeypatch, parts
):
    begun = []

    def stopped(self, *_, **__):
        begun.append(self)
        raise Killed

    monkeypatch.setattr(training.Captioner, "fit", stopped)
    parts = {**parts, "training": {**parts.get("training", {}), "warm_start": str(soft[0])}}
    settings = settings_of(**parts)
    policy = keras.config.dtype_policy()
    try:
        with pytest.raises(Killed):
            train(tmp_path / "run", settings, builder, soft[1], verbose=0)
    finally:
        keras.config.set_dtype_policy(policy)
    (captioner,) = begun
    assert captioner.dtype_policy.name == settings.training.precision
    assert captioner.decoder.compute_dtype == (
        "bfloat16" if "precision" in parts["training"] else "float32"
    )
    assert captioner.dropout == settings.decoder.dropout
    assert captioner.max_length == settings.decoder.max_length
    assert captioner.search == settings.search


@pytest.mark.slow
def test_training_goes_on_from_a_preset(builder, soft, settings_of, tmp_path):
    load_run(soft[0]).save_to_preset(tmp_path / "preset")
    of_training = {"epochs": 1, "warm_start": str(tmp_path / "preset")}
    train(tmp_path / "run", settings_of(training=of_training), builder, soft[1], verbose=0)
    before, after = load_captioner(tmp_path / "preset"), load_run(tmp_path / "run")
    assert after.vocabulary == load_run(soft[0]).vocabulary
    for one, other in zip(before.encoder.get_weights(), after.encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    settings = settings_of(decoder={"units": 9}, training=of_training)
    with pytest.raises(InputError, match="preset: was trained with units 8; name the same"):
        train(tmp_path / "x", settings, builder, soft[1], verbose=0)


@pytest.mark.slow
def test_a_run_s_captioner_has_the_run_s_search(builder, soft, settings_of, tmp_path):
    assert load_run(soft[0]).search == Search()  # unless named, greedy
    search = {"beam_width": 3, "length_penalty": 0.5}
    settings = settings_of(search=search, training={"epochs": 1})
    train(tmp_path, settings, builder, soft[1], verbose=0)
    assert RunSettings.load(tmp_path).search == load_run(tmp_path).search == Search(**search)


def test_unknown_networks_are_refused_at_once(settings_of):
    training.check_names(settings_of())
    with pytest.raises(InputError, match="unknown encoder 'mobilenet_v9'"):
        training.check_names(settings_of(encoder={"name": "mobilenet_v9"}))
    with pytest.raises(InputError, match="unknown scorer 'loud'"):
        training.check_names(settings_of(decoder={"scorer": "loud"}))


# === Phases ===

FIVE = {"captions_per_photo": 5, "batch_size": 10}


@pytest.mark.slow
def test_phases_go_on_from_each_other_and_after_a_stop(builder, nested, tmp_path, monkeypatch):
    phases = {
        "cross-entropy": nested(data=FIVE, training={"epochs": 2}),
        "fine-tuning": nested(data=FIVE, training={"fine_tune": "conv_pw_11", "epochs": 1}),
        "self-critical": nested(
            data=FIVE, training={"epochs": 1}, objective={"name": "self-critical"}
        ),
    }
    trained = []

    def stopping_train(folder, *arguments, **options):
        trained.append(folder.name)
        if len(trained) == 3:
            raise Killed
        return train(folder, *arguments, **options)

    monkeypatch.setattr(training, "train", stopping_train)
    run = tmp_path / "run"
    with pytest.raises(Killed):
        train_phases(run, phases, builder, tmp_path / "cache", verbose=0)
    log = (run / "cross-entropy" / "log.csv").stat().st_mtime_ns
    history = train_phases(run, load_phases(run), builder, tmp_path / "cache", verbose=0)
    assert trained == ["cross-entropy", "fine-tuning", "run"] * 2
    assert (run / "cross-entropy" / "log.csv").stat().st_mtime_ns == log  # not trained again
    assert [each["epoch"] for each in history] == [1] and "reward" in history[0]
    settings = RunSettings.load(run)
    assert settings.objective["name"] == "self-critical"
    assert settings.training.warm_start == str(run / "fine-tuning")
    before = RunSettings.load(run / "fine-tuning").training.warm_start
    assert before == str(run / "cross-entropy")

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


@pytest.mark.slow
def test_a_finished_training_is_calibrated_once(make_flickr8k, nested, settings_of, tmp_path):
    official = make_flickr8k(tmp_path / "flickr8k", photos=110, validation=52)
    builder = datasets.build_records("flickr8k", tmp_path / "records", official)
    run, phases = tmp_path / "run", {"first": {}, "last": {}}
    phases = {name: nested(training={"epochs": 1}) for name in phases}
    train_phases(run, phases, builder, tmp_path / "cache", verbose=0)
    photo = np.zeros((32, 32, 3), "uint8")
    found = load_run(run).caption([photo])[0]
    assert 0 <= found.confidence <= 1 and 0 <= found.familiarity <= 1
    assert load_run(run / "first").trust is None
    changed = (run / "captioner.keras").stat().st_mtime_ns
    train_phases(run, phases, builder, tmp_path / "cache", verbose=0)
    assert (run / "captioner.keras").stat().st_mtime_ns == changed
    # A training that begins with it makes it untrue.
    begun = training._load_start(settings_of(training={"warm_start": str(run)}))
    assert begun.trust is None
    for one, other in zip(begun.get_weights(), load_run(run).get_weights(), strict=False):
        np.testing.assert_array_equal(one, other)


def test_too_few_photos_to_calibrate_on_are_said_in_a_line(builder, soft, nested, tmp_path, capsys):
    run = shutil.copytree(soft[0], tmp_path / "run")
    history = train_phases(run, {"": nested()}, builder, soft[1], verbose=0)
    assert len(history) == 4
    (line,) = [each for each in capsys.readouterr().err.splitlines() if "confidence" in each]
    assert line.startswith(f"{run}: captions have no confidence: train: 4 photos with two captions")
    assert load_run(run).caption([np.zeros((32, 32, 3), "uint8")])[0].confidence is None


def test_other_settings_than_the_run_was_begun_with(builder, soft, nested, settings_of, tmp_path):
    run, cache = shutil.copytree(soft[0], tmp_path / "run"), soft[1]
    phases = {"": nested()}
    assert load_phases(run) == {"": settings_of().as_dict()}
    other = nested(training={"epochs": 9})
    for others in ({"": other}, {"first": phases[""], "second": other}):
        with pytest.raises(InputError, match="run: was begun with other settings; name another"):
            train_phases(run, others, builder, cache, verbose=0)
        assert not (run / "recipe.json").exists()
    (run / "checkpoint.keras").unlink()  # to save space: it is finished all the same
    history = train_phases(run, phases, builder, cache, verbose=0)
    assert len(history) == 4
    assert not (run / "checkpoint.keras").exists()
