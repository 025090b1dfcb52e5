"""`captioner.json`, what a file says of itself. `docs/file-format.md` describes every field.

The exporter writes it by `Settings.to_json`, and a device reads it by `Settings.from_json`.
"""

import dataclasses
import json
import re
import sys
from dataclasses import dataclass

from sat_edge.errors import InputError
from sat_edge.search import Search

FORMAT = 1
RESIZE = "stretch, bilinear, antialiased"
TARGETS = ("cpu", "gpu", "server")
_MOST_PIXELS = 4096  # of a side
_MOST_WORDS = 1000  # of a caption


@dataclass(frozen=True)
class State:
    """Which outputs of `encode` are the decoder's state, by their names.

    Args:
        returned: tuple of str. `step` takes and returns each of these: the next step takes what
            this one returned.
        kept: tuple of str. `step` takes these as `encode` gave them.
    """

    returned: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


@dataclass(frozen=True)
class Settings:
    """A captioner file's settings; see `docs/file-format.md` for each field."""

    target: str
    image_size: tuple[int, int]
    grid: tuple[int, int]
    regions: tuple[tuple[float, float, float, float], ...]
    max_length: int
    vocabulary_size: int
    state: State
    search: Search
    captioner: dict
    encoder: dict
    quantization: dict
    least_litert: str
    compression: dict | None
    trained_on: str | None
    sat_keras: str

    def as_dict(self):
        """The content of `captioner.json`."""
        return {"format": FORMAT, "resize": RESIZE, **dataclasses.asdict(self)}

    def to_json(self):
        """The text of `captioner.json`."""
        return json.dumps(self.as_dict(), indent=2) + "\n"

    @classmethod
    def from_json(cls, text):
        """Reads and checks the text of `captioner.json`.

        Raises:
            InputError: if it is not JSON, of another format, or a field is missing or out of its
                range. The message does not name the file: the caller knows it.
        """
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError("captioner.json is not JSON; export it again") from error
        if not isinstance(content, dict):
            raise InputError("captioner.json is not a JSON object; export it again")
        _check_format(content)
        read = _Reader(content)
        rows, columns = grid = read.sizes("grid", _MOST_PIXELS)
        return cls(
            target=read.choice("target", TARGETS),
            image_size=read.sizes("image_size", _MOST_PIXELS),
            grid=grid,
            regions=read.regions("regions", rows * columns),
            max_length=read.whole("max_length", 1, _MOST_WORDS),
            vocabulary_size=read.whole("vocabulary_size", 5, 2**31 - 1),
            state=read.state("state"),
            search=read.search("search"),
            captioner=read.of_type("captioner", dict),
            encoder=read.of_type("encoder", dict),
            quantization=read.of_type("quantization", dict),
            least_litert=read.version("least_litert"),
            compression=read.of_type("compression", dict | None),
            trained_on=read.of_type("trained_on", str | None),
            sat_keras=read.of_type("sat_keras", str),
        )


def _check_format(content):
    if "format" not in content:
        raise InputError("made by sat_keras 0.1; export it again")
    if not _is_whole(content["format"], FORMAT, FORMAT):
        raise InputError(
            f"its format is {content['format']!r}, and this version reads format {FORMAT}; "
            "install a newer sat-keras, or export it again"
        )
    if content.get("resize") != RESIZE:
        raise InputError(f"its resize rule is unknown: {content.get('resize')!r}; export it again")


class _Reader:
    """Checked fields of a JSON object."""

    def __init__(self, content):
        self._content = content

    def _fail(self, name):
        found = repr(self._content[name])[:60] if name in self._content else "missing"
        raise InputError(f"captioner.json: {name} is {found}; export it again")

    def of_type(self, name, kind):
        if name not in self._content or not isinstance(self._content[name], kind):
            self._fail(name)
        return self._content[name]

    def choice(self, name, choices):
        if self._content.get(name) not in choices:
            self._fail(name)
        return self._content[name]

    def whole(self, name, least, most):
        value = self._content.get(name)
        if not _is_whole(value, least, most):
            self._fail(name)
        return value

    def sizes(self, name, most):
        value = self._content.get(name)
        if not _is_list(value, 2) or not all(_is_whole(each, 1, most) for each in value):
            self._fail(name)
        return tuple(value)

    def regions(self, name, count):
        value = self._content.get(name)
        if not _is_list(value, count) or not all(_is_region(each) for each in value):
            self._fail(name)
        return tuple(tuple(each) for each in value)

    def state(self, name):
        value = self._content.get(name)
        if not isinstance(value, dict):
            self._fail(name)
        lists = [value.get(part) for part in ("returned", "kept")]
        for each in lists:
            if not isinstance(each, list) or not all(isinstance(one, str) for one in each):
                self._fail(name)
        if len({*lists[0], *lists[1]}) != len(lists[0]) + len(lists[1]):
            self._fail(name)
        return State(*map(tuple, lists))

    def search(self, name):
        value, fields = self._content.get(name), dataclasses.fields(Search)
        try:
            return Search(**{field.name: value[field.name] for field in fields})
        except (KeyError, TypeError, InputError):
            self._fail(name)

    def version(self, name):
        value = self._content.get(name)
        if not isinstance(value, str) or not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,4}){0,3}", value):
            self._fail(name)
        return value


def _is_whole(value, least, most):
    return type(value) is int and least <= value <= most


def _is_list(value, length):
    return isinstance(value, list) and len(value) == length


def _is_region(value):
    return _is_list(value, 4) and all(
        type(each) in (int, float) and abs(each) <= sys.float_info.max for each in value
    )
