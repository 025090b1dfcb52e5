import json
from pathlib import Path

from sat_edge.errors import InputError
from sat_keras.datasets.checks import Photo, has_words

# Restval: COCO's validation photos that Karpathy and Fei-Fei train on.
_SPLITS = {"train": "train", "restval": "train", "val": "validation", "test": "test"}


def read_karpathy_splits(path, photos):
    """Captions and splits from a JSON file of Karpathy and Fei-Fei (2015).

    Args:
        path: `dataset_flickr30k.json` or `dataset_coco.json`, from `caption_datasets.zip`.
        photos: the folder that the file's `filepath` and `filename` are relative to.
    Returns:
        `(splits, problems)`, see `PhotoCaptions.read_splits`.
    Raises:
        InputError: if the file is missing or is not such a one.
    """
    path, photos = Path(path), Path(photos)
    splits = {"train": [], "validation": [], "test": []}
    problems = []
    try:
        for i, image in enumerate(json.loads(path.read_text(encoding="utf-8"))["images"]):
            photo = photos / image.get("filepath", "") / image["filename"]
            captions = [sentence["raw"].strip() for sentence in image["sentences"]]
            if not photo.is_file():
                problems.append(f"{path}, images[{i}]: {photo} is missing")
            elif not captions or not all(map(has_words, captions)):
                problems.append(f"{path}, images[{i}]: {photo.name} has an empty caption or none")
            else:
                splits[_SPLITS[image["split"]]].append(Photo(photo.name, photo, captions))
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: no such file; it is in Karpathy's caption_datasets.zip"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not in the layout of Karpathy's splits ({error!r})") from error
    return splits, problems
