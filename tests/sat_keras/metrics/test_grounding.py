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
    scores = grounding(weights.reshape(1, 16), cells(4, 4), [(0.125, 0.25, 0.5, 0.5)])
    assert scores["mass"] == pytest.approx(0.5)
    assert scores["pointing"] == 1
    assert scores["uniform_mass"] == pytest.approx(0.375 * 0.25)  # the box's area
    assert scores["uniform_pointing"] == pytest.approx(2 / 16)  # centres at 0.125 and 0.375


def test_cut_cells_count_by_their_share():
    weights = np.zeros((1, 2, 2))
    weights[0, 0, 0] = 1.0
    scores = grounding(weights.reshape(1, 4), cells(2, 2), [(0.0, 0.0, 0.25, 0.1)])
    assert scores["mass"] == pytest.approx(0.5 * 0.2)
    assert scores["pointing"] == 0  # the cell's centre, at 0.25, is outside


def test_words_for_what_is_not_there_score_nothing():
    weights = np.full((2, 4), 0.25)
    scores = grounding(weights, cells(2, 2), [None, (0, 0, 1, 1)])
    assert scores == pytest.approx(
        {"mass": 1.0, "pointing": 1.0, "uniform_mass": 1.0, "uniform_pointing": 1.0}
    )


def test_overlapping_crops():
    crops = np.array([[0, 0, 1, 0.5], [0, 0.25, 1, 0.75], [0, 0.5, 1, 1]])
    scores = grounding(np.array([[0.2, 0.5, 0.3]]), crops, [(0, 0, 1, 0.5)])
    assert scores["mass"] == pytest.approx(0.2 + 0.5 * 0.5)
    assert scores["pointing"] == 1  # the middle crop's centre lies on the edge
    assert scores["uniform_mass"] == pytest.approx(0.5)


def test_weights_that_are_all_the_same_point_as_uniform_ones():
    scores = grounding(np.full((1, 4), 0.25), cells(2, 2), [(0, 0, 0.5, 1)])
    assert scores["pointing"] == scores["uniform_pointing"] == 0.5
