"""Reads COCO's instances: the boxes of all objects of 80 categories."""

import json
from pathlib import Path

from sat_edge.errors import InputError
from sat_keras.datasets.coco.categories import CATEGORIES

FOLDER = "annotations"  # as COCO's archive unpacks
FILES = ("instances_train2014.json", "instances_val2014.json")


def find_instances(directory):
    """The folder of the files of instances among a data set's files.

    Args:
        directory: path of the data set's folder.
    Returns:
        Its path, or `None` if neither file is there.
    Raises:
        InputError: if one of them is there and the other is not.
    """
    folder = Path(directory) / FOLDER
    missing = [name for name in FILES if not (folder / name).is_file()]
    if len(missing) == len(FILES):
        return None
    if missing:
        raise InputError(
            f"{folder / missing[0]}: no such file, and its other half is there; both are in COCO's "
            f"annotations_trainval2014.zip"
        )
    return folder


def read_objects(path):
    """The objects of all photos of one file. Crowds are objects too.

    Boxes are cut off at the edges of the photo. A few of the official ones have no area and are
    left out.

    Args:
        path: path of `instances_train2014.json` or `instances_val2014.json`.
    Returns:
        Dict, a photo's file name to the list of its objects, see `checks.Photo`. Their type is the
        supercategory.
    Raises:
        InputError: if the file is missing or of another layout.
    """
    place = path
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file, object_hook=_without_mask)
        names = {each["id"]: each["name"] for each in content["categories"]}
        if unknown := set(names.values()) - CATEGORIES.keys():
            raise ValueError(f"{sorted(unknown)[0]!r} is none of COCO's categories")
        photos = {each["id"]: each for each in content["images"]}
        objects = {each["file_name"]: [] for each in photos.values()}
        for i, each in enumerate(content["annotations"]):
            place = f"{path}, annotations[{i}]"
            photo_id, category_id, box = each
            photo, name = photos[photo_id], names[category_id]
            shares = _shares(box, photo["height"], photo["width"])
            if shares[0] < shares[2] and shares[1] < shares[3]:
                objects[photo["file_name"]].append(
                    {"name": name, "type": CATEGORIES[name][0], "bbox": shares}
                )
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise InputError(f"{place}: not in the layout of COCO's instances ({error!r})") from error
    return objects


def _without_mask(values):
    """What is kept of a JSON object while the file is read. The masks are nearly all of it: kept
    until the end, they would take gigabytes."""
    if "bbox" in values:
        return values["image_id"], values["category_id"], values["bbox"]
    return None if "counts" in values else values


def _shares(box, height, width):
    """(x, y, width, height) in pixels as (ymin, xmin, ymax, xmax) in shares of the photo."""
    x, y, box_width, box_height = map(float, box)
    corners = (y / height, x / width, (y + box_height) / height, (x + box_width) / width)
    return tuple(min(max(each, 0.0), 1.0) for each in corners)
