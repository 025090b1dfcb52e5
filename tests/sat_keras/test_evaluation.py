"""Evaluation of captions on data sets of the test's own: photos, scores, boxes, results files."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow_datasets as tfds

from sat_edge.caption import Caption
from sat_keras.datasets.photo_captions import PHRASES, as_feature
from sat_keras.datasets.shapes.scenes import draw_scene, named_objects
from sat_keras.datasets.shapes.shapes_dataset_builder import Builder as Shapes
from sat_keras.evaluation import _image_id, evaluate, photo_batches, save_results
from sat_keras.metrics import Grounding, caption_scores, trust_scores
from sat_keras.tokenizer import tokenize

pytestmark = pytest.mark.usefixtures("without_java")

COUNT = 5


class Toys(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Photos of one colour each."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
                    "image/filename": tfds.features.Text(),
                    "captions": tfds.features.Sequence(self.CAPTION),
                }
            ),
            disable_shuffling=True,
        )

    CAPTION = {"text": tfds.features.Text()}

    def _split_generators(self, dl_manager):
        return {"test": self._generate_examples()}

    def _generate_examples(self):
        for i in range(COUNT):
            pixels = np.full((8, 12, 3), 40 * i, "uint8")
            captions = [self._caption(i, text) for text in ("A cat on a mat .", f"Cat number {i}")]
            yield i, {"image": pixels, "image/filename": f"{i}.png", "captions": captions}

    def _caption(self, photo, text):
        return {"text": text}


LEFT, RIGHT = (0.0, 0.0, 1.0, 0.5), (0.0, 0.5, 1.0, 1.0)
PLACES = [
    {"cat": [LEFT], "mat": [RIGHT]},
    {"cat": [LEFT, RIGHT]},  # two cats
    {"cat": [LEFT], "mat": [LEFT]},
    {},  # nothing there has a box
    {"cat": [], "mat": [RIGHT]},  # the references name a cat that nobody found
]
TYPES = {"cat": "animals", "mat": "other"}


class Boxed(Toys):
    """The same, and where cats and mats are: "a cat", "a mat" and "cat" are phrases."""

    CAPTION = {"text": tfds.features.Text(), "phrases": PHRASES}

    def _caption(self, photo, text):
        words = tokenize(text)
        phrases = [
            {"first": max(i - 1, 0), "end": i + 1, "type": TYPES[word], "boxes": boxes}
            for word, boxes in PLACES[photo].items()
            for i in range(len(words))
            if words[i] == word
        ]
        return {"text": text, "phrases": list(map(as_feature, phrases))}

    def named_phrases(self, words, record):
        assert len(record["captions"]) == 2
        places = PLACES[int(record["filename"][0])]
        return [
            {"first": i, "end": i + 1, "type": TYPES[word], "boxes": places.get(word, [])}
            for i, word in enumerate(words)
            if word in TYPES
        ]


class Unboxed(Boxed):
    """Phrases, of which none has boxes."""

    def _caption(self, photo, text):
        caption = super()._caption(photo, text)
        return {**caption, "phrases": [{**each, "boxes": []} for each in caption["phrases"]]}


@pytest.fixture(scope="module")
def builders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    for each in (found := [kind(data_dir=folder) for kind in (Toys, Boxed, Unboxed)]):
        each.download_and_prepare()
    return found


WORDS = ("a", "cat", "on", "a", "mat")
REGIONS = np.array([LEFT, RIGHT])  # (2, 4)
# Words look to the left but for "mat", and `<end>` looks to the right.
ATTENTION = np.array([[0.5, 0.5], [0.8, 0.2], [0.6, 0.4], [0.7, 0.3], [0.25, 0.75], [0.1, 0.9]])


def caption_of(words):
    rows = [*range(len(words)), len(ATTENTION) - 1]
    attention = ATTENTION[rows].reshape(-1, 1, 2)
    return Caption(" ".join(words), words, np.arange(len(rows)), -1.0, -1.0, attention, REGIONS)


def caption_all(photos):
    return [caption_of(WORDS) for _ in photos]


def test_photos_come_in_their_order_a_few_at_a_time(builders, monkeypatch):
    monkeypatch.setattr("sat_keras.evaluation._BATCH", 2)
    batches = list(photo_batches(builders[0], "test"))
    assert [len(photos) for photos, _ in batches] == [2, 2, 1]
    values = [photo.getpixel((0, 0))[0] for photos, _ in batches for photo in photos]
    assert values == [0, 40, 80, 120, 160]
    names = [record["filename"] for _, records in batches for record in records]
    assert names == [f"{i}.png" for i in range(COUNT)]
    assert [len(each) for each, _ in photo_batches(builders[0], "test", limit=3)] == [2, 1]
    assert sum(len(each) for each, _ in photo_batches(builders[0], "test", limit=99)) == COUNT


def test_scores_and_captions(builders):
    scores, captions = evaluate(caption_all, builders[0], "test")
    assert captions == [{"image_id": f"{i}.png", "caption": "a cat on a mat"} for i in range(COUNT)]
    references = [["A cat on a mat .", f"Cat number {i}"] for i in range(COUNT)]
    expected = caption_scores(["a cat on a mat"] * COUNT, references)
    assert scores.items() >= expected.items()
    assert scores["photos"] == COUNT
    entropies = -(ATTENTION * np.log(ATTENTION)).sum(axis=1)
    assert scores["attention_entropy"] == pytest.approx(entropies.mean())


def test_fluency_beside_that_of_the_references_and_sexes(builders):
    sentences = ("a cat and a cat", "a man", "a man", "water and water", "she")

    def caption(photos):
        return [caption_of(tuple(each.split())) for each, _ in zip(sentences, photos, strict=True)]

    scores, _ = evaluate(caption, builders[0], "test")
    assert scores["fluency"] == {
        "captions": {
            "repeated_bigram": 1 / 5,
            "word_and_same_word": 1 / 5,
            "near_repeat": 2 / 5,
            "distinct": 4 / 5,
            "mean_length": (5 + 2 + 2 + 3 + 1) / 5,
        },
        "references": {  # "A cat on a mat ." and "Cat number i" of each photo
            "repeated_bigram": 0.0,
            "word_and_same_word": 0.0,
            "near_repeat": 0.0,
            "distinct": 1 / 5,  # of the first of each
            "mean_length": (5 + 3) / 2,
        },
    }
    assert scores["sexes"] == {
        "all": {"named": 3 / 5, "contradicted": 0.0, "unsupported": 1.0},
        "male": {"named": 2 / 5, "contradicted": 0.0, "unsupported": 1.0},
        "female": {"named": 1 / 5, "contradicted": 0.0, "unsupported": 1.0},
    }


def test_trust_is_scored_where_captions_have_it(builders):
    confidence = [0.9, 0.1, 0.5, 0.3, 0.7]

    def caption(photos):
        pairs = zip(caption_all(photos), confidence, strict=True)
        return [dataclasses.replace(c, confidence=x, familiarity=x / 2) for c, x in pairs]

    scores, captions = evaluate(caption, builders[0], "test")
    references = [["A cat on a mat .", f"Cat number {i}"] for i in range(COUNT)]
    halves = np.array(confidence) / 2
    texts = ["a cat on a mat"] * COUNT
    wanted = trust_scores(texts, references, np.array(confidence), halves)
    assert scores["trust"] == wanted
    found = [(each["confidence"], each["familiarity"]) for each in captions]
    assert found == list(zip(confidence, halves, strict=True))
    scores, _ = evaluate(caption_all, builders[0], "test")
    assert "trust" not in scores


# What a captioner looks at for each word of captions that are given; `<end>` as for any other word.
GIVEN = {"a": (0.9, 0.1), "cat": (0.7, 0.3), "on": (0.5, 0.5), "mat": (0.4, 0.6)}


def attend(photos, captions):
    assert len(photos) == len(captions) and all(captions)
    looked = [
        [[GIVEN.get(w, (0.2, 0.8)) for w in (*c, "<end>")] for c in each] for each in captions
    ]
    return [[np.array(each).reshape(-1, 1, 2) for each in of_photo] for of_photo in looked]


def looped(measured):
    """Pointing, mass and correctness of the attention, by a loop over the phrases.

    `measured` has, of each phrase, the weights of its words `(n, 2)` and the boxes.
    """
    pointing, mass, correctness = [], [], []
    for words, boxes in measured:
        masses = [
            sum(w for w, side in zip(word, (LEFT, RIGHT), strict=True) if side in boxes)
            for word in words
        ]
        looks = LEFT if words[-1][0] > words[-1][1] else RIGHT
        pointing.append(looks in boxes)
        mass.append(masses[-1])
        correctness.append(max(masses))
    return {
        name: np.mean(each)
        for name, each in zip(
            ("pointing", "mass", "correctness"), (pointing, mass, correctness), strict=True
        )
    }


def check(row, measured):
    wanted = looped(measured)
    assert row["phrases"] == len(measured)
    assert row["pointing"]["attention"] == pytest.approx(wanted["pointing"])
    assert row["mass"]["attention"] == pytest.approx(wanted["mass"])
    assert row["correctness"] == pytest.approx(wanted["correctness"])
    sides = [[side in boxes for side in (LEFT, RIGHT)] for _, boxes in measured]
    for name in ("pointing", "mass"):
        assert row[name]["uniform"] == pytest.approx(np.mean(sides))
        assert row[name]["best_fixed"] == pytest.approx(np.mean(sides, axis=0).max())
    assert row["pointing"]["middle"] == pytest.approx(np.mean(np.any(sides, axis=1)))  # on the edge
    assert row["mass"]["middle"] == pytest.approx(np.mean(sides))  # both regions are as near


@pytest.mark.parametrize("batch", [2, 32])
def test_grounding_on_the_words_of_references_and_on_its_own(builders, monkeypatch, batch):
    monkeypatch.setattr("sat_keras.evaluation._BATCH", batch)
    scores, _ = evaluate(caption_all, builders[1], "test", attend=attend)
    found = scores["grounding"]
    assert list(found) == ["references", "own"]
    cats = [([GIVEN["a"], GIVEN["cat"]], each["cat"]) for each in PLACES if each.get("cat")]
    cats += [([GIVEN["cat"]], each["cat"]) for each in PLACES if each.get("cat")]  # "Cat number 0"
    mats = [([GIVEN["a"], GIVEN["mat"]], each["mat"]) for each in PLACES if "mat" in each]
    assert list(found["references"]) == ["all", "animals", "other"]
    for type_, measured in (("all", cats + mats), ("animals", cats), ("other", mats)):
        check(found["references"][type_], measured)
    # It names a cat and a mat on all photos, also where none is.
    cats = [([ATTENTION[1]], each.get("cat", [])) for each in PLACES]
    mats = [([ATTENTION[4]], each.get("mat", [])) for each in PLACES]
    for type_, measured in (("all", cats + mats), ("animals", cats), ("other", mats)):
        check(found["own"][type_], measured)


def test_grounding_by_hand(builders):
    """The first photo alone: the cat is on the left, the mat on the right."""
    scores, _ = evaluate(caption_all, builders[1], "test", limit=1, attend=attend)
    references, own = (scores["grounding"][name]["all"] for name in ("references", "own"))
    assert references["phrases"] == 3 and own["phrases"] == 2
    assert references["mass"]["attention"] == pytest.approx((0.7 + 0.7 + 0.6) / 3)
    assert references["correctness"] == pytest.approx((0.9 + 0.7 + 0.6) / 3)
    assert own["mass"]["attention"] == own["correctness"] == pytest.approx((0.8 + 0.75) / 2)
    assert references["pointing"]["attention"] == own["pointing"]["attention"] == 1
    assert references["mass"]["best_fixed"] == pytest.approx(2 / 3)


def test_captions_that_name_nothing_are_not_attended_to(builders):
    asked = []

    def listen(photos, captions):
        asked.extend(
            (photo.getpixel((0, 0))[0] // 40, each)
            for photo, each in zip(photos, captions, strict=True)
        )
        return attend(photos, captions)

    evaluate(caption_all, builders[1], "test", attend=listen)
    cat_on_mat = "a cat on a mat".split()
    both = [(i, [cat_on_mat, ["cat", "number", str(i)]]) for i in range(3)]
    assert asked == [*both, (4, [cat_on_mat])]  # photo 3 has no boxes, photo 4 none of a cat


def test_heads_behind_the_longest_caption_are_left_out(builders):
    def cut(photos, captions):
        return [[each[:3] for each in of_photo] for of_photo in attend(photos, captions)]

    scores, _ = evaluate(caption_all, builders[1], "test", attend=cut)
    assert list(scores["grounding"]["references"]) == ["all", "animals"]  # no mat: the fifth word
    assert scores["grounding"]["references"]["all"]["phrases"] == 6


def test_without_attention_to_references_its_own_captions_are_measured(builders):
    scores, _ = evaluate(caption_all, builders[1], "test")
    assert list(scores["grounding"]) == ["own"]


@pytest.mark.parametrize("builder", [0, 2])
def test_without_boxes_there_is_no_grounding(builders, builder):
    scores, _ = evaluate(caption_all, builders[builder], "test", attend=attend)
    assert "grounding" not in scores


def test_captions_that_name_nothing(builders):
    scores, _ = evaluate(
        lambda photos: [caption_of(("a", "on"))] * len(photos), builders[1], "test"
    )
    row = scores["grounding"]["own"]["all"]
    assert (row["phrases"], row["mass"]["attention"], row["mass"]["uniform"]) == (0, 0.0, 0.0)


def old_scores(attention, regions, boxes):
    """As 0.2 had them: sums over words, of which `boxes` has a list each."""
    sums = np.zeros(4)
    centres = (regions[:, :2] + regions[:, 2:]) / 2
    for weights, each in zip(attention, boxes, strict=True):
        if not each:
            continue
        each = np.asarray(each)
        low = np.maximum(regions[:, None, :2], each[:, :2])  # (L, K, 2)
        high = np.minimum(regions[:, None, 2:], each[:, 2:])
        size = (regions[:, 2:] - regions[:, :2]).prod(axis=1)
        inside = (high - low).clip(0).prod(axis=2).sum(axis=1) / size  # boxes are apart
        pointed = ((each[:, None, :2] <= centres) & (centres <= each[:, None, 2:])).all(-1).any(0)
        sums += weights @ inside, pointed[weights.argmax()], inside.mean(), pointed.mean()
    return sums


def test_on_shapes_its_own_captions_score_what_they_did(tmp_path):
    """Every word that names something in a drawing is a phrase."""
    builder = Shapes(data_dir=tmp_path)
    rng, grounding, sums, count = np.random.default_rng(0), Grounding(), 0.0, 0
    y, x = np.indices((8, 8)).reshape(2, -1) / 8 + 0.05
    regions = np.stack([y, x, y + 1 / 8, x + 1 / 8], axis=1)
    scenes = [draw_scene([9, i]) for i in range(40)]
    for i, (_, objects, _) in enumerate(scenes):
        words = scenes[i - i % 2][2][0].split()  # every second caption is of another drawing
        attention = rng.dirichlet(np.full(64, 0.2), len(words) + 1)
        named = [(t, n) for t, n in enumerate(named_objects(words, objects)) if n is not None]
        boxes = [[objects[n].box] if n >= 0 else [] for _, n in named]
        sums += old_scores(attention[[t for t, _ in named]], regions, boxes)
        count += len(named)
        things = [
            {"size": each.size, "color": each.color, "shape": each.shape, "bbox": list(each.box)}
            for each in objects
        ]
        phrases = builder.named_phrases(words, {"objects": things})
        grounding.add(attention.reshape(-1, 8, 8), regions, phrases)
    found = grounding.scores()
    row = found["all"]
    assert row["phrases"] == count
    assert {"all", "color", "shape", "size"} == set(found)
    new = [row[name][by] for by in ("attention", "uniform") for name in ("mass", "pointing")]
    assert new == pytest.approx(list(sums / count))


def test_results_are_in_coco_captions_format(tmp_path):
    """pycocotools, the field's own reader, takes the captions; ids are COCO's numbers."""
    pycocotools = pytest.importorskip("pycocotools.coco")

    class Builder:
        name = "coco"

    name = "COCO_val2014_000000391895.jpg"
    captions = [{"image_id": _image_id(Builder, name), "caption": "a man on a bike"}]
    save_results(tmp_path / "all.json", {"BLEU-4": 0.25}, captions, {"split": "test"})
    found = json.loads((tmp_path / "all.json").read_text())
    assert (found["scores"], found["settings"]) == ({"BLEU-4": 0.25}, {"split": "test"})
    coco = pycocotools.COCO()
    coco.dataset = {"images": [{"id": 391895}], "annotations": []}
    coco.createIndex()
    results = coco.loadRes(found["captions"])
    assert results.imgToAnns[391895][0]["caption"] == "a man on a bike"


def test_an_unreadable_photo_is_named(builders, monkeypatch):
    def read_photos(builder, split):
        yield "broken.jpg", b"no photo", {"filename": "broken.jpg", "captions": ["a"]}

    monkeypatch.setattr("sat_keras.datasets.read_photos", read_photos)
    with pytest.raises(ValueError, match="^broken.jpg: not a picture"):
        evaluate(caption_all, builders[0], "test")
