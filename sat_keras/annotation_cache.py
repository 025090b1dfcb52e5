"""Annotations on disk: every photo goes through the frozen encoder once.

A cache is a folder for one split. It holds `meta.json` (what it was made from), `records.jsonl`
(file names, captions, phrases) and shards `00000.npy, ...` of a few hundred photos each, float16
`(n, L, D)`. A cache of pixels holds the resized photos instead, uint8 `(n, H, W, 3)`, for training
that goes through the encoder at every step. The name of the folder is a digest of data set, split,
encoder, weights, layer and image size, so other settings never read it. Shards are written whole,
and building continues where it was stopped.
"""

import hashlib
import io
import itertools
import json
import math
from pathlib import Path

import numpy as np
from tqdm import tqdm

from sat_edge.photo import open_photo, to_pixels
from sat_keras import datasets
from sat_keras.files import atomic_output

_SHARD_BYTES = 64 * 2**20
_BATCH = 32


class AnnotationCache:
    """A complete cache, read row by row. Only the records are held in memory.

    Args:
        directory: path, as `build_annotation_cache` returned it.
    Attributes:
        records: list of dicts `{"filename", "captions", ...}`, one per photo.
        row_shape, dtype: shape and type of one photo: `(L, D)` float16, or `(H, W, 3)` uint8.
    """

    def __init__(self, directory):
        self.directory = Path(directory)
        meta = json.loads((self.directory / "meta.json").read_text())
        self.row_shape = tuple(meta["row_shape"])
        self.dtype = np.dtype(meta["dtype"])
        self._rows_per_shard = meta["rows_per_shard"]
        with open(self.directory / "records.jsonl", encoding="utf-8") as lines:
            self.records = [json.loads(line) for line in lines]
        # The offset of the rows in each shard is found once. NumPy reads a header with Python's own
        # parser, which sometimes fails when several threads use it at once (CPython 3.11).
        self._shards = [
            (path, np.load(path, mmap_mode="r").offset)
            for path in sorted(self.directory.glob("*.npy"))
        ]

    def __len__(self):
        return len(self.records)

    def read(self, rows):
        """Rows as one array `(len(rows), *row_shape)`."""
        out = np.empty((len(rows), *self.row_shape), self.dtype)
        for i, row in enumerate(rows):
            shard, place = divmod(int(row), self._rows_per_shard)
            path, first_row = self._shards[shard]
            with open(path, "rb") as file:
                file.seek(first_row + place * out[i].nbytes)
                file.readinto(out[i].data)
        return out


def build_annotation_cache(root, builder, split, encoder, pixels=False):
    """Builds the cache of one split, or opens the one that is there.

    Args:
        root: path of the folder that holds all caches.
        builder: TFDS builder with its records made.
        split: str.
        encoder: `encoders.Encoder`.
        pixels: bool. Whether to keep resized photos instead of annotations. Defaults to `False`.
    Returns:
        `AnnotationCache`.
    Raises:
        InputError: for a photo that cannot be read; it is named.
    """
    info = builder.info.splits[split]
    made_from = {
        "dataset": builder.info.full_name,
        "split": split,
        "photos": info.num_examples,
        "bytes": info.num_bytes,
        "image_size": list(encoder.image_size),
        "encoder": None if pixels else encoder.digest(),
    }
    key = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:16]
    directory = Path(root) / f"{builder.info.name}-{split}-{key}"
    if not (directory / "meta.json").exists():
        directory.mkdir(parents=True, exist_ok=True)
        _write_cache(directory, builder, split, encoder, pixels, made_from)
    return AnnotationCache(directory)


def _write_cache(directory, builder, split, encoder, pixels, made_from):
    height, width = encoder.image_size
    row_shape = (height, width, 3) if pixels else encoder.output_shape[1:]
    dtype = np.dtype("uint8" if pixels else "float16")
    rows_per_shard = max(1, _SHARD_BYTES // (int(np.prod(row_shape)) * dtype.itemsize))

    count = builder.info.splits[split].num_examples
    shards = math.ceil(count / rows_per_shard)
    done = sum(_shard(directory, number).exists() for number in range(shards))
    photos = datasets.read_photos(builder, split, first=done * rows_per_shard)
    progress = tqdm(
        total=count, initial=done * rows_per_shard, desc=split, unit="photo", disable=None
    )
    with progress:
        for number in range(done, shards):
            shard_photos = itertools.islice(photos, rows_per_shard)
            rows = []
            while batch := list(itertools.islice(shard_photos, _BATCH)):
                images = [
                    to_pixels(open_photo(io.BytesIO(encoded), name), encoder.image_size)
                    for name, encoded, _ in batch
                ]
                images = np.stack(images)  # (n, H, W, 3)
                if not pixels:
                    images = encoder.predict_on_batch(images.astype("float32"))  # (n, L, D)
                rows.append(images.astype(dtype))
                progress.update(len(batch))
            with atomic_output(_shard(directory, number)) as temporary:
                np.save(temporary, np.concatenate(rows))

    with atomic_output(directory / "records.jsonl") as temporary:
        with open(temporary, "w", encoding="utf-8") as lines:
            for _, _, record in datasets.read_photos(builder, split):
                lines.write(json.dumps(record) + "\n")
    meta = {
        **made_from,
        "row_shape": row_shape,
        "dtype": dtype.name,
        "rows_per_shard": rows_per_shard,
    }
    # Written last: now the cache is complete.
    with atomic_output(directory / "meta.json") as temporary:
        temporary.write_text(json.dumps(meta, indent=1))


def _shard(directory, number):
    return directory / f"{number:05d}.npy"
