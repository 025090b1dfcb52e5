"""Sexes that captions name and references do not, counted by hand."""

import pytest

from sat_keras.metrics import sexes

ZEROS = {
    f"{sex}{figure}": 0.0
    for sex in ("", "male_", "female_")
    for figure in ("named", "contradicted", "unsupported")
}


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
        "named": 6 / 10,
        "contradicted": 2 / 6,
        "unsupported": 1 / 6,
        "male_named": 4 / 10,
        "male_contradicted": 1 / 4,
        "male_unsupported": 1 / 4,
        "female_named": 2 / 10,
        "female_contradicted": 1 / 2,
        "female_unsupported": 0 / 2,
    }


@pytest.mark.parametrize("word", "man men boy boys he his him male guy guys gentleman".split())
def test_words_of_the_male_kind(word):
    figures = sexes_of([f"the {word}"], [["the child"]])
    assert figures == {**ZEROS, **dict.fromkeys(("named", "male_named"), 1.0)} | {
        "unsupported": 1.0,
        "male_unsupported": 1.0,
    }


@pytest.mark.parametrize("word", "woman women girl girls she her lady ladies female".split())
def test_words_of_the_female_kind(word):
    figures = sexes_of([f"the {word}"], [["the child", "the man"]])
    assert figures == {**ZEROS, **dict.fromkeys(("named", "female_named"), 1.0)} | {
        "contradicted": 1.0,
        "female_contradicted": 1.0,
    }


def test_captions_that_name_no_sex():
    captions = ["a snowman", "a policeman with a cowboy", "a human", "a fireman"]
    assert sexes_of(captions, [["a man"]] * 4) == ZEROS
    assert sexes_of([], []) == ZEROS


def test_several_words_of_one_sex_are_one_caption():
    figures = sexes_of(["a man helps his brother", "a dog"], [["two men"], ["a dog"]])
    assert figures == {**ZEROS, "named": 0.5, "male_named": 0.5}


def test_captions_and_references_are_of_the_same_photos():
    with pytest.raises(ValueError):
        sexes_of(["a man"], [])
