"""COCO's captions with the boxes of its instances."""

import json

import pytest
from PIL import Image

from sat_edge import InputError
from sat_keras import datasets
from sat_keras.datasets.coco import instances
from sat_keras.datasets.coco.categories import CATEGORIES, named_categories
from sat_keras.tokenizer import tokenize

IDS = {name: 3 * i + 1 for i, name in enumerate(CATEGORIES)}  # COCO's have gaps too
PHOTOS = {  # folder, split, name; width and height in pixels
    ("train2014", "train", "COCO_train2014_000000000009.jpg"): (40, 20),
    ("val2014", "restval", "COCO_val2014_000000000010.jpg"): (20, 40),
    ("val2014", "val", "COCO_val2014_000000000011.jpg"): (20, 20),
    ("val2014", "test", "COCO_val2014_000000000012.jpg"): (20, 20),
}
TRAIN, RESTVAL, VAL, TEST = (name for _, _, name in PHOTOS)
CAPTIONS = ["Two people and a dog .", "A hot dog on a table ."]
OBJECTS = [  # photo, category, x, y, width, height, in a crowd
    (TRAIN, "person", (10, 5, 20, 10), 0),
    (TRAIN, "person", (0, 0, 40, 20), 1),
    (TRAIN, "dining table", (0, 10, 40.02, 10), 0),  # such roundings are in the official files
    (TRAIN, "dog", (3, 3, 0, 5), 0),  # so are boxes of no width
    (VAL, "hot dog", (5, 10, 10, 5), 0),
]


@pytest.fixture
def coco(tmp_path):
    folder, images = tmp_path / "coco", []
    for (place, split, name), size in PHOTOS.items():
        (folder / place).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size).save(folder / place / name)
        sentences = [{"raw": each} for each in CAPTIONS]
        images.append({"filepath": place, "filename": name, "split": split, "sentences": sentences})
    (folder / "dataset_coco.json").write_text(json.dumps({"images": images}))
    return folder


def write_instances(folder):
    (folder / "annotations").mkdir()
    for name in instances.FILES:
        photos = [
            {"id": int(photo[-6:-4]), "file_name": photo, "width": size[0], "height": size[1]}
            for (place, _, photo), size in PHOTOS.items()
            if place in name
        ]
        annotations = [
            {
                "image_id": int(photo[-6:-4]),
                "category_id": IDS[category],
                "bbox": box,
                "iscrowd": crowd,
                "segmentation": {"counts": [3, 4], "size": [20, 40]} if crowd else [[1.5, 2, 3, 4]],
            }
            for photo, category, box, crowd in OBJECTS
            if photo in [each["file_name"] for each in photos]
        ]
        categories = [{"id": key, "name": category} for category, key in IDS.items()]
        content = {"images": photos, "annotations": annotations, "categories": categories}
        (folder / "annotations" / name).write_text(json.dumps(content))
    return folder


def change(path, edit):
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def names(caption, shown=()):
    words = tokenize(caption)
    found = named_categories(words, set(shown))
    return [(" ".join(words[first:end]), category) for first, end, category in found]


# === What words name ===


def test_the_eighty_categories():
    assert len(CATEGORIES) == 80
    counts = {}
    for supercategory, _ in CATEGORIES.values():
        counts[supercategory] = counts.get(supercategory, 0) + 1
    assert counts == {
        **{"person": 1, "vehicle": 8, "outdoor": 5, "animal": 10, "accessory": 5, "sports": 10},
        **{"kitchen": 7, "food": 10, "furniture": 6, "electronic": 6, "appliance": 5, "indoor": 7},
    }


def test_every_word_surely_names_its_category():
    for category, (_, others) in CATEGORIES.items():
        for name in [category, *filter(None, others.split(", "))]:
            if name != "orange":  # nearly always a colour
                words = " ".join(tokenize(name))
                assert names(f"there is {name} .") == [(words, category)]


@pytest.mark.parametrize(
    "caption, named",
    [
        ("A man, two women, men and their children", {"man", "women", "men", "children"}),
        ("Some ladies, a guy and kids watch the players", {"ladies", "guy", "kids", "players"}),
        ("A fireman's hat beside a teenager", {"fireman", "teenager"}),
    ],
)
def test_people(caption, named):
    assert sorted(names(caption)) == [(each, "person") for each in sorted(named)]


@pytest.mark.parametrize(
    "caption, named",
    [
        ("A hot dog on a bun", [("hot dog", "hot dog")]),
        ("Two hot-dogs", [("hot-dogs", "hot dog")]),
        ("A dog eats a hotdog", [("dog", "dog"), ("hotdog", "hot dog")]),
        ("A teddy bear", [("teddy bear", "teddy bear")]),
        ("A bear with teddy bears", [("bear", "bear"), ("teddy bears", "teddy bear")]),
        ("A polar bear", [("polar bear", "bear")]),
        ("Wine glasses", [("wine glasses", "wine glass")]),
        ("A glass of red wine", [("glass of red wine", "wine glass")]),
        ("A glass table and glasses", []),
        ("A boy in glasses", [("boy", "person")]),
        ("A bat and a ball", [("bat", "baseball bat"), ("ball", "sports ball")]),
        ("A baseball player", [("baseball player", "person")]),
        ("A phone by the television", [("phone", "cell phone"), ("television", "tv")]),
        ("A TV remote on a TV stand", [("tv remote", "remote")]),
        ("A laptop computer", [("laptop computer", "laptop")]),
        ("Knives, mice and geese", [("knives", "knife"), ("mice", "mouse"), ("geese", "bird")]),
        ("Puppies and benches", [("puppies", "dog"), ("benches", "bench")]),
        ("A train station at the bus stop by the car park", []),
        ("A train car", [("train car", "train")]),
        ("A dirt bike", [("dirt bike", "motorcycle")]),
        ("A man-made lake, a snow man, the men's room", []),
        ("A double-decker bus", [("double-decker bus", "bus")]),
        ("A toilet paper roll over the toilet bowl", [("toilet bowl", "toilet")]),
        ("Skis under blue skies", [("skis", "skis")]),
        ("A carrot cake", [("carrot cake", "cake")]),
        ("A baby elephant", [("baby elephant", "elephant")]),
        ("A couple of zebras", [("zebras", "zebra")]),
        ("A street with a statue, an animal and a toy", []),
    ],
)
def test_words_that_hold_others(caption, named):
    assert names(caption) == named


@pytest.mark.parametrize(
    "caption, shown, named",
    [
        ("An orange shirt", [], []),
        ("An orange", ["orange"], [("orange", "orange")]),
        ("Oranges", [], [("oranges", "orange")]),
        ("A ski", [], []),
        ("A bag", [], []),
        ("A bag", ["backpack"], [("bag", "backpack")]),
        ("A bag", ["backpack", "handbag"], [("bag", "handbag")]),
        ("A table", [], []),
        ("A table", ["dining table"], [("table", "dining table")]),
        ("An elephant and its baby", ["elephant"], [("elephant", "elephant")]),
        ("A baby", ["person"], [("baby", "person")]),
        ("A stuffed dog", ["dog", "teddy bear"], [("stuffed dog", "teddy bear")]),
        ("A bike", [], [("bike", "bicycle")]),  # surely one of two
        ("A bike", ["motorcycle"], [("bike", "motorcycle")]),
    ],
)
def test_words_that_perhaps_name_something(caption, shown, named):
    assert names(caption, shown) == named


# === Instances ===


def test_boxes_are_shares_of_the_photo(coco):
    found = instances.read_objects(write_instances(coco) / "annotations" / instances.FILES[0])
    assert found == {
        TRAIN: [
            {"name": "person", "type": "person", "bbox": (0.25, 0.25, 0.75, 0.75)},
            {"name": "person", "type": "person", "bbox": (0.0, 0.0, 1.0, 1.0)},
            {"name": "dining table", "type": "furniture", "bbox": (0.5, 0.0, 1.0, 1.0)},
        ]
    }


def test_records_with_boxes(coco, tmp_path):
    builder = datasets.build_records("coco", tmp_path / "records", write_instances(coco))
    (_, _, train), (_, _, restval) = datasets.read_photos(builder, "train")
    person = [[0.25, 0.25, 0.75, 0.75], [0.0, 0.0, 1.0, 1.0]]
    table = [[0.5, 0.0, 1.0, 1.0]]
    assert train["filename"] == TRAIN and train["captions"] == CAPTIONS
    assert train["phrases"] == [
        [
            {"first": 1, "end": 2, "type": "person", "boxes": person},
            {"first": 4, "end": 5, "type": "animal", "boxes": []},  # there is none
        ],
        [
            {"first": 1, "end": 3, "type": "food", "boxes": []},
            {"first": 5, "end": 6, "type": "furniture", "boxes": table},
        ],
    ]
    assert [each["name"] for each in train["objects"]] == ["person", "person", "dining table"]
    assert restval["objects"] == []  # nothing of 80 categories: so the dog is not there either
    assert [len(each) for each in restval["phrases"]] == [2, 1]

    assert builder.named_phrases("a woman at a table with a cat".split(), train) == [
        {"first": 1, "end": 2, "type": "person", "boxes": person},
        {"first": 4, "end": 5, "type": "furniture", "boxes": table},
        {"first": 7, "end": 8, "type": "animal", "boxes": []},
    ]


def test_records_with_and_without_boxes_do_not_mix(coco, tmp_path):
    records = tmp_path / "records"
    without = datasets.build_records("coco", records, coco)
    _, _, record = next(datasets.read_photos(without, "train"))
    assert record["phrases"] == [[], []]
    assert without.named_phrases(["a", "dog"], record) == []
    again = datasets.build_records("coco", records)
    assert again.data_dir == without.data_dir

    with_boxes = datasets.build_records("coco", records, write_instances(coco))
    assert with_boxes.data_dir != without.data_dir
    _, _, record = next(datasets.read_photos(with_boxes, "train"))
    assert record["phrases"][0]
    again = datasets.build_records("coco", records)
    assert again.data_dir == with_boxes.data_dir
    assert again.named_phrases(["a", "dog"], record)
    _, _, record = next(datasets.read_photos(without, "train"))
    assert record["phrases"] == [[], []]


def test_one_of_two_files(coco, tmp_path):
    write_instances(coco)
    (coco / "annotations" / instances.FILES[1]).unlink()
    with pytest.raises(InputError, match="instances_val2014.json: no such file, and its other"):
        datasets.build_records("coco", tmp_path / "records", coco)
    (coco / "annotations" / instances.FILES[0]).unlink()
    datasets.build_records("coco", tmp_path / "records", coco)  # perhaps other annotations


@pytest.mark.parametrize(
    "edit, says",
    [
        (lambda content: content["annotations"][1].pop("image_id"), ": not in the layout"),
        (lambda content: content["annotations"][1].pop("bbox"), "[1]: not in the layout"),
        (lambda content: content["annotations"][1].update(bbox=[1, 2, 3]), "[1]: not in the"),
        (lambda content: content["annotations"][2].update(bbox=["a"] * 4), "[2]: not in the"),
        (lambda content: content["annotations"][2].update(image_id=99), "[2]: not in the"),
        (lambda content: content["images"][0].pop("width"), "[0]: not in the layout"),
        (lambda content: content.pop("categories"), ": not in the layout"),
        (lambda content: content["categories"][3].update(name="moon"), "'moon' is none of"),
    ],
)
def test_another_layout(coco, tmp_path, edit, says):
    path = write_instances(coco) / "annotations" / instances.FILES[0]
    change(path, edit)
    with pytest.raises(InputError) as error:
        datasets.build_records("coco", tmp_path / "records", coco)
    assert str(error.value).startswith(str(path))
    assert says in str(error.value) and "\n" not in str(error.value)


def test_a_file_that_is_cut_off(coco):
    path = write_instances(coco) / "annotations" / instances.FILES[0]
    path.write_text(path.read_text()[:-20])
    with pytest.raises(InputError, match="instances_train2014.json: not in the layout of COCO's"):
        instances.read_objects(path)


def test_photos_that_the_instances_do_not_have(coco, tmp_path):
    write_instances(coco)
    change(
        coco / "annotations" / instances.FILES[1],
        lambda content: content["images"].pop(2),
    )
    with pytest.raises(InputError) as error:
        datasets.build_records("coco", tmp_path / "records", coco)
    assert str(error.value) == (
        f"{coco / 'dataset_coco.json'}: {TEST} is in neither file of instances in "
        f"{coco / 'annotations'}"
    )


def test_entities_are_not_of_coco(coco, tmp_path):
    for part in ("Sentences", "Annotations"):
        (tmp_path / "entities" / part).mkdir(parents=True)
    with pytest.raises(InputError, match="coco has no phrases in Flickr30k Entities: name none"):
        datasets.build_records("coco", tmp_path / "records", coco, tmp_path / "entities")
