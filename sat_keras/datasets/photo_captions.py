import dataclasses
import itertools
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from sat_edge.errors import InputError
from sat_edge.photo import open_photo
from sat_keras.datasets.checks import raise_problems
from sat_keras.tokenizer import tokenize

# The phrases of a caption, as every builder has them in its records; see `sat_keras.datasets`.
PHRASES = tfds.features.Sequence(
    {
        "first": tfds.features.Scalar(np.int32),
        "end": tfds.features.Scalar(np.int32),
        "type": tfds.features.Text(),
        "boxes": tfds.features.Sequence(tfds.features.BBoxFeature()),
    }
)


@dataclasses.dataclass
class BoxesConfig(tfds.core.BuilderConfig):
    """Records with boxes, which other files than those of the captions hold.

    Attributes:
        directory: path of the folder of these files; `None` opens records that are there.
    """

    directory: Path | None = None


class PhotoCaptions(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A data set of photo files and their captions, read from a folder of the user's.

    A data set's builder says where its files come from (`MANUAL_DOWNLOAD_INSTRUCTIONS`) and
    implements `read_splits`.
    """

    BOXES: str | None = None  # the name of its `BoxesConfig`, if it has one
    HOMEPAGE = None
    CITATION = None

    def read_splits(self, directory):
        """The data set from its folder.

        Args:
            directory: `pathlib.Path`, the user's `--data-dir`.
        Returns:
            `(splits, problems)`: a dict, split name to list of `checks.Photo`, and a list of str,
            what is wrong and where.
        """
        raise NotImplementedError

    def add_phrases(self, splits):
        """The same splits, their photos with the phrases that other files know. Defaults to as they
        are."""
        return splits

    @classmethod
    def find_boxes(cls, directory, entities):
        """The folder of the files that know boxes.

        Args:
            directory: path of the user's `--data-dir`, or `None`.
            entities: path of the user's `--entities`, or `None`.
        Returns:
            Its path; or `None`, for records without boxes.
        Raises:
            InputError: if the files cannot be of this data set.
        """
        if entities is not None:
            raise InputError(f"{cls.name} has no phrases in Flickr30k Entities: name none")

    @classmethod
    def config_for(cls, directory, entities):
        """The TFDS config of records made from these files, see `find_boxes`; or `None`, for
        records that are called by the data set's name alone."""
        boxes = cls.find_boxes(directory, entities)
        return boxes and BoxesConfig(name=cls.BOXES, version=cls.VERSION, directory=boxes)

    @classmethod
    def config_of_records(cls, records_dir):
        """The config of the records to open where no files are named: those with boxes, where there
        are some."""
        if cls.BOXES and (Path(records_dir) / cls.name / cls.BOXES / str(cls.VERSION)).exists():
            return BoxesConfig(name=cls.BOXES, version=cls.VERSION)
        return None

    @classmethod
    def needs_files(cls):
        """The error where records are to be made and no files are named."""
        return InputError(
            f"{cls.name} is made from files of yours: name their folder by --data-dir"
        )

    def named_phrases(self, words, record):
        """See `sat_keras.datasets`. A word names what a phrase of the photo's captions names whose
        last word, its head, it is."""
        types, boxes = {}, {}
        for caption, phrases in zip(record["captions"], record["phrases"], strict=True):
            tokens = tokenize(caption)
            for phrase in phrases:
                head = tokens[phrase["end"] - 1]
                types.setdefault(head, phrase["type"])
                boxes.setdefault(head, {}).update(dict.fromkeys(map(tuple, phrase["boxes"])))
        return [
            {"first": i, "end": i + 1, "type": types[word], "boxes": list(boxes[word])}
            for i, word in enumerate(words)
            if word in boxes
        ]

    def features(self):
        """Dict of the features of its records."""
        return {
            "image": tfds.features.Image(),
            "image/filename": tfds.features.Text(),
            "captions": tfds.features.Sequence({"text": tfds.features.Text(), "phrases": PHRASES}),
        }

    def example(self, photo):
        """The record of a `checks.Photo`, as TFDS writes it."""
        phrases = photo.phrases or [[] for _ in photo.captions]
        return {
            "image": photo.path,
            "image/filename": photo.name,
            "captions": [
                {"text": caption, "phrases": list(map(as_feature, each))}
                for caption, each in zip(photo.captions, phrases, strict=True)
            ],
        }

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(self.features()),
            homepage=self.HOMEPAGE,
            citation=self.CITATION,
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        splits, problems = self.read_splits(dl_manager.manual_dir)
        problems += [
            f"{dl_manager.manual_dir}: no photo for {each}" for each in splits if not splits[each]
        ]
        # A damaged photo is named here, not after an hour of training.
        for photo in itertools.chain(*splits.values()):
            try:
                open_photo(photo.path)
            except InputError as error:
                problems.append(str(error))
        raise_problems(problems)
        splits = self.add_phrases(splits)
        return {name: self._generate_examples(photos) for name, photos in splits.items()}

    def _generate_examples(self, photos):
        for i, photo in enumerate(photos):
            yield i, self.example(photo)


def as_feature(phrase):
    """A phrase as TFDS writes it."""
    return {**phrase, "boxes": [tfds.features.BBox(*box) for box in phrase["boxes"]]}
