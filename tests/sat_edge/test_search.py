import dataclasses

import pytest

from sat_edge import InputError, Search


def test_greedy_by_default():
    assert Search().as_dict() == {
        "beam_width": 1,
        "length_penalty": 0.0,
        "no_repeat_ngram": 0,
        "n_best": 1,
    }


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"beam_width": 0}, "beam_width is 0: name 1 or more"),
        ({"beam_width": -2}, "beam_width is -2: name 1 or more"),
        ({"beam_width": 2.0}, "beam_width is 2.0: name a whole number"),
        ({"beam_width": "3"}, "beam_width is '3': name a whole number"),
        ({"beam_width": True}, "beam_width is True: name a whole number"),
        ({"beam_width": None}, "beam_width is None: name a whole number"),
        ({"n_best": 0}, "n_best is 0: name 1 to the beam_width, which is 1"),
        ({"n_best": 4, "beam_width": 3}, "n_best is 4: name 1 to the beam_width, which is 3"),
        ({"n_best": 1.5}, "n_best is 1.5: name a whole number"),
        ({"no_repeat_ngram": -1}, "no_repeat_ngram is -1: name 0 (off) or more words"),
        ({"no_repeat_ngram": "2"}, "no_repeat_ngram is '2': name a whole number"),
        ({"length_penalty": -0.1}, "length_penalty is -0.1: name 0 or more"),
        ({"length_penalty": float("nan")}, "length_penalty is nan: name 0 or more"),
        ({"length_penalty": float("inf")}, "length_penalty is inf: name 0 or more"),
        ({"length_penalty": 10**400}, f"length_penalty is {10**400}: name 0 or more"),
        ({"length_penalty": "1"}, "length_penalty is 1: name 0 or more"),
        ({"length_penalty": True}, "length_penalty is True: name 0 or more"),
        ({"length_penalty": None}, "length_penalty is None: name 0 or more"),
    ],
)
def test_values_that_cannot_be(fields, says):
    with pytest.raises(InputError) as error:
        Search(**fields)
    assert str(error.value) == says
    with pytest.raises(InputError) as error:
        Search(beam_width=3).override(**{"beam_width": 1, **fields})
    assert str(error.value) == says


def test_named_fields_replace_those_of_the_default():
    default = Search(beam_width=4, length_penalty=0.5, no_repeat_ngram=3, n_best=2)
    assert default.override() == default
    assert default.override(beam_width=5) == Search(5, 0.5, 3, 2)
    assert default.override(length_penalty=0) == Search(4, 0, 3, 2)
    assert default.override(beam_width=1, no_repeat_ngram=0, n_best=1) == Search(1, 0.5, 0, 1)
    assert default == Search(4, 0.5, 3, 2)  # it stays as it was
    with pytest.raises(dataclasses.FrozenInstanceError):
        default.beam_width = 1
    with pytest.raises(TypeError, match="temperature"):
        default.override(temperature=2)


def test_one_caption_each_takes_no_n_best():
    default = Search(beam_width=4, length_penalty=0.5, n_best=2)
    assert default.for_one(beam_width=3) == Search(3, 0.5, 0, 1)
    with pytest.raises(InputError, match="only beam_search takes it"):
        default.for_one(n_best=2)


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, True),
        ({"length_penalty": 0.5}, True),  # it ranks captions; there is one
        ({"beam_width": 2}, False),
        ({"no_repeat_ngram": 2}, False),
    ],
)
def test_which_searches_are_greedy(fields, wanted):
    assert Search(**fields).is_greedy is wanted
