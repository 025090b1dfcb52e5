import itertools

import tensorflow_datasets as tfds

from sat_edge.errors import InputError
from sat_edge.photo import open_photo
from sat_keras.datasets.checks import raise_problems


class PhotoCaptions(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A data set of photo files and their captions, read from a folder of the user's.

    A data set's builder says where its files come from (`MANUAL_DOWNLOAD_INSTRUCTIONS`) and
    implements `read_splits`.
    """

    HOMEPAGE = None
    CITATION = None

    def read_splits(self, directory):
        """The data set from its folder.

        Args:
            directory: `pathlib.Path`, the user's `--data-dir`.
        Returns:
            `(splits, problems)`: a dict, split name to list of `(file name, photo path, list of
            captions)`, and a list of str, what is wrong and where.
        """
        raise NotImplementedError

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(),
                    "image/filename": tfds.features.Text(),
                    "captions": tfds.features.Sequence({"text": tfds.features.Text()}),
                }
            ),
            homepage=self.HOMEPAGE,
            citation=self.CITATION,
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        splits, problems = self.read_splits(dl_manager.manual_dir)
        problems += [
            f"{dl_manager.manual_dir}: no photo for {each}" for each in splits if not splits[each]
        ]
        # A damaged photo is named here, not after an hour of training.
        for _, path, _ in itertools.chain(*splits.values()):
            try:
                open_photo(path)
            except InputError as error:
                problems.append(str(error))
        raise_problems(problems)
        return {name: self._generate_examples(photos) for name, photos in splits.items()}

    def _generate_examples(self, photos):
        for i, (name, path, captions) in enumerate(photos):
            yield (
                i,
                {
                    "image": path,
                    "image/filename": name,
                    "captions": [{"text": caption} for caption in captions],
                },
            )
