import collections

import pytest

from sat_edge import InputError
from sat_keras.datasets.flickr8k.official_files import read_splits
from sat_keras.datasets.flickr30k_entities import check_folder, read_phrases
from sat_keras.tokenizer import tokenize

SENTENCES = """\
[/EN#1/people A man] walks [/EN#2/animals two gray dogs] in [/EN#3/scene the park] .
[/EN#1/people A man] and [/EN#2/animals his dogs] play with [/EN#4/other/instruments a ball] .
"""
CAPTIONS = ["A man and his dogs play with a ball .", "A man walks two gray dogs in the park ."]
OBJECTS = """
  <object><name>1</name><bndbox>
    <xmin>1</xmin><ymin>1</ymin><xmax>50</xmax><ymax>100</ymax></bndbox></object>
  <object><name>2</name><bndbox>
    <xmin>51</xmin><ymin>51</ymin><xmax>100</xmax><ymax>75</ymax></bndbox></object>
  <object><name>2</name><name>4</name><bndbox>
    <xmin>200</xmin><ymin>100</ymin><xmax>200</xmax><ymax>100</ymax></bndbox></object>
  <object><name>3</name><scene>1</scene><nobndbox>0</nobndbox></object>
"""
MAN = (0.0, 0.0, 1.0, 0.25)
DOG = (0.5, 0.25, 0.75, 0.5)
BALL = (0.99, 0.995, 1.0, 1.0)  # one pixel, the last


def write(folder, sentences=SENTENCES, objects=OBJECTS, size=(200, 100)):
    width, height = size
    for part in ("Sentences", "Annotations"):
        (folder / part).mkdir(exist_ok=True)
    (folder / "Sentences" / "17.txt").write_text(sentences, encoding="utf-8")
    (folder / "Annotations" / "17.xml").write_text(
        f"<annotation><filename>17.jpg</filename><size><width>{width}</width>"
        f"<height>{height}</height><depth>3</depth></size>{objects}</annotation>",
        encoding="utf-8",
    )
    return folder


def read(folder, captions):
    """The words of each caption's phrases, with their boxes; and how many are lost."""
    phrases, lost = read_phrases(folder, "17_a2b.jpg", captions)
    words = [tokenize(each) for each in captions]
    return [
        {" ".join(words[i][each["first"] : each["end"]]): each["boxes"] for each in found}
        for i, found in enumerate(phrases)
    ], lost


def test_phrases_of_sentences_in_another_order(tmp_path):
    phrases, lost = read_phrases(write(tmp_path), "17_a2b.jpg", CAPTIONS)
    assert lost == 0
    assert phrases == [
        [
            {"first": 0, "end": 2, "type": "people", "boxes": [MAN]},
            {"first": 3, "end": 5, "type": "animals", "boxes": [DOG, BALL]},
            {"first": 7, "end": 9, "type": "other", "boxes": [BALL]},  # of two types the first
        ],
        [
            {"first": 0, "end": 2, "type": "people", "boxes": [MAN]},
            {"first": 3, "end": 6, "type": "animals", "boxes": [DOG, BALL]},
        ],
    ]


def test_flickr30k_names_photos_by_number_alone(tmp_path):
    folder = write(tmp_path)
    assert read_phrases(folder, "17.jpg", CAPTIONS) == read_phrases(folder, "17_x.jpg", CAPTIONS)


@pytest.mark.parametrize(
    "caption, named",
    [
        ("A man walks two grey dogs, in the park!", {"a man": [MAN], "two grey dogs": [DOG, BALL]}),
        ("a MAN walks two gray dogs in the park", {"a man": [MAN], "two gray dogs": [DOG, BALL]}),
        ("Today a man walks two gray dogs .", {"a man": [MAN], "two gray dogs": [DOG, BALL]}),
        (
            "A tall man walks two gray old dogs in it",
            {"a tall man": [MAN], "two gray old dogs": [DOG, BALL]},
        ),
        ("A man walks two dark-gray dogs .", {"a man": [MAN], "two dark-gray dogs": [DOG, BALL]}),
        ("A man walks two dark gray dogs .", {"a man": [MAN], "two dark gray dogs": [DOG, BALL]}),
        ("A man walks dogs in the park .", {"a man": [MAN]}),  # "two gray" has no place
        ("A man walks in the green park .", {"a man": [MAN]}),
    ],
)
def test_captions_that_differ(tmp_path, caption, named):
    folder = write(tmp_path, SENTENCES.splitlines()[0])
    (found,), lost = read(folder, [caption])
    assert found == named
    assert lost == 2 - len(named)


@pytest.mark.parametrize(
    "phrase, caption, named",
    [
        ("a long-haired dog", "A man has a long haired dog .", "a long haired dog"),
        ("a hard hat", "A man has a hardhat .", "a hardhat"),
        ("red-hair", "A man has red hair .", "red hair"),
        ("the man 's hat", "A man has the man's hat .", "the man 's hat"),
        ("stage", "A man has onstage .", "onstage"),
    ],
)
def test_words_that_are_parted_otherwise(tmp_path, phrase, caption, named):
    folder = write(tmp_path, f"A man has [/EN#1/people {phrase}] .")
    assert read(folder, [caption]) == ([{named: [MAN]}], 0)


def test_a_word_that_swallows_words_beside_a_phrase(tmp_path):
    folder = write(tmp_path, "A group of women sing on [/EN#1/scene stage] together .")
    assert read(folder, ["A group of women sing onstage together ."]) == ([{}], 1)
    folder = write(tmp_path, "A group of women sing [/EN#1/scene onstage] together .")
    assert read(folder, ["A group of women sing on stage together ."]) == (
        [{"on stage": [MAN]}],
        0,
    )


def test_a_caption_unlike_any_sentence(tmp_path):
    captions = [*CAPTIONS, "Snow falls over quiet hills ."]
    found, lost = read(write(tmp_path), captions)
    assert [len(each) for each in found] == [3, 2, 0] and lost == 0
    found, lost = read(write(tmp_path), captions[1:])
    assert [len(each) for each in found] == [2, 0] and lost == 3
    # A few words in common do not make a sentence of it.
    assert read(write(tmp_path), ["A man sleeps on the grass ."]) == ([{}], 5)


def test_captions_that_are_alike(tmp_path):
    """Each takes one sentence, the one most like it first."""
    sentences = (
        "[/EN#1/people A man] walks [/EN#2/animals a dog] .\n"
        "[/EN#1/people A man] walks [/EN#4/animals a dog] .\n"
        "[/EN#1/people A man] walks [/EN#4/animals a cat] .\n"
    )
    found, lost = read(
        write(tmp_path, sentences), ["A man walks a cat .", *["A man walks a dog ."] * 2]
    )
    assert lost == 0
    assert found[0] == {"a man": [MAN], "a cat": [BALL]}
    assert [each["a dog"] for each in found[1:]] == [[DOG, BALL], [BALL]]


def test_what_has_no_box_is_no_phrase(tmp_path):
    sentence = (
        "[/EN#0/notvisual It] is [/EN#3/scene a park] , [/EN#9/people nobody] , "
        "[/EN#5/other a sky] and [/EN#1/people a man] ."
    )
    objects = f"{OBJECTS}<object><name>5</name><scene>0</scene><nobndbox>1</nobndbox></object>"
    found = read(write(tmp_path, sentence, objects), ["It is a park , nobody , a sky and a man ."])
    assert found == ([{"a man": [MAN]}], 0)


@pytest.mark.parametrize(
    "line",
    [
        "[/EN#1 A man] walks .",
        "[/EN#/people A man] walks .",
        "[/EN#1/people A man walks .",
        "[/EN#1/people] walks .",
        "[/EN#x/people A man] walks [/EN#2/animals a dog] .",
        "[/EN#2/animals A dog] and [/EN#1/people A man",
    ],
)
def test_malformed_lines_are_numbered(tmp_path, line):
    folder = write(tmp_path, f"{SENTENCES}{line}\n")
    with pytest.raises(InputError) as error:
        read_phrases(folder, "17.jpg", CAPTIONS)
    assert str(error.value) == (
        f"{folder / 'Sentences' / '17.txt'}, line 3: a phrase is not of the form [/EN#1/type ...]"
    )


def test_a_phrase_inside_a_phrase(tmp_path):
    folder = write(tmp_path, "[/EN#1/people A man with [/EN#2/animals a dog]] .")
    with pytest.raises(InputError, match="17.txt, line 1: a phrase is not of the form"):
        read_phrases(folder, "17.jpg", CAPTIONS)


@pytest.mark.parametrize(
    "old, new, says",
    [
        ("</bndbox>", "", ": not an annotation of Flickr30k Entities: mismatched tag: line 3, "),
        ("<ymin>51</ymin>", "", ", object 2: not an annotation of Flickr30k Entities: ymin is ''"),
        ("<xmax>50<", "<xmax>5x<", ", object 1: not an annotation of Flickr30k Entities: xmax is"),
        ("<xmin>51<", "<xmin>0<", ", object 2: not an annotation of Flickr30k Entities: its box"),
        ("<xmin>51<", "<xmin>101<", ", object 2: not an annotation of Flickr30k Entities: its"),
        ("<ymax>75<", "<ymax>101<", ", object 2: not an annotation of Flickr30k Entities: its"),
        ("<name>1</name>", "", ", object 1: not an annotation of Flickr30k Entities: it has no"),
        ("<name>1<", "<name> <", ", object 1: not an annotation of Flickr30k Entities: it has no"),
        ("<height>100</height>", "", ": not an annotation of Flickr30k Entities: size/height is"),
    ],
)
def test_a_damaged_annotation(tmp_path, old, new, says):
    path = write(tmp_path) / "Annotations" / "17.xml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError) as error:
        read_phrases(tmp_path, "17.jpg", CAPTIONS)
    assert str(error.value).startswith(f"{path}{says}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["Sentences/17.txt", "Annotations/17.xml"])
def test_missing_files_are_named(tmp_path, name):
    path = write(tmp_path) / name
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=f"{name}: not a text file in UTF-8"):
        read_phrases(tmp_path, "17.jpg", CAPTIONS)
    path.unlink()
    with pytest.raises(InputError, match=f"{name}: no such file of Flickr30k Entities"):
        read_phrases(tmp_path, "17.jpg", CAPTIONS)


def test_a_folder_that_is_not_of_entities(tmp_path):
    check_folder(write(tmp_path))
    with pytest.raises(InputError, match="Sentences: no Sentences/ in it; name the folder"):
        check_folder(tmp_path / "Sentences")


# === The real files ===


@pytest.mark.slow
def test_the_real_files(shared):
    folder = shared / "data" / "flickr30k_entities"
    photos = read_splits(shared / "data" / "flickr8k")["test"]
    found = {each.name: (each, *read_phrases(folder, each.name, each.captions)) for each in photos}
    types, lost, without = collections.Counter(), 0, 0
    for photo, phrases, missing in found.values():
        lost += missing
        without += sum(not each for each in phrases)
        for caption, each in zip(photo.captions, phrases, strict=True):
            types.update(phrase["type"] for phrase in each)
            assert all(0 <= p["first"] < p["end"] <= len(tokenize(caption)) for p in each)

    # By eye: two dogs of one chain; a hyphen less than in the sentence.
    _, dogs, _ = found["3385593926_d3e9c21170.jpg"]
    assert dogs[2] == [  # Two brown dogs playfully fight in the snow .
        {
            "first": 0,
            "end": 3,
            "type": "animals",
            "boxes": [
                (105 / 335, 244 / 500, 298 / 335, 442 / 500),
                (107 / 335, 116 / 500, 294 / 335, 268 / 500),
            ],
        }
    ]
    _, people, _ = found["444481722_690d0cadcf.jpg"]
    assert [(each["first"], each["end"], each["type"]) for each in people[0]] == [
        (0, 4, "people"),  # A dark skinned man walks by a woman talking on a cellphone .
        (6, 8, "people"),
        (10, 12, "other"),
    ]
    assert people[0][0]["boxes"] == [(88 / 335, 142 / 500, 286 / 335, 208 / 500)]
    assert people[0][1]["boxes"] == [(78 / 335, 390 / 500, 305 / 335, 491 / 500)]

    placed = sum(types.values())
    assert placed + lost == 13_063
    assert placed >= 13_050
    assert without < 100  # of 5,000 captions
    shares = {name: round(count / placed, 2) for name, count in types.items()}
    assert shares == {
        **{"people": 0.34, "other": 0.2, "scene": 0.15, "clothing": 0.12, "animals": 0.11},
        **{"bodyparts": 0.04, "vehicles": 0.02, "instruments": 0.0},
    }
