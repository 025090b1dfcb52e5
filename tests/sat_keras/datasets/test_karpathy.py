import json

import pytest

from sat_edge import InputError
from sat_keras.datasets.checks import Photo
from sat_keras.datasets.karpathy import read_karpathy_splits


def write(tmp_path, images):
    path = tmp_path / "dataset_coco.json"
    path.write_text(json.dumps({"images": images}))
    return path


def image(name, split="train", captions=("A dog .",)):
    return {"filename": name, "split": split, "sentences": [{"raw": raw} for raw in captions]}


def test_problems_are_listed(tmp_path):
    (tmp_path / "0.jpg").touch()
    (tmp_path / "1.jpg").touch()
    path = write(
        tmp_path, [image("0.jpg", "val"), image("none.jpg"), image("1.jpg", captions=["A", " "])]
    )
    splits, problems = read_karpathy_splits(path, tmp_path)
    assert splits["validation"] == [Photo("0.jpg", tmp_path / "0.jpg", ["A dog ."])]
    assert problems == [
        f"{path}, images[1]: {tmp_path / 'none.jpg'} is missing",
        f"{path}, images[2]: 1.jpg has an empty caption or none",
    ]


@pytest.mark.parametrize(
    "change", [{"split": "dev"}, {"sentences": None}, {"sentences": [{"tokens": []}]}]
)
def test_another_layout(tmp_path, change):
    (tmp_path / "0.jpg").touch()
    path = write(tmp_path, [image("0.jpg") | change])
    with pytest.raises(InputError, match=r"dataset_coco.json: not in the layout"):
        read_karpathy_splits(path, tmp_path)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="no such file; it is in Karpathy's"):
        read_karpathy_splits(tmp_path / "dataset_coco.json", tmp_path)
