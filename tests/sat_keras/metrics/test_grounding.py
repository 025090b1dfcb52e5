"""Grounding by hand, and beside a loop over words and pixels."""

import numpy as np
import pytest

from sat_keras.metrics import Grounding

NOTHING = {"attention": 0.0, "uniform": 0.0, "middle": 0.0, "best_fixed": 0.0}


def cells(rows, columns):
    y, x = np.indices((rows, columns)).reshape(2, -1)
    return np.stack([y / rows, x / columns, (y + 1) / rows, (x + 1) / columns], axis=1)


def phrase(boxes, first=0, end=1, type_="thing"):
    return {"first": first, "end": end, "type": type_, "boxes": boxes}


def measure(attention, regions, *phrases):
    grounding = Grounding()
    grounding.add(np.array(attention), regions, phrases)
    return grounding.scores()["all"]


def test_mass_and_pointing_by_hand():
    weights = np.zeros((1, 4, 4))
    weights[0, 1, 1], weights[0, 0, 0], weights[0, 3, 3] = 0.5, 0.3, 0.2
    # The box covers cell (1, 1) whole, half of row 0's cell (0, 1), and nothing of the others.
    found = measure(weights, cells(4, 4), phrase([(0.125, 0.25, 0.5, 0.5)]))
    assert found["phrases"] == 1
    assert found["mass"]["attention"] == found["correctness"] == pytest.approx(0.5)
    assert found["mass"]["uniform"] == pytest.approx(0.375 * 0.25)  # the box's area
    # The four cells around the middle: (1, 1) is one of them.
    assert found["mass"]["middle"] == pytest.approx(1 / 4)
    assert found["mass"]["best_fixed"] == pytest.approx(1.0)
    assert found["pointing"]["attention"] == 1
    assert found["pointing"]["uniform"] == pytest.approx(2 / 16)  # centres at 0.125 and 0.375
    assert found["pointing"]["middle"] == 1  # (0.5, 0.5) lies on its corner
    assert found["pointing"]["best_fixed"] == 1


def test_cut_cells_count_by_their_share():
    found = measure([[1.0, 0, 0, 0]], cells(2, 2), phrase([(0.0, 0.0, 0.25, 0.1)]))
    assert found["mass"]["attention"] == pytest.approx(0.5 * 0.2)
    assert found["pointing"]["attention"] == 0  # the cell's centre, at 0.25, is outside


def test_phrases_for_what_is_not_there_score_nothing():
    weights = np.full((2, 4), 0.25)
    absent, there = phrase([]), phrase([(0, 0, 1, 1)], 1, 2)
    found = measure(weights, cells(2, 2), absent, there)
    assert found["phrases"] == 2
    for name in ("pointing", "mass"):
        assert found[name] == pytest.approx(dict.fromkeys(NOTHING, 0.5))
    assert found["correctness"] == pytest.approx(0.5)


def test_overlapping_crops():
    crops = np.array([[0, 0, 1, 0.5], [0, 0.25, 1, 0.75], [0, 0.5, 1, 1]])
    found = measure([[0.2, 0.5, 0.3]], crops, phrase([(0, 0, 1, 0.5)]))
    assert found["mass"]["attention"] == pytest.approx(0.2 + 0.5 * 0.5)
    assert found["pointing"]["attention"] == 1  # the middle crop's centre lies on the edge
    assert found["mass"]["uniform"] == pytest.approx(0.5)


def test_weights_that_are_all_the_same_point_as_uniform_ones():
    found = measure(np.full((1, 4), 0.25), cells(2, 2), phrase([(0, 0, 0.5, 1)]))
    assert found["pointing"]["attention"] == found["pointing"]["uniform"] == 0.5


def test_what_two_boxes_share_counts_once():
    weights = [[0.7, 0.1, 0.1, 0.1]]
    one, other = (0, 0, 0.5, 0.4), (0, 0.1, 0.5, 0.5)  # together the first cell
    found = measure(weights, cells(2, 2), phrase([one, other]))
    assert found["mass"]["attention"] == pytest.approx(0.7)
    assert found["mass"]["uniform"] == pytest.approx(0.25)
    assert found["pointing"]["attention"] == 1
    apart = [(0.1, 0.1, 0.2, 0.2), (0.6, 0.6, 1.0, 1.0)]
    # Between them.
    assert measure(weights, cells(2, 2), phrase(apart))["pointing"]["attention"] == 0


def test_the_last_word_is_measured_and_correctness_is_the_best_word_s():
    attention = [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [1.0, 0.0]]
    left = phrase([(0, 0, 1, 0.5)], 0, 3)  # its words have 0.9, 0.2, 0.4 of it
    found = measure(attention, cells(1, 2), left)
    assert found["mass"]["attention"] == pytest.approx(0.4)
    assert found["pointing"]["attention"] == 0
    assert found["correctness"] == pytest.approx(0.9)


def test_a_phrase_whose_head_is_cut_off_is_left_out():
    attention, everywhere = [[0.5, 0.5], [0.5, 0.5]], [(0, 0, 1, 1)]
    inside, beyond = phrase(everywhere, 0, 2), phrase(everywhere, 1, 3)
    assert measure(attention, cells(1, 2), inside, beyond)["phrases"] == 1
    assert measure(attention, cells(1, 2), beyond)["phrases"] == 0


def test_without_phrases_all_is_zero():
    assert Grounding().scores() == {
        "all": {"phrases": 0, "pointing": NOTHING, "mass": NOTHING, "correctness": 0.0}
    }


@pytest.mark.parametrize(
    "regions, nearest",
    [
        (cells(3, 3), [4]),
        (cells(4, 4), [5, 6, 9, 10]),
        (cells(1, 2), [0, 1]),
        (cells(2, 2) + 0.2, [0]),  # shifted, as an encoder's padding shifts them
    ],
)
def test_the_middle_shares_its_weight_among_the_nearest_regions(regions, nearest):
    attention = np.full((1, len(regions)), 1 / len(regions))
    for i, box in enumerate(regions):
        found = measure(attention, regions, phrase([tuple(box)]))["mass"]["middle"]
        assert found == pytest.approx((i in nearest) / len(nearest))


def test_one_map_for_all_phrases_and_of_each_type_another():
    left, right = (0, 0, 1, 0.5), (0, 0.5, 1, 1)
    grounding = Grounding()
    looks_left = np.array([[0.75, 0.25]])
    for boxes, type_ in (
        ([left], "dog"),
        ([left], "dog"),
        ([right], "cat"),
        ([left, right], "cat"),
        ([right], "cat"),
    ):
        grounding.add(looks_left, cells(1, 2), [phrase(boxes, type_=type_)])
    found = grounding.scores()
    assert list(found) == ["all", "cat", "dog"]
    assert [each["phrases"] for each in found.values()] == [5, 3, 2]
    # Three of five phrases are to the left and to the right; all dogs are left, all cats right.
    assert [each["pointing"]["best_fixed"] for each in found.values()] == [0.6, 1, 1]
    assert [each["mass"]["best_fixed"] for each in found.values()] == [0.6, 1, 1]
    assert [each["pointing"]["attention"] for each in found.values()] == [0.6, 1 / 3, 1]
    masses = [each["mass"]["attention"] for each in found.values()]
    assert masses == pytest.approx([(3 * 0.75 + 2 * 0.25 + 0.25) / 5, 1.5 / 3, 0.75])


def test_captions_of_several_grids():
    left = [(0, 0, 1, 0.5)]
    grounding = Grounding()
    grounding.add(np.array([[0.2, 0.8]]), cells(1, 2), [phrase(left)])
    grounding.add(np.array([[0.5, 0.2, 0.3]]), cells(1, 3), [phrase(left)])
    found = grounding.scores()["all"]
    assert found["phrases"] == 2
    assert found["mass"]["attention"] == pytest.approx((0.2 + 0.5 + 0.1) / 2)
    assert found["mass"]["middle"] == pytest.approx(0.5)
    assert found["mass"]["best_fixed"] == 1


PIXELS = 120  # of the raster: edges are multiples of 1 / 24, and so on pixels' borders


def rastered(regions, boxes):
    """Each region's share inside the boxes, pixel by pixel, and whether its centre is in one."""
    y, x = (np.indices((3 * PIXELS, 3 * PIXELS)) + 0.5) / PIXELS - 1  # -1..2: over the edges
    covered = np.zeros(y.shape, bool)
    for top, left, bottom, right in boxes:
        covered |= (top < y) & (y < bottom) & (left < x) & (x < right)
    shares, pointed = [], []
    for top, left, bottom, right in regions:
        inside = (top < y) & (y < bottom) & (left < x) & (x < right)
        shares.append(covered[inside].mean())
        pointed.append(in_a_box((top + bottom) / 2, (left + right) / 2, boxes))
    return np.array(shares), np.array(pointed)


def in_a_box(y, x, boxes):
    return any(top <= y <= bottom and left <= x <= right for top, left, bottom, right in boxes)


def draw_boxes(rng):
    for _ in range(rng.integers(2, 6)):
        edges = np.sort([rng.choice(25, 2, replace=False) for _ in range(2)], axis=1) / 24
        (top, bottom), (left, right) = edges
        yield top, left, bottom, right


@pytest.mark.parametrize("shift", [0.0, 1 / 24], ids=["grid", "over the edge"])
def test_many_phrases_beside_a_loop_by_the_definitions(shift):
    rng, regions, grounding = np.random.default_rng(0), cells(4, 6) + shift, Grounding()
    lists = {name: [] for name in ("pointing", "mass", "correctness", "middle", "share", "centre")}
    for _ in range(12):
        attention = rng.dirichlet(np.ones(24), 7)
        phrases = []
        for first in (0, 3):
            boxes, end = list(draw_boxes(rng)), first + int(rng.integers(1, 5))
            phrases.append(phrase(boxes, first, end))
            shares, pointed = rastered(regions, boxes)
            masses = [sum(attention[t] * shares) for t in range(first, end)]
            lists["pointing"].append(pointed[np.argmax(attention[end - 1])])
            lists["mass"].append(masses[-1])
            lists["correctness"].append(max(masses))
            lists["middle"].append(in_a_box(0.5, 0.5, boxes))
            lists["share"].append(shares)
            lists["centre"].append(pointed)
        grounding.add(attention.reshape(7, 4, 6), regions, phrases)
    found, mean = grounding.scores()["all"], {k: np.mean(v, axis=0) for k, v in lists.items()}
    # Rows 1 and 2, columns 2 and 3 are around the middle; shifted by a sixth of a row, a quarter of
    # a column, row 1 and column 2 are the nearest.
    nearest = [8] if shift else [8, 9, 14, 15]
    assert found["phrases"] == 24
    assert found["correctness"] == pytest.approx(mean["correctness"])
    assert found["pointing"] == pytest.approx(
        {
            "attention": mean["pointing"],
            "uniform": mean["centre"].mean(),
            "middle": mean["middle"],
            "best_fixed": max(mean["centre"][i] for i in range(24)),
        }
    )
    assert found["mass"] == pytest.approx(
        {
            "attention": mean["mass"],
            "uniform": mean["share"].mean(),
            "middle": mean["share"][nearest].mean(),
            "best_fixed": max(mean["share"][i] for i in range(24)),
        }
    )


def test_no_map_that_is_the_same_for_all_photos_scores_more_than_the_best_fixed():
    rng, regions = np.random.default_rng(1), cells(4, 6)
    phrases = [phrase(list(draw_boxes(rng))) for _ in range(40)]
    for _ in range(30):
        found = measure(rng.dirichlet(np.full(24, 0.3), 1), regions, *phrases)
        for name in ("pointing", "mass"):
            assert found[name]["attention"] <= found[name]["best_fixed"]
