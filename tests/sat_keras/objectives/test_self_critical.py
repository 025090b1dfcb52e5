import keras
import numpy as np
import pytest
import tensorflow as tf

from sat_edge import InputError
from sat_edge.caption import END, PAD, START, UNKNOWN
from sat_keras.metrics import CaptionReward
from sat_keras.objectives import SelfCritical
from sat_keras.trainable import Batch

REFERENCES = np.array([[4, 5, 2, 0], [4, 6, 7, 2], [8, 9, 2, 0], [5, 5, 5, 2]])  # two of each photo
DRAWN = np.array([[4, 5, 2, 0], [6, 2, 0, 0], [7, 8, 4, 2], [5, 2, 0, 0]])


@pytest.fixture(scope="module")
def reward(training_batch):
    words = [row[row != PAD].tolist() for row in training_batch[1][:, 1:]]
    return CaptionReward([words[:2], words[1:3], [[9, 9], [8, 2]]])


@pytest.fixture
def compiled(make_fresh, reward):
    def build(optimizer="sgd", temperature=0.4, **options):
        model = make_fresh(**options)
        model.compile(optimizer, objective=SelfCritical(reward, temperature))
        return model

    return build


@pytest.fixture(scope="module")
def two_each(training_batch):
    """Two photos with two references each: images `(2, 32, 32, 3)`, tokens `(2, 2, 6)`."""
    images, tokens = training_batch
    return images[:2], tokens.reshape(2, 2, -1)


def log_p(model, images, temperature):
    """log p of DRAWN at a temperature, where no special word is possible: `(B,)`."""
    previous = np.concatenate([np.full((4, 1), START), DRAWN[:, :-1]], axis=1)
    logits = np.asarray(model(images, previous)[0]) / temperature
    logits[..., [PAD, START, UNKNOWN]] = -np.inf
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    words = np.take_along_axis(log_p, DRAWN[..., None], -1)[..., 0]
    return np.where(DRAWN != PAD, words, 0.0).sum(1)


def test_rewards_are_of_each_photo_s_references(reward):
    drawn = np.array([[4, 5, 2], [4, 4, 4], [8, 9, 2], [6, 2, 0]])
    own = np.array([[4, 6, 2, 0], [8, 9, 2, 0]])
    rewards, baselines = SelfCritical(reward).score(drawn, own, REFERENCES)
    of_photos = [[[4, 5, 2], [4, 6, 7, 2]], [[8, 9, 2], [5, 5, 5, 2]]]
    wanted = reward.score(
        [[4, 5, 2], [4, 4, 4], [8, 9, 2], [6, 2]],
        [of_photos[0], of_photos[0], of_photos[1], of_photos[1]],
    )
    np.testing.assert_allclose(rewards, wanted, rtol=1e-6)
    wanted = reward.score([[4, 6, 2], [8, 9, 2]], of_photos)
    np.testing.assert_allclose(baselines, wanted, rtol=1e-6)


def test_a_replica_may_have_no_photo(reward):
    nothing = np.zeros((0, 4), "int32")
    rewards, baselines = SelfCritical(reward).score(nothing, nothing, nothing)
    assert rewards.shape == baselines.shape == (0,)


def test_what_beats_the_greedy_caption_becomes_more_probable(compiled, training_batch, monkeypatch):
    images, tokens = training_batch
    model = compiled(keras.optimizers.SGD(0.02), temperature=0.5, dropout=0.5)
    advantages = np.array([1.0, -1.0, 0.0, 2.0], "float32")
    given = (tf.constant(DRAWN, tf.int32), tf.constant(advantages))
    monkeypatch.setattr(model.objective, "draw", lambda captioner, batch: (*given, {}))
    before = log_p(model, images, 0.5)
    found = model.train_on_batch(images, tokens, return_dict=True)
    assert found["loss"] == pytest.approx(-(advantages * before).mean(), rel=1e-4)
    moved = log_p(model, images, 0.5) - before
    assert (advantages * moved).sum() > 0.01
    assert moved[3] > moved[1]


def test_loss_of_drawn_captions_equals_numpy(compiled, reward, two_each, monkeypatch):
    """Of given captions: their rewards over those of the greedy ones, times log p."""
    images, tokens = two_each
    model = compiled(temperature=0.7)
    given = tf.constant(DRAWN, tf.int32)
    monkeypatch.setattr(
        model.objective, "captions", lambda captioner, annotations, captions_per_photo: given
    )
    own = [caption.tokens.tolist() for caption in model.caption(images)]
    references = [[row[row != PAD][1:].tolist() for row in rows] for rows in tokens]
    drawn = [row[row != PAD].tolist() for row in DRAWN]
    rewards = reward.score(drawn, [references[0]] * 2 + [references[1]] * 2)
    baselines = reward.score(own, references)
    wanted = -((rewards - np.repeat(baselines, 2)) * log_p(model, images, 0.7)).mean()
    assert abs(wanted) > 0.1
    found = model.train_on_batch(images, tokens, return_dict=True)
    assert found["loss"] == pytest.approx(wanted, rel=1e-4)
    assert found["reward"] == pytest.approx(rewards.mean(), rel=1e-5)
    assert found["baseline"] == pytest.approx(baselines.mean(), abs=1e-6)


def test_captions_are_drawn_at_the_temperature(compiled, two_each):
    """Near zero every drawn caption is the greedy one, and none has an advantage."""
    batch = Batch.from_data(two_each)
    cold, warm = (
        model.objective.draw(model, batch)[:2]
        for model in (compiled(temperature=each) for each in (1e-4, 1.0))
    )
    np.testing.assert_array_equal(cold[0][0], cold[0][1])
    np.testing.assert_array_equal(cold[1], 0)
    assert len({tuple(row) for row in warm[0].numpy()}) == 4


def test_every_step_draws_anew(compiled, two_each):
    model, batch = compiled(temperature=1.0), Batch.from_data(two_each)
    first, second = (model.objective.draw(model, batch)[0].numpy() for _ in range(2))
    assert first.shape != second.shape or (first != second).any()


def test_drawn_captions_end_and_hold_no_special_word(compiled, two_each):
    model = compiled(temperature=1.0)
    drawn = model.objective.draw(model, Batch.from_data(two_each))[0].numpy()
    assert not np.isin(drawn, (START, UNKNOWN)).any()
    for row in drawn:
        words = row[row != PAD]
        assert END not in words[:-1] and (row[len(words) :] == PAD).all()


def test_validation_reports_the_likelihood_of_the_references(compiled, two_each):
    images, tokens = two_each
    model = compiled()
    found = model.evaluate(images, tokens, return_dict=True, verbose=0)
    rows = tokens.reshape(4, -1)
    logits = np.asarray(model(images[[0, 0, 1, 1]], rows[:, :-1])[0])
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    mask = rows[:, 1:] != PAD
    nll = -np.take_along_axis(log_p, rows[:, 1:, None], -1)[..., 0] * mask
    assert found["loss"] == pytest.approx(nll.sum() / 4, rel=1e-5)
    assert found["cross_entropy"] == pytest.approx(nll.sum() / mask.sum(), rel=1e-5)
    assert "reward" not in found


def test_prepare_makes_the_reward_of_the_training_split(vocabulary):
    captions = [[[4, 5, 2], [4, 6, 7, 2]], [[8, 9, 2]]]
    objective = SelfCritical(reward_meteor=1.5, reward_repetition=0.5)
    objective.prepare(captions, vocabulary)
    drawn, references = [[4, 5, 2], [6, 7, 6, 7, 2]], [[[4, 6, 2]]] * 2
    found = objective.reward.score(drawn, references)
    wanted = CaptionReward(captions, 1.5, 0.5, vocabulary.words).score(drawn, references)
    np.testing.assert_array_equal(found, wanted)
    assert (wanted != CaptionReward(captions, 1.5).score(drawn, references))[1]
    assert (wanted != CaptionReward(captions, 0.0, 0.5, vocabulary.words).score(drawn, references))[
        0
    ]


@pytest.mark.slow
def test_training_raises_the_reward(make_fresh, compiled, two_each, fit):
    keras.utils.set_random_seed(0)
    start = make_fresh(dropout=0.0)
    start.compile(keras.optimizers.Adam(1e-2))
    fit(start, steps=10)
    model = compiled(keras.optimizers.Adam(1e-2, global_clipnorm=5.0), dropout=0.0)
    model.set_weights(start.get_weights())
    history = fit(model, steps=30, batch=two_each, validation_data=two_each, epochs=3)
    assert history["reward"][2] > history["reward"][0] + 0.5
    assert "cross_entropy" not in history and "val_cross_entropy" in history


def test_training_needs_its_reward(make_fresh, training_batch):
    model = make_fresh()
    model.compile(objective=SelfCritical())
    with pytest.raises(InputError, match="give SelfCritical a CaptionReward"):
        model.train_on_batch(*training_batch)


def test_settings_that_cannot_be():
    with pytest.raises(InputError, match="temperature is 0.0: name a number above 0"):
        SelfCritical(temperature=0.0)
    with pytest.raises(InputError, match="reward_meteor is -1.0: name 0 or more"):
        SelfCritical(reward_meteor=-1.0)


def test_references_are_added_with_their_factors(make_fresh, reward, two_each, monkeypatch):
    """Where the drawn captions earn nothing more than the greedy one, the references are all."""
    images, tokens = two_each
    cover = np.zeros((2, 2, tokens.shape[2] - 1, 4), "float32")
    cover[0, 1, 1] = [0, 1, 0, 0.5]
    model = make_fresh(dropout=0.0)
    objective = SelfCritical(reward, likelihood=0.3, grounding=0.7)
    monkeypatch.setattr(
        objective, "score", lambda drawn, own, _: (np.ones(len(drawn), "f"), np.ones(len(own), "f"))
    )
    model.compile("sgd", objective=objective)
    flat = tokens.reshape(4, -1)
    logits, alphas = (
        np.asarray(each) for each in model(np.repeat(images, 2, axis=0), flat[:, :-1])[:2]
    )
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    words = np.take_along_axis(log_p, flat[:, 1:, None], -1)[..., 0] * (flat[:, 1:] != PAD)
    inside = (alphas[1, 1] * cover[0, 1, 1]).sum()
    wanted = (-0.3 * words.sum() - 0.7 * np.log(inside)) / 4
    found = model.train_on_batch(images, {"tokens": tokens, "cover": cover}, return_dict=True)
    assert found["loss"] == pytest.approx(wanted, rel=1e-3)
    assert found["grounded_mass"] == pytest.approx(inside, rel=1e-4)
