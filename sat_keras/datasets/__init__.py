"""TFDS builders, one folder a data set, and their records on disk.

Every builder yields the same features, named as in TFDS's `coco_captions`: `image`,
`image/filename`, `captions` with a `text` each, and splits `train`, `validation`, `test`.
"""

import importlib
import sys
from pathlib import Path

import tensorflow_datasets as tfds

from sat_edge.errors import InputError, check_choice
from sat_keras.datasets.checks import SPLITS as SPLITS

NAMES = ("shapes", "flickr8k", "flickr30k", "coco", "folder")


def build_records(name, records_dir, data_dir=None):
    """Makes a data set's records, unless they are there, and returns their TFDS builder.

    Args:
        name: str, one of `NAMES`.
        records_dir: path of the folder that TFDS keeps records in.
        data_dir: path of the data set's own files, where it has any. Defaults to `None`.
    Raises:
        InputError: for an unknown name, or if the data set's files are missing or wrong.
    """
    check_choice("data set", name, NAMES)
    module = importlib.import_module(f"sat_keras.datasets.{name}.{name}_dataset_builder")
    needs_files = InputError(f"{name} is made from files of yours: name their folder by --data-dir")
    config = None
    if name == "folder":  # a folder's records are its own
        if data_dir is None:
            raise needs_files
        config = module.folder_config(data_dir)
    builder = module.Builder(data_dir=str(records_dir), config=config)
    if Path(builder.data_dir).exists():
        return builder
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS and data_dir is None:
        raise needs_files
    if data_dir is not None and not any(Path(data_dir).glob("*")):
        raise InputError(f"{data_dir}: no such folder, or an empty one")
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    manual_dir = str(data_dir) if data_dir else None
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=manual_dir)
    )
    return builder


def read_photos(builder, split, first=0):
    """Yields `(filename, encoded image, record)` of a split in its fixed order.

    Args:
        builder: TFDS builder.
        split: str, one of `SPLITS`.
        first: int. Where to begin. Defaults to `0`.
    Yields:
        The file's name; the bytes of the photo as its file holds them; `{"filename", "captions"}`,
        and `"objects"` where the data set knows them, as plain lists and dicts.
    """
    if first >= builder.info.splits[split].num_examples:
        return
    dataset = builder.as_dataset(
        split=f"{split}[{first}:]",
        decoders={"image": tfds.decode.SkipDecoding()},
        read_config=tfds.ReadConfig(interleave_cycle_length=1),
        shuffle_files=False,
    )
    for example in tfds.as_numpy(dataset):
        record = {
            "filename": example["image/filename"].decode(),
            "captions": [text.decode() for text in example["captions"]["text"]],
        }
        if "objects" in example:
            objects = example["objects"]
            record["objects"] = [
                {
                    "size": objects["size"][i].decode(),
                    "color": objects["color"][i].decode(),
                    "shape": objects["shape"][i].decode(),
                    "box": objects["bbox"][i].tolist(),
                }
                for i in range(len(objects["size"]))
            ]
        yield record["filename"], example["image"], record
