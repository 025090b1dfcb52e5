import pytest

from sat_keras.datasets.names import find_names, plurals

NAMES = {("dog",): 1, ("hot", "dog"): 2, ("hot", "dog", "stand"): 3, ("cat",): 0}


@pytest.mark.parametrize(
    "caption, found",
    [
        ("a dog", [(1, 2, 1)]),
        ("hot dog", [(0, 2, 2)]),
        ("a hot dog stand by a hot dog", [(1, 4, 3), (6, 8, 2)]),
        ("dog dog hot cat", [(0, 1, 1), (1, 2, 1), (3, 4, 0)]),
        ("hot", []),
        ("", []),
    ],
)
def test_the_longest_name_is_found(caption, found):
    assert list(find_names(caption.split(), NAMES)) == found
    assert list(find_names(caption.split(), {})) == []


def test_plurals():
    assert plurals(("dog",)) == [("dogs",), ("doges",)]
    assert plurals(("park", "bench"))[1] == ("park", "benches")
    assert plurals(("puppy",))[2] == ("puppies",)
