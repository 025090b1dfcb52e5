import logging

import pytest

from sat_edge import InputError
from sat_keras.datasets.flickr8k.official_files import read_splits


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_official_layout(flickr8k):
    splits = read_splits(flickr8k)
    assert {name: len(photos) for name, photos in splits.items()} == {
        "train": 4,
        "validation": 1,
        "test": 1,
    }
    photo = splits["train"][1]
    assert photo.name == photo.path.name == "1.jpg"
    assert photo.captions[0] == "A green square on grey ."
    assert len(photo.captions) == 5


@pytest.mark.parametrize(
    "old, new, says",
    [
        ("2.jpg#1\tThe", "2.jpg#1 The", r"Flickr8k.token.txt, line 12: not of the form"),
        ("2.jpg#1\t", "2.jpg\t", r"line 12: not of the form"),
        ("0.jpg#1\tThe square is red .", "0.jpg#1\t .", r"line 2: the caption is empty"),
        ("0.jpg#4\tOne", "0.jpg#4\t\ufffd", None),
    ],
)
def test_malformed_lines_are_numbered(flickr8k, old, new, says):
    change(flickr8k / "Flickr8k.token.txt", old, new)
    if says is None:
        assert read_splits(flickr8k)
    else:
        with pytest.raises(InputError, match=says):
            read_splits(flickr8k)


def test_caption_of_a_missing_photo_is_skipped_with_a_warning(flickr8k, caplog):
    with open(flickr8k / "Flickr8k.token.txt", "a") as file:
        file.write("2258277193_586949ec62.jpg.1#0\tPeople wait .\n")
    with caplog.at_level(logging.WARNING):
        splits = read_splits(flickr8k)
    assert "2258277193_586949ec62.jpg.1" in caplog.text
    assert sum(len(photos) for photos in splits.values()) == 6


def test_listed_photo_that_is_missing(flickr8k):
    (flickr8k / "Flicker8k_Dataset" / "3.jpg").unlink()
    with pytest.raises(InputError, match=r"trainImages.txt, line 4: 3.jpg has no photo"):
        read_splits(flickr8k)


@pytest.mark.parametrize("name", ["Flickr8k.token.txt", "Flickr_8k.devImages.txt"])
def test_missing_files_are_named(flickr8k, name):
    (flickr8k / name).unlink()
    with pytest.raises(InputError, match=f"{name}: no such file"):
        read_splits(flickr8k)


def test_wrong_folder(tmp_path):
    with pytest.raises(InputError, match="Flicker8k_Dataset: no such folder"):
        read_splits(tmp_path)


@pytest.mark.slow
def test_the_real_files(shared, caplog):
    with caplog.at_level(logging.WARNING):
        splits = read_splits(shared / "data" / "flickr8k")
    sizes = {name: len(photos) for name, photos in splits.items()}
    assert sizes == {"train": 6000, "validation": 1000, "test": 1000}
    assert all(len(each.captions) == 5 for photos in splits.values() for each in photos)
    assert len(caplog.records) == 1  # the known photo that does not exist
