"""Sexes that captions name and references do not, counted by hand."""

import pytest

from sat_keras.metrics import sexes

ZERO = {"named": 0.0, "contradicted": 0.0, "unsupported": 0.0}


def sexes_of(captions, references):
    return sexes(
        [each.split() for each in captions],
        [[each.split() for each in of_photo] for of_photo in references],
    )


def test_shares_by_sex():
    captions = [
        "a man on a bike",  # supported
        "a boy in his boat",  # contradicted
        "the guys run",  # unsupported
        "gentlemen in hats",  # supported
        "a girl with a dog",  # contradicted
        "she jumps",  # supported
        "a man and a woman",  # both
        "a dog runs",  # none
        "a person swims",  # none
        "",  # none
    ]
    references = [
        ["a person on a bike", "a man rides"],
        ["a person rows", "a lady rows"],
        ["people run", "runners"],
        ["men and women in hats"],  # a reference of both speaks for each
        ["a child with a dog", "a male child", "he plays"],
        ["a man jumps", "a woman jumps"],
        ["a man"],
        ["a man"],
        ["a man"],
        ["a man"],
    ]
    assert sexes_of(captions, references) == {
        "all": {"named": 6 / 10, "contradicted": 2 / 6, "unsupported": 1 / 6},
        "male": {"named": 4 / 10, "contradicted": 1 / 4, "unsupported": 1 / 4},
        "female": {"named": 2 / 10, "contradicted": 1 / 2, "unsupported": 0 / 2},
    }


@pytest.mark.parametrize("word", "man men boy boys he his him male guy guys gentleman".split())
def test_words_of_the_male_kind(word):
    figures = sexes_of([f"the {word}"], [["the child"]])
    of_both = {"named": 1.0, "contradicted": 0.0, "unsupported": 1.0}
    assert figures == {"all": of_both, "male": of_both, "female": ZERO}


@pytest.mark.parametrize("word", "woman women girl girls she her lady ladies female".split())
def test_words_of_the_female_kind(word):
    figures = sexes_of([f"the {word}"], [["the child", "the man"]])
    of_both = {"named": 1.0, "contradicted": 1.0, "unsupported": 0.0}
    assert figures == {"all": of_both, "male": ZERO, "female": of_both}


def test_captions_that_name_no_sex():
    captions = ["a snowman", "a policeman with a cowboy", "a human", "a fireman"]
    nothing = {"all": ZERO, "male": ZERO, "female": ZERO}
    assert sexes_of(captions, [["a man"]] * 4) == nothing
    assert sexes_of([], []) == nothing


def test_several_words_of_one_sex_are_one_caption():
    figures = sexes_of(["a man helps his brother", "a dog"], [["two men"], ["a dog"]])
    half = {**ZERO, "named": 0.5}
    assert figures == {"all": half, "male": half, "female": ZERO}


def test_captions_and_references_are_of_the_same_photos():
    with pytest.raises(ValueError):
        sexes_of(["a man"], [])
