"""Data sets by name, and records as plain values, on a builder of the test's own."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets import features

from sat_edge import InputError
from sat_keras import datasets

PEOPLE = [
    [],
    [
        {"name": "Ann", "boxes": [{"bbox": (0.0, 0.25, 0.5, 1.0)}, {"bbox": (0.5, 0.0, 1.0, 1.0)}]},
        {"name": "Bo", "boxes": []},
    ],
    [{"name": "Cé", "boxes": [{"bbox": (0.0, 0.0, 1.0, 0.125)}]}],
]


class Kinds(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Records with a feature of each kind."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        people = {
            "name": features.Text(),
            "boxes": features.Sequence({"bbox": features.BBoxFeature()}),
        }
        return self.dataset_info_from_configs(
            features=features.FeaturesDict(
                {
                    "image": features.Image(encoding_format="png"),
                    "image/filename": features.Text(),
                    "captions": features.Sequence({"text": features.Text()}),
                    "number": features.Scalar(np.int64),
                    "share": features.Scalar(np.float32),
                    "shown": features.Scalar(np.bool_),
                    "title": features.Text(),
                    "tags": features.Sequence(features.Text()),
                    "grid": features.Tensor(shape=(2, 2), dtype=np.int32),
                    "place": {"city": features.Text(), "code": features.Scalar(np.int64)},
                    "people": features.Sequence(people),
                }
            ),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {"test": self._generate_examples()}

    def _generate_examples(self):
        for i, people in enumerate(PEOPLE):
            people = [
                {**each, "boxes": [{"bbox": features.BBox(*b["bbox"])} for b in each["boxes"]]}
                for each in people
            ]
            yield (
                i,
                {
                    "image": np.full((2, 3, 3), i, "uint8"),
                    "image/filename": f"{i}.png",
                    "captions": [{"text": f"Photo {i} ."}, {"text": "A café ."}],
                    "number": i,
                    "share": 0.5,
                    "shown": i == 1,
                    "title": f"№ {i}",
                    "tags": ["x", "ÿ"][:i],
                    "grid": np.full((2, 2), i, "int32"),
                    "place": {"city": "Bern", "code": 3000 + i},
                    "people": people,
                },
            )


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    found = Kinds(data_dir=tmp_path_factory.mktemp("records"))
    found.download_and_prepare()
    return found


def test_a_record_is_plain_values(builder):
    found = [record for _, _, record in datasets.read_photos(builder, "test")]
    for i, record in enumerate(found):
        people = [
            {**each, "boxes": [{"bbox": list(box["bbox"])} for box in each["boxes"]]}
            for each in PEOPLE[i]
        ]
        assert record == {
            "filename": f"{i}.png",
            "captions": [f"Photo {i} .", "A café ."],
            "phrases": [[], []],
            "number": i,
            "share": 0.5,
            "shown": i == 1,
            "title": f"№ {i}",
            "tags": ["x", "ÿ"][:i],
            "grid": [[i, i], [i, i]],
            "place": {"city": "Bern", "code": 3000 + i},
            "people": people,
        }
        kinds = [type(record[name]) for name in ("number", "share", "shown", "title", "tags")]
        assert kinds == [int, float, bool, str, list]
        assert json.loads(json.dumps(record)) == record  # annotation caches are such files


def test_photos_are_as_their_files_hold_them_in_a_fixed_order(builder):
    found = list(datasets.read_photos(builder, "test"))
    assert [name for name, *_ in found] == ["0.png", "1.png", "2.png"]
    for i, (_, encoded, _) in enumerate(found):
        np.testing.assert_array_equal(Image.open(io.BytesIO(encoded)), np.full((2, 3, 3), i))
    assert list(datasets.read_photos(builder, "test", first=1)) == found[1:]
    assert list(datasets.read_photos(builder, "test", first=3)) == []


def test_names_are_the_folders_that_have_a_builder():
    folder = Path(datasets.__file__).parent
    wanted = {each.name for each in folder.iterdir() if (each / "__init__.py").is_file()}
    assert set(datasets.NAMES) == wanted == {"shapes", "flickr8k", "flickr30k", "coco", "folder"}
    assert list(datasets.NAMES) == sorted(datasets.NAMES)


def test_what_names_no_data_set(tmp_path):
    with pytest.raises(InputError, match="^unknown data set 'flickr9k': choose one of flickr8k"):
        datasets.build_records("flickr9k", tmp_path)
    with pytest.raises(InputError, match=f"^{tmp_path}: no such folder, or an empty one$"):
        datasets.check_data_dir("flickr8k", tmp_path)
    (tmp_path / "file").touch()
    datasets.check_data_dir("flickr8k", tmp_path)
    datasets.check_data_dir("shapes", None)
    with pytest.raises(InputError, match="file: no such folder, or an empty one$"):
        datasets.check_data_dir("flickr8k", tmp_path / "file")
