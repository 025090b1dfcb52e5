from pathlib import Path

import tensorflow_datasets as tfds

from sat_keras.datasets.karpathy import read_karpathy_splits
from sat_keras.datasets.photo_captions import PhotoCaptions


class Builder(PhotoCaptions):
    """COCO 2014 captions: 123,000 photos of common objects, five captions or more each.

    The captions are CC BY 4.0; the photos are under their owners' Flickr terms.
    """

    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES = {
        "1.0.0": "The photos of 2014, Karpathy's splits: 113,287 with restval, 5,000 and 5,000."
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    From https://cocodataset.org/#download unpack train2014.zip and val2014.zip into one folder, so
    that it holds train2014/ and val2014/. Beside them put dataset_coco.json of
    https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip, which holds the
    captions and the splits.
    """
    HOMEPAGE = "https://cocodataset.org"
    CITATION = """
    @inproceedings{lin2014microsoft,
      title={Microsoft COCO: Common Objects in Context},
      author={Lin, Tsung-Yi and Maire, Michael and Belongie, Serge and Hays, James and
              Perona, Pietro and Ramanan, Deva and Doll{\\'a}r, Piotr and Zitnick, C. Lawrence},
      booktitle={ECCV}, year={2014}
    }"""

    def read_splits(self, directory):
        return read_karpathy_splits(Path(directory) / "dataset_coco.json", directory)
