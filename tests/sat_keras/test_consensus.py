"""Consensus beside dense matrices and CIDEr itself."""

import numpy as np
import pytest

from sat_edge.caption import Caption
from sat_keras.consensus import Consensus
from sat_keras.metrics import CiderD

CAPTIONS = [
    ["a dog runs on grass", "the brown dog runs fast"],
    ["a cat sleeps on grass", "the black cat sleeps now"],
    ["two men play a guitar", "men make music on stage"],
    ["a dog swims in water", "the wet dog swims home"],
]
WORDS = [[caption.split() for caption in each] for each in CAPTIONS]
FEATURES = np.random.default_rng(0).normal(size=(len(WORDS), 6))


def test_a_training_photo_expects_its_own_captions_cider():
    # Without a ridge regression goes through its points. Captions of one length, no word in them
    # twice: there CIDEr-D, which is checked against coco-caption's, is CIDEr.
    consensus = Consensus([], [FEATURES], WORDS, ridge=0.0)
    for photo, each in enumerate(WORDS):
        candidates = [caption for captions in WORDS for caption in captions]
        (agreement,) = consensus.agreement([FEATURES[photo : photo + 1]], [candidates])
        expected = CiderD(WORDS).score(candidates, [each] * len(candidates))
        np.testing.assert_allclose(agreement, expected, atol=1e-4)


def test_agreement_is_ridge_regression_of_the_captions_vectors():
    """By dense matrices: each caption's tf-idf vector, then the regression's normal equations."""
    sharpness, ridge = 2.0, 0.5
    new = np.random.default_rng(1).normal(size=(2, 6))
    candidates = [["a", "dog", "runs", "a", "dog"], ["men", "sleep"], ["an", "unknown", "word"]]

    def ngrams(words, n):
        return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]

    def vector(words, n):
        every = sorted({g for each in WORDS for caption in each for g in ngrams(caption, n)})
        photos_with = [sum(any(g in ngrams(c, n) for c in each) for each in WORDS) for g in every]
        found = ngrams(words, n)
        weights = np.array([found.count(g) for g in every]) * np.log(
            len(WORDS) / np.array(photos_with)
        )
        # One that no photo has weighs log N and is in the norm alone.
        others = {g: found.count(g) for g in found if g not in every}
        norm = np.sqrt(
            (weights**2).sum() + sum((k * np.log(len(WORDS))) ** 2 for k in others.values())
        )
        return weights / norm if norm else weights

    def row(words):
        return np.concatenate([vector(words, n) for n in (1, 2, 3, 4)])

    targets = np.array([np.mean([row(c) for c in each], axis=0) for each in WORDS])  # (N, G)

    def cosine(one, other):
        one, other = one - FEATURES.mean(axis=0), other - FEATURES.mean(axis=0)
        return one @ other / np.linalg.norm(one) / np.linalg.norm(other)

    kernel = [[np.exp(sharpness * (cosine(a, b) - 1)) for b in FEATURES] for a in FEATURES]
    coefficients = np.linalg.solve(np.array(kernel) + ridge * np.eye(len(WORDS)), targets)
    consensus = Consensus([], [FEATURES], WORDS, sharpness=sharpness, ridge=ridge)
    agreement = consensus.agreement([new], [candidates, candidates[:1]])
    assert [len(each) for each in agreement] == [3, 1]
    for photo, found in zip(new, agreement, strict=True):
        likeness = np.array([np.exp(sharpness * (cosine(photo, each) - 1)) for each in FEATURES])
        expected = [10 / 4 * row(c) @ (likeness @ coefficients) for c in candidates[: len(found)]]
        np.testing.assert_allclose(found, expected, atol=1e-4)
    assert agreement[0][2] == 0 and agreement[0][0] != 0


def test_photos_are_alike_by_the_mean_of_the_captioners_cosines():
    # exp(s (mean - 1)) is the geometric mean of the two kernels.
    other = np.random.default_rng(2).normal(size=(len(WORDS), 3))
    one = Consensus([], [FEATURES], WORDS, sharpness=1.0)
    both = Consensus([], [FEATURES, other], WORDS, sharpness=1.0)
    alone = Consensus([], [other], WORDS, sharpness=1.0)

    def kernel(consensus, *features):
        return consensus._kernel(consensus._directions([each[:2] for each in features]))

    expected = np.sqrt(kernel(one, FEATURES) * kernel(alone, other))
    np.testing.assert_allclose(kernel(both, FEATURES, other), expected, rtol=1e-6)


class Fixed:
    """A captioner that has seen each photo, and always finds the same captions."""

    def __init__(self, *found):
        self.found = [
            Caption(text, tuple(text.split()), None, score, score, None, None)
            for text, score in found
        ]

    def annotations(self, photos):
        return np.stack([np.stack([photo, photo + 1, photo - 1]) for photo in photos])

    def beam_search(self, photos, **search):
        self.search = search
        assert search["beam_width"] == search["n_best"]
        return [self.found[: search["n_best"]]] * len(photos)


def test_the_caption_that_was_said_of_such_photos_is_taken():
    one = Fixed(("two men play a guitar", -1.0), ("a dog runs on grass", -2.0))
    other = Fixed(("a cat sleeps on grass", -2.5))
    consensus = Consensus([one, other], [FEATURES] * 2, WORDS, weight=8.0, ridge=1e-3)
    best = consensus.caption(list(FEATURES[:3]), beam_width=2)
    assert [each.text for each in best] == [
        "a dog runs on grass",
        "a cat sleeps on grass",
        "two men play a guitar",
    ]
    (agreement,) = consensus.agreement([FEATURES[:1]] * 2, [[best[0].words]])
    assert best[0].score == pytest.approx(-2.0 + 8.0 * agreement[0], abs=1e-4)


def test_without_weight_the_most_probable_is_taken():
    one = Fixed(("a cat sleeps on grass", -2.0), ("two men play a guitar", -3.0))
    consensus = Consensus(
        [one, Fixed(("a dog runs on grass", -1.0))], [FEATURES] * 2, WORDS, weight=0.0
    )
    assert {each.text for each in consensus.caption(list(FEATURES))} == {"a dog runs on grass"}


def test_every_caption_of_a_wide_beam_is_a_candidate_unless_another_search_is_named():
    one = Fixed(("a cat sleeps on grass", -2.0))
    consensus = Consensus([one], [FEATURES], WORDS)
    consensus.caption(list(FEATURES))
    wide = {"beam_width": 20, "length_penalty": 0.5, "no_repeat_ngram": 0, "n_best": 20}
    assert one.search == wide
    consensus.caption(list(FEATURES), beam_width=4, no_repeat_ngram=3)
    assert one.search == {**wide, "beam_width": 4, "no_repeat_ngram": 3, "n_best": 4}
