"""How `calibrate` finds its weights: each step against a computation of the test's own."""

from types import SimpleNamespace

import numpy as np
import pytest

from sat_edge import InputError
from sat_edge.caption import END, PAD, START, UNKNOWN
from sat_keras import Captioner
from sat_keras.metrics import CiderD, trust_scores
from sat_keras.tokenizer import tokenize
from sat_keras.trust import calibration
from sat_keras.trust.calibration import isotonic


def test_isotonic_is_the_maximum_of_minima_of_means():
    rng = np.random.default_rng(0)
    for length in (1, 2, 5, 12):
        for _ in range(20):
            values = rng.integers(0, 6, length).astype(float)
            weights = rng.integers(1, 4, length)

            def mean(first, last, values=values, weights=weights):
                return np.average(values[first : last + 1], weights=weights[first : last + 1])

            wanted = [  # Barlow et al., theorem 1.4
                max(min(mean(a, b) for b in range(i, length)) for a in range(i + 1))
                for i in range(length)
            ]
            np.testing.assert_allclose(isotonic(values, weights), wanted, rtol=1e-12)


def test_the_curve_of_confidence_rises_and_keeps_the_mean():
    rng = np.random.default_rng(1)
    score = rng.normal(size=400)
    share = (1 / (1 + np.exp(-2 * score)) + rng.normal(0, 0.2, 400)).clip(0, 1)
    knots, values = calibration._isotonic_knots(score, share)
    assert len(knots) == len(values) == calibration.KNOTS
    assert (np.diff(knots) > 0).all() and (np.diff(values) >= 0).all()
    assert (knots[0], values[0] >= 0, values[-1] <= 1) == (score.min(), True, True)
    found = np.interp(score, knots, values)
    assert found.mean() == pytest.approx(share.mean(), abs=0.02)
    assert len(np.unique(found)) > 300  # pools are no steps


@pytest.mark.parametrize("share", [np.zeros(60), np.linspace(1, 0, 60), np.ones(60)])
def test_a_score_that_says_nothing_has_a_flat_curve(share):
    _, values = calibration._isotonic_knots(np.arange(60.0), share)
    np.testing.assert_allclose(values, share.mean(), atol=1e-9)


@pytest.fixture(scope="module")
def caches(make_cache):
    return make_cache(seed=1), make_cache(seed=2)


@pytest.fixture(scope="module")
def searched(make_captioner, caches):
    """Two captions of each validation photo, as a trained captioner's search gives them: one of its
    references, with more words replaced the less probable it is. The first is the better one."""
    rng, vocabulary = np.random.default_rng(4), make_captioner().vocabulary
    found = []
    for record in caches[1].records:
        captions = []
        for wrong in sorted(rng.integers(0, 5, 2)):
            words = tokenize(rng.choice(record["captions"]))
            places = rng.choice(len(words), min(wrong, len(words)), replace=False)
            words = ["in" if i in places else word for i, word in enumerate(words)]
            tokens = np.array(vocabulary.encode(" ".join(words))[1:])
            log_prob = -(0.5 + 0.3 * wrong + rng.uniform(0, 0.2)) * len(tokens)
            captions.append(SimpleNamespace(words=words, tokens=tokens, log_prob=log_prob))
        found.append(captions)
    return found


@pytest.fixture(scope="module")
def calibrated(make_captioner, caches, searched):
    captioner = make_captioner()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Captioner, "beam_search", lambda *_, **__: searched)
        captioner.calibrate(*caches)
    return captioner


@pytest.fixture(scope="module")
def means(calibrated, caches):
    """Mean annotations of both splits, float64."""
    photos = [cache.read(range(60)) for cache in caches]
    return [calibrated.annotations(x).astype("float64").mean(axis=1) for x in photos]


def test_the_distances_are_those_of_the_training_photos_covariance(calibrated, caches, means):
    train, validation = means
    size = train.shape[1]
    mean, covariance = train.mean(axis=0), np.cov(train.T, bias=True)
    variances, directions = np.linalg.eigh(covariance)
    variances = variances.clip(1e-6 * variances.mean())
    rank = calibrated.trust.rank
    variances[: size - rank] = variances[: size - rank].mean()
    inverse = np.linalg.inv((directions * variances) @ directions.T)
    spreads = [calibrated.annotations(cache.read(range(60))).var(axis=1) for cache in caches]
    train_spread, spread = (each.sum(axis=1) for each in spreads)
    x = validation - mean
    wanted = np.einsum("ni,ij,nj->n", x, inverse, x) / (spread + 0.01 * train_spread.mean())
    annotations = calibrated.annotations(caches[1].read(range(60)))
    np.testing.assert_allclose(calibrated.trust.distance(annotations), wanted, rtol=0.01)


def test_familiarity_is_the_share_of_validation_photos_that_are_stranger(calibrated, caches):
    annotations = calibrated.annotations(caches[1].read(range(60)))
    distance = calibrated.trust.distance(annotations).numpy()
    familiarity = calibrated.trust.of_photo(annotations)["familiarity"].numpy()
    stranger = [(distance > each).mean() for each in distance]
    np.testing.assert_allclose(familiarity, stranger, atol=0.06)
    assert familiarity.min() < 0.001 and familiarity.max() > 0.999
    shift = np.random.default_rng(3).normal(0, 20 * annotations.std(), annotations.shape[2])
    strange = annotations + shift.astype("float32")
    assert calibrated.trust.of_photo(strange)["familiarity"].numpy().max() == 0


def test_expected_words_and_outlook_are_ridge_regressions(calibrated, caches, means):
    trust, vocabulary = calibrated.trust, calibrated.vocabulary
    records = caches[0].records
    captions = [[tokenize(text) for text in each["captions"]] for each in records]
    scorer = CiderD(captions)
    # Leaving one out by hand.
    agreement = [
        np.mean([scorer.score([c], [each[:i] + each[i + 1 :]])[0] for i, c in enumerate(each)])
        for each in captions
    ]
    used = np.zeros((60, trust.words))
    for word in range(trust.words):
        if word in (PAD, START, END, UNKNOWN):
            continue
        has = np.array([[vocabulary.words[word] in c for c in each] for each in captions])
        used[:, word] = has.mean(axis=1) * np.log(60 / max(1, has.any(axis=1).sum())) ** 2
    train, validation = means
    deviation = train.std(axis=0)
    deviation[deviation == 0] = 1
    x, y = ((each - train.mean(axis=0)) / deviation for each in (train, validation))

    def ridge(target):  # its dual, which has no D x D matrix
        kernel = x @ x.T + 0.1 * 60 * np.eye(60)
        return y @ x.T @ np.linalg.solve(kernel, target - target.mean(axis=0)) + target.mean(0)

    found = trust.of_photo(calibrated.annotations(caches[1].read(range(60))))
    outlook, words = found["outlook"].numpy(), found["expected_words"].numpy()
    # Both were given a factor, and the outlook the score's constant.
    assert _is_multiple(outlook - outlook.mean(), ridge(np.array(agreement)))
    assert _is_multiple(words - words.mean(axis=0), ridge(used))


def _is_multiple(found, wanted):
    """Whether one array is another times a number, the mean over photos left out of both."""
    wanted = wanted - wanted.mean(axis=0)
    factor = (found * wanted).sum() / (wanted**2).sum()
    assert factor != 0
    return np.allclose(found, factor * wanted, atol=0.01 * abs(factor * wanted).max())


def test_confidence_is_the_share_on_the_photos_it_was_calibrated_on(calibrated, caches, searched):
    best = [each for each, _ in searched]
    tokens = np.zeros((60, 1, 9), "int32")
    for row, each in enumerate(best):
        tokens[row, 0, : len(each.tokens)] = each.tokens
    log_prob = np.array([[each.log_prob] for each in best], "float32")
    annotations = calibrated.annotations(caches[1].read(range(60)))
    confidence, familiarity = calibrated.trust(annotations, tokens, log_prob)
    scores = trust_scores(
        [" ".join(each.words) for each in best],
        [each["captions"] for each in caches[1].records],
        np.asarray(confidence)[:, 0],
        np.asarray(familiarity),
    )
    assert 0.2 < scores["share"] < 0.9
    assert scores["confidence"] == pytest.approx(scores["share"], abs=0.05)
    assert scores["rank_correlation"] > 0.6  # by chance: 0
    assert scores["familiarity"] == pytest.approx(0.5, abs=0.03)


def test_calibrated_again_it_is_the_same(calibrated, caches, searched, monkeypatch):
    before = calibrated.trust.get_weights()
    monkeypatch.setattr(Captioner, "beam_search", lambda *_, **__: searched)
    calibrated.calibrate(*caches)
    for one, wanted in zip(calibrated.trust.get_weights(), before, strict=True):
        np.testing.assert_allclose(one, wanted, rtol=1e-4, atol=1e-5)


def test_too_few_photos_or_captions_are_refused_in_a_line(make_captioner, make_cache):
    captioner = make_captioner()
    with pytest.raises(InputError, match=r"^validation: 49 photos with two captions or more; "):
        captioner.calibrate(make_cache(), make_cache(49))
    single = make_cache()
    for record in single.records:
        record["captions"] = record["captions"][:1]
    with pytest.raises(InputError, match=r"^train: 0 photos with two captions or more; "):
        captioner.calibrate(single, make_cache())
    assert captioner.trust is None
