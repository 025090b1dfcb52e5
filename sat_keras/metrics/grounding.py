import numpy as np


def grounding(attention, regions, boxes):
    """Does attention look at what it names?

    Args:
        attention: float array `(N, L)`: for each word, its weights over L locations.
        regions: float array `(L, 4)`: each location's part of the picture, (ymin, xmin, ymax,
            xmax), 0..1.
        boxes: for each word, the named object's box, likewise; `None` where the word names an
            object that is not in the picture: it scores 0.
    Returns:
        Dict of four sums over the words: `mass`, the share of attention inside the box (a region
        that the box cuts counts by its share); `pointing`, 1 if the centre of the region with the
        highest weight lies in the box (of regions that are equally high, their share); and
        `uniform_mass`, `uniform_pointing`, what attention spread evenly over the locations would
        score.
    """
    sums = dict.fromkeys(("mass", "pointing", "uniform_mass", "uniform_pointing"), 0.0)
    low, high = np.split(np.asarray(regions), 2, axis=1)  # (L, 2), (L, 2)
    centres = (low + high) / 2
    for weights, box in zip(attention, boxes, strict=True):
        if box is None:
            continue
        box_low, box_high = np.split(np.asarray(box), 2)  # (2,), (2,)
        overlap = (np.minimum(high, box_high) - np.maximum(low, box_low)).clip(0)  # (L, 2)
        inside = (overlap / (high - low)).prod(axis=1)  # (L,)
        pointed = ((box_low <= centres) & (centres <= box_high)).all(axis=1)  # (L,)
        sums["mass"] += float(weights @ inside)
        sums["pointing"] += float(pointed[weights == weights.max()].mean())
        sums["uniform_mass"] += float(inside.mean())
        sums["uniform_pointing"] += float(pointed.mean())
    return sums
