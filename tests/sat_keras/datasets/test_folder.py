import csv
import json

import numpy as np
import pytest
from PIL import Image

from sat_edge import InputError
from sat_keras import cli, datasets
from sat_keras.datasets.checks import Photo
from sat_keras.datasets.folder.caption_files import _draw_splits, read_splits
from sat_keras.tokenizer import tokenize

NAMES = [f"{i}.jpg" for i in range(10)]


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, name in enumerate(NAMES):
        pixels = np.random.default_rng(i).integers(0, 255, (24, 32, 3), dtype="uint8")
        Image.fromarray(pixels).save(folder / name)
    return folder


def write_csv(folder, rows, header=("filename", "caption")):
    with open(folder / "captions.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def names(splits):
    return {split: {name for name, *_ in photos} for split, photos in splits.items()}


GIVEN = ["train"] * 6 + ["validation", "validation", "test", "test"]
WANTED = {split: {n for n, s in zip(NAMES, GIVEN, strict=True) if s == split} for split in GIVEN}


def test_the_three_layouts_say_the_same(photos):
    captions = {name: [f"A caption, of {name}", f"Another of {name}"] for name in NAMES}
    found = []

    rows = [
        (name, caption, split)
        for name, split in zip(NAMES, GIVEN, strict=True)
        for caption in captions[name]
    ]
    write_csv(photos, rows, ("filename", "caption", "split"))
    found.append(read_splits(photos))
    (photos / "captions.csv").unlink()

    lines = [
        json.dumps({"filename": name, "captions": captions[name], "split": split})
        for name, split in zip(NAMES, GIVEN, strict=True)
    ]
    (photos / "captions.jsonl").write_text("\n".join(lines))
    found.append(read_splits(photos))
    (photos / "captions.jsonl").unlink()

    content = {
        "images": [
            {"id": 7 * i, "file_name": name, "split": split}
            for i, (name, split) in enumerate(zip(NAMES, GIVEN, strict=True))
        ],
        "annotations": [
            {"image_id": 7 * i, "caption": caption}
            for i, name in enumerate(NAMES)
            for caption in captions[name]
        ],
    }
    (photos / "captions.json").write_text(json.dumps(content))
    found.append(read_splits(photos))

    splits, problems = found[0]
    assert problems == []
    assert names(splits) == WANTED
    assert splits["train"][1] == Photo("1.jpg", photos / "1.jpg", captions["1.jpg"], objects=[])
    assert found[1] == found[0] and found[2] == found[0]


def test_splits_are_drawn_where_none_are_given(photos):
    write_csv(photos, [(name, "A dog .") for name in NAMES])
    splits, problems = read_splits(photos)
    assert problems == []
    assert {split: len(each) for split, each in splits.items()} == {
        "train": 8,
        "validation": 1,
        "test": 1,
    }
    assert set.union(*names(splits).values()) == set(NAMES)
    write_csv(photos, [(name, "A cat .") for name in reversed(NAMES)])
    assert names(read_splits(photos)[0]) == names(splits)  # whatever the order of the rows


def test_drawn_splits_stay_when_photos_are_added():
    before = _draw_splits([f"{i}.jpg" for i in range(100)])
    after = _draw_splits([f"{i}.jpg" for i in range(101)])
    assert sum(before[name] != after[name] for name in before) <= 2
    assert list(before.values()).count("test") == 10


def test_every_problem_is_listed_with_its_line(photos, tmp_path, capsys):
    (photos / "3.jpg").write_bytes(b"no photo")
    rows = [(name, "A dog .", "train") for name in NAMES]
    rows[1] = ("none.jpg", "A dog .", "train")
    rows[4] = ("4.jpg", " . ", "train")
    rows[5] = ("5.jpg", "A dog .", "training")
    rows[6] = ("6.jpg", "A dog", " and a cat", "train")
    rows[7] = ("7.jpg", "A\ndog", "validation")  # two lines, one row
    rows += [("0.jpg", "A cat .", "test"), ("8.jpg", "A cat ."), ("9.jpg", "A cat .", "train")]
    write_csv(photos, rows, ("filename", "caption", "split"))
    path = photos / "captions.csv"
    wanted = [
        f"{path}, line 8: not 3 columns; quote commas",
        f"{path}, line 14: not 3 columns; quote commas",
        f"{path}, line 3: there is no photo none.jpg in {photos}",
        f"{path}, line 6: 4.jpg has an empty caption",
        f"{path}, line 7: split 'training' is none of train, validation, test",
        f"{path}, line 13: 0.jpg is in two splits, 'train' and 'test'",
        f"{photos}: no photo for test",
        f"{photos / '3.jpg'}: not a picture",
    ]
    with pytest.raises(InputError) as error:
        datasets.build_records("folder", tmp_path / "records", photos)
    found = str(error.value).splitlines()
    assert len(found) == len(wanted)
    for line, start in zip(found, wanted, strict=True):
        assert line.startswith(start)

    command = ["prepare", "folder", "--data-dir", str(photos), "--cache", str(tmp_path / "c")]
    capsys.readouterr()
    assert cli.main(command) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert [line for line in printed.err.splitlines() if "captions.csv" in line] == [
        f"sat-keras: {line}" for line in found if "captions.csv" in line
    ]


def test_twenty_faults_are_twenty_lines(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    good = [(f"{i:02d}.jpg", "A dog .", split) for i, split in enumerate(GIVEN)]
    faults = [  # (row, how its line goes on)
        (("gone.jpg", "A dog .", "train"), "there is no photo gone.jpg"),
        (("00.JPEG", "A dog .", "train"), "there is no photo 00.JPEG"),
        (("", "A dog .", "train"), "there is no photo "),
        (("photos/00.jpg", "A dog .", "train"), "there is no photo photos/00.jpg"),
        ((".", "A dog .", "train"), "there is no photo ."),
        (("10.jpg", "", "train"), "10.jpg has an empty caption"),
        (("11.jpg", "   ", "train"), "11.jpg has an empty caption"),
        (("12.jpg", ".", "test"), "12.jpg has an empty caption"),
        (("13.jpg", "A dog .", "training"), "split 'training' is none of"),
        (("14.jpg", "A dog .", "Train"), "split 'Train' is none of"),
        (("15.jpg", "A dog .", "dev"), "split 'dev' is none of"),
        (("00.jpg", "A dog .", "test"), "00.jpg is in two splits"),
        (("06.jpg", "A dog .", "train"), "06.jpg is in two splits"),
        (("16.jpg", "A dog", " and a cat", "train"), "not 3 columns"),
        (("17.jpg", "A dog ."), "not 3 columns"),
        (("18.jpg",), "not 3 columns"),
    ]
    for i in range(24):
        Image.new("RGB", (32, 24), (10 * i, 0, 0)).save(folder / f"{i:02d}.jpg")
    write_csv(folder, [*good, *(row for row, _ in faults)], ("filename", "caption", "split"))
    rows = (folder / "captions.csv").read_text()
    wanted = [
        f"{folder / 'captions.csv'}, line {len(good) + 2 + i}: {says}"
        for i, (_, says) in enumerate(faults)
    ]
    whole = (folder / "20.jpg").read_bytes()
    broken = {"20.jpg": b"", "21.jpg": b"A dog .", "22.jpg": whole[:200], "23.jpg": whole[20:]}
    for name, content in broken.items():
        (folder / name).write_bytes(content)
        rows += f"{name},A dog .,train\n"
        wanted.append(f"{folder / name}: ")
    (folder / "captions.csv").write_text(rows)
    with pytest.raises(InputError) as error:
        datasets.build_records("folder", tmp_path / "records", folder)
    found = str(error.value).splitlines()
    assert len(found) == len(wanted) == 20
    for start in wanted:
        assert sum(line.startswith(start) for line in found) == 1, start


@pytest.mark.parametrize(
    "name, text, says",
    [
        ("captions.csv", "photo,text\n", "captions.csv, line 1: needs a header"),
        ("captions.csv", "filename,caption\n\xff", "not a text file in UTF-8"),
        ("captions.json", "[]", "captions.json: not in COCO's layout"),
        ("captions.json", '{"images": [', "captions.json: not in COCO's layout"),
        ("photos.txt", "", "needs one of captions.csv, captions.jsonl, captions.json; it has none"),
    ],
)
def test_a_file_that_cannot_be_read_at_all(photos, name, text, says):
    (photos / name).write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=says):
        read_splits(photos)


def test_a_quote_that_nothing_closes(photos):
    write_csv(photos, [(name, "A dog .") for name in NAMES])
    text = (photos / "captions.csv").read_text()
    (photos / "captions.csv").write_text(text.replace("4.jpg,A", '4.jpg,"A'))
    _, problems = read_splits(photos)
    assert len(problems) == 1
    assert problems[0].startswith(f"{photos / 'captions.csv'}, line 5: the row after it is no CSV")


def test_other_files_do_not_matter(photos, tmp_path):
    write_csv(photos, [(name, "A dog .") for name in NAMES])
    first = datasets.build_records("folder", tmp_path / "records", photos)
    (photos / "runs").mkdir()
    (photos / "runs" / "log.csv").write_text("epoch")
    again = datasets.build_records("folder", tmp_path / "records", photos)
    assert again.info.full_name == first.info.full_name


def test_problems_of_json(photos):
    good = [json.dumps({"filename": name, "captions": ["A dog ."]}) for name in NAMES]
    good[2], good[5] = "{", json.dumps({"filename": "5.jpg", "captions": []})
    (photos / "captions.jsonl").write_text("\n".join(good))
    _, problems = read_splits(photos)
    assert [each.partition(":")[0] for each in problems] == [
        f"{photos / 'captions.jsonl'}, line {number}" for number in (3, 6)
    ]
    (photos / "captions.jsonl").unlink()

    content = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(NAMES)],
        "annotations": [{"image_id": i + 1, "caption": "A dog ."} for i in range(10)],
    }
    (photos / "captions.json").write_text(json.dumps(content))
    _, problems = read_splits(photos)
    path = photos / "captions.json"
    assert problems == [
        f"{path}, annotations[9]: there is no image with id 10",
        f"{path}: 0.jpg has no caption",
    ]


def test_two_captions_files(photos):
    for name in ("captions.csv", "captions.json"):
        (photos / name).write_text("")
    with pytest.raises(InputError, match="it has 2"):
        read_splits(photos)


def test_many_problems_are_cut_short(photos, tmp_path):
    write_csv(photos, [(f"none-{i}.jpg", "A dog .") for i in range(80)])
    with pytest.raises(InputError) as error:
        datasets.build_records("folder", tmp_path / "records", photos)
    lines = str(error.value).splitlines()
    assert len(lines) == 51 and lines[-1] == "and 33 more"


def test_needs_a_folder(tmp_path):
    with pytest.raises(InputError, match="name their folder by --data-dir"):
        datasets.build_records("folder", tmp_path / "records")
    for name in ("folder", "coco", "flickr8k"):
        with pytest.raises(InputError, match="nowhere: no such folder"):
            datasets.build_records(name, tmp_path / "records", tmp_path / "nowhere")


# === Boxes of captions.jsonl ===


def write_jsonl(folder, boxes, captions=("A dog .",)):
    """Every photo has the captions and these boxes."""
    lines = [
        json.dumps({"filename": name, "captions": captions, "split": split, "boxes": boxes})
        for name, split in zip(NAMES, GIVEN, strict=True)
    ]
    (folder / "captions.jsonl").write_text("\n".join(lines))


def named(words, phrases):
    return {
        " ".join(words[each["first"] : each["end"]]): (each["type"], each["boxes"])
        for each in phrases
    }


def test_boxes_that_captions_name(photos, tmp_path):
    boxes = [
        {"name": "dog", "box": [0.25, 0.5, 0.75, 1], "type": "animal"},
        {"name": "Dog", "box": [0, 0, 1, 0.125]},
        {"name": "dog house", "box": [0.5, 0, 1, 0.5]},
        {"name": "baby bench", "box": [0, 0, 0.5, 0.5]},
        {"name": "puppy", "box": [0.5, 0.5, 1, 1]},
    ]
    dog = [[0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 1.0, 0.125]]
    wanted = {
        "A dog by a dog house .": {
            "dog": ("animal", dog),
            "dog house": ("object", [[0.5, 0.0, 1.0, 0.5]]),
        },
        "Dogs, a cat and a bench .": {"dogs": ("animal", dog)},
        "Two baby benches !": {"baby benches": ("object", [[0.0, 0.0, 0.5, 0.5]])},
        "The puppies .": {"puppies": ("object", [[0.5, 0.5, 1.0, 1.0]])},
        "A doghouse for hotdogs .": {},
    }
    write_jsonl(photos, boxes, list(wanted))
    builder = datasets.build_records("folder", tmp_path / "records", photos)
    for _, _, record in datasets.read_photos(builder, "test"):
        for (caption, phrases), each in zip(wanted.items(), record["phrases"], strict=True):
            words = tokenize(caption)
            assert named(words, each) == phrases
            assert builder.named_phrases(words, record) == each
        assert [each["name"] for each in record["objects"]] == [each["name"] for each in boxes]
        words = "a house with dogs".split()
        assert named(words, builder.named_phrases(words, record)) == {"dogs": ("animal", dog)}


def test_names_are_those_of_their_photo(photos, tmp_path):
    lines = [
        {"filename": name, "captions": ["A dog and a cat ."], "split": split}
        for name, split in zip(NAMES, GIVEN, strict=True)
    ]
    lines[0]["boxes"] = [{"name": "dog", "box": [0, 0, 0.5, 0.5]}]
    lines[1]["boxes"] = [{"name": "cat", "box": [0, 0, 0.5, 0.5]}]
    lines.append({**lines[0], "boxes": [{"name": "cat", "box": [0.5, 0.5, 1, 1]}]})
    (photos / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    builder = datasets.build_records("folder", tmp_path / "records", photos)
    found = [record["phrases"] for _, _, record in datasets.read_photos(builder, "train")]
    heads = [[[phrase["first"] for phrase in each] for each in phrases] for phrases in found]
    assert heads == [[[1, 4], [1, 4]], [[4]], [[]], [[]], [[]], [[]]]


def test_new_boxes_are_new_records(photos, tmp_path):
    first, second = [0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]
    for box in (first, second):
        write_jsonl(photos, [{"name": "dog", "box": box}])
        builder = datasets.build_records("folder", tmp_path / "records", photos)
        _, _, record = next(datasets.read_photos(builder, "test"))
        assert record["phrases"][0][0]["boxes"] == [box]


def test_wrong_boxes_are_listed_with_their_lines(photos, tmp_path):
    good = {"name": "dog", "box": [0, 0, 1, 1]}
    faults = [  # what stands for the boxes of a photo, what is said
        ({"dog": [0, 0, 1, 1]}, '"boxes" is not of the form [{"name": "...", "box": [...]}]'),
        ([good, {"box": [0, 0, 1, 1]}], "boxes[1] has no name"),
        ([{"name": " .", "box": [0, 0, 1, 1]}], "boxes[0] has no name"),
        (["dog"], "boxes[0] has no name"),
        ([{"name": "dog"}], "boxes[0], dog: its box is not four numbers, "),
        ([{"name": "dog", "box": [0, 0, 1]}], "boxes[0], dog: its box is not four numbers, "),
        ([{"name": "dog", "box": [0, 0, 1, True]}], "boxes[0], dog: its box is not four"),
        ([{"name": "dog", "box": [0, 0, 1, "1"]}], "boxes[0], dog: its box is not four"),
        ([{"name": "dog", "box": [10, 20, 30, 40]}], "boxes[0], dog: its box [10, 20, 30, 40] is"),
        ([{"name": "dog", "box": [0, -0.1, 1, 1]}], "boxes[0], dog: its box [0, -0.1, 1, 1] is"),
    ]
    more = [
        ([{"name": "dog", "box": [0, 0, 1, float("nan")]}], "boxes[0], dog: its box [0, 0, 1, n"),
        ([{"name": "dog", "box": [0.5, 0, 0.5, 1]}], "boxes[0], dog: ymin 0.5 of its box is not "),
        ([{"name": "dog", "box": [0, 0.5, 1, 0.4]}], "boxes[0], dog: xmin 0.5 of its box is not "),
        ([{**good, "type": 3}], "boxes[0], dog: its type 3 is no text"),
        ([{**good, "type": ""}], "boxes[0], dog: its type '' is no text"),
        ([{**good, "type": "all"}], "boxes[0], dog: its type is all, as the total is called"),
    ]
    for each in (faults, more):
        lines = [
            json.dumps({"filename": name, "captions": ["A dog ."], "boxes": boxes})
            for name, (boxes, _) in zip(NAMES, each, strict=False)
        ]
        (photos / "captions.jsonl").write_text("\n".join(lines))
        with pytest.raises(InputError) as error:
            datasets.build_records("folder", tmp_path / "records", photos)
        found = str(error.value).splitlines()
        assert len(found) == len(each)
        for number, (line, (_, says)) in enumerate(zip(found, each, strict=True), start=1):
            assert line.startswith(f"{photos / 'captions.jsonl'}, line {number}: {says}")


def test_other_layouts_have_no_boxes(photos, tmp_path):
    content = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(NAMES)],
        "annotations": [
            {"image_id": i, "caption": "A dog .", "bbox": [0, 0, 9, 9], "category_id": 1}
            for i in range(10)
        ],
    }
    (photos / "captions.json").write_text(json.dumps(content))
    builder = datasets.build_records("folder", tmp_path / "records", photos)
    _, _, record = next(datasets.read_photos(builder, "train"))
    assert record["phrases"] == [[]] and record["objects"] == []
