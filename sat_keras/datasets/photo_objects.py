import tensorflow_datasets as tfds

from sat_keras.datasets.photo_captions import PhotoCaptions
from sat_keras.tokenizer import tokenize


class PhotoObjects(PhotoCaptions, skip_registration=True):
    """Photos whose objects are known by name and box, and captions whose words name them.

    Records have a feature `objects` too: `name`, `type` and `bbox` of each. `read_splits` gives
    every `Photo` its `objects`; a photo whose objects are not known has no phrases. A data set's
    builder implements `find_phrases`.
    """

    def find_phrases(self, words, objects):
        """The phrases of a caption.

        Args:
            words: list of str, the tokenised caption.
            objects: list of dicts, the photo's objects, see `checks.Photo`.
        Returns:
            List of phrases, see `sat_keras.datasets`.
        """
        raise NotImplementedError

    def named_phrases(self, words, record):
        """See `sat_keras.datasets`."""
        return self.find_phrases(words, record["objects"])

    def features(self):
        text, box = tfds.features.Text(), tfds.features.BBoxFeature()
        objects = tfds.features.Sequence({"name": text, "type": text, "bbox": box})
        return {**super().features(), "objects": objects}

    def example(self, photo):
        objects = photo.objects or []
        if photo.objects is not None:
            phrases = [self.find_phrases(tokenize(each), objects) for each in photo.captions]
            photo = photo._replace(phrases=phrases)
        written = [{**each, "bbox": tfds.features.BBox(*each["bbox"])} for each in objects]
        return {**super().example(photo), "objects": written}
