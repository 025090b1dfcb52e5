import numpy as np
import pytest

from sat_keras.datasets.shapes.scenes import (
    CAPTIONS,
    COLORS,
    IMAGE_SIZE,
    SceneObject,
    draw_scene,
    named_objects,
)


@pytest.fixture(scope="module")
def scenes():
    return [draw_scene([7, i]) for i in range(60)]


def test_same_seed_same_scene():
    first, again = draw_scene(5), draw_scene(5)
    np.testing.assert_array_equal(first[0], again[0])
    assert first[1:] == again[1:]
    assert (draw_scene(6)[0] != first[0]).any()


def test_every_scene_has_one_to_three_objects_and_five_captions(scenes):
    counts = [len(objects) for _, objects, _ in scenes]
    assert set(counts) == {1, 2, 3}
    for picture, objects, captions in scenes:
        assert picture.shape == (IMAGE_SIZE, IMAGE_SIZE, 3)
        assert len(set(captions)) == CAPTIONS
        assert len({(each.color, each.shape) for each in objects}) == len(objects)


def test_boxes_hold_the_object_and_nothing_of_it_lies_outside(scenes):
    for picture, objects, _ in scenes:
        for each in objects:
            ymin, xmin, ymax, xmax = (round(x * IMAGE_SIZE) for x in each.box)
            same = (picture == COLORS[each.color]).all(-1)  # (height, width)
            inside = same[ymin:ymax, xmin:xmax]
            # It reaches every edge; a tip's last pixels are antialiased, so of another colour.
            assert inside[:5].any() and inside[-5:].any()
            assert inside[:, :5].any() and inside[:, -5:].any()
            if sum(other.color == each.color for other in objects) == 1:
                assert same.sum() == inside.sum()


def test_boxes_are_apart(scenes):
    for _, objects, _ in scenes:
        cover = np.zeros((IMAGE_SIZE, IMAGE_SIZE), int)
        for each in objects:
            ymin, xmin, ymax, xmax = (round(x * IMAGE_SIZE) for x in each.box)
            cover[ymin:ymax, xmin:xmax] += 1
        assert cover.max() == 1


def test_every_caption_names_every_object(scenes):
    for _, objects, captions in scenes:
        for caption in captions:
            named = {each for each in named_objects(caption.split(), objects) if each is not None}
            assert named == set(range(len(objects)))


def test_relations_are_true(scenes):
    for _, objects, captions in scenes:
        for caption in captions:
            for words, holds in {
                "above": lambda a, b: a.box[0] < b.box[0],
                "below": lambda a, b: a.box[2] > b.box[2],
                "left of": lambda a, b: a.box[1] < b.box[1],
                "right of": lambda a, b: a.box[3] > b.box[3],
            }.items():
                if f" {words} " in caption:
                    named = [i for i in named_objects(caption.split(), objects) if i is not None]
                    first, last = objects[named[0]], objects[named[-1]]
                    if caption.endswith(" it"):  # "a square with a circle below it"
                        first, last = last, first
                    assert holds(first, last), caption


def test_captions_name_large_before_small_then_from_top_to_bottom(scenes):
    for _, objects, captions in scenes:
        keys = [(each.size == "small", each.box[0] + each.box[2]) for each in objects]
        assert keys == sorted(keys)
        for caption in captions:
            named = [i for i in named_objects(caption.split(), objects) if i is not None]
            assert named == sorted(named)


def test_phrases_that_name_nothing_there():
    box = (0.0, 0.0, 0.5, 0.5)
    objects = [SceneObject("small", "red", "circle", box), SceneObject("large", "red", "star", box)]
    words = "there is a large red circle and a red star and a blue".split()
    named = named_objects(words, objects)
    assert named == [None, None, None, -1, -1, -1, None, None, 1, 1, None, None, -1]
    assert named_objects(["red"], objects) == [-1]  # two are red


def test_phrases_of_words_come_from_the_record(tmp_path):
    from sat_keras.datasets.shapes.shapes_dataset_builder import Builder

    things = [
        {"size": "small", "color": "red", "shape": "circle", "bbox": [0.0, 0.0, 0.5, 0.5]},
        {"size": "large", "color": "red", "shape": "star", "bbox": [0.5, 0.5, 1.0, 1.0]},
    ]
    words = "there is a red circle and a blue star".split()
    found = Builder(data_dir=tmp_path).named_phrases(words, {"objects": things})
    circle = [[0.0, 0.0, 0.5, 0.5]]
    none = []  # a phrase that names nothing in the picture
    wanted = [(3, "color", circle), (4, "shape", circle), (7, "color", none), (8, "shape", none)]
    assert found == [
        {"first": i, "end": i + 1, "type": type_, "boxes": boxes} for i, type_, boxes in wanted
    ]
