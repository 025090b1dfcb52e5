import tensorflow_datasets as tfds

from sat_keras.datasets.flickr8k.official_files import read_splits
from sat_keras.datasets.photo_captions import PhotoCaptions


class Builder(PhotoCaptions):
    """Flickr8k: 8,000 photos of people and animals, five captions each.

    The photos and captions are for non-commercial research and belong to their owners.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "The official files and splits."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    Ask for Flickr8k at https://hockenmaier.cs.illinois.edu/8k-pictures.html and unpack
    Flickr8k_Dataset.zip and Flickr8k_text.zip into one folder, so that it holds
    Flicker8k_Dataset/, Flickr8k.token.txt and Flickr_8k.{train,dev,test}Images.txt.
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
