import numpy as np
from PIL import Image

from sat_edge.caption import Caption
from sat_keras.visualize import attention_figure, overlay, save_attention


def make_caption(words):
    attention = np.zeros((len(words) + 1, 2, 3), "float32")
    attention[..., 0] = 0.01
    attention[:, 0, 2] = 0.96  # upper right
    return Caption(" ".join(words), words, np.arange(len(words) + 1), -1.0, attention)


def test_light_falls_where_attention_is():
    photo = Image.new("RGB", (90, 60), (120, 120, 120))
    weights = make_caption(("a",)).attention[0]
    found = overlay(photo, weights).astype(int)
    assert found.shape == (60, 90, 3)
    upper_right, lower_left = found[10, 75], found[50, 10]
    assert upper_right.sum() > 3 * lower_left.sum()


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
