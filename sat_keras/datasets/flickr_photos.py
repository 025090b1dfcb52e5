import dataclasses
import logging
from pathlib import Path

import tensorflow_datasets as tfds

from sat_keras.datasets import flickr30k_entities
from sat_keras.datasets.photo_captions import PhotoCaptions

_ENTITIES = "entities"  # the name of the config of records with phrases
_logger = logging.getLogger(__name__)


@dataclasses.dataclass
class EntitiesConfig(tfds.core.BuilderConfig):
    """Records with the phrases of Flickr30k Entities.

    Attributes:
        directory: path of its folder; `None` opens records that are there.
    """

    directory: Path | None = None


class FlickrPhotos(PhotoCaptions, skip_registration=True):
    """Photos of Flickr, whose phrases and boxes Flickr30k Entities has."""

    @classmethod
    def config_for(cls, directory, entities):
        """Records with phrases where `entities` names the files of Flickr30k Entities, or they lie
        among the data set's files."""
        inside = Path(directory or "") / flickr30k_entities.FOLDER
        if entities is None and directory is not None and inside.is_dir():
            entities = inside
        if entities is None:
            return None
        flickr30k_entities.check_folder(entities)
        return EntitiesConfig(name=_ENTITIES, version=cls.VERSION, directory=Path(entities))

    @classmethod
    def config_of_records(cls, records_dir):
        if (Path(records_dir) / cls.name / _ENTITIES / str(cls.VERSION)).exists():
            return EntitiesConfig(name=_ENTITIES, version=cls.VERSION)
        return None

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
            "%s: %d phrases with boxes; %d more stand in sentences that are no caption here",
            self.builder_config.directory,
            kept,
            lost,
        )
        return splits
