import numpy as np
import tensorflow_datasets as tfds

from sat_keras.datasets.photo_captions import PHRASES, as_feature
from sat_keras.datasets.shapes.scenes import (
    IMAGE_SIZE,
    SceneObject,
    draw_scene,
    kind_of,
    named_objects,
)
from sat_keras.tokenizer import tokenize

SPLITS = {"train": 8000, "validation": 500, "test": 500}


class Builder(tfds.core.GeneratorBasedBuilder):
    """Pictures of one to three coloured shapes, drawn on the spot from a seed: no download.

    Each picture has five captions and the box of each object. So one can measure whether attention
    looks at what it names.
    """

    VERSION = tfds.core.Version("2.1.0")
    RELEASE_NOTES = {
        "2.0.0": "One to three shapes on textured backgrounds, 112 x 112 pixels.",
        "2.1.0": "The same, with the phrases of captions.",
    }

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=(IMAGE_SIZE, IMAGE_SIZE, 3), encoding_format="png"
                    ),
                    "image/filename": tfds.features.Text(),
                    "captions": tfds.features.Sequence(
                        {"text": tfds.features.Text(), "phrases": PHRASES}
                    ),
                    "objects": tfds.features.Sequence(
                        {
                            "size": tfds.features.Text(),
                            "color": tfds.features.Text(),
                            "shape": tfds.features.Text(),
                            "bbox": tfds.features.BBoxFeature(),
                        }
                    ),
                }
            ),
            disable_shuffling=True,
        )

    def named_phrases(self, words, record):
        """See `sat_keras.datasets`."""
        objects = [
            SceneObject(each["size"], each["color"], each["shape"], each["bbox"])
            for each in record["objects"]
        ]
        return _phrases(words, objects)

    def _split_generators(self, dl_manager):
        return {
            name: self._generate_examples(split, count)
            for split, (name, count) in enumerate(SPLITS.items())
        }

    def _generate_examples(self, split, count):
        for i in range(count):
            picture, objects, captions = draw_scene([split, i])
            yield (
                i,
                {
                    "image": np.asarray(picture),
                    "image/filename": f"{i:05d}.png",
                    "captions": [
                        {
                            "text": caption,
                            "phrases": list(map(as_feature, _phrases(tokenize(caption), objects))),
                        }
                        for caption in captions
                    ],
                    "objects": [
                        {
                            "size": each.size,
                            "color": each.color,
                            "shape": each.shape,
                            "bbox": tfds.features.BBox(*each.box),
                        }
                        for each in objects
                    ],
                },
            )


def _phrases(words, objects):
    """The words that name an object, a phrase each."""
    return [
        {
            "first": i,
            "end": i + 1,
            "type": kind_of(words[i]),
            "boxes": [objects[n].box] if n >= 0 else [],
        }
        for i, n in enumerate(named_objects(words, objects))
        if n is not None
    ]
