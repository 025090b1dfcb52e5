import tensorflow_datasets as tfds

from sat_edge.photo import open_photo
from sat_keras.datasets.flickr8k.official_files import SPLITS, read_splits


class Builder(tfds.core.GeneratorBasedBuilder):
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

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(encoding_format="jpeg"),
                    "image/filename": tfds.features.Text(),
                    "captions": tfds.features.Sequence({"text": tfds.features.Text()}),
                }
            ),
            homepage="https://hockenmaier.cs.illinois.edu/8k-pictures.html",
            citation="""
            @article{hodosh2013framing,
              title={Framing Image Description as a Ranking Task},
              author={Hodosh, Micah and Young, Peter and Hockenmaier, Julia},
              journal={Journal of Artificial Intelligence Research}, volume={47}, year={2013}
            }""",
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        splits = read_splits(dl_manager.manual_dir)
        return {name: self._generate_examples(splits[name]) for name in SPLITS}

    def _generate_examples(self, photos):
        for i, (path, captions) in enumerate(photos):
            open_photo(path)  # a damaged photo is named here, not after an hour of training
            yield (
                i,
                {
                    "image": path,
                    "image/filename": path.name,
                    "captions": [{"text": caption} for caption in captions],
                },
            )
