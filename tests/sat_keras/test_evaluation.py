"""Evaluation of captions on data sets of the test's own: photos, scores, boxes, results files."""

import json

import numpy as np
import pytest
import tensorflow_datasets as tfds

from sat_edge.caption import Caption
from sat_keras.evaluation import _image_id, evaluate, photo_batches, save_results
from sat_keras.metrics import caption_scores

pytestmark = pytest.mark.usefixtures("without_java")

COUNT = 5


class Toys(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Photos of one colour each, in which some words have boxes."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
                    "image/filename": tfds.features.Text(),
                    "captions": tfds.features.Sequence({"text": tfds.features.Text()}),
                    "places": tfds.features.Sequence(
                        {"word": tfds.features.Text(), "bbox": tfds.features.BBoxFeature()}
                    ),
                }
            ),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {"test": self._generate_examples()}

    def _generate_examples(self):
        for i in range(COUNT):
            yield (
                i,
                {
                    "image": np.full((8, 12, 3), 40 * i, "uint8"),
                    "image/filename": f"{i}.png",
                    "captions": [{"text": "A cat on a mat ."}, {"text": f"Cat number {i}"}],
                    "places": [
                        {"word": word, "bbox": tfds.features.BBox(*box)} for word, box in PLACES[i]
                    ],
                },
            )


LEFT, RIGHT, ALL = (0.0, 0.0, 1.0, 0.5), (0.0, 0.5, 1.0, 1.0), (0.0, 0.0, 1.0, 1.0)
PLACES = [
    [("cat", LEFT)],
    [("cat", LEFT), ("cat", RIGHT)],  # of one word, two
    [("mat", RIGHT)],  # no cat
    [],
    [("cat", RIGHT), ("mat", LEFT)],
]


class Boxed(Toys):
    """The same, with boxes for grounding."""

    THINGS = ("cat", "mat")

    def named_boxes(self, words, record):
        assert record["filename"].endswith(".png") and len(record["captions"]) == 2
        return [
            [tuple(each["bbox"]) for each in record["places"] if each["word"] == word]
            if word in self.THINGS
            else None
            for word in words
        ]


@pytest.fixture(scope="module")
def builders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    for each in (found := [Toys(data_dir=folder), Boxed(data_dir=folder)]):
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


def test_grounding_is_measured_where_the_builder_knows_boxes(builders):
    plain, boxed = builders
    assert plain.name == "toys" and boxed.name == "boxed"  # the evaluator knows neither name
    scores, _ = evaluate(caption_all, plain, "test")
    assert not [name for name in scores if name.startswith("grounding")]
    scores, _ = evaluate(caption_all, boxed, "test")
    # Ten words name something: "cat" (left 0.8) and "mat" (right 0.75) of five photos. Where the
    # picture has none, the word scores 0.
    mass = [0.8, 0.8 + 0.2, 0.75, 0.2, 0.25]  # cat, cat, mat, cat, mat
    pointing = [1, 1, 1, 0, 0]
    assert scores["grounding_mass"] == pytest.approx(sum(mass) / 10)
    assert scores["grounding_pointing"] == pytest.approx(sum(pointing) / 10)
    uniform = [0.5, 1.0, 0.5, 0.5, 0.5]
    assert scores["grounding_uniform_mass"] == pytest.approx(sum(uniform) / 10)
    assert scores["grounding_uniform_pointing"] == pytest.approx(sum(uniform) / 10)


def test_captions_that_name_nothing_have_no_grounding(builders):
    scores, _ = evaluate(
        lambda photos: [caption_of(("a", "on"))] * len(photos), builders[1], "test"
    )
    assert {scores[f"grounding_{name}"] for name in ("mass", "pointing", "uniform_mass")} == {0.0}


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
