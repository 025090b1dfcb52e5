import hashlib
import itertools

import tensorflow_datasets as tfds

from sat_keras.datasets.folder.caption_files import find_captions, read_splits
from sat_keras.datasets.names import find_names, plurals
from sat_keras.datasets.photo_objects import PhotoObjects
from sat_keras.tokenizer import tokenize


class Builder(PhotoObjects):
    """A folder of your own photos, with their captions, and boxes if you like, in one file."""

    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES = {
        "1.0.0": "Captions as CSV, JSON Lines or COCO's JSON.",
        "1.1.0": "The same, with boxes of JSON Lines.",
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    A folder of photos, in folders inside it if you like, and in it one of captions.csv (columns
    filename, caption and, if you have splits, split), captions.jsonl (a photo a line, with
    filename, captions and split) or captions.json (as COCO's). File names are relative to the
    folder. Without splits, a tenth of the photos is drawn for validation and a tenth for test.

    A line of captions.jsonl may have boxes: "boxes": [{"name": "dog", "box": [ymin, xmin, ymax,
    xmax]}], shares of the photo, 0..1 from its top left corner. A name is one word or several; in
    captions it, or its plural, names all boxes of the photo that have it. A box may have a "type",
    the kind of thing that it is ("object" if it has none).
    """

    def read_splits(self, directory):
        return read_splits(directory)

    def find_phrases(self, words, objects):
        """Other words name nothing: a folder need not know all that its photos show."""
        named = {}
        for each in objects:
            name = tuple(tokenize(each["name"]))
            for spelling in (name, *plurals(name)):
                named.setdefault(spelling, []).append(each)
        return [
            {
                "first": first,
                "end": end,
                "type": found[0]["type"],
                "boxes": [each["bbox"] for each in found],
            }
            for first, end, found in find_names(words, named)
        ]

    @classmethod
    def config_for(cls, directory, entities):
        """Another one whenever the captions or one of their photos change."""
        super().config_for(directory, entities)
        if directory is None:
            raise cls.needs_files()
        digest = hashlib.sha256(find_captions(directory).read_bytes())
        splits, _ = read_splits(directory)
        for photo in itertools.chain(*splits.values()):
            status = photo.path.stat()
            digest.update(f"{photo.name} {status.st_size} {status.st_mtime_ns}\n".encode())
        return tfds.core.BuilderConfig(name=digest.hexdigest()[:16], version=cls.VERSION)
