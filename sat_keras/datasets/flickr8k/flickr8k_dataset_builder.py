import tensorflow_datasets as tfds

from sat_keras.datasets.flickr8k.official_files import read_splits
from sat_keras.datasets.flickr_photos import FlickrPhotos


class Builder(FlickrPhotos):
    """Flickr8k: 8,000 photos of people and animals, five captions each.

    The photos and captions are for non-commercial research and belong to their owners.
    """

    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES = {
        "1.0.0": "The official files and splits.",
        "1.1.0": "The same, with the phrases of Flickr30k Entities.",
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    Ask for Flickr8k at https://hockenmaier.cs.illinois.edu/8k-pictures.html and unpack
    Flickr8k_Dataset.zip and Flickr8k_text.zip into one folder, so that it holds
    Flicker8k_Dataset/, Flickr8k.token.txt and Flickr_8k.{train,dev,test}Images.txt. For boxes put
    Sentences/ and Annotations/ of https://github.com/BryanPlummer/flickr30k_entities beside them,
    into a folder Flickr30kEntities/.
    """
    HOMEPAGE = "https://hockenmaier.cs.illinois.edu/8k-pictures.html"
    CITATION = """
    @article{hodosh2013framing,
      title={Framing Image Description as a Ranking Task},
      author={Hodosh, Micah and Young, Peter and Hockenmaier, Julia},
      journal={Journal of Artificial Intelligence Research}, volume={47}, year={2013}
    }"""

    def read_splits(self, directory):
        return read_splits(directory), []
