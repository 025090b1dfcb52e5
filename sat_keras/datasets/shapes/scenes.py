"""Scenes of one to three coloured shapes: what is in them, how they look, how one says it."""

import itertools
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

IMAGE_SIZE = 112  # pixels, square
SIZES = {"small": (22, 28), "large": (40, 48)}  # width in pixels, from and to
COLORS = {
    "red": (214, 40, 40),
    "green": (46, 160, 67),
    "blue": (40, 84, 214),
    "yellow": (245, 212, 35),
    "purple": (142, 56, 181),
    "orange": (245, 130, 32),
    "white": (250, 250, 250),
    "black": (20, 20, 20),
}
SHAPES = ("circle", "square", "triangle", "star", "cross")

# A scene names its objects in one order (see `_by_prominence`), as people do: "a" comes first.
WORDINGS = {
    1: (
        "{a}",
        "there is {a}",
        "this is {a}",
        "the picture shows {a}",
        "we see {a}",
        "only {a}",
    ),
    2: (
        "{a} {relation} {b}",
        "there is {a} {relation} {b}",
        "the picture shows {a} {relation} {b}",
        "{a} with {b} {inverse} it",
        "we see {a} with {b} {inverse} it",
        "{a} and {b}",
        "there is {a} and {b}",
    ),
    3: (
        "{a} and {b} and {c}",
        "there is {a} with {b} and {c}",
        "{a} with {b} and {c}",
        "the picture shows {a} and {b} and {c}",
        "we see {a} with {b} and {c}",
        "there is {a} and {b} and {c}",
    ),
}
INVERSE = {"above": "below", "below": "above", "left of": "right of", "right of": "left of"}
CAPTIONS = 5
_SUPERSAMPLING = 4


@dataclass(frozen=True)
class SceneObject:
    """One shape. `box` is (ymin, xmin, ymax, xmax), each 0..1 of the picture."""

    size: str
    color: str
    shape: str
    box: tuple[float, float, float, float]

    def phrase(self, sized):
        adjectives = f"{self.size} {self.color}" if sized else self.color
        return f"{'an' if adjectives[0] in 'aeiou' else 'a'} {adjectives} {self.shape}"


def draw_scene(seed):
    """One scene.

    Args:
        seed: int or sequence of ints; the same seed draws the same scene.
    Returns:
        The picture, uint8 `(IMAGE_SIZE, IMAGE_SIZE, 3)`; its objects, a list of `SceneObject`, the
        most prominent first, no two of the same colour and shape; and `CAPTIONS` captions, a list
        of str.
    """
    rng = np.random.default_rng(seed)
    objects = _place_objects(rng, count=int(rng.integers(1, 4)))
    return _render(rng, objects), objects, _describe(rng, objects)


def named_objects(words, objects):
    """Which object each word of a caption names.

    Size, colour and shape words that follow each other are one phrase; it names the object that
    has all of them.

    Args:
        words: sequence of str.
        objects: sequence of `SceneObject`.
    Returns:
        A list with one entry a word: the object's index, -1 where the phrase names none that is
        there, `None` for words that name no object ("above").
    """
    content = {*SIZES, *COLORS, *SHAPES}
    names: list[int | None] = [None] * len(words)
    start = 0
    while start < len(words):
        end = start
        while end < len(words) and words[end] in content:
            end += 1
            if words[end - 1] in SHAPES:
                break
        phrase = set(words[start:end])
        if phrase:
            found = [i for i, each in enumerate(objects) if phrase <= _attributes(each)]
            names[start:end] = [found[0] if len(found) == 1 else -1] * (end - start)
        start = max(end, start + 1)
    return names


def kind_of(word):
    """What a word says of an object: its `size`, `color` or `shape`."""
    kinds = {"size": SIZES, "color": COLORS, "shape": SHAPES}
    return next(kind for kind, words in kinds.items() if word in words)


def _attributes(scene_object):
    return {scene_object.size, scene_object.color, scene_object.shape}


def _place_objects(rng, count):
    kinds = [(color, shape) for color in COLORS for shape in SHAPES]
    kinds = [kinds[i] for i in rng.choice(len(kinds), count, replace=False)]
    sizes = [str(size) for size in rng.choice(list(SIZES), count)]
    widths = [int(rng.integers(*SIZES[size], endpoint=True)) for size in sizes]
    boxes = _disjoint_boxes(rng, widths)
    objects = [
        SceneObject(size, color, shape, tuple(float(x / IMAGE_SIZE) for x in box))
        for size, (color, shape), box in zip(sizes, kinds, boxes, strict=True)
    ]
    return sorted(objects, key=_by_prominence)


def _by_prominence(scene_object):
    """Large before small, then from top to bottom."""
    return scene_object.size == "small", scene_object.box[0] + scene_object.box[2]


def _disjoint_boxes(rng, widths, margin=3):
    # All places are drawn anew after an overlap: two boxes may leave no room for a third.
    while True:
        corners = [rng.integers(2, IMAGE_SIZE - width - 2, size=2) for width in widths]
        boxes = [(y, x, y + w, x + w) for (y, x), w in zip(corners, widths, strict=True)]
        if all(_apart(a, b, margin) for a, b in itertools.combinations(boxes, 2)):
            return boxes


def _apart(a, b, margin):
    return max(a[0] - b[2], b[0] - a[2], a[1] - b[3], b[1] - a[3]) > margin


def _describe(rng, objects):
    wordings = WORDINGS[len(objects)]
    captions = []
    for i in rng.choice(len(wordings), CAPTIONS, replace=False):
        sized = rng.random() < 0.5
        parts = {name: each.phrase(sized) for name, each in zip("abc", objects, strict=False)}
        if len(objects) == 2:
            parts["relation"] = _relation(*objects)
            parts["inverse"] = INVERSE[parts["relation"]]
        captions.append(wordings[i].format(**parts))
    return captions


def _relation(a, b):
    """Where a lies from b, by the larger of the two distances."""
    down = (a.box[0] + a.box[2]) - (b.box[0] + b.box[2])
    right = (a.box[1] + a.box[3]) - (b.box[1] + b.box[3])
    if abs(down) >= abs(right):
        return "below" if down > 0 else "above"
    return "right of" if right > 0 else "left of"


def _render(rng, objects):
    picture = _texture(rng)
    for each in objects:
        ymin, xmin, _, xmax = (round(x * IMAGE_SIZE) for x in each.box)  # boxes are square
        large = (xmax - xmin) * _SUPERSAMPLING
        mask = Image.new("L", (large, large))
        if each.shape == "circle":
            ImageDraw.Draw(mask).ellipse([0, 0, large - 1, large - 1], fill=255)
        else:
            outline = [(x * (large - 1), y * (large - 1)) for x, y in _OUTLINES[each.shape]]
            ImageDraw.Draw(mask).polygon(outline, fill=255)
        mask = mask.reduce(_SUPERSAMPLING)
        picture.paste(COLORS[each.color], (xmin, ymin), mask)
    return np.asarray(picture)


def _texture(rng):
    """A background of two close greyish colours: stripes, checks, dots, a gradient, or grain."""
    y, x = np.mgrid[:IMAGE_SIZE, :IMAGE_SIZE]
    period = int(rng.integers(8, 20))
    angle = rng.uniform(0, np.pi)
    along = x * np.cos(angle) + y * np.sin(angle)
    patterns = (
        (along // period) % 2,
        (x // period + y // period) % 2,
        ((x % period - period / 2) ** 2 + (y % period - period / 2) ** 2) < (period / 4) ** 2,
        (along - along.min()) / np.ptp(along),
        rng.random((IMAGE_SIZE, IMAGE_SIZE)),
    )
    pattern = patterns[rng.integers(len(patterns))][:, :, None]
    first = rng.integers(100, 170) + rng.integers(-12, 13, size=3)
    second = first + rng.integers(-25, 26)
    grain = 4 * rng.standard_normal((IMAGE_SIZE, IMAGE_SIZE, 3), dtype="float32")
    pixels = first + (second - first) * pattern + grain  # (height, width, 3)
    return Image.fromarray(pixels.clip(0, 255).astype("uint8"))


def _star_outline(points=5, inner=0.42):
    turns = np.arange(2 * points) * np.pi / points
    radius = np.where(np.arange(2 * points) % 2, inner, 1.0)
    outline = np.stack([np.sin(turns) * radius, -np.cos(turns) * radius], axis=1)
    lowest, highest = outline.min(0), outline.max(0)
    return ((outline - lowest) / (highest - lowest)).tolist()  # fills its box


# Corners in the unit box, (x, y) from the top left.
_OUTLINES = {
    "square": [(0, 0), (1, 0), (1, 1), (0, 1)],
    "triangle": [(0.5, 0), (1, 1), (0, 1)],
    "star": _star_outline(),
    "cross": [
        *[(1 / 3, 0), (2 / 3, 0), (2 / 3, 1 / 3), (1, 1 / 3), (1, 2 / 3), (2 / 3, 2 / 3)],
        *[(2 / 3, 1), (1 / 3, 1), (1 / 3, 2 / 3), (0, 2 / 3), (0, 1 / 3), (1 / 3, 1 / 3)],
    ],
}
