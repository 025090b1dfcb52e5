import numpy as np

_MIDDLE = 0.5  # of the photo, down and across


class Grounding:
    """Does attention look at what it names? Means over the phrases of many captions.

    Of a phrase that has boxes,

        pointing     at its head, the last word: 1 if the centre of the region with the highest
                     weight lies in a box, else 0; of regions with equal weights, their share
        mass         at its head: the share of attention inside the union of the boxes; a region
                     that a box cuts counts by its share inside
        correctness  the largest mass of its words

    A phrase without boxes names something that the photo does not show: it scores 0 by each.

    Pointing and mass stand beside those of maps that look at no photo: `uniform` attention; the
    `middle`, which points at (0.5, 0.5) and shares its weight equally among the regions whose
    centres are nearest to that; and `best_fixed`, the one region that scores highest on these very
    phrases. So `best_fixed` is an upper bound for all maps that are the same for every photo and
    point at the centre of a region. The correctness of such a map is its mass.

    Sums alone are held, whatever the number of captions. Regions may differ from caption to
    caption; `best_fixed` is then of one region for each grid.

    Example:
        >>> grounding = Grounding()
        >>> grounding.add(caption.attention, caption.regions, phrases)
        >>> grounding.scores()["all"]["pointing"]["attention"]
        0.44
    Reference:
        Liu et al., 2017, arXiv 1605.09553: attention correctness, where a map is first enlarged to
        the photo's pixels, between regions bilinearly.
    """

    def __init__(self):
        self._sums = {}  # (type, regions as bytes) to the sum of `_measure`

    def add(self, attention, regions, phrases):
        """Measures one caption.

        Args:
            attention: float array `(T, rows, columns)` or `(T, L)`: the weights of each word over
                L regions. A phrase whose head is beyond T is left out.
            regions: float array `(L, 4)`: each region's part of the photo, (ymin, xmin, ymax,
                xmax), 0..1.
            phrases: list of phrases of the caption, see `sat_keras.datasets`.
        """
        attention = np.reshape(attention, (len(attention), -1))  # (T, L)
        regions = np.ascontiguousarray(regions, "float64")
        for phrase in phrases:
            if phrase["end"] <= len(attention):
                words = attention[phrase["first"] : phrase["end"]]  # (n, L)
                key = (phrase["type"], regions.tobytes())
                measured = _measure(words, regions, phrase["boxes"])
                self._sums[key] = self._sums.get(key, 0.0) + measured

    def scores(self):
        """The means over `all` phrases and over those of each type.

        Returns:
            Dict, `all` and each type to `{"phrases", "pointing", "mass", "correctness"}`:
            `phrases` their number, `pointing` and `mass` dicts of `attention`, `uniform`, `middle`
            and `best_fixed`, 0..1. Without any phrase all means are 0.
        """
        types = sorted({type_ for type_, _ in self._sums})
        return {"all": self._means(types)} | {each: self._means([each]) for each in types}

    def _means(self, types):
        by_grid = {}
        for (type_, regions), sums in self._sums.items():
            if type_ in types:
                by_grid[regions] = by_grid.get(regions, 0.0) + sums
        totals = sum((_totals(*each) for each in by_grid.items()), np.zeros(10))
        count, correctness, *others = totals
        means = [float(each / max(count, 1)) for each in (correctness, *others)]
        names = ("attention", "uniform", "middle", "best_fixed")
        return {
            "phrases": int(count),
            "pointing": dict(zip(names, means[1:5], strict=True)),
            "mass": dict(zip(names, means[5:], strict=True)),
            "correctness": means[0],
        }


def _measure(words, regions, boxes):
    """What is summed over phrases, `(5 + 2 L,)`: 1; pointing, mass, correctness; whether the
    middle lies in a box; each region's share inside; whether its centre lies in a box."""
    if not len(boxes):
        return np.concatenate([[1.0], np.zeros(4 + 2 * len(regions))])
    boxes, head = np.asarray(boxes, "float64"), words[-1]  # (K, 4), (L,)
    inside = share_inside(regions, boxes)  # (L,)
    points = np.vstack([_centres(regions), [_MIDDLE, _MIDDLE]])  # (L + 1, 2)
    within = (boxes[:, None, :2] <= points) & (points <= boxes[:, None, 2:])  # (K, L + 1, 2)
    held = within.all(axis=-1).any(axis=0)  # (L + 1,)
    pointing = held[:-1][head == head.max()].mean()
    masses = words @ inside  # (n,)
    sums = [1.0, pointing, masses[-1], masses.max(), held[-1]]
    return np.concatenate([sums, inside, held[:-1]])


def _totals(regions, sums):
    """Sums of one grid: phrases, correctness; pointing of attention, of uniform attention, of the
    middle and of the best fixed map; mass likewise."""
    count, pointing, mass, correctness, middle = sums[:5]
    inside, pointed = sums[5:].reshape(2, -1)  # (L,) each
    away = np.linalg.norm(_centres(np.frombuffer(regions).reshape(-1, 4)) - _MIDDLE, axis=1)
    nearest = np.isclose(away, away.min())  # (L,)
    pointings = (pointing, pointed.mean(), middle, pointed.max())
    masses = (mass, inside.mean(), inside[nearest].mean(), inside.max())
    return np.array([count, correctness, *pointings, *masses])


def _centres(regions):
    return (regions[:, :2] + regions[:, 2:]) / 2  # (L, 2)


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
