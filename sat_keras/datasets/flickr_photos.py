import logging
from pathlib import Path

from sat_keras.datasets import flickr30k_entities
from sat_keras.datasets.photo_captions import PhotoCaptions

_logger = logging.getLogger(__name__)


class FlickrPhotos(PhotoCaptions, skip_registration=True):
    """Photos of Flickr, whose phrases and boxes Flickr30k Entities has."""

    BOXES = "entities"

    @classmethod
    def find_boxes(cls, directory, entities):
        """Flickr30k Entities where `entities` names it, or where it lies among the data set's
        files."""
        inside = Path(directory or "") / flickr30k_entities.FOLDER
        if entities is None and directory is not None and inside.is_dir():
            entities = inside
        if entities is None:
            return None
        flickr30k_entities.check_folder(entities)
        return Path(entities)

    def add_phrases(self, splits):
        if self.builder_config is None:
            return splits
        lost = kept = 0
        for photos in splits.values():
            for i, photo in enumerate(photos):
                phrases, without = flickr30k_entities.read_phrases(
                    self.builder_config.directory, photo.name, photo.captions
                )
                photos[i] = photo._replace(phrases=phrases)
                kept += sum(map(len, phrases))
                lost += without
        _logger.warning(
            "%s: %d phrases with boxes; %d more have no place in the captions here",
            self.builder_config.directory,
            kept,
            lost,
        )
        return splits
