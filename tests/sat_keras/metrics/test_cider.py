import numpy as np
import pytest

from sat_keras.metrics import CiderD, cider


def test_by_hand_with_one_word_captions():
    # Two pictures; "dog" is of one only: idf log 2. One n-gram: the cosine is 1 for n = 1 alone.
    references = [[["dog"]], [["cat"]]]
    assert cider([["dog"], ["cow"]], references)["CIDEr"] == pytest.approx(10 * (1 / 4 + 0) / 2)


def test_words_that_all_say_count_nothing():
    references = [[["a", "dog"]], [["a", "cat"]], [["a", "cow"]]]
    assert cider([["a"], ["a"], ["a"]], references)["CIDEr"] == 0


def test_length_is_paid_for():
    corpus = [[["the", "dog", "runs"]], [["a", "cat"]], [["one", "cow"]]]
    scorer = CiderD(corpus)
    same, longer = scorer.score([corpus[0][0], [*corpus[0][0], "a"]], [corpus[0]] * 2)
    assert same == pytest.approx(10 * 3 / 4)  # n = 1, 2, 3; there is no n = 4
    assert longer < same * np.exp(-1 / 72)


def test_ids_score_like_words():
    corpus = [[["the", "dog", "runs"], ["a", "dog"]], [["a", "cat"], ["the", "cat", "sits"]]]
    ids = {word: i for i, word in enumerate(["the", "dog", "runs", "a", "cat", "sits"])}
    as_ids = [[[ids[word] for word in caption] for caption in each] for each in corpus]
    words = CiderD(corpus).score([["a", "dog", "runs"]], corpus[:1])
    numbers = CiderD(as_ids).score([[ids["a"], ids["dog"], ids["runs"]]], as_ids[:1])
    assert words == numbers and words > 0
