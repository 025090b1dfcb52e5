"""Reads a user's own captions, in any of three layouts, and lists every problem in them.

- `captions.csv`: a header `filename,caption` or `filename,caption,split`, a caption a row.
- `captions.jsonl`: a photo a line, `{"filename": ..., "captions": [...], "split": ...}`, and, if
  you like, `"boxes": [{"name": "dog", "box": [ymin, xmin, ymax, xmax], "type": "animal"}]`.
- `captions.json`: COCO's, `{"images": [{"id", "file_name", "split"}], "annotations":
  [{"image_id", "caption"}]}`.

A `split` is `train`, `validation` or `test`. Where no photo has one, photos are drawn into splits.
A box is shares of the photo as it is seen, upright, 0..1 from its top left corner; its `type`
defaults to `object`.
"""

import csv
import hashlib
import json
from pathlib import Path

from sat_edge.errors import InputError
from sat_keras.datasets.checks import SPLITS, Photo, has_words
from sat_keras.tokenizer import tokenize

_HELD_OUT = 0.1  # share of validation, and of test, where photos are drawn


def find_captions(directory):
    """The one captions file of a folder."""
    directory = Path(directory)
    if not directory.is_dir():
        raise InputError(f"{directory}: no such folder")
    found = [directory / name for name in _READERS if (directory / name).is_file()]
    if len(found) != 1:
        raise InputError(
            f"{directory}: needs one of {', '.join(_READERS)}; it has {len(found) or 'none'}"
        )
    return found[0]


def read_splits(directory):
    """A folder of photos with one captions file, whose file names are relative to the folder.

    Returns:
        `(splits, problems)`, see `PhotoCaptions.read_splits`.
    Raises:
        InputError: if there is no captions file, or it cannot be read at all.
    """
    directory = Path(directory)
    path = find_captions(directory)
    try:
        rows, problems, objects = _READERS[path.name](path)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file in UTF-8") from error

    captions, split_of = {}, {}
    for place, name, caption, split in rows:
        if not isinstance(name, str) or not name or not (directory / name).is_file():
            problems.append(f"{place}: there is no photo {name} in {directory}")
        elif not has_words(caption):
            problems.append(f"{place}: {name} has an empty caption")
        elif split and split not in SPLITS:
            problems.append(f"{place}: split {split!r} is none of {', '.join(SPLITS)}")
        elif split_of.setdefault(name, split) != split:
            problems.append(f"{place}: {name} is in two splits, {split_of[name]!r} and {split!r}")
        else:
            captions.setdefault(name, []).append(caption.strip())
    if any(split_of.values()):
        problems += [
            f"{path}: {name} has no split" for name, split in split_of.items() if not split
        ]
    else:
        split_of = _draw_splits(captions)
    splits = {
        split: [
            Photo(name, directory / name, each, objects=objects.get(name, []))
            for name, each in captions.items()
            if split_of[name] == split
        ]
        for split in SPLITS
    }
    return splits, problems


def _draw_splits(names):
    """By a digest of the name: with a new photo among them, nearly all others stay."""
    held_out = max(1, round(_HELD_OUT * len(names)))
    ordered = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    return {
        **dict.fromkeys(ordered[held_out:-held_out], "train"),
        **dict.fromkeys(ordered[:held_out], "validation"),
        **dict.fromkeys(ordered[-held_out:], "test"),
    }


# === Readers: each gives rows (place, file name, caption, split); problems; and objects, a dict,
# file name to list, see `Photo` ===


def _read_csv(path):
    rows, problems = [], []
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, strict=True)
        place = f"{path}, line 1"
        try:
            if not {"filename", "caption"} <= set(reader.fieldnames or ()):
                raise InputError(f"{place}: needs a header with filename and caption")
            for row in reader:
                place = f"{path}, line {reader.line_num}"
                if None in row or None in row.values():
                    problems.append(f"{place}: not {len(reader.fieldnames)} columns; quote commas")
                else:
                    rows.append((place, row["filename"], row["caption"], row.get("split", "")))
        except csv.Error as error:  # a quote that nothing closes takes all the rest
            problems.append(f"{place}: the row after it is no CSV ({error})")
    return rows, problems, {}


def _read_jsonl(path):
    rows, problems, objects = [], [], {}
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), start=1):
        place = f"{path}, line {number}"
        if not line.strip():
            continue
        try:
            photo = json.loads(line)
            name, captions, split = photo["filename"], photo["captions"], photo.get("split", "")
            if not isinstance(name, str) or not isinstance(captions, list) or not captions:
                raise TypeError
        except (ValueError, KeyError, TypeError, AttributeError):
            problems.append(f'{place}: not of the form {{"filename": "...", "captions": ["..."]}}')
        else:
            rows += [(place, name, caption, split) for caption in captions]
            found, wrong = _read_boxes(photo.get("boxes", []))
            objects.setdefault(name, []).extend(found)
            problems += [f"{place}: {each}" for each in wrong]
    return rows, problems, objects


def _read_boxes(boxes):
    """The objects of `boxes`, and what is wrong with the others."""
    if not isinstance(boxes, list):
        return [], ['"boxes" is not of the form [{"name": "...", "box": [...]}]']
    objects, problems = [], []
    for i, each in enumerate(boxes):
        each = each if isinstance(each, dict) else {}
        name, type_ = each.get("name"), each.get("type", "object")
        if not isinstance(name, str) or not tokenize(name):
            problems.append(f"boxes[{i}] has no name")
        elif not isinstance(type_, str) or not type_:
            problems.append(f"boxes[{i}], {name}: its type {type_!r} is no text")
        elif type_ == "all":
            problems.append(f"boxes[{i}], {name}: its type is all, as the total is called")
        elif wrong := _wrong_box(each.get("box")):
            problems.append(f"boxes[{i}], {name}: {wrong}")
        else:
            objects.append({"name": name, "type": type_, "bbox": tuple(map(float, each["box"]))})
    return objects, problems


def _wrong_box(box):
    """What is wrong with a box, or `None`."""
    if not isinstance(box, list) or [type(each) in (int, float) for each in box] != [True] * 4:
        return "its box is not four numbers, [ymin, xmin, ymax, xmax]"
    if not all(0 <= each <= 1 for each in box):
        return f"its box {box} is not inside 0..1; give shares of the photo, not pixels"
    for side, low, high in (("y", box[0], box[2]), ("x", box[1], box[3])):
        if low >= high:
            return f"{side}min {low} of its box is not below {side}max {high}"
    return None


def _read_coco(path):
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        photos = {image["id"]: image for image in content["images"]}
        names = {key: (image["file_name"], image.get("split", "")) for key, image in photos.items()}
        annotations = [(each["image_id"], each["caption"]) for each in content["annotations"]]
    except UnicodeDecodeError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not in COCO's layout ({error!r})") from error
    rows, problems = [], []
    for i, (key, caption) in enumerate(annotations):
        place = f"{path}, annotations[{i}]"
        if key in names:
            rows.append((place, names[key][0], caption, names[key][1]))
        else:
            problems.append(f"{place}: there is no image with id {key}")
    without = names.keys() - {key for key, _ in annotations}
    problems += [f"{path}: {names[key][0]} has no caption" for key in sorted(without, key=str)]
    return rows, problems, {}


_READERS = {"captions.csv": _read_csv, "captions.jsonl": _read_jsonl, "captions.json": _read_coco}
