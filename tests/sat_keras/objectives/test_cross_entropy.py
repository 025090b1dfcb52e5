import keras
import numpy as np
import pytest
import tensorflow as tf

from sat_edge import InputError
from sat_edge.caption import START
from sat_keras.objectives import CrossEntropy, Objective, SelfCritical
from sat_keras.trainable import Batch


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def of_words(values, words):
    """The values `(B, T, V)` of words `(B, T)`."""
    return np.take_along_axis(values, words[..., None], -1)[..., 0]


def test_loss_is_the_paper_s(make_fresh, training_batch):
    images, tokens = training_batch
    words, mask = tokens[:, 1:], tokens[:, 1:] != 0
    model = make_fresh()
    model.compile(objective=CrossEntropy(doubly_stochastic=0.7, entropy=0.2))
    result = model.evaluate(images, tokens, return_dict=True, verbose=0)
    logits, alphas = (np.asarray(x) for x in model(images, tokens[:, :-1])[:2])
    nll = -of_words(log_softmax(logits), words) * mask
    coverage = ((1 - (alphas * mask[..., None]).sum(1)) ** 2).sum(-1)
    entropy = -(alphas * np.log(alphas)).sum(-1) * mask
    loss = nll.sum(1) + 0.7 * coverage - 0.2 * entropy.sum(1)
    assert result["loss"] == pytest.approx(loss.mean(), rel=1e-4)
    assert result["cross_entropy"] == pytest.approx(nll.sum() / mask.sum(), rel=1e-4)
    assert result["attention_entropy"] == pytest.approx(entropy.sum() / mask.sum(), rel=1e-4)
    correct = (logits.argmax(-1) == words) * mask
    assert result["accuracy"] == pytest.approx(correct.sum() / mask.sum())


def test_without_attention_the_uniform_weights_cost_nothing(make_fresh, training_batch):
    images, tokens = training_batch
    model = make_fresh(attention="none")
    model.compile(objective=CrossEntropy(doubly_stochastic=5.0))
    result = model.evaluate(images, tokens, return_dict=True, verbose=0)
    logits = np.asarray(model(images, tokens[:, :-1])[0])
    nll = -of_words(log_softmax(logits), tokens[:, 1:]) * (tokens[:, 1:] != 0)
    assert result["loss"] == pytest.approx(nll.sum(1).mean(), rel=1e-4)


def test_scheduled_sampling_trains_on_its_own_words(make_fresh, training_batch, monkeypatch):
    images, tokens = training_batch
    model = make_fresh(dropout=0.0)
    objective = CrossEntropy(scheduled_sampling=1.0)
    model.compile(objective=objective)
    batch = Batch.from_data((images, tokens))
    mixed = objective.previous_words(model, batch).numpy()
    assert (mixed[:, 0] == START).all()
    assert (mixed[:, 1:] != tokens[:, 1:-1]).mean() > 0.5
    # The loss is of the caption's words, behind the model's in training, else behind its own.
    monkeypatch.setattr(objective, "previous_words", lambda model, batch: tf.constant(mixed))
    mask = tokens[:, 1:] != 0
    for previous, measure in ((tokens[:, :-1], model.test_on_batch), (mixed, model.train_on_batch)):
        logits = np.asarray(model(images, previous)[0])
        nll = -(of_words(log_softmax(logits), tokens[:, 1:]) * mask).sum() / mask.sum()
        found = measure(images, tokens, return_dict=True)
        assert found["cross_entropy"] == pytest.approx(nll, rel=1e-4)


def test_own_words_differ_from_step_to_step(make_fresh, training_batch):
    model, objective = make_fresh(), CrossEntropy(scheduled_sampling=1.0)
    model.compile(objective=objective)
    batch = Batch.from_data(training_batch)
    first, second = (objective.previous_words(model, batch).numpy() for _ in range(2))
    assert (first != second).any()


def test_labels_are_smoothed_in_training_alone(make_fresh, training_batch):
    images, tokens = training_batch
    model = make_fresh(dropout=0.0)
    batch = Batch.from_data(training_batch)

    def loss(label_smoothing, training):
        objective = CrossEntropy(label_smoothing, doubly_stochastic=0.0)
        model.compile(objective=objective)
        return float(tf.reduce_mean(objective(model, batch, training)[0]))

    log_p = log_softmax(np.asarray(model(images, tokens[:, :-1])[0]))
    target = 0.8 * np.eye(log_p.shape[-1])[tokens[:, 1:]] + 0.2 / log_p.shape[-1]
    wanted = -((tokens[:, 1:] != 0) * (target * log_p).sum(-1)).sum(-1).mean()
    assert loss(0.2, training=True) == pytest.approx(wanted, rel=1e-5)
    assert loss(0.2, training=False) == loss(0.0, training=True) != pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("inject", ["first", "every"])
def test_cnn_lstm_learns_by_heart(make_fresh, training_batch, fit, inject):
    keras.utils.set_random_seed(0)
    model = make_fresh(attention="none", inject=inject, dropout=0.0)
    model.compile(keras.optimizers.Adam(1e-2, global_clipnorm=5.0))
    assert fit(model, steps=60, epochs=2)["cross_entropy"][1] < 1.0
    np.testing.assert_allclose(model.caption(training_batch[0])[0].attention, 1 / 4)


@pytest.mark.slow
def test_without_the_previous_word_it_trains_too(make_fresh, fit):
    model = make_fresh(attention="none", inject="only")
    model.compile(keras.optimizers.Adam(1e-2))
    history = fit(model, steps=20, epochs=2)
    assert history["cross_entropy"][1] < history["cross_entropy"][0]


@pytest.mark.parametrize(
    "settings, says",
    [
        ({"label_smoothing": -0.1}, "label_smoothing is -0.1: name 0 or more, and at most 1"),
        ({"scheduled_sampling": 2.0}, "scheduled_sampling is 2.0: name 0 or more, and at most 1"),
        ({"doubly_stochastic": -1.0}, "doubly_stochastic is -1.0: name 0 or more"),
        ({"entropy": "much"}, "entropy is 'much': name a value of type float"),
    ],
)
def test_settings_that_cannot_be(settings, says):
    with pytest.raises(InputError, match=says):
        CrossEntropy(**settings)


@pytest.fixture
def boxed(training_batch):
    """The same batch with boxes: the third word of captions 0 and 2 names the left column."""
    images, tokens = training_batch
    cover = np.zeros((4, tokens.shape[1] - 1, 4), "float32")
    cover[[0, 2], 2] = [1, 0, 0.5, 0]
    return images, {"tokens": tokens, "cover": cover}


def test_grounding_is_added_for_words_with_boxes(make_fresh, boxed):
    images, data = boxed
    tokens, cover = data["tokens"], data["cover"]
    plain, grounded = (CrossEntropy(doubly_stochastic=0, grounding=factor) for factor in (0.0, 0.7))
    model = make_fresh()
    found = {}
    for objective in (plain, grounded):
        model.compile(objective=objective)
        found[objective.grounding] = model.evaluate(images, data, return_dict=True, verbose=0)
    alphas = np.asarray(model(images, tokens[:, :-1])[1])
    inside = (alphas * cover).sum(-1)[[0, 2], 2]
    wanted = -0.7 * np.log(inside).sum() / len(images)
    assert found[0.7]["loss"] - found[0.0]["loss"] == pytest.approx(wanted, rel=1e-3)
    assert found[0.7]["grounded_mass"] == pytest.approx(inside.mean(), rel=1e-4)
    assert "grounded_mass" not in found[0.0]


@pytest.mark.parametrize(
    "name, options", [("cross-entropy", {}), ("reinforce", {"attention": "hard"})]
)
def test_grounded_attention_moves_into_the_boxes(make_fresh, boxed, name, options):
    keras.utils.set_random_seed(1)
    model = make_fresh(dropout=0.0, **options)
    objective = Objective.from_config({"name": name, "grounding": 5.0})
    model.compile(keras.optimizers.Adam(0.01), objective=objective)
    _, locations, size = model.encoder.output_shape
    annotations = np.random.default_rng(0).normal(size=(4, locations, size)).astype("float32")
    masses = [
        model.train_on_batch(annotations, boxed[1], return_dict=True)["grounded_mass"]
        for _ in range(40)
    ]
    assert masses[0] < 0.4 and masses[-1] > 0.7


def test_grounding_needs_boxes_and_attention(make_fresh, training_batch):
    model = make_fresh()
    model.compile(objective=CrossEntropy(grounding=1.0))
    with pytest.raises(InputError, match="grounding needs boxes"):
        model.train_on_batch(*training_batch)
    for objective in (CrossEntropy(grounding=1.0), SelfCritical(grounding=1.0)):
        with pytest.raises(InputError, match="this captioner has none: set grounding to 0"):
            make_fresh(attention="none").compile(objective=objective)
