"""Caption records to batches for `fit`."""

import itertools
import math

import numpy as np
import tensorflow as tf

from sat_edge.caption import PAD
from sat_edge.errors import InputError
from sat_keras.metrics.grounding import share_inside

_ZOOM = 0.85  # the least side of an augmented photo, of the whole one
_LEAST = 0.25  # of a box that a crop has to leave for its thing to be looked at
_WHOLE = np.array([[0.0, 0.0, 1.0, 1.0]], "float32")


def batches(
    cache,
    vocabulary,
    batch_size=64,
    captions_per_photo=1,
    max_length=20,
    shuffle=True,
    by_length=True,
    augment=False,
    regions=None,
    seed=0,
    first_epoch=0,
):
    """Batches `(x, tokens)`, as `Captioner.fit` takes them.

    Each iteration is one epoch in a new order, which `seed` and the number of the epoch decide.
    The captions' ids and a few batches are in memory; `x` is read from disk.

    Args:
        cache: `AnnotationCache`.
        vocabulary: `Vocabulary`.
        batch_size: int B, captions. Defaults to `64`.
        captions_per_photo: int C, a divisor of B. With 1 each caption comes with its photo, and
            an epoch is all captions. With more, each photo comes with C of its captions, drawn
            anew each epoch. An encoder that learns then works once for C captions. Defaults to `1`.
        max_length: int. Captions are cut to so many words, `<end>` included. Defaults to `20`.
        shuffle: bool. Defaults to `True`.
        by_length: bool. Whether captions of similar length come together, which saves padding. Not
            for an encoder whose batch normalisation learns: a batch of short captions has pictures
            with few objects, its statistics give that away, and at inference this information is
            missing. Defaults to `True`.
        augment: bool. Whether half of the photos are mirrored, and all are cropped to 0.85 to 1 of
            their height and width, drawn anew each epoch. In the captions of a mirrored photo,
            left and right change places. For a cache of pixels. Defaults to `False`.
        regions: float array `(L, 4)`, see `Encoder`. With them, each word of a phrase comes with
            how much of each region lies in the phrase's boxes; boxes are mirrored and cropped with
            their photo. Defaults to `None`: no boxes.
        seed: int. Defaults to `0`.
        first_epoch: int. The epoch to begin with, for a resumed run. Defaults to `0`.
    Returns:
        `tf.data.Dataset` of `x`, `(N, L, D)` float16 or `(N, H, W, 3)` uint8 (float32 where
        augmented), N = B / C photos; and `tokens` int32 `(N, C, T + 1)`, `<start>` first, padded
        with `<pad>`. T differs from batch to batch; the last batch may be smaller. With `regions`
        a dict stands for `tokens`: `tokens`, and `cover` float32 `(N, C, T, L)`, 0..1.
    Raises:
        InputError: if `augment` is asked of annotations, or boxes of a data set without any.
    """
    if augment and len(cache.row_shape) != 3:
        raise InputError("augment needs a cache of photos, not of annotations")
    if regions is not None:
        regions = np.clip(regions, 0, 1)  # what lies beyond the photo's edge is in no box
    captions = _Captions(cache.records, vocabulary, max_length, with_phrases=regions is not None)
    if regions is not None and not captions.phrases:
        raise InputError("grounding needs boxes, and the records have none: set grounding to 0")
    photos_per_batch = batch_size // captions_per_photo
    rows = len(cache) if captions_per_photo > 1 else len(captions.lengths)
    epochs = itertools.count(first_epoch)

    def epoch_batches():
        """One epoch: for each batch, its captions `(N, C)` and the crops of its photos."""
        # Without shuffling all epochs draw the same captions, so that validation losses compare.
        rng = np.random.default_rng([seed, next(epochs) if shuffle else 0])
        groups = captions.draw(rng, captions_per_photo)  # (rows, C)
        if shuffle:
            groups = rng.permutation(groups)
        if by_length:
            groups = groups[np.argsort(captions.lengths[groups].max(axis=1), kind="stable")]
        starts = np.arange(0, rows, photos_per_batch)
        if shuffle:
            starts = rng.permutation(starts)
        for start in starts:
            batch = groups[start : start + photos_per_batch]
            yield batch, _draw_crops(rng, len(batch))

    def load(groups, crops):
        crops = crops if augment else np.tile(_WHOLE, (len(crops), 1))  # (N, 4)
        mirrored = crops[:, 3] < crops[:, 1]  # (N,)
        loaded = cache.read(captions.photo_of[groups[:, 0]]), captions.tokens(groups, mirrored)
        return loaded if regions is None else (*loaded, captions.cover(groups, crops, regions))

    def load_tensors(groups, crops):
        types = [cache.dtype, tf.int32] + [tf.float32] * (regions is not None)
        x, tokens, *cover = tf.numpy_function(load, [groups, crops], types)
        x = tf.ensure_shape(x, (None, *cache.row_shape))
        if augment:
            x = tf.image.crop_and_resize(x, crops, tf.range(tf.shape(x)[0]), cache.row_shape[:2])
        tokens = tf.ensure_shape(tokens, (None, captions_per_photo, None))
        if not cover:
            return x, tokens
        shape = (None, captions_per_photo, None, len(regions))
        return x, {"tokens": tokens, "cover": tf.ensure_shape(cover[0], shape)}

    dataset = tf.data.Dataset.from_generator(
        epoch_batches,
        output_signature=(
            tf.TensorSpec((None, captions_per_photo), tf.int64),
            tf.TensorSpec((None, 4), tf.float32),
        ),
    )
    dataset = dataset.map(load_tensors, num_parallel_calls=2, deterministic=True).prefetch(4)
    return dataset.apply(
        tf.data.experimental.assert_cardinality(math.ceil(rows / photos_per_batch))
    )


class _Captions:
    """The ids of all N captions of a split.

    Attributes:
        lengths: int array `(N,)`, ids of each caption, `<start>` and `<end>` among them.
        photo_of: int array `(N,)`.
        phrases: dict, a caption's number to its phrases: `(first, end, boxes (K, 4))`; empty unless
            they are asked for.
    """

    def __init__(self, records, vocabulary, max_length, with_phrases):
        encoded, self._first = [], [0]  # where the captions of each photo begin, and N
        self.phrases = {}
        for record in records:
            encoded += [vocabulary.encode(caption, max_length) for caption in record["captions"]]
            of_captions = record.get("phrases", ()) if with_phrases else ()
            for number, phrases in enumerate(of_captions, start=self._first[-1]):
                found = [
                    (p["first"], p["end"], np.array(p["boxes"])) for p in phrases if p["boxes"]
                ]
                self.phrases |= {number: found} if found else {}
            self._first.append(len(encoded))
        self.lengths = np.array([len(ids) for ids in encoded])
        self.photo_of = np.repeat(np.arange(len(records)), np.diff(self._first))
        self._ids = np.full((len(encoded), max_length + 1), PAD, "int32")
        for row, ids in enumerate(encoded):
            self._ids[row, : len(ids)] = ids
        self._mirrored_id = np.arange(len(vocabulary), dtype="int32")
        if {"left", "right"} <= set(vocabulary.words):
            sides = [vocabulary.words.index("left"), vocabulary.words.index("right")]
            self._mirrored_id[sides] = sides[::-1]

    def draw(self, rng, each):
        """Numbers of captions `(rows, each)`: of every photo as many, drawn; with 1, all."""
        if each == 1:
            return np.arange(len(self.lengths))[:, None]
        drawn = [
            np.resize(rng.permutation(np.arange(*span)), each)
            for span in itertools.pairwise(self._first)
        ]
        return np.stack(drawn)

    def tokens(self, groups, mirrored):
        """Ids `(N, C, T + 1)` of captions `(N, C)`; `mirrored` `(N,)` says of which photos."""
        ids = self._ids[groups, : self.lengths[groups].max()]
        return np.where(mirrored[:, None, None], self._mirrored_id[ids], ids)

    def cover(self, groups, crops, regions):
        """Of captions `(N, C)`, how much of each region lies in the boxes of what a word names,
        `(N, C, T, L)`; the photos are cropped to `(N, 4)`."""
        steps = self.lengths[groups].max() - 1
        cover = np.zeros((*groups.shape, steps, len(regions)), "float32")
        for photo, numbers in enumerate(groups):
            for caption, number in enumerate(numbers):
                for first, end, boxes in self.phrases.get(number, ()):
                    boxes = _crop_boxes(boxes, crops[photo])
                    if first < steps and len(boxes):
                        # Word t of the caption is what step t predicts.
                        cover[photo, caption, first:end] = share_inside(regions, boxes)
        return cover


def _crop_boxes(boxes, crop):
    """Boxes `(K, 4)` in a crop of the photo; those that lie outside, nearly, are left out."""
    y1, x1, y2, x2 = crop
    moved = (boxes - [y1, x1, y1, x1]) / [y2 - y1, x2 - x1, y2 - y1, x2 - x1]
    if x2 < x1:  # mirrored
        moved = moved[:, [0, 3, 2, 1]]
    cut = moved.clip(0, 1)
    return cut[_areas(cut) >= _LEAST * _areas(moved)]


def _areas(boxes):
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])  # (K,)


def _draw_crops(rng, count):
    """Crops `(count, 4)`, (y1, x1, y2, x2), 0..1; with x2 < x1 the photo is mirrored."""
    sides = rng.uniform(_ZOOM, 1, (count, 2))
    near = rng.uniform(0, 1 - sides)
    boxes = np.concatenate([near, near + sides], axis=1)
    mirrored = rng.random(count) < 0.5
    boxes[mirrored] = boxes[mirrored][:, [0, 3, 2, 1]]
    return boxes.astype("float32")
