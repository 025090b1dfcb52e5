from pathlib import Path
from typing import NamedTuple

from sat_edge.errors import InputError

SPLITS = ("train", "validation", "test")
_SHOWN = 50


class Photo(NamedTuple):
    """A photo as a reader of files found it.

    Attributes:
        name: str, its file name.
        path: path of its file.
        captions: list of str.
        phrases: for each caption its list of phrases, see `sat_keras.datasets`. Empty: none known.
        objects: list of dicts with `name`, `type` and `bbox`, (ymin, xmin, ymax, xmax), 0..1: what
            the photo shows. `None`: not known.
    """

    name: str
    path: Path
    captions: list
    phrases: list | tuple = ()
    objects: list | None = None


def has_words(caption):
    """Whether a caption says anything."""
    return isinstance(caption, str) and any(character.isalnum() for character in caption)


def raise_problems(problems):
    """Raises one `InputError` that lists all problems, a line each; nothing where there are none.

    Args:
        problems: list of str, each with its file and line. Of many, the first 50 are listed.
    """
    if not problems:
        return
    hidden = len(problems) - _SHOWN
    shown = problems[:_SHOWN] + ([f"and {hidden} more"] if hidden > 0 else [])
    raise InputError("\n".join(shown))
