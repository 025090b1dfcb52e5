"""Attention pictures: for each word of a caption, where the model looked."""

import math

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from sat_edge.photo import open_photo
from sat_keras.files import atomic_output

_COLUMNS = 5
_DARKEST = 0.25  # brightness of the photo where the weight is zero


def attention_figure(photo, caption):
    """One panel with the photo, then one panel per word with its attention over the photo.

    Brightness and colour grow from zero to the word's highest weight. The weights of a grid are
    upsampled bicubically to the size of the photo; those of crops are drawn as rectangles and added
    where crops overlap. The title of a panel gives the highest weight.

    Args:
        photo: as `sat_edge.open_photo` takes it.
        caption: `Caption`, from a Keras model or from `sat_edge`.
    Returns:
        `matplotlib.figure.Figure`.
    """
    image = open_photo(photo)
    image.thumbnail((640, 640))
    panels = len(caption.words) + 1
    rows = math.ceil(panels / _COLUMNS)
    height = 2.4 * image.height / image.width + 0.45  # inches
    figure = Figure(figsize=(2.4 * _COLUMNS, height * rows + 0.4), layout="constrained")
    figure.suptitle(caption.text)
    axes = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for each in axes:
        each.set_axis_off()
    axes[0].imshow(image)
    axes[0].set_title("photo", fontsize=10)
    for axis, word, weights in zip(axes[1:], caption.words, caption.attention, strict=False):
        axis.imshow(overlay(image, weights, caption.regions))
        axis.set_title(f"{word}  ({weights.max():.0%})", fontsize=10)
    return figure


def overlay(image, weights, regions, boxes=()):
    """A photo with the weights of one word over it: uint8 array `(height, width, 3)`.

    Args:
        image: `PIL.Image.Image`.
        weights: float array `(rows, columns)`.
        regions: float array `(L, 4)`, see `Caption`.
        boxes: list of (ymin, xmin, ymax, xmax), 0..1, each outlined. Defaults to none.
    """
    if _overlap(regions):
        heat, part, method = _crop_heat(weights, regions), None, Image.Resampling.NEAREST
    else:
        heat = np.pad(weights, 1, mode="edge")  # a grid may end inside the photo
        part, method = _photo_in_cells(regions) + 1, Image.Resampling.BICUBIC
    heat = Image.fromarray((heat / heat.max()).astype("float32"))
    heat = np.asarray(heat.resize(image.size, method, part)).clip(0, 1)[..., None]
    color = matplotlib.colormaps["inferno"](heat[..., 0])[..., :3] * 255  # (height, width, 3)
    lit = np.asarray(image) * (_DARKEST + (1 - _DARKEST) * heat)
    lit = (0.65 * lit + 0.35 * color * heat + 0.35 * lit * (1 - heat)).astype("uint8")
    return _outlined(lit, boxes)


def _outlined(pixels, boxes):
    """Pixels `(height, width, 3)` with the edges of boxes."""
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    for ymin, xmin, ymax, xmax in boxes:
        left, right = (round(x * (image.width - 1)) for x in (xmin, xmax))
        top, bottom = (round(y * (image.height - 1)) for y in (ymin, ymax))
        draw.rectangle((left, top, right, bottom), outline="white")
    return np.asarray(image)


def _overlap(regions):
    low, high = np.split(regions, 2, axis=1)  # (L, 2), (L, 2)
    return (high - low).prod(axis=1).sum() > 1.01  # the cells of a grid cover the picture once


def _photo_in_cells(regions):
    """The photo's position on a grid, (left, upper, right, lower), in cells."""
    ymin, xmin, ymax, xmax = regions[0]
    height, width = ymax - ymin, xmax - xmin
    return np.array([-xmin / width, -ymin / height, (1 - xmin) / width, (1 - ymin) / height])


def _crop_heat(weights, regions, pixels=64):
    """Weights of overlapping crops, added up over `(pixels, pixels)`."""
    heat = np.zeros((pixels, pixels))
    corners = (regions * pixels).round().astype(int)  # (L, 4)
    for weight, (ymin, xmin, ymax, xmax) in zip(weights.ravel(), corners, strict=True):
        heat[ymin:ymax, xmin:xmax] += weight
    return heat


def save_attention(photo, caption, path):
    """Writes `attention_figure` to `path` (.png, .svg, .pdf, ...)."""
    figure = attention_figure(photo, caption)
    with atomic_output(path) as temporary:
        figure.savefig(temporary, dpi=100)
