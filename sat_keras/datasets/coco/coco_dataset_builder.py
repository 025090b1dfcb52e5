from pathlib import Path

import tensorflow_datasets as tfds

from sat_keras.datasets.coco import instances
from sat_keras.datasets.coco.categories import CATEGORIES, named_categories
from sat_keras.datasets.karpathy import read_karpathy_splits
from sat_keras.datasets.photo_objects import PhotoObjects


class Builder(PhotoObjects):
    """COCO 2014 captions: 123,000 photos of common objects, five captions or more each.

    The captions and boxes are CC BY 4.0; the photos are under their owners' Flickr terms.
    """

    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES = {
        "1.0.0": "The photos of 2014, Karpathy's splits: 113,287 with restval, 5,000 and 5,000.",
        "1.1.0": "The same, with the boxes of the objects.",
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    From https://cocodataset.org/#download unpack train2014.zip and val2014.zip into one folder, so
    that it holds train2014/ and val2014/. Beside them put dataset_coco.json of
    https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip, which holds the
    captions and the splits. For boxes unpack annotations_trainval2014.zip there too: they are in
    annotations/instances_train2014.json and annotations/instances_val2014.json.
    """
    BOXES = "instances"
    HOMEPAGE = "https://cocodataset.org"
    CITATION = """
    @inproceedings{lin2014microsoft,
      title={Microsoft COCO: Common Objects in Context},
      author={Lin, Tsung-Yi and Maire, Michael and Belongie, Serge and Hays, James and
              Perona, Pietro and Ramanan, Deva and Doll{\\'a}r, Piotr and Zitnick, C. Lawrence},
      booktitle={ECCV}, year={2014}
    }"""

    @classmethod
    def find_boxes(cls, directory, entities):
        super().find_boxes(directory, entities)
        return None if directory is None else instances.find_instances(directory)

    def read_splits(self, directory):
        path = Path(directory) / "dataset_coco.json"
        splits, problems = read_karpathy_splits(path, directory)
        if self.builder_config is None:
            return splits, problems
        folder, objects = self.builder_config.directory, {}
        for name in instances.FILES:
            objects |= instances.read_objects(folder / name)
        for split, photos in splits.items():
            problems += [
                f"{path}: {each.name} is in neither file of instances in {folder}"
                for each in photos
                if each.name not in objects
            ]
            splits[split] = [each._replace(objects=objects.get(each.name)) for each in photos]
        return splits, problems

    def find_phrases(self, words, objects):
        """Objects are named by category, see `categories.py`."""
        if self.builder_config is None:  # the boxes are not known, so none is missing
            return []
        boxes = {}
        for each in objects:
            boxes.setdefault(each["name"], []).append(each["bbox"])
        return [
            {
                "first": first,
                "end": end,
                "type": CATEGORIES[category][0],
                "boxes": boxes.get(category, []),
            }
            for first, end, category in named_categories(words, boxes.keys())
        ]
