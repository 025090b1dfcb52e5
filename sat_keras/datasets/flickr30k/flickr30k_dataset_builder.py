from pathlib import Path

import tensorflow_datasets as tfds

from sat_keras.datasets.flickr_photos import FlickrPhotos
from sat_keras.datasets.karpathy import read_karpathy_splits


class Builder(FlickrPhotos):
    """Flickr30k: 31,000 photos of people in everyday scenes, five captions each.

    The photos and captions are for non-commercial research and belong to their owners.
    """

    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES = {
        "1.0.0": "The official photos, Karpathy's splits: 29,000, 1,014 and 1,000.",
        "1.1.0": "The same, with the phrases of Flickr30k Entities.",
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    Ask for Flickr30k at https://shannon.cs.illinois.edu/DenotationGraph/ and unpack the photos into
    a folder flickr30k-images/. Beside it put dataset_flickr30k.json of
    https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip, which holds the
    captions and the splits. For boxes put Sentences/ and Annotations/ of
    https://github.com/BryanPlummer/flickr30k_entities beside them, into Flickr30kEntities/.
    """
    HOMEPAGE = "https://shannon.cs.illinois.edu/DenotationGraph/"
    CITATION = """
    @article{young2014image,
      title={From Image Descriptions to Visual Denotations: New Similarity Metrics for Semantic
             Inference over Event Descriptions},
      author={Young, Peter and Lai, Alice and Hodosh, Micah and Hockenmaier, Julia},
      journal={Transactions of the Association for Computational Linguistics}, volume={2},
      year={2014}
    }"""

    def read_splits(self, directory):
        directory = Path(directory)
        return read_karpathy_splits(
            directory / "dataset_flickr30k.json", directory / "flickr30k-images"
        )
