"""Outputs that are complete or absent."""

import contextlib
import errno
import json
import os
import shutil
import uuid
from collections import Counter
from pathlib import Path

from sat_edge.errors import InputError


@contextlib.contextmanager
def atomic_output(path):
    """Yields a temporary path beside `path`; renamed to it at the end, removed after an error.

    All suffixes stay, so that writers that look at them work. A folder may be made there too. What
    was at `path` is replaced, but never a folder by a file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex}{''.join(path.suffixes)}")
    try:
        yield temporary
        if temporary.is_file():
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())  # a full disk shows itself here at the latest
        if path.is_dir():
            if not temporary.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
            shutil.rmtree(path)
        temporary.replace(path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        temporary.unlink(missing_ok=True)


def write_json(path, content, indent=2):
    """Writes a JSON file, complete or not at all."""
    with atomic_output(path) as temporary:
        temporary.write_text(json.dumps(content, indent=indent) + "\n")


def check_distinct_names(paths):
    """Raises `InputError` if two paths end in the same name: outputs by name would overwrite one
    another."""
    names = Counter(Path(path).name for path in paths)
    name, times = names.most_common(1)[0]
    if times > 1:
        raise InputError(f"two photos are named {name}: caption them apart")
