import numpy as np
import pytest

from sat_keras.metrics import CiderD, trust_scores
from sat_keras.metrics.trust_scores import (
    calibration_error,
    person_cider,
    rank_correlation,
    reliability,
)

REFERENCES = [
    ["a dog runs in the snow", "a black dog runs", "the dog is in deep snow"],
    ["two men climb a rock", "men on a rock face", "two climbers hang on a red rope"],
    ["a girl paints", "a girl with a brush paints a wall", "the girl paints the wall blue"],
]


def test_calibration_error_by_hand():
    # Bins of two: means 0.1, 0.3, ... of confidence; shares 0.2, 0.2, ...
    confidence = np.array([0.05, 0.15, 0.25, 0.35, *np.linspace(0.4, 1, 16)])
    share = np.array([0.0, 0.4, 0.1, 0.3, *np.linspace(0.4, 1, 16)])
    order = np.random.default_rng(0).permutation(20)
    rows = reliability(confidence[order], share[order])
    assert len(rows) == 10 and {each["captions"] for each in rows} == {2}
    assert rows[0] == {"confidence": pytest.approx(0.1), "share": pytest.approx(0.2), "captions": 2}
    # |0.1 - 0.2| and |0.3 - 0.2| in two bins of ten.
    assert calibration_error(rows) == pytest.approx((0.1 + 0.1) / 10)


def test_bins_of_fewer_captions_than_bins():
    rows = reliability(np.array([0.9, 0.1, 0.5]), np.array([1.0, 0.0, 0.0]))
    assert [each["confidence"] for each in rows] == [0.1, 0.5, 0.9]
    assert calibration_error(rows) == pytest.approx((0.1 + 0.5 + 0.1) / 3)


def test_rank_correlation_by_hand():
    assert rank_correlation([1, 2, 3, 4], [10, 20, 30, 99]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)
    # 1 - 6 sum d^2 / (n (n^2 - 1)), d = 1, -1, 0, 2, -2
    assert rank_correlation([1, 2, 3, 4, 5], [2, 1, 3, 6, 5]) == pytest.approx(1 - 6 * 4 / 120)
    # Ranks with ties, 1.5 1.5 3 and 1 2 3: covariance 1.5 / sqrt(1.5 * 2).
    assert rank_correlation([0, 0, 7], [1, 2, 3]) == pytest.approx(1.5 / np.sqrt(3))
    # 1 2.5 2.5 4 and 1 2 3 4: 4.5 / sqrt(4.5 * 5).
    assert rank_correlation([0, 1, 1, 9], [1, 2, 3, 4]) == pytest.approx(4.5 / np.sqrt(22.5))
    assert rank_correlation([5, 5, 5], [1, 2, 3]) == 0


def test_a_person_is_compared_with_the_others():
    words = [[text.split() for text in each] for each in REFERENCES]
    scorer = CiderD(words)
    wanted = [
        scorer.score([caption], [each[:i] + each[i + 1 :]])[0]
        for each in words
        for i, caption in enumerate(each)
    ]
    assert person_cider(scorer, words) == pytest.approx(np.mean(wanted))
    assert person_cider(scorer, [*words, [["alone"]]]) == pytest.approx(np.mean(wanted))
    np.testing.assert_allclose(scorer.among(words[1]), wanted[3:6])


def test_of_a_corpus():
    words = [[text.split() for text in each] for each in REFERENCES]
    captions = ["a dog runs in snow", "two men on a rock", "a man"]
    scorer = CiderD(words)
    cider = scorer.score([each.split() for each in captions], words)
    share = np.minimum(1, cider / person_cider(scorer, words))
    confidence = np.array([0.7, 0.8, 0.1])
    scores = trust_scores(captions, REFERENCES, confidence, np.array([0.2, 0.4, 0.9]))
    assert scores["confidence"] == pytest.approx(confidence.mean())
    assert scores["share"] == pytest.approx(share.mean())
    assert 0 < scores["share"] < 1 and share.max() == 1
    assert scores["calibration_error"] == pytest.approx(np.abs(share - confidence).mean())
    assert scores["rank_correlation"] == rank_correlation(confidence, cider)
    assert scores["familiarity"] == pytest.approx(0.5)
