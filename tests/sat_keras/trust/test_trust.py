"""What `Trust` computes, against the textbook; a captioner with one, saved and loaded."""

import keras
import numpy as np
import pytest

from sat_edge.caption import END, PAD
from sat_keras import Captioner
from sat_keras.trust import Trust

SIZE, LOCATIONS, RANK, WORDS = 6, 5, 3, 9
RNG = np.random.default_rng(0)
VALUES = {
    "mean": RNG.normal(size=SIZE),
    "components": np.linalg.qr(RNG.normal(size=(SIZE, SIZE)))[0][:, :RANK],
    "rest_precision": np.array(1 / 0.4),
    "precision": 1 / np.array([5.0, 2.0, 0.9]) - 1 / 0.4,
    "least_spread": np.array(0.3),
    "distance_knots": np.sort(RNG.uniform(0.5, 9, 12)),
    "familiarity_knots": np.linspace(1, 0, 12),
    "to_topics": RNG.normal(size=(SIZE, RANK)),
    "to_words": RNG.normal(size=(RANK, WORDS)),
    "mean_words": RNG.normal(size=WORDS),
    "to_outlook": RNG.normal(size=(SIZE, 1)),
    "mean_outlook": np.array(0.2),
    "probability_factor": np.array(0.8),
    "score_knots": np.sort(RNG.uniform(-25, 25, 12)),
    "confidence_knots": np.linspace(0.1, 0.9, 12) ** 2,
}


@pytest.fixture(scope="module")
def trust():
    layer = Trust(RANK, WORDS)
    layer.build((None, LOCATIONS, SIZE))
    for weight in layer.weights:
        weight.assign(VALUES[weight.name])
    return layer


@pytest.fixture(scope="module")
def annotations():
    return np.random.default_rng(1).normal(0, 2, (40, LOCATIONS, SIZE)).astype("float32")


def test_the_distance_is_mahalanobis_s_over_the_spread(trust, annotations):
    directions, rest = VALUES["components"], 0.4
    covariance = directions @ np.diag(np.array([5.0, 2.0, 0.9]) - rest) @ directions.T
    inverse = np.linalg.inv(covariance + rest * np.eye(SIZE))
    wanted = []
    for photo in annotations.astype("float64"):
        x = sum(photo) / LOCATIONS - VALUES["mean"]
        spread = sum(((row - photo.mean(axis=0)) ** 2).sum() for row in photo) / LOCATIONS
        wanted.append(x @ inverse @ x / (spread + 0.3))
    np.testing.assert_allclose(trust.distance(annotations), wanted, rtol=1e-5)


def test_familiarity_is_linear_between_its_knots_and_constant_outside(trust, annotations):
    distance = trust.distance(annotations).numpy()
    knots, values = VALUES["distance_knots"], VALUES["familiarity_knots"]
    wanted = np.interp(distance, knots, values)
    found = trust.of_photo(annotations)["familiarity"]
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    outside = (distance < knots[0]) | (distance > knots[-1])
    assert 0 < outside.sum() < len(outside)


def test_confidence_word_by_word(trust, annotations):
    tokens = np.array([[[4, 5, 4, END, PAD], [8, 8, 8, 8, 8]], [[20, 6, END, PAD, PAD]] * 2])
    log_prob = np.array([[-3.0, -9.5], [-0.5, -2.0]], "float32")
    confidence, _ = trust(annotations[:2], tokens, log_prob)
    for n, i in np.ndindex(2, 2):
        x = annotations[n].mean(axis=0) - VALUES["mean"]
        expected = x @ VALUES["to_topics"] @ VALUES["to_words"] + VALUES["mean_words"]
        words = {token for token in tokens[n, i] if token != PAD and token < WORDS}
        length = sum(tokens[n, i] != PAD)
        score = 0.8 * np.exp(log_prob[n, i]) ** (1 / length)
        score += sum(expected[word] for word in words) / length
        score += float(x @ VALUES["to_outlook"][:, 0]) + 0.2
        knots = VALUES["score_knots"]
        assert knots[0] < score < knots[-1]
        wanted = np.interp(score, knots, VALUES["confidence_knots"])
        assert float(confidence[n, i]) == pytest.approx(wanted, abs=1e-5)


def test_nothing_of_it_is_trained_even_where_all_layers_are(make_captioner, calibrated):
    trust = Trust(RANK, WORDS)
    captioner = make_captioner(trust=trust)
    captioner.trainable = True
    assert trust.built and not trust.trainable_weights


# === A captioner that has one ===


def said(captions):
    return [(each.text, each.confidence, each.familiarity) for each in captions]


def test_a_fresh_captioner_knows_neither(captioner, photos):
    for each in (*captioner.caption(photos), *captioner.sample(photos)):
        assert (each.confidence, each.familiarity, each.is_unfamiliar) == (None, None, False)


def test_every_way_to_caption_gives_both(calibrated, photos):
    best, greedy = calibrated.caption(photos), calibrated.caption(photos, beam_width=1)
    three = calibrated.beam_search(photos, n_best=3)
    assert said(best) == said([each[0] for each in three])
    for captions in (best, greedy, calibrated.sample(photos), [c for each in three for c in each]):
        confidence = np.array([each.confidence for each in captions])
        familiarity = np.array([each.familiarity for each in captions])
        assert ((confidence >= 0) & (confidence <= 1)).all() and len(set(confidence)) > 3
        assert ((familiarity >= 0) & (familiarity <= 1)).all() and len(set(familiarity)) > 3
    for captions in three:  # of one photo
        assert len({each.familiarity for each in captions}) == 1
    trust = calibrated.trust
    for photo, caption in zip(photos, greedy, strict=True):
        tokens = np.zeros((1, 1, calibrated.max_length), "int32")
        tokens[0, 0, : len(caption.tokens)] = caption.tokens
        log_prob = np.array([[caption.log_prob]])
        confidence, _ = trust(calibrated.annotations([photo]), tokens, log_prob)
        assert caption.confidence == pytest.approx(float(confidence[0, 0]), abs=1e-5)


def test_saved_in_keras_s_file_and_in_a_preset(calibrated, photos, tmp_path):
    calibrated.save(tmp_path / "captioner.keras")
    calibrated.save_to_preset(tmp_path / "preset")
    wanted = said(calibrated.caption(photos))
    loaded = keras.saving.load_model(tmp_path / "captioner.keras", {"Captioner": Captioner})
    assert said(loaded.caption(photos)) == wanted
    preset = Captioner.from_preset(tmp_path / "preset")  # whose other weights are rounded
    for one, other in zip(preset.trust.weights, calibrated.trust.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert None not in said(preset.caption(photos[:1]))[0]


def test_what_was_saved_without_is_loaded_without(captioner, photos, tmp_path):
    captioner.save(tmp_path / "captioner.keras")
    captioner.save_to_preset(tmp_path / "preset")
    assert not (tmp_path / "preset" / "trust.npz").exists()
    loaded = keras.saving.load_model(tmp_path / "captioner.keras", {"Captioner": Captioner})
    for each in (loaded, Captioner.from_preset(tmp_path / "preset")):
        assert each.trust is None
        assert each.caption(photos[:1])[0].confidence is None
