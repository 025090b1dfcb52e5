import numpy as np


def grounding(attention, regions, boxes):
    """Does attention look at what it names?

    Args:
        attention: float array `(N, L)`: for each word, its weights over L locations.
        regions: float array `(L, 4)`: each location's part of the picture, (ymin, xmin, ymax,
            xmax), 0..1.
        boxes: for each word, the list of boxes of the named object, likewise. An empty list means
            that the picture has no such object: the word scores 0.
    Returns:
        Dict of four sums over the words: `mass`, the share of attention inside the union of the
        boxes (a region that a box cuts counts by its share inside); `pointing`, 1 if the centre of
        the region with the highest weight lies in a box (of regions with equal weights, their
        share); and `uniform_mass`, `uniform_pointing`, what uniform attention would score.
    """
    sums = dict.fromkeys(("mass", "pointing", "uniform_mass", "uniform_pointing"), 0.0)
    regions = np.asarray(regions)
    centres = (regions[:, :2] + regions[:, 2:]) / 2  # (L, 2)
    for weights, each in zip(attention, boxes, strict=True):
        if not each:
            continue
        each = np.asarray(each)  # (K, 4)
        inside = share_inside(regions, each)  # (L,)
        above = each[:, None, :2] <= centres  # (K, L, 2)
        below = centres <= each[:, None, 2:]  # (K, L, 2)
        pointed = (above & below).all(axis=-1).any(axis=0)  # (L,)
        sums["mass"] += float(weights @ inside)
        sums["pointing"] += float(pointed[weights == weights.max()].mean())
        sums["uniform_mass"] += float(inside.mean())
        sums["uniform_pointing"] += float(pointed.mean())
    return sums


def share_inside(regions, boxes):
    """Of each region `(L, 4)`, the share inside the union of boxes `(K, 4)`: `(L,)`."""
    # The edges of the boxes cut the picture into tiles, each of which is inside or outside.
    overlaps, middles = [], []
    for axis in (0, 1):
        edges = np.unique(boxes[:, [axis, axis + 2]])
        low = np.maximum(regions[:, axis, None], edges[:-1])  # (L, tiles)
        high = np.minimum(regions[:, axis + 2, None], edges[1:])
        size = regions[:, axis + 2] - regions[:, axis]  # (L,)
        overlaps.append((high - low).clip(0) / size[:, None])
        middles.append((edges[:-1] + edges[1:]) / 2)
    in_rows, in_columns = (
        (boxes[:, axis, None] <= middles[axis]) & (middles[axis] <= boxes[:, axis + 2, None])
        for axis in (0, 1)
    )  # (K, tiles) each
    inside = (in_rows[:, :, None] & in_columns[:, None, :]).any(axis=0)  # (tiles, tiles)
    return np.einsum("ly,lx,yx->l", *overlaps, inside.astype(float))
