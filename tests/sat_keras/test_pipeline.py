import itertools

import numpy as np
import pytest

from sat_edge import InputError
from sat_edge.caption import END, PAD, START
from sat_keras.pipeline import _crop_boxes, batches


class FakeCache:
    """Twelve photos whose annotation is their number; photo i has captions of i % 4 + 1 words."""

    row_shape, dtype = (1, 1), np.dtype("float16")

    def __init__(self):
        sentences = ["a", "a red", "a red square", "a red square on"]
        self.records = [{"captions": [sentences[(i + n) % 4] for n in range(5)]} for i in range(12)]

    def __len__(self):
        return len(self.records)

    def read(self, rows):
        return np.asarray(rows, "float16")[:, None, None]


def epoch(dataset):
    return [[each.numpy() for each in batch] for batch in dataset]


def flat(batch_list):
    """All (photo, caption) pairs of an epoch, in order."""
    return [
        (int(x), tuple(row[row != PAD]))
        for xs, tokens in batch_list
        for x, captions in zip(xs.ravel(), tokens, strict=True)
        for row in captions
    ]


def pairs(cache, vocabulary):
    return sorted(
        (i, tuple(vocabulary.encode(caption)))
        for i, record in enumerate(cache.records)
        for caption in record["captions"]
    )


def test_an_epoch_is_every_caption_with_its_photo(vocabulary):
    cache = FakeCache()
    found = epoch(batches(cache, vocabulary, batch_size=8))
    assert sorted(flat(found)) == pairs(cache, vocabulary)
    assert len(batches(cache, vocabulary, batch_size=8)) == len(found) == 8


def test_captions_of_like_length_come_together(vocabulary):
    for _, captions in epoch(batches(FakeCache(), vocabulary, batch_size=8)):
        assert captions.dtype == np.int32 and captions.shape[1] == 1
        tokens = captions[:, 0]
        assert (tokens[:, 0] == START).all()
        behind_end = np.cumsum(tokens == END, axis=1) - (tokens == END)
        np.testing.assert_array_equal(tokens == PAD, behind_end > 0)
        assert ((tokens == END).sum(1) == 1).all()
        lengths = (tokens != PAD).sum(1)
        assert lengths.max() - lengths.min() <= 1  # like lengths together
        assert tokens.shape[1] == lengths.max()


def test_lengths_of_an_epoch_are_mixed_where_asked_for(vocabulary):
    cache = FakeCache()
    found = epoch(batches(cache, vocabulary, batch_size=20, by_length=False))
    assert sorted(flat(found)) == pairs(cache, vocabulary)
    for _, tokens in found:
        lengths = (tokens[:, 0] != PAD).sum(1)
        assert lengths.max() - lengths.min() == 3  # of 15 captions of each length


def test_order_depends_on_seed_and_epoch_alone(vocabulary):
    make = lambda **options: batches(FakeCache(), vocabulary, 8, **options)  # noqa: E731
    dataset = make(seed=3)
    first, second, third = (flat(epoch(dataset)) for _ in range(3))
    assert first != second
    again = make(seed=3)
    assert flat(epoch(again)) == first
    resumed = make(seed=3, first_epoch=2)
    assert flat(epoch(resumed)) == third
    assert flat(epoch(make(seed=4))) != first


@pytest.mark.parametrize("captions_per_photo", [1, 2])
def test_unshuffled_order_stays(vocabulary, captions_per_photo):
    dataset = batches(FakeCache(), vocabulary, 8, captions_per_photo, shuffle=False)
    assert flat(epoch(dataset)) == flat(epoch(dataset))


def test_several_captions_a_photo(vocabulary):
    cache = FakeCache()
    dataset = batches(cache, vocabulary, batch_size=10, captions_per_photo=5)
    found = epoch(dataset)
    assert all(tokens.shape[:2] == (len(xs), 5) for xs, tokens in found)
    assert sorted(flat(found)) == pairs(cache, vocabulary)

    two = epoch(batches(cache, vocabulary, batch_size=8, captions_per_photo=2))
    assert [len(xs) for xs, _ in two] == [4, 4, 4]
    assert set(flat(two)) <= set(pairs(cache, vocabulary))
    seven = flat(epoch(batches(cache, vocabulary, batch_size=14, captions_per_photo=7)))
    assert set(seven) == set(pairs(cache, vocabulary))  # fewer than asked for: some twice


class FakePhotos(FakeCache):
    """All alike: brighter by 1 a pixel from left to right, by 10 from top to bottom."""

    row_shape, dtype = (21, 11, 3), np.dtype("uint8")

    def read(self, rows):
        y, x = np.indices(self.row_shape[:2])
        photo = (x + 10 * y)[..., None] + np.arange(3)
        return np.stack([photo] * len(rows)).astype("uint8")


def test_augmented_photos_are_cut_and_mirrored(vocabulary):
    found = epoch(batches(FakePhotos(), vocabulary, 8, captions_per_photo=2, augment=True))
    photos = np.concatenate([xs for xs, *_ in found])  # (N, 21, 11, 3)
    assert photos.shape == (12, 21, 11, 3) and photos.dtype == np.float32
    right = np.diff(photos, axis=2)[..., 0]
    down = np.diff(photos, axis=1)[..., 0]
    assert ((abs(right) > 0.849) & (abs(right) < 1.001)).all()
    assert ((down > 8.49) & (down < 10.01)).all()
    mirrored = (right < 0).all(axis=(1, 2))
    assert ((right > 0).all(axis=(1, 2)) | mirrored).all()
    assert 1 < mirrored.sum() < 11
    assert photos.min() >= 0 and photos.max() <= 212
    assert len({photo.tobytes() for photo in photos}) == 12


def test_left_is_right_in_a_mirrored_photo():
    from sat_keras import Vocabulary

    cache = FakePhotos()
    for record in cache.records:
        record["captions"] = ["a dog left of a cat", "a cat right of a dog"]
    vocabulary = Vocabulary.from_captions(cache.records[0]["captions"])
    for xs, tokens in epoch(batches(cache, vocabulary, 8, captions_per_photo=2, augment=True)):
        for photo, captions in zip(xs, tokens, strict=True):
            said = {" ".join(vocabulary[t] for t in row if t > END) for row in captions}
            mirrored = photo[0, 0, 0] > photo[0, -1, 0]
            assert said == (
                {"a dog right of a cat", "a cat left of a dog"}
                if mirrored
                else {"a dog left of a cat", "a cat right of a dog"}
            )


def test_augmented_epochs_differ_and_are_repeatable(vocabulary):
    def make(first_epoch):
        options = {"augment": True, "first_epoch": first_epoch}
        return batches(FakePhotos(), vocabulary, 8, captions_per_photo=2, **options)

    both = make(0)
    first, second = ([xs for xs, *_ in epoch(both)] for _ in range(2))
    resumed = [xs for xs, *_ in epoch(make(1))]
    np.testing.assert_array_equal(np.concatenate(second), np.concatenate(resumed))
    assert (np.concatenate(first) != np.concatenate(second)).any()


def test_annotations_cannot_be_augmented(vocabulary):
    with pytest.raises(InputError, match="augment needs a cache of photos"):
        batches(FakeCache(), vocabulary, augment=True)


def test_long_captions_are_cut(vocabulary):
    for _, tokens in epoch(batches(FakeCache(), vocabulary, 8, max_length=2)):
        assert tokens.shape[2] <= 3


def test_memory_does_not_grow_with_the_annotations(vocabulary, tmp_path):
    """An epoch over 200 MB of annotations stays within a few batches' worth."""
    import json
    import resource

    from sat_keras.annotation_cache import AnnotationCache

    rows, row_shape = 400, (512, 512)
    for shard in range(8):
        np.save(tmp_path / f"{shard:05d}.npy", np.zeros((50, *row_shape), "float16"))
    record = json.dumps({"filename": "x", "captions": ["a red square"]})
    (tmp_path / "records.jsonl").write_text("\n".join([record] * rows))
    meta = {"row_shape": row_shape, "dtype": "float16", "rows_per_shard": 50}
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    dataset = batches(AnnotationCache(tmp_path), vocabulary, batch_size=4)
    for _ in dataset.take(10):
        pass
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in dataset:
        pass
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 60, f"{grown:.0f} MiB"


@pytest.mark.parametrize("captions_per_photo", [1, 5])
def test_rows_fit_their_photo(vocabulary, captions_per_photo):
    cache = FakeCache()
    wanted = set(pairs(cache, vocabulary))
    assert set(flat(epoch(batches(cache, vocabulary, 10, captions_per_photo)))) == wanted


class BoxedPhotos(FakePhotos):
    """The same, wide enough to be read back, with boxes for two words of each caption."""

    row_shape = (101, 101, 3)
    LEFT, MIDDLE = (0.1, 0.05, 0.8, 0.45), (0.25, 0.3, 0.6, 0.9)

    def __init__(self):
        phrases = [
            {"first": 0, "end": 2, "type": "thing", "boxes": [self.LEFT]},
            {"first": 3, "end": 4, "type": "thing", "boxes": [self.LEFT, self.MIDDLE]},
        ]
        self.records = [
            {"captions": ["a red square on"] * 2, "phrases": [phrases, phrases[:1]]}
            for _ in range(6)
        ]

    def read(self, rows):
        y, x = np.indices(self.row_shape[:2])
        photo = np.stack([y, x, x * 0], axis=-1)
        return np.stack([photo] * len(rows)).astype("uint8")


def test_a_phrase_beyond_the_longest_caption_names_nothing(vocabulary):
    """Words 1 and 2 are left of each caption: of the second phrase none, of the first one both."""
    whole = np.array([[0.0, 0.0, 1.0, 1.0]])
    cut = batches(BoxedPhotos(), vocabulary, 2, captions_per_photo=2, max_length=3, regions=whole)
    for _, data in cut:
        cover = data["cover"].numpy()[..., 0]  # (1, 2, 3)
        area = 0.7 * 0.4  # of LEFT
        np.testing.assert_allclose(cover, [[[area, area, 0.0]] * 2], rtol=1e-5)


def inside(y, x, boxes):
    """Whether points, 0..1 of the whole photo, lie in any box."""
    return np.any([(b[0] <= y) & (y <= b[2]) & (b[1] <= x) & (x <= b[3]) for b in boxes], axis=0)


@pytest.mark.parametrize("augment", [False, True])
def test_boxes_follow_their_photo(vocabulary, augment):
    """Each pixel says where in the whole photo it lies, and so whether it lies in a box."""
    rows = 5  # regions: a grid of 5 x 5
    edges = np.indices((rows, rows)).reshape(2, -1).T / rows
    regions = np.concatenate([edges, edges + 1 / rows], axis=1)  # (25, 4)
    cache = BoxedPhotos()
    found = list(
        batches(cache, vocabulary, 4, captions_per_photo=2, augment=augment, regions=regions)
    )
    for photos, data in found:
        tokens, cover = (
            data["tokens"].numpy(),
            data["cover"].numpy(),
        )  # (2, 2, T, 25)
        assert cover.shape == (*tokens.shape[:2], tokens.shape[2] - 1, 25)
        for photo, each in zip(photos.numpy() / 100, cover, strict=True):
            places = (photo[1:, 1:] + photo[:-1, :-1]) / 2  # between pixels
            numbers = each[:, 3].max(axis=1) > 0  # the captions of a photo come in any order
            assert sorted(numbers) == [False, True]
            both, one = each[numbers.argmax()], each[numbers.argmin()]
            assert not both[[2, 4]].any() and not one[2:].any()
            for word, boxes in (
                (0, [cache.LEFT]),
                (1, [cache.LEFT]),
                (3, [cache.LEFT, cache.MIDDLE]),
            ):
                wanted = inside(places[..., 0], places[..., 1], boxes)  # (100, 100)
                wanted = wanted.reshape(rows, 20, rows, 20).mean(axis=(1, 3)).ravel()
                np.testing.assert_allclose(both[word], wanted, atol=0.05)
            np.testing.assert_allclose(one[:2], both[:2], atol=1e-6)
    if augment:
        covers = np.concatenate([data["cover"] for _, data in found])
        middle = covers[:, 0, 0].reshape(-1, rows, rows)
        lefts = middle[:, :, :2].sum(axis=(1, 2)) > middle[:, :, 3:].sum(axis=(1, 2))
        assert 0 < lefts.sum() < len(lefts)  # some are mirrored


def test_boxes_that_a_crop_leaves_out_are_gone():
    boxes = np.array([[0.0, 0.0, 0.1, 0.1], [0.2, 0.2, 0.6, 0.4]])
    found = _crop_boxes(boxes, (0.1, 0.9, 1.0, 0.1))  # mirrored
    np.testing.assert_allclose(found, [[0.1 / 0.9, 0.5 / 0.8, 0.5 / 0.9, 0.7 / 0.8]])


def test_boxes_of_which_a_crop_leaves_a_sliver_are_gone():
    boxes = np.array([[0.2, 0.9, 0.5, 1.0]])
    assert len(_crop_boxes(boxes, (0.0, 0.0, 1.0, 0.92))) == 0  # a fifth is left
    np.testing.assert_allclose(
        _crop_boxes(boxes, (0.0, 0.0, 1.0, 0.93)), [[0.2, 0.9 / 0.93, 0.5, 1.0]]
    )


def test_a_region_over_the_edge_counts_by_its_part_inside_the_photo(vocabulary):
    cache = BoxedPhotos()
    for record in cache.records:
        for phrase in itertools.chain(*record["phrases"]):
            phrase["boxes"] = [(0.0, 0.0, 1.0, 1.0)]
    over = np.array([[-0.2, 0.0, 0.5, 0.5], [0.5, 0.5, 1.3, 1.3]])
    for _, data in batches(cache, vocabulary, 2, captions_per_photo=2, regions=over):
        np.testing.assert_allclose(data["cover"].numpy()[:, :, :2], 1)


def test_records_without_boxes_are_refused(vocabulary):
    with pytest.raises(InputError, match="grounding needs boxes, and the records have none"):
        batches(FakeCache(), vocabulary, regions=np.zeros((1, 4)))
