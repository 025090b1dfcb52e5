import numpy as np
import pytest

from sat_keras.metrics import CaptionReward, CiderD
from sat_keras.metrics.caption_reward import sentence_meteor
from sat_keras.metrics.fluency import repetitions

REFERENCES = [
    "a brown dog runs through the deep snow".split(),
    "the dog is running in snow".split(),
]


def test_meteor_by_hand():
    candidate = "a dog runs through the snow with a ball".split()
    # a | dog runs through the | snow: 6 matches, 3 chunks.
    precision, recall = 6 / 9, 6 / 8
    mean = precision * recall / (0.85 * precision + 0.15 * recall)
    wanted = mean * (1 - 0.6 * (3 / 6) ** 0.2)
    assert sentence_meteor(candidate, REFERENCES) == pytest.approx(wanted)
    assert sentence_meteor(REFERENCES[1], REFERENCES) == pytest.approx(1 - 0.6 * (1 / 6) ** 0.2)
    assert sentence_meteor("two cats".split(), REFERENCES) == sentence_meteor([], REFERENCES) == 0


def test_words_match_once():
    found = sentence_meteor("dog dog dog".split(), [["dog"]])
    assert found == pytest.approx((1 / 3) / (0.85 / 3 + 0.15) * (1 - 0.6))


def test_a_repeated_word_goes_on_where_the_last_one_was():
    # The second "the" is the one before "snow": one chunk, though the first is nearer the start.
    found = sentence_meteor("on the snow".split(), ["the dog on the snow".split()])
    mean = 0.6 / (0.85 + 0.15 * 0.6)
    assert found == pytest.approx(mean * (1 - 0.6 * (1 / 3) ** 0.2))


def test_a_reward_is_the_weighted_sum():
    corpus = [REFERENCES, [["a", "cat"], ["the", "cat", "sits"]]]
    candidates = [REFERENCES[0][:5], ["the", "dog", "sits"]]
    found = CaptionReward(corpus, meteor=3.0).score(candidates, corpus)
    for i, (candidate, references) in enumerate(zip(candidates, corpus, strict=True)):
        wanted = CiderD(corpus).score([candidate], [references])[0]
        wanted += 3 * sentence_meteor(candidate, references)
        assert found[i] == pytest.approx(wanted)
    alone = CaptionReward(corpus).score(candidates, corpus)
    np.testing.assert_array_equal(alone, CiderD(corpus).score(candidates, corpus))


def test_repetitions_cost_their_price():
    words = ["<pad>", "a", "white", "dog", "and", "in"]
    ids = {word: i for i, word in enumerate(words)}
    stutters = "a white and white dog in a white dog".split()
    # Pairs: "a white" and "white dog" again. Content words within four words: "white" once, behind
    # "and"; the third "white" and the second "dog" are 4 behind the second and 4 behind the first.
    assert repetitions(stutters) == 2 + 3
    assert repetitions("a dog and a white cat".split()) == 0  # an article is no content word
    candidates = [[ids[each] for each in stutters], [1, 2, 3]]
    references = [[[1, 2, 3]], [[1, 2, 3]]]
    plain = CaptionReward(references).score(candidates, references)
    found = CaptionReward(references, repetition=0.25, words=words).score(candidates, references)
    np.testing.assert_allclose(plain - found, [0.25 * 5, 0])
