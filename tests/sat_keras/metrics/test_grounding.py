import numpy as np
import pytest

from sat_keras.metrics import grounding


def cells(rows, columns):
    y, x = np.indices((rows, columns)).reshape(2, -1)
    return np.stack([y / rows, x / columns, (y + 1) / rows, (x + 1) / columns], axis=1)


def test_mass_and_pointing_by_hand():
    weights = np.zeros((1, 4, 4))
    weights[0, 1, 1], weights[0, 0, 0], weights[0, 3, 3] = 0.5, 0.3, 0.2
    # The box covers cell (1, 1) whole, half of row 0's cell (0, 1), and nothing of the others.
    scores = grounding(weights.reshape(1, 16), cells(4, 4), [[(0.125, 0.25, 0.5, 0.5)]])
    assert scores["mass"] == pytest.approx(0.5)
    assert scores["pointing"] == 1
    assert scores["uniform_mass"] == pytest.approx(0.375 * 0.25)  # the box's area
    assert scores["uniform_pointing"] == pytest.approx(2 / 16)  # centres at 0.125 and 0.375


def test_cut_cells_count_by_their_share():
    weights = np.zeros((1, 2, 2))
    weights[0, 0, 0] = 1.0
    scores = grounding(weights.reshape(1, 4), cells(2, 2), [[(0.0, 0.0, 0.25, 0.1)]])
    assert scores["mass"] == pytest.approx(0.5 * 0.2)
    assert scores["pointing"] == 0  # the cell's centre, at 0.25, is outside


def test_words_for_what_is_not_there_score_nothing():
    weights = np.full((2, 4), 0.25)
    scores = grounding(weights, cells(2, 2), [[], [(0, 0, 1, 1)]])
    assert scores == pytest.approx(
        {"mass": 1.0, "pointing": 1.0, "uniform_mass": 1.0, "uniform_pointing": 1.0}
    )


def test_overlapping_crops():
    crops = np.array([[0, 0, 1, 0.5], [0, 0.25, 1, 0.75], [0, 0.5, 1, 1]])
    scores = grounding(np.array([[0.2, 0.5, 0.3]]), crops, [[(0, 0, 1, 0.5)]])
    assert scores["mass"] == pytest.approx(0.2 + 0.5 * 0.5)
    assert scores["pointing"] == 1  # the middle crop's centre lies on the edge
    assert scores["uniform_mass"] == pytest.approx(0.5)


def test_weights_that_are_all_the_same_point_as_uniform_ones():
    scores = grounding(np.full((1, 4), 0.25), cells(2, 2), [[(0, 0, 0.5, 1)]])
    assert scores["pointing"] == scores["uniform_pointing"] == 0.5


def test_what_two_boxes_share_counts_once():
    weights = np.array([[0.7, 0.1, 0.1, 0.1]])
    one, other = (0, 0, 0.5, 0.4), (0, 0.1, 0.5, 0.5)  # together the first cell
    scores = grounding(weights, cells(2, 2), [[one, other]])
    assert scores["mass"] == pytest.approx(0.7)
    assert scores["uniform_mass"] == pytest.approx(0.25)
    assert scores["pointing"] == 1
    apart = [(0.1, 0.1, 0.2, 0.2), (0.6, 0.6, 1.0, 1.0)]
    assert grounding(weights, cells(2, 2), [apart])["pointing"] == 0  # between them


PIXELS = 120  # of the raster: edges are multiples of 1 / 24, and so on pixels' borders


def rastered(regions, boxes, weights):
    """Mass, pointing and what uniform attention scores, pixel by pixel, centre by centre."""
    y, x = (np.indices((3 * PIXELS, 3 * PIXELS)) + 0.5) / PIXELS - 1  # -1..2: over the edges
    covered = np.zeros(y.shape, bool)
    for top, left, bottom, right in boxes:
        covered |= (top < y) & (y < bottom) & (left < x) & (x < right)
    shares, pointed = [], []
    for top, left, bottom, right in regions:
        inside = (top < y) & (y < bottom) & (left < x) & (x < right)
        shares.append(covered[inside].mean())
        middle = ((top + bottom) / 2, (left + right) / 2)
        pointed.append(any(b[0] <= middle[0] <= b[2] and b[1] <= middle[1] <= b[3] for b in boxes))
    return {
        "mass": np.dot(weights, shares),
        "pointing": float(pointed[np.argmax(weights)]),
        "uniform_mass": np.mean(shares),
        "uniform_pointing": np.mean(pointed),
    }


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shift", [0.0, 1 / 24], ids=["grid", "over the edge"])
def test_the_union_of_boxes_beside_a_raster(seed, shift):
    rng = np.random.default_rng(seed)
    regions = cells(4, 6) + shift
    boxes = []
    for _ in range(rng.integers(2, 6)):
        edges = np.sort([rng.choice(25, 2, replace=False) for _ in range(2)], axis=1) / 24
        (top, bottom), (left, right) = edges
        boxes.append((top, left, bottom, right))
    weights = rng.dirichlet(np.ones(24))
    found = grounding(weights[None], regions, [boxes])
    assert found == pytest.approx(rastered(regions, boxes, weights), abs=1e-9)
