"""Reads Flickr30k Entities: the phrases of Flickr30k's captions and their boxes.

All photos of Flickr8k are photos of Flickr30k. So the same files serve both.

Reference:
    Plummer et al., 2015, arXiv 1505.04870.
"""

import difflib
import re
import xml.etree.ElementTree as ET
from pathlib import Path

from sat_edge.errors import InputError
from sat_keras.tokenizer import tokenize

FOLDER = "Flickr30kEntities"  # where it lies among a data set's own files
_PARTS = ("Sentences", "Annotations")
_ALIKE = 0.6  # the least share of words that a sentence and its caption have in common
_PHRASE = re.compile(r"\[/EN#(\d+)((?:/[a-z]+)+) ([^\]]+)\]")  # [/EN#18/people A child]


def check_folder(directory):
    """Raises `InputError` if the folder does not hold Flickr30k Entities."""
    for part in _PARTS:
        if not (Path(directory) / part).is_dir():
            raise InputError(
                f"{directory}: no {part}/ in it; name the folder of Flickr30k Entities, unpacked"
            )


def read_phrases(directory, name, captions):
    """The phrases that have boxes, of each caption of a photo.

    The captions of Flickr30k Entities have the words of Flickr8k's and Flickr30k's but for
    corrections, in another order. A caption is compared with the sentence that is most like it,
    word by word. A phrase is kept if each of its words has its place in the caption: there it
    stands itself, or another word in its stead ("gray", "grey"), or the caption has more or fewer
    words for those of the phrase ("long-haired", "long haired").

    Args:
        directory: path of the folder, with `Sentences/` and `Annotations/` in it.
        name: str, the photo's file name.
        captions: list of str.
    Returns:
        `(phrases, lost)`: for each caption its list of phrases, see `sat_keras.datasets`; and the
        number of phrases with boxes that have no place in a caption.
    Raises:
        InputError: if a file is missing or damaged.
    """
    key = Path(name).stem.partition("_")[0]
    boxes = _read_boxes(Path(directory) / "Annotations" / f"{key}.xml")
    sentences = _read_sentences(Path(directory) / "Sentences" / f"{key}.txt")
    phrases, lost = [[] for _ in captions], 0
    for marked, caption, places in _pairs(sentences, [tokenize(each) for each in captions]):
        for first, end, chain, type_ in marked:
            if chain not in boxes:
                continue
            place = _place(first, end, places)
            if place is None:
                lost += 1
                continue
            phrases[caption].append(
                {"first": place[0], "end": place[1], "type": type_, "boxes": boxes[chain]}
            )
    return phrases, lost


def _read_sentences(path):
    """Of each sentence its words, and its phrases as (first, end, chain, type)."""
    found = []
    for number, line in enumerate(_text(path).split("\n"), start=1):
        words, phrases, behind = [], [], 0
        for match in _PHRASE.finditer(line):
            words += tokenize(line[behind : match.start()])
            first = len(words)
            words += tokenize(match[3])
            if len(words) > first:
                phrases.append((first, len(words), match[1], match[2].split("/")[1]))
            behind = match.end()
        if line.count("[/EN#") != len(_PHRASE.findall(line)):
            raise InputError(f"{path}, line {number}: a phrase is not of the form [/EN#1/type ...]")
        found.append((words + tokenize(line[behind:]), phrases))
    return found


def _read_boxes(path):
    """Dict, a chain's number to its boxes, (ymin, xmin, ymax, xmax), 0..1."""
    boxes, place = {}, path
    try:
        photo = ET.fromstring(_text(path))
        height, width = _pixels(photo, "size/height"), _pixels(photo, "size/width")
        for number, each in enumerate(photo.iter("object"), start=1):
            place = f"{path}, object {number}"
            corners = each.find("bndbox")
            if corners is None:  # a scene, or something that cannot be boxed
                continue
            ymin, xmin, ymax, xmax = (
                _pixels(corners, side) for side in ("ymin", "xmin", "ymax", "xmax")
            )
            if not (1 <= ymin <= ymax <= height and 1 <= xmin <= xmax <= width):
                raise ValueError(f"its box is no box inside {width} x {height} pixels")
            # Pixels are counted from 1, and the last one is inside.
            box = ((ymin - 1) / height, (xmin - 1) / width, ymax / height, xmax / width)
            chains = [(name.text or "").strip() for name in each.iter("name")]
            if not all(chains or [""]):
                raise ValueError("it has no name, the number of its chain")
            for chain in chains:
                boxes.setdefault(chain, []).append(box)
    except (ET.ParseError, ValueError) as error:
        raise InputError(f"{place}: not an annotation of Flickr30k Entities: {error}") from error
    return boxes


def _pixels(element, path):
    text = element.findtext(path, "")
    if not text.strip().isdecimal():
        raise ValueError(f"{path} is {text!r}, no number of pixels")
    return int(text)


def _pairs(sentences, captions):
    """Each sentence with the caption that is most like it, the most alike first.

    Yields:
        `(phrases, caption, places)`: the phrases of the sentence; the number of the caption, `None`
        where no caption is like it; and for words of the sentence their places, see `_place`.
    """
    matchers = {
        (i, j): difflib.SequenceMatcher(None, words, caption, autojunk=False)
        for i, (words, _) in enumerate(sentences)
        for j, caption in enumerate(captions)
    }
    ratios = {pair: each.ratio() for pair, each in matchers.items()}
    by_likeness = sorted(ratios, key=lambda pair: -ratios[pair])
    taken_sentences, taken_captions = set(), set()
    for i, j in by_likeness:
        if i in taken_sentences or j in taken_captions or ratios[i, j] < _ALIKE:
            continue
        taken_sentences.add(i)
        taken_captions.add(j)
        yield sentences[i][1], j, _places(matchers[i, j])
    for i, (_, phrases) in enumerate(sentences):
        if i not in taken_sentences:
            yield phrases, None, {}


def _places(matcher):
    """Dict, a word of the sentence to the stretch of words that it is in, `(first, end)`, and the
    stretch of the caption that stands there."""
    places = {}
    for _, first, end, other, other_end in matcher.get_opcodes():
        if end - first == other_end - other:  # equal, or replaced one by one
            for i in range(end - first):
                places[first + i] = (first + i, first + i + 1), (other + i, other + i + 1)
        elif other < other_end:
            places |= dict.fromkeys(range(first, end), ((first, end), (other, other_end)))
    return places


def _place(first, end, places):
    """Where words `first` to `end - 1` of the sentence stand in the caption; or `None`."""
    found = [places.get(i) for i in range(first, end)]
    if None in found or found[0][0][0] < first or found[-1][0][1] > end:
        return None
    return found[0][1][0], found[-1][1][1]


def _text(path):
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file of Flickr30k Entities") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file in UTF-8") from error
