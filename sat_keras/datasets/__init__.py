"""TFDS builders, one folder a data set, and their records on disk.

Every builder yields the same features, named as in TFDS's `coco_captions`: `image`,
`image/filename`, `captions` with a `text` each, and splits `train`, `validation`, `test`.

A builder that knows boxes has a method `named_boxes(words, record)`, with a record of
`read_photos`. It returns an entry for each word of a caption: `None` for a word that names no
object, otherwise the list of the named object's boxes, (ymin, xmin, ymax, xmax), 0..1, which is
empty if the picture has no such object. Grounding is measured on such a data set.
"""

import importlib
import sys
from pathlib import Path

from sat_edge.errors import InputError, check_choice
from sat_keras import missing_package
from sat_keras.datasets.checks import SPLITS as SPLITS

_FOLDER = Path(__file__).parent
NAMES = tuple(sorted(each.parent.name for each in _FOLDER.glob("*/*_dataset_builder.py")))


def check_data_dir(name, data_dir):
    """Raises `InputError` for an unknown data set or a folder that is not there: at once, without
    TensorFlow."""
    check_choice("data set", name, NAMES)
    if data_dir is not None and not any(Path(data_dir).glob("*")):
        raise InputError(f"{data_dir}: no such folder, or an empty one")


def build_records(name, records_dir, data_dir=None):
    """Makes a data set's records, unless they are there, and returns their TFDS builder.

    Args:
        name: str, one of `NAMES`.
        records_dir: path of the folder that TFDS keeps records in.
        data_dir: path of the data set's own files, where it has any. Defaults to `None`.
    Raises:
        InputError: for an unknown name, or if the data set's files are missing or wrong.
    """
    check_data_dir(name, data_dir)
    try:
        import tensorflow_datasets as tfds
    except ModuleNotFoundError as error:
        raise missing_package(error) from error

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
        The file's name; the bytes of the photo as its file holds them; and the record, plain lists
        and dicts: `{"filename", "captions"}`, and the data set's other features by their names.
    """
    import tensorflow_datasets as tfds

    if first >= builder.info.splits[split].num_examples:
        return
    dataset = builder.as_dataset(
        split=f"{split}[{first}:]",
        decoders={"image": tfds.decode.SkipDecoding()},
        read_config=tfds.ReadConfig(interleave_cycle_length=1),
        shuffle_files=False,
    )
    features = builder.info.features
    for example in tfds.as_numpy(dataset):
        encoded, name = example.pop("image"), example.pop("image/filename").decode()
        record = {each: _nested(features[each], _plain(value)) for each, value in example.items()}
        captions = [each["text"] for each in record.pop("captions")]
        yield name, encoded, {"filename": name, "captions": captions, **record}


def _plain(value):
    """Values of NumPy and ragged tensors as Python's, text as str."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    for convert in ("to_list", "tolist"):  # of a ragged tensor, of an array
        if hasattr(value, convert):
            value = getattr(value, convert)()
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value.decode() if isinstance(value, bytes) else value


def _nested(feature, value):
    """Sequences of dicts, which TFDS turns into dicts of sequences, as lists of dicts."""
    if not isinstance(value, dict):
        return value
    if not hasattr(feature, "feature"):  # no sequence
        return {name: _nested(feature[name], each) for name, each in value.items()}
    return [_nested(feature.feature, _row(value, i)) for i in range(_count(value))]


def _count(columns):
    first = next(iter(columns.values()))
    return _count(first) if isinstance(first, dict) else len(first)


def _row(columns, i):
    return {
        name: _row(each, i) if isinstance(each, dict) else each[i] for name, each in columns.items()
    }
