import io

import numpy as np
import pytest
from PIL import Image

from sat_edge import InputError
from sat_keras import annotation_cache, datasets, encoders
from sat_keras.annotation_cache import build_annotation_cache


@pytest.fixture(scope="module")
def encoder():
    return encoders.mobilenet(alpha=0.25, image_size=(32, 32), layer="conv_pw_5_relu")


@pytest.fixture
def builder(flickr8k, tmp_path, monkeypatch):
    monkeypatch.setattr(annotation_cache, "_SHARD_BYTES", 1)  # a shard a photo
    return datasets.build_records("flickr8k", tmp_path / "records", flickr8k)


def expected(builder, encoder, split="train"):
    rows = []
    for _, encoded, _ in datasets.read_photos(builder, split):
        image = Image.open(io.BytesIO(encoded)).resize((32, 32), Image.Resampling.BILINEAR)
        rows.append(encoder(np.asarray(image, "float32")[None])[0])
    return np.stack(rows)


def test_rows_are_the_encoder_s_annotations(builder, encoder, tmp_path):
    cache = build_annotation_cache(tmp_path / "a", builder, "train", encoder)
    wanted = expected(builder, encoder)
    assert wanted.shape == (4, 16, 64)
    np.testing.assert_allclose(cache.read([2, 0, 3, 3]), wanted[[2, 0, 3, 3]], atol=5e-3)
    assert cache.read([1]).dtype == np.float16
    assert cache.records[1]["filename"] == "1.jpg"
    assert cache.records[1]["captions"][0] == "A green square on grey ."


def test_pixels(builder, encoder, tmp_path):
    cache = build_annotation_cache(tmp_path / "a", builder, "train", encoder, pixels=True)
    _, encoded, _ = next(datasets.read_photos(builder, "train", first=2))
    image = Image.open(io.BytesIO(encoded)).resize((32, 32), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(cache.read([2])[0], np.asarray(image))


def test_goes_on_where_it_was_stopped(builder, encoder, tmp_path, monkeypatch):
    seen = []
    original = annotation_cache.to_pixels

    def stop_at_third(image, size):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(image)
        return original(image, size)

    monkeypatch.setattr(annotation_cache, "to_pixels", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        build_annotation_cache(tmp_path / "a", builder, "train", encoder)

    calls = []
    monkeypatch.setattr(annotation_cache, "to_pixels", lambda *a: calls.append(a) or original(*a))
    cache = build_annotation_cache(tmp_path / "a", builder, "train", encoder)
    assert len(calls) == 2  # the last two of four photos
    np.testing.assert_allclose(cache.read(range(4)), expected(builder, encoder), atol=5e-3)
    build_annotation_cache(tmp_path / "a", builder, "train", encoder)
    assert len(calls) == 2  # complete: no photo is read again


def test_every_setting_has_a_cache_of_its_own(builder, encoder, tmp_path):
    other_weights = encoders.mobilenet(alpha=0.25, image_size=(32, 32), layer="conv_pw_5_relu")
    other_layer = encoders.mobilenet(alpha=0.25, image_size=(32, 32), layer="conv_pw_3_relu")
    other_size = encoders.mobilenet(alpha=0.25, image_size=(64, 32), layer="conv_pw_5_relu")

    def build(*arguments, **options):
        return build_annotation_cache(tmp_path / "a", builder, *arguments, **options).directory

    folders = [
        build("train", encoder),
        build("test", encoder),
        build("train", other_weights),
        build("train", other_layer),
        build("train", other_size),
        build("train", encoder, pixels=True),
    ]
    assert len(set(folders)) == len(folders)
    assert build("train", encoder) == folders[0]


def test_damaged_photo_is_named_when_records_are_built(flickr8k, tmp_path):
    photo = flickr8k / "Flicker8k_Dataset" / "2.jpg"
    photo.write_bytes(photo.read_bytes()[:400])
    with pytest.raises(InputError, match=r"2.jpg: damaged picture"):
        datasets.build_records("flickr8k", tmp_path / "records", flickr8k)
    assert not list((tmp_path / "records").glob("flickr8k/1*"))
