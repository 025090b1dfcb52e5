"""What all objectives share: their names, their settings, and that their state survives a stop."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sat_edge import InputError
from sat_keras.metrics import CaptionReward
from sat_keras.objectives import CrossEntropy, Objective, Reinforce, SelfCritical


@pytest.fixture(scope="module")
def reward(training_batch):
    return CaptionReward([[row[row != 0].tolist()] for row in training_batch[1][:, 1:]])


@pytest.fixture(scope="module")
def epochs(training_batch):
    """A function that gives the batches of an epoch, two of two photos: each epoch its own."""
    images, tokens = training_batch
    pairs = tokens.reshape(2, 2, -1)

    def batches(epoch):
        for i in range(2):
            rows = [i, 3 - i] if epoch else [2 * i, 2 * i + 1]
            yield images[rows], pairs

    def dataset(epoch):
        signature = (tf.TensorSpec((2, 32, 32, 3), tf.uint8), tf.TensorSpec((2, 2, 6), tf.int32))
        made = tf.data.Dataset.from_generator(lambda: batches(epoch), output_signature=signature)
        return made.apply(tf.data.experimental.assert_cardinality(2))

    return dataset


def state_of(model):
    """All that training goes on from, by name."""
    parts = {
        "weights": model.weights,
        "optimizer": model.optimizer.variables,
        "objective": model.objective.variables,
        "generators": [each for each in model.variables if "seed" in each.name],
    }
    return {
        f"{part} {i} {each.path}": each.numpy()
        for part, variables in parts.items()
        for i, each in enumerate(variables)
    }


@pytest.mark.parametrize(
    "options, objective",
    [
        ({}, CrossEntropy(scheduled_sampling=0.5, label_smoothing=0.1)),
        ({"attention": "hard"}, Reinforce()),
        ({"attention": "none"}, SelfCritical(temperature=1.0)),
    ],
    ids=["cross-entropy", "reinforce", "self-critical"],
)
@pytest.mark.parametrize("fine_tuned", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_training_goes_on_as_if_it_had_never_stopped(
    make_fresh, epochs, reward, tmp_path, options, objective, fine_tuned
):
    model = make_fresh(**options)
    model.encoder.trainable = fine_tuned  # its batch normalisation's statistics move too
    if isinstance(objective, SelfCritical):
        objective.reward = reward
    model.compile(keras.optimizers.Adam(1e-2, global_clipnorm=1.0), objective=objective)
    model.fit(epochs(0), verbose=0)
    stopped = state_of(model)
    model.save(tmp_path / "stopped.keras")
    model.fit(epochs(1), verbose=0)

    resumed = keras.saving.load_model(tmp_path / "stopped.keras")
    assert type(resumed.objective) is type(objective) and resumed.objective is not objective
    assert resumed.objective.get_config() == objective.get_config()
    assert resumed.encoder.trainable == fine_tuned
    assert_equal(state_of(resumed), stopped)
    if isinstance(objective, SelfCritical):
        resumed.objective.reward = reward  # references are not saved
    resumed.fit(epochs(1), verbose=0)
    assert_equal(state_of(resumed), state_of(model))


def assert_equal(found, wanted):
    for (name, one), other in zip(found.items(), wanted.values(), strict=True):
        np.testing.assert_array_equal(one, other, err_msg=name)


# === Names and settings ===


def test_each_kind_of_attention_has_its_default(make_fresh):
    found = {each: Objective.default(each) for each in ("soft", "hard", "none")}
    assert found == {"soft": "cross-entropy", "hard": "reinforce", "none": "cross-entropy"}
    model = make_fresh()
    model.compile()
    assert isinstance(model.objective, CrossEntropy)


@pytest.mark.parametrize(
    "objective",
    [
        CrossEntropy(0.1, 0.5, 0.01, 0.2),
        Reinforce(entropy=0.02, expectation=0.25, samples=3),
        SelfCritical(temperature=0.7, reward_meteor=1.5),
    ],
)
def test_config_round_trip(objective):
    config = objective.get_config()
    copy = Objective.from_config(config)
    assert type(copy) is type(objective)
    assert copy.get_config() == config
    assert all(getattr(copy, name) == getattr(objective, name) for name in config if name != "name")


def test_unknown_objectives_and_settings():
    with pytest.raises(InputError, match="unknown objective 'reinforced': .*reinforce"):
        Objective.from_config({"name": "reinforced"})
    with pytest.raises(InputError, match="unknown setting of objective reinforce 'sample'"):
        Objective.from_config({"name": "reinforce", "sample": 2})
    with pytest.raises(InputError, match="samples is 0: name 1 or more"):
        Objective.from_config({"name": "reinforce", "samples": 0})


def test_what_is_no_objective_is_named(make_fresh):
    for wrong in ("mse", CrossEntropy, keras.losses.MeanSquaredError()):
        with pytest.raises(InputError, match="objective is .*: name one of sat_keras.objectives"):
            make_fresh().compile("adam", wrong)


def test_compile_begins_anew(make_fresh, training_batch):
    model = make_fresh(attention="hard")
    objective = Reinforce()
    model.compile(objective=objective)
    first = float(objective.baseline.numpy())
    model.fit(*training_batch, verbose=0)
    assert float(objective.baseline.numpy()) != first
    model.compile(objective=objective)
    assert float(objective.baseline.numpy()) == first
    assert all(float(each.count.numpy()) == 0 for each in objective.metrics.values())


def test_an_objective_of_one_s_own_trains_and_is_saved(make_fresh, training_batch, tmp_path):
    """As the docstring of `Objective` has it, with the loss worked out by hand."""
    from dataclasses import dataclass

    from sat_keras.fields import setting

    @dataclass(eq=False)
    class Shrink(Objective, name="shrink"):
        strength: float = setting(1.0, "factor of the term", least=0)
        metric_names = ("loss", "gradient_norm")

        def __call__(self, captioner, batch, training):
            kernel = captioner.decoder.deep_output.project_word.kernel
            term = self.strength * tf.reduce_sum(tf.square(kernel))
            return tf.fill([tf.shape(batch.words)[0]], term), {}

    try:
        model = make_fresh()
        model.compile(keras.optimizers.SGD(0.1), objective=Shrink(0.5))
        kernel = model.decoder.deep_output.project_word.kernel
        before = kernel.numpy()
        found = model.train_on_batch(*training_batch, return_dict=True)
        assert found["loss"] == pytest.approx(0.5 * (before**2).sum(), rel=1e-5)
        assert found["gradient_norm"] == pytest.approx(np.sqrt((before**2).sum()), rel=1e-5)
        np.testing.assert_allclose(kernel.numpy(), 0.9 * before, rtol=1e-5)
        model.save(tmp_path / "shrink.keras")
        loaded = keras.saving.load_model(tmp_path / "shrink.keras")
        assert isinstance(loaded.objective, Shrink) and loaded.objective.strength == 0.5
    finally:
        del Objective.known["shrink"]
