"""Fields of settings, on a dataclass of the test's own."""

from dataclasses import dataclass

import pytest

from sat_edge import InputError
from sat_keras.fields import check, kind, setting


@dataclass(frozen=True)
class Settings:
    count: int = setting(2, "how many", least=1, most=3)
    share: float = setting(0.5, "how much", above=0)
    name: str | None = setting(None, "what")
    color: str = setting("red", "which", choices=("red", "blue"))
    shown: bool = setting(False, "whether")
    other: object = None  # no setting

    def __post_init__(self):
        check(self)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"count": 1},
        {"count": 3},
        {"share": 1},
        {"share": 1e-9},
        {"name": "x"},
        {"color": "blue"},
        {"shown": True},
        {"other": float("nan")},
    ],
)
def test_values_within_their_range(values):
    settings = Settings(**values)
    assert {name: getattr(settings, name) for name in values} == values or "other" in values


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"count": 0}, "count is 0: name 1 or more, and at most 3"),
        ({"count": 4}, "count is 4: name 1 or more, and at most 3"),
        ({"count": None}, "count is None: name a value of type int"),
        ({"count": 2.0}, "count is 2.0: name a value of type int"),
        ({"count": True}, "count is True: name a value of type int"),
        ({"count": "2"}, "count is '2': name a value of type int"),
        ({"share": 0}, "share is 0: name a number above 0"),
        ({"share": False}, "share is False: name a value of type float"),
        ({"share": float("nan")}, "share is nan: name a finite number"),
        ({"share": float("inf")}, "share is inf: name a finite number"),
        ({"name": 3}, "name is 3: name a value of type str"),
        ({"color": "green"}, "unknown color 'green': choose one of red, blue"),
        ({"shown": 1}, "shown is 1: name a value of type bool"),
    ],
)
def test_each_other_value_has_its_line(values, line):
    with pytest.raises(InputError) as error:
        Settings(**values)
    assert str(error.value) == line


def test_kinds():
    fields = Settings.__dataclass_fields__
    names = ("count", "share", "name", "color", "shown")
    assert [kind(fields[name]) for name in names] == [int, float, str, str, bool]
