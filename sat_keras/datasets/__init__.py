"""TFDS builders, one folder a data set, and their records on disk.

Every builder yields the same features: `image`, `image/filename`, `captions` with a `text` and
`phrases` each, and splits `train`, `validation`, `test`. Some have `objects` too: what the photo
shows, and where.

A phrase is words of a caption that name something in the photo:
`{"first", "end", "type", "boxes"}`. Words `first` to `end - 1` of the tokenised caption are its
words, the last of them its head; `boxes`, (ymin, xmin, ymax, xmax), 0..1, is where the named things
are; `type` is their kind, one of a few. A data set that knows no boxes has no phrases.

A builder that knows boxes has a method `named_phrases(words, record)`, with a record of
`read_photos`: the phrases in any other caption of the photo, such as a captioner's. A phrase
without boxes names something that the photo does not show. Grounding is measured on such a data
set.
"""

import importlib
import sys
from pathlib import Path

from sat_edge.errors import InputError, check_choice
from sat_keras import missing_package
from sat_keras.datasets import flickr30k_entities
from sat_keras.datasets.checks import SPLITS as SPLITS

_FOLDER = Path(__file__).parent
NAMES = tuple(sorted(each.parent.name for each in _FOLDER.glob("*/*_dataset_builder.py")))


def check_data_dir(name, data_dir, entities=None):
    """Raises `InputError` for an unknown data set or a folder that is not there: at once, without
    TensorFlow."""
    check_choice("data set", name, NAMES)
    for folder in (data_dir, entities):
        if folder is not None and not any(Path(folder).glob("*")):
            raise InputError(f"{folder}: no such folder, or an empty one")
    if entities is not None:
        flickr30k_entities.check_folder(entities)


def build_records(name, records_dir, data_dir=None, entities=None):
    """Makes a data set's records, unless they are there, and returns their TFDS builder.

    Args:
        name: str, one of `NAMES`.
        records_dir: path of the folder that TFDS keeps records in.
        data_dir: path of the data set's own files, where it has any. Defaults to `None`.
        entities: path of Flickr30k Entities, which has the phrases of `flickr8k` and `flickr30k`.
            Defaults to `None`: a folder `Flickr30kEntities` in `data_dir`, where there is one;
            without a `data_dir`, records with phrases before those without.
    Raises:
        InputError: for an unknown name, or if the data set's files are missing or wrong.
    """
    check_data_dir(name, data_dir, entities)
    try:
        import tensorflow_datasets as tfds
    except ModuleNotFoundError as error:
        raise missing_package(error) from error

    module = importlib.import_module(f"sat_keras.datasets.{name}.{name}_dataset_builder")
    config = _config(module.Builder, records_dir, data_dir, entities)
    builder = module.Builder(data_dir=str(records_dir), config=config)
    if Path(builder.data_dir).exists():
        return builder
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS and data_dir is None:
        raise builder.needs_files()
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    manual_dir = str(data_dir) if data_dir else None
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=manual_dir)
    )
    return builder


def _config(builder, records_dir, data_dir, entities):
    """The TFDS config of the records of these files, or of those that are there."""
    if not builder.MANUAL_DOWNLOAD_INSTRUCTIONS:  # made without files
        if entities is not None:
            raise InputError(f"{builder.name} has boxes of its own: leave --entities out")
        return None
    config = builder.config_for(data_dir, entities)
    return config or (builder.config_of_records(records_dir) if data_dir is None else None)


def read_photos(builder, split, first=0):
    """Yields `(filename, encoded image, record)` of a split in its fixed order.

    Args:
        builder: TFDS builder.
        split: str, one of `SPLITS`.
        first: int. Where to begin. Defaults to `0`.
    Yields:
        The file's name; the bytes of the photo as its file holds them; and the record, plain lists
        and dicts: `{"filename", "captions", "phrases"}`, and the data set's other features by their
        names. `captions` is a list of str, `phrases` has a list of phrases for each.
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
        captions = record.pop("captions")
        texts = [each["text"] for each in captions]
        phrases = [each.get("phrases", []) for each in captions]
        yield name, encoded, {"filename": name, "captions": texts, "phrases": phrases, **record}


def check_boxes(builder, split):
    """Raises `InputError` if no phrase of a split has boxes."""
    if not any(has_boxes(record) for *_, record in read_photos(builder, split)):
        raise InputError(
            f"grounding needs boxes, and no caption of split {split} has any: bring boxes "
            "(--entities DIR for those of Flickr's photos), or set grounding to 0"
        )


def has_boxes(record):
    """Whether a phrase of a record of `read_photos` has any."""
    return any(phrase["boxes"] for phrases in record["phrases"] for phrase in phrases)


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
