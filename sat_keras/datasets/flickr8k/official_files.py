"""Reads Flickr8k's official files, and says which file and line is wrong."""

import logging
from collections import defaultdict
from pathlib import Path

from sat_edge.errors import InputError
from sat_keras.datasets.checks import Photo, has_words

PHOTOS = "Flicker8k_Dataset"  # spelled so
CAPTIONS = "Flickr8k.token.txt"
SPLITS = {
    "train": "Flickr_8k.trainImages.txt",
    "validation": "Flickr_8k.devImages.txt",
    "test": "Flickr_8k.testImages.txt",
}

_logger = logging.getLogger(__name__)


def read_captions(path, photos):
    """The captions of each photo.

    Args:
        path: `Flickr8k.token.txt`: lines `name.jpg#number<tab>caption`.
        photos: the folder of photos.
    Returns:
        Dict, photo name to list of captions in the file's order. Photos that are not in the
        folder are left out with a warning (the official file names one).
    Raises:
        InputError: for a line of another form, or an empty caption.
    """
    present = {photo.name for photo in photos.iterdir()}
    captions, missing = defaultdict(list), set()
    for number, line in enumerate(_lines(path), start=1):
        key, tab, caption = line.partition("\t")
        name, hash_sign, index = key.rpartition("#")
        if not (tab and hash_sign and index.isdigit()):
            raise InputError(f"{path}, line {number}: not of the form name.jpg#0<tab>caption")
        if not has_words(caption):
            raise InputError(f"{path}, line {number}: the caption is empty")
        if name in present:
            captions[name].append(caption.strip())
        else:
            missing.add(name)
    for name in sorted(missing):
        _logger.warning("%s: skipped the captions of %s, which is not in %s", path, name, photos)
    return dict(captions)


def read_splits(directory):
    """Flickr8k from a folder with the official layout.

    Args:
        directory: path of the folder that holds `PHOTOS`, `CAPTIONS` and the lists of `SPLITS`.
    Returns:
        Dict, split name to list of `Photo`.
    Raises:
        InputError: if a file is missing, a line is malformed, or a listed photo is not there.
    """
    directory = Path(directory)
    photos = directory / PHOTOS
    if not photos.is_dir():
        raise InputError(f"{photos}: no such folder; --data-dir names the one it lies in")
    captions = read_captions(directory / CAPTIONS, photos)
    splits = {}
    for split, list_name in SPLITS.items():
        splits[split] = []
        for number, line in enumerate(_lines(directory / list_name), start=1):
            name = line.strip()
            if not name:
                continue
            if name not in captions:
                raise InputError(
                    f"{directory / list_name}, line {number}: {name} has no photo or no captions"
                )
            splits[split].append(Photo(name, photos / name, captions[name]))
    return splits


def _lines(path):
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file in UTF-8") from error
