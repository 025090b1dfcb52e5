"""Shares of captions that stutter, counted by hand."""

import pytest

from sat_keras.metrics import fluency
from sat_keras.tokenizer import tokenize

STUTTERS = ("repeated_bigram", "word_and_same_word", "near_repeat")


def stutters(caption):
    """Which of the three a caption does."""
    figures = fluency([caption.split()])
    assert {figures[name] for name in STUTTERS} <= {0.0, 1.0}
    return {name for name in STUTTERS if figures[name]}


@pytest.mark.parametrize(
    ("caption", "wanted"),
    [
        ("", ()),
        ("dog", ()),
        ("dog dog", ("near_repeat",)),  # one bigram
        ("a dog runs on the beach", ()),
        ("a man in a hat and a dog in the snow", ()),  # "in a", then "in the"
        ("a a a cat", ("repeated_bigram",)),  # "a a" at two places that overlap; an article
        # A word joined to itself; an article is a word too.
        ("water and water", ("word_and_same_word", "near_repeat")),
        ("a dog and a dog", ("repeated_bigram", "near_repeat")),
        ("a and a dog", ("word_and_same_word",)),
        ("a dog and cat and dog", ("near_repeat",)),
        ("dog and", ()),
        ("and and and", ("repeated_bigram", "word_and_same_word")),
        # Places that differ by 4, and by 5; function words have places, and may come again.
        ("dog runs to the dog", ("near_repeat",)),
        ("dog runs to the big dog", ()),
        ("red hat on the big red bus", ()),
        ("cat sees red hat and red shoe", ("near_repeat",)),
        ("cat in snow in town", ()),
        ("two boys and two girls", ()),
        ("one of them is one", ()),
    ],
)
def test_which_captions_stutter(caption, wanted):
    assert stutters(caption) == set(wanted)


def test_shares_are_of_captions_however_often_each_stutters():
    captions = [
        "a dog and a dog and a dog",  # "a dog" three times; "dog" twice within four words
        "water and water and water",
        "a cat",
        "a cat",
    ]
    assert fluency([each.split() for each in captions]) == {
        "repeated_bigram": 2 / 4,  # "water and" too
        "word_and_same_word": 1 / 4,
        "near_repeat": 2 / 4,
        "distinct": 3 / 4,
        "mean_length": (8 + 5 + 2 + 2) / 4,
    }


def test_an_empty_caption_is_one_and_no_captions_are_no_error():
    zeros = dict.fromkeys(STUTTERS, 0.0)
    assert fluency([[], ["dog"]]) == {**zeros, "distinct": 1.0, "mean_length": 0.5}
    assert fluency([[], []]) == {**zeros, "distinct": 0.5, "mean_length": 0.0}
    assert fluency([]) == {**zeros, "distinct": 0.0, "mean_length": 0.0}


@pytest.mark.slow
def test_people_seldom_stutter(shared):
    """The references of Flickr8k's test split."""
    folder = shared / "data" / "flickr8k"
    names = set((folder / "Flickr_8k.testImages.txt").read_text().split())
    lines = (line.split("\t") for line in (folder / "Flickr8k.token.txt").open(encoding="utf-8"))
    captions = [tokenize(text) for key, text in lines if key.partition("#")[0] in names]
    assert len(captions) == 5000
    figures = fluency(captions)
    assert [figures[name] for name in STUTTERS] == [203 / 5000, 1 / 5000, 106 / 5000]
