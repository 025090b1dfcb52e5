import hashlib
import itertools

import tensorflow_datasets as tfds

from sat_keras.datasets.folder.caption_files import find_captions, read_splits
from sat_keras.datasets.photo_captions import PhotoCaptions


class Builder(PhotoCaptions):
    """A folder of your own photos, with their captions in one file."""

    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES = {"1.0.0": "Captions as CSV, JSON Lines or COCO's JSON."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    A folder of photos, in folders inside it if you like, and in it one of captions.csv (columns
    filename, caption and, if you have splits, split), captions.jsonl (a photo a line, with
    filename, captions and split) or captions.json (as COCO's). File names are relative to the
    folder. Without splits, a tenth of the photos is drawn for validation and a tenth for test.
    """

    def read_splits(self, directory):
        return read_splits(directory)

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
