import numpy as np


def grounding(attention, boxes):
    """Does attention look at what it names?

    Args:
        attention: float array `(N, rows, columns)`: for each word, its weights over the grid.
        boxes: for each word, the named object's box (ymin, xmin, ymax, xmax), 0..1 of the
            picture; `None` where the word names an object that is not in the picture: it scores 0.
    Returns:
        Dict of four sums over the words: `mass`, the share of attention inside the box (a cell
        that the box cuts counts by its share); `pointing`, 1 if the centre of the cell with the
        highest weight lies in the box; and `uniform_mass`, `uniform_pointing`, what attention
        spread evenly over the grid would score: the box's share of the picture, and of the
        centres.
    """
    _, rows, columns = attention.shape
    sums = dict.fromkeys(("mass", "pointing", "uniform_mass", "uniform_pointing"), 0.0)
    for weights, box in zip(attention, boxes, strict=True):
        if box is None:
            continue
        ymin, xmin, ymax, xmax = box
        inside = np.outer(_overlap(rows, ymin, ymax), _overlap(columns, xmin, xmax))
        centres = np.outer(_centres(rows, ymin, ymax), _centres(columns, xmin, xmax))
        sums["mass"] += float((weights * inside).sum())
        sums["pointing"] += float(centres.flat[weights.argmax()])
        sums["uniform_mass"] += float(inside.mean())
        sums["uniform_pointing"] += float(centres.mean())
    return sums


def _overlap(cells, low, high):
    """Share of each of `cells` equal parts of 0..1 that lies between low and high."""
    edges = np.linspace(0, 1, cells + 1)
    return (np.minimum(edges[1:], high) - np.maximum(edges[:-1], low)).clip(0) * cells


def _centres(cells, low, high):
    centres = (np.arange(cells) + 0.5) / cells
    return ((low <= centres) & (centres <= high)).astype(float)
