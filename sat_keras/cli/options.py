"""Options that several verbs share."""

import argparse
import dataclasses
import os
from pathlib import Path

from sat_edge.errors import InputError
from sat_keras.datasets import NAMES, SPLITS, check_data_dir
from sat_keras.fields import kind
from sat_keras.objectives import Objective
from sat_keras.runs.settings import PARTS
from sat_keras.runs.sources import trained_on


def add_dataset(parser):
    parser.add_argument("dataset", metavar="DATASET", help=", ".join(NAMES))
    add_places(parser)


def add_places(parser):
    parser.add_argument("--data-dir", metavar="DIR", help="folder of the data set's own files")
    parser.add_argument(
        "--entities",
        metavar="DIR",
        help="folder of Flickr30k Entities, the boxes of flickr8k and flickr30k (default: "
        "Flickr30kEntities in --data-dir)",
    )
    parser.add_argument(
        "--cache",
        type=folder_path,
        metavar="DIR",
        default=os.environ.get("SAT_KERAS_CACHE", str(Path.home() / ".cache" / "sat_keras")),
        help="folder for records and annotations (default: %(default)s)",
    )


def add_split_name(parser):
    parser.add_argument(
        "--split", default="test", choices=SPLITS, help="which photos (default: %(default)s)"
    )


def add_split(parser):
    add_split_name(parser)
    parser.add_argument("--limit", type=count, metavar="N", help="only the first N photos")


def add_search(parser, default=None):
    """One option for each field of `Search` that the command line can name.

    Args:
        parser: the verb's.
        default: `Search`, what is not named. Defaults to `None`: the captioner's own.
    """
    what = "what the captioner has as its own" if default else "default: the captioner's own"
    group = parser.add_argument_group("search", what)
    fields = {
        "beam_width": (int, "K", "captions kept at each word; 1 is greedy"),
        "length_penalty": (float, "X", "captions are ranked by log-probability / length^X"),
        "no_repeat_ngram": (int, "N", "no N words in a row come twice; 0 is off"),
    }
    for name, (type_, metavar, text) in fields.items():
        text += f" (default: {getattr(default, name)})" if default else ""
        group.add_argument(
            f"--{name.replace('_', '-')}",
            dest=f"search.{name}",
            type=type_,
            metavar=metavar,
            default=argparse.SUPPRESS,
            help=text,
        )


def add_settings(parser, parts):
    """One option for each setting of these parts of a run's settings; help and defaults are
    theirs."""
    for part in parts:
        group = parser.add_argument_group(part)
        if part == "objective":
            _add_objective(group)
            continue
        for field in dataclasses.fields(PARTS[part]):
            _add_field(group, part, field)


def _add_objective(group):
    group.add_argument(
        "--objective",
        dest="objective.name",
        choices=tuple(Objective.known),
        default=argparse.SUPPRESS,
        help="what is trained for (default: what fits the attention)",
    )
    owners = {}
    for name, objective in Objective.known.items():
        for field in dataclasses.fields(objective):
            if "help" in field.metadata:
                owners.setdefault(field.name, (field, []))[1].append(name)
    for field, names in owners.values():
        _add_field(group, "objective", field, of=f"{', '.join(names)}: ")


def _add_field(group, part, field, of=""):
    metadata, type_ = field.metadata, kind(field)
    option = f"--{(metadata['option'] or field.name).replace('_', '-')}"
    default = "" if field.default is None else f" (default: {field.default})"
    common = {
        "dest": f"{part}.{field.name}",
        "default": argparse.SUPPRESS,
        "help": f"{of}{metadata['help']}{default}".replace("%", "%%"),
    }
    if type_ is bool:
        group.add_argument(option, action=argparse.BooleanOptionalAction, **common)
        return
    if metadata["choices"]:
        common["choices"] = metadata["choices"]
    else:
        common["metavar"] = {int: "N", float: "X", str: "NAME"}[type_]
    group.add_argument(option, type=type_, **common)


def named(options, part=None):
    """The settings that the command line names: nested dicts, or one part's."""
    nested = {}
    for name, value in vars(options).items():
        of, dot, setting = name.partition(".")
        if dot:
            nested.setdefault(of, {})[setting] = value
    return nested if part is None else nested.get(part, {})


def file_path(text):
    """The type of an option that names a file to write."""
    if Path(text).is_dir():  # said now, not after an hour
        raise argparse.ArgumentTypeError(f"{text} is a folder: name a file")
    return text


def folder_path(text):
    """The type of an option that names a folder to write into."""
    if Path(text).is_file():
        raise argparse.ArgumentTypeError(f"{text} is a file: name a folder")
    return text


def count(text):
    """The type of an option that is a whole number of 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def check_own_dataset(options, source):
    """Sets `options.dataset` to the data set that a run or a preset was trained on.

    Raises:
        InputError: if a preset does not name it, or `options.data_dir` holds nothing.
    """
    options.dataset = trained_on(source)
    if options.dataset is None:
        raise InputError(f"{source}: does not name its data set: save_to_preset(trained_on=...)")
    check_data_dir(options.dataset, options.data_dir, options.entities)


# === What they stand for ===


def records(options):
    """The TFDS builder of the data set, with its records made."""
    from sat_keras.datasets import build_records

    records_dir = Path(options.cache) / "records"
    return build_records(options.dataset, records_dir, options.data_dir, options.entities)


def annotations(options):
    """The folder of annotation caches."""
    return Path(options.cache) / "annotations"
