import numpy as np
from PIL import Image

from sat_edge.caption import Caption
from sat_keras.visualize import attention_figure, overlay, save_attention


def make_caption(words):
    attention = np.zeros((len(words) + 1, 2, 3), "float32")
    attention[..., 0] = 0.01
    attention[:, 0, 2] = 0.96  # upper right
    y, x = np.indices((2, 3)).reshape(2, -1)
    regions = np.stack([y / 2, x / 3, (y + 1) / 2, (x + 1) / 3], axis=1)
    tokens = np.arange(len(words) + 1)
    return Caption(" ".join(words), words, tokens, -1.0, -1.0, attention, regions)


def test_light_falls_where_attention_is():
    photo = Image.new("RGB", (90, 60), (120, 120, 120))
    caption = make_caption(("a",))
    found = overlay(photo, caption.attention[0], caption.regions).astype(int)
    assert found.shape == (60, 90, 3)
    upper_right, lower_left = found[10, 75], found[50, 10]
    assert upper_right.sum() > 3 * lower_left.sum()


def test_grids_are_drawn_where_they_lie():
    photo = Image.new("RGB", (80, 60), (120, 120, 120))
    weights = np.zeros((3, 4))
    weights[1, 2] = 1.0
    y, x = np.indices((3, 4)).reshape(2, -1)
    for shift in (0.0, 0.4, -0.4):
        low = np.stack([(y + shift) / 3, (x + shift) / 4], axis=1)
        found = overlay(photo, weights, np.hstack([low, low + np.array([1 / 3, 1 / 4])]))
        light = found.astype(float).sum(-1) - found.sum(-1).min()
        light /= light.sum()
        centre = light.sum(1) @ (np.arange(60) + 0.5), light.sum(0) @ (np.arange(80) + 0.5)
        np.testing.assert_allclose(centre, [20 * (1.5 + shift), 20 * (2.5 + shift)], atol=0.5)


def test_crops_are_drawn_as_they_lie():
    photo = Image.new("RGB", (80, 40), (120, 120, 120))
    crops = np.array([[0, 0, 1, 0.5], [0, 0.25, 1, 0.75], [0, 0.5, 1, 1]])
    found = overlay(photo, np.array([[0.0, 0.7, 0.3]]), crops).astype(int).sum(-1)  # (40, 80)
    assert (found == found[0]).all()
    of_none, of_one, of_both, of_other = found[0, [10, 30, 50, 70]]
    assert of_none < of_other < of_one < of_both
    np.testing.assert_array_equal(found[0, 41:59], of_both)


def test_boxes_are_outlined():
    photo = Image.new("RGB", (80, 40), (120, 120, 120))
    caption = make_caption(("a",))
    boxes = [(0.0, 0.0, 0.5, 0.25), (0.5, 0.5, 1.0, 1.0)]
    plain = overlay(photo, caption.attention[0], caption.regions)
    found = overlay(photo, caption.attention[0], caption.regions, boxes)
    edges = np.zeros((40, 80), bool)
    edges[[0, 20], :21] = edges[:21, [0, 20]] = True  # a pixel wide
    edges[[20, 39], 40:] = edges[20:, [40, 79]] = True
    assert (found[edges] == 255).all()
    np.testing.assert_array_equal(found[~edges], plain[~edges])


def test_one_panel_a_word():
    photo = Image.new("RGB", (90, 60))
    figure = attention_figure(photo, make_caption(("a", "red", "square", "on", "grey", "stone")))
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert titles == [
        "photo",
        "a  (96%)",
        "red  (96%)",
        "square  (96%)",
        "on  (96%)",
        "grey  (96%)",
        "stone  (96%)",
    ]


def test_written_whole(tmp_path):
    photo = Image.new("RGB", (90, 60))
    save_attention(photo, make_caption(("a",)), tmp_path / "deep" / "a.png")
    with Image.open(tmp_path / "deep" / "a.png") as picture:
        assert picture.width == 1200
    assert [each.name for each in (tmp_path / "deep").iterdir()] == ["a.png"]
