import pytest

from sat_keras.metrics import bleu


def split(*captions):
    return [caption.split() for caption in captions]


def test_by_hand():
    # Precisions 5/6 (unigrams: one "the" too many is clipped), 4/5; lengths are equal.
    scores = bleu(split("the the cat sat down there"), [split("the cat sat down there ok")])
    assert scores["BLEU-1"] == pytest.approx(5 / 6, rel=1e-6)
    assert scores["BLEU-2"] == pytest.approx((5 / 6 * 4 / 5) ** 0.5, rel=1e-6)


def test_brevity_penalty():
    scores = bleu(split("a dog"), [split("a dog runs fast")])
    assert scores["BLEU-1"] == pytest.approx(2.718281828 ** (1 - 4 / 2), rel=1e-6)
