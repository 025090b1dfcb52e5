"""Pictures that are no photographs, drawn from a seed: what no captioner of photos should know."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIZE = (500, 375)  # width and height, like a photo of Flickr8k's
_LETTERS = list("etaoinshrdlucmfwypvbgkjqxz")


def drawn_pictures(each=20, seed=0):
    """Yields `each` RGB pictures of every kind in `KINDS`."""
    rng = np.random.default_rng(seed)
    for draw in KINDS:
        for _ in range(each):
            yield draw(rng)


def shapes(rng):
    """Plain shapes on a plain ground."""
    picture, pen = _sheet(rng)
    for _ in range(rng.integers(2, 9)):
        corners = np.sort(rng.integers(0, SIZE, (2, 2)), axis=0)
        box = [*corners[0], *(corners[1] + 2)]
        draw = (pen.rectangle, pen.ellipse)[rng.integers(2)]
        draw(list(map(int, box)), fill=_colour(rng))
    return picture


def chart(rng):
    """Bars over an axis, or a curve."""
    picture, pen = _sheet(rng, "white")
    width, height = SIZE
    pen.line([(40, 20), (40, height - 40), (width - 20, height - 40)], fill="black", width=2)
    places = np.linspace(60, width - 40, rng.integers(5, 20))
    values = height - 40 - rng.uniform(10, height - 80, len(places))
    if rng.integers(2):
        colour, half = _colour(rng), 0.4 * (places[1] - places[0])
        for place, value in zip(places, values, strict=True):
            pen.rectangle([place - half, value, place + half, height - 40], fill=colour)
    else:
        pen.line(list(zip(places, values, strict=True)), fill=_colour(rng), width=3)
    return picture


def page(rng):
    """Lines of text."""
    picture, pen = _sheet(rng, "white")
    for top in range(20, SIZE[1] - 20, int(rng.integers(12, 24))):
        words = ("".join(rng.choice(_LETTERS, rng.integers(1, 10))) for _ in range(14))
        pen.text((20, top), " ".join(words)[: rng.integers(20, 75)], fill="black")
    return picture


def noise(rng):
    """Noise, of pixels or of blots."""
    picture = Image.fromarray(rng.integers(0, 256, (*SIZE[::-1], 3), dtype="uint8"))
    return picture.filter(ImageFilter.GaussianBlur(float(rng.choice([0, 2, 6]))))


def stripes(rng):
    """A wave of two colours."""
    x, y = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    angle, period = rng.uniform(0, np.pi), rng.uniform(8, 80)
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period)
    return _between(rng, (wave + 1) / 2)


def gradient(rng):
    """One colour that becomes another."""
    x, y = np.meshgrid(np.linspace(-1, 1, SIZE[0]), np.linspace(-1, 1, SIZE[1]))
    angle = rng.uniform(0, 2 * np.pi)
    return _between(rng, (x * np.cos(angle) + y * np.sin(angle) + 1.5) / 3)


def screen(rng):
    """Windows of a program: frames, title bars, buttons, text."""
    picture, pen = _sheet(rng)
    for _ in range(rng.integers(2, 5)):
        left, top = map(int, rng.integers(0, (SIZE[0] // 2, SIZE[1] // 2)))
        right, bottom = left + int(rng.integers(120, 300)), top + int(rng.integers(90, 220))
        pen.rectangle([left, top, right, bottom], fill="white", outline="gray")
        pen.rectangle([left, top, right, top + 18], fill=_colour(rng))
        for line in range(top + 26, bottom - 14, 14):
            word = "".join(rng.choice(_LETTERS, rng.integers(5, 25)))
            pen.text((left + 8, line), word, fill="black")
        pen.rectangle([right - 60, bottom - 22, right - 8, bottom - 6], fill=_colour(rng))
    return picture


KINDS = (shapes, chart, page, noise, stripes, gradient, screen)


def _sheet(rng, colour=None):
    picture = Image.new("RGB", SIZE, colour or _colour(rng))
    return picture, ImageDraw.Draw(picture)


def _colour(rng):
    return tuple(map(int, rng.integers(0, 256, 3)))


def _between(rng, share):
    """A picture `(H, W)` of the share of one colour in two, 0..1."""
    first, second = np.array([_colour(rng), _colour(rng)])
    mixed = first + share[..., None] * (second - first)  # (H, W, 3)
    return Image.fromarray(mixed.clip(0, 255).astype("uint8"))
