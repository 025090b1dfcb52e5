"""TFDS's own builder tests, on dummy data of each data set's layout."""

import csv
import json

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from sat_keras import datasets
from sat_keras.datasets.coco.coco_dataset_builder import Builder as Coco
from sat_keras.datasets.flickr8k.flickr8k_dataset_builder import Builder as Flickr8k
from sat_keras.datasets.flickr30k.flickr30k_dataset_builder import Builder as Flickr30k
from sat_keras.datasets.folder.folder_dataset_builder import Builder as Folder


def write_photo(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (24, 32, 3), dtype="uint8")
    Image.fromarray(pixels).save(path)


def write_karpathy(directory, name, folders):
    """Photos in Karpathy's layout: `folders` are `(filepath, split, photo name)`."""
    images = []
    for i, (folder, split, photo) in enumerate(folders):
        write_photo(directory / folder / photo, i)
        sentences = [{"raw": f"Photo {i}, caption {n}. "} for n in range(5)]
        images.append({"filename": photo, "split": split, "sentences": sentences})
        if name == "dataset_coco.json":
            images[-1] |= {"filepath": folder, "cocoid": i}
    (directory / name).write_text(json.dumps({"images": images, "dataset": "coco"}))
    return directory


FLICKR30K = [
    ("flickr30k-images", split, f"{i}.jpg")
    for i, split in enumerate(["train", "train", "val", "test"])
]
COCO = [
    (folder, split, f"COCO_{folder}_{i:012d}.jpg")
    for i, (folder, split) in enumerate(
        [
            ("train2014", "train"),
            ("val2014", "restval"),
            ("val2014", "val"),
            ("val2014", "test"),
            ("val2014", "test"),
        ]
    )
]


def write_folder(directory):
    rows = [["filename", "caption", "split"]]
    for i, split in enumerate(["train", "train", "validation", "test"]):
        write_photo(directory / f"{i % 2}" / "photo.png" if i < 2 else directory / f"{i}.jpg", i)
        name = f"{i % 2}/photo.png" if i < 2 else f"{i}.jpg"
        rows += [[name, f"Photo {i}, of {n} dogs", split] for n in range(2)]
    with open(directory / "captions.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return directory


class TestFlickr8k(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = Flickr8k
    SPLITS = {"train": 4, "validation": 1, "test": 1}

    @pytest.fixture(scope="class", autouse=True)
    def dummy_files(self, request, tmp_path_factory, make_flickr8k):
        request.cls.EXAMPLE_DIR = str(make_flickr8k(tmp_path_factory.mktemp("dummy") / "data"))


class KarpathyFiles:
    @pytest.fixture(scope="class", autouse=True)
    def dummy_files(self, request, tmp_path_factory):
        folder = tmp_path_factory.mktemp("dummy")
        request.cls.EXAMPLE_DIR = str(write_karpathy(folder, *request.cls.FILES))


class TestFlickr30k(KarpathyFiles, tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = Flickr30k
    FILES = ("dataset_flickr30k.json", FLICKR30K)
    SPLITS = {"train": 2, "validation": 1, "test": 1}


class TestCoco(KarpathyFiles, tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = Coco
    FILES = ("dataset_coco.json", COCO)
    SPLITS = {"train": 2, "validation": 1, "test": 2}  # restval is trained on


class TestFolder(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = Folder
    SPLITS = {"train": 2, "validation": 1, "test": 1}

    @pytest.fixture(scope="class", autouse=True)
    def dummy_files(self, request, tmp_path_factory):
        request.cls.EXAMPLE_DIR = str(write_folder(tmp_path_factory.mktemp("dummy")))


def test_records_are_the_files(tmp_path):
    folder = write_karpathy(tmp_path / "coco", "dataset_coco.json", COCO)
    builder = datasets.build_records("coco", tmp_path / "records", folder)
    photos = list(datasets.read_photos(builder, "train"))
    assert [name for name, _, _ in photos] == [COCO[0][2], COCO[1][2]]
    for name, encoded, record in photos:
        assert encoded == next(folder.rglob(name)).read_bytes()
        i = int(name[-5])
        assert record["captions"] == [f"Photo {i}, caption {n}." for n in range(5)]


def test_a_folder_that_changes_has_new_records(tmp_path):
    folder = write_folder(tmp_path / "folder")
    first = datasets.build_records("folder", tmp_path / "records", folder)
    names = [name for name, _, _ in datasets.read_photos(first, "train")]
    assert names == ["0/photo.png", "1/photo.png"]
    again = datasets.build_records("folder", tmp_path / "records", folder)
    assert again.data_dir == first.data_dir
    text = (folder / "captions.csv").read_text()
    (folder / "captions.csv").write_text(text.replace("Photo 0", "Picture 0"))
    changed = datasets.build_records("folder", tmp_path / "records", folder)
    _, _, record = next(datasets.read_photos(changed, "train"))
    assert record["captions"][0] == "Picture 0, of 0 dogs"
    _, _, record = next(datasets.read_photos(first, "train"))
    assert record["captions"][0] == "Photo 0, of 0 dogs"
