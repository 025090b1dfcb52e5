"""Records of Flickr's photos with and without the phrases of Flickr30k Entities."""

import itertools
import logging

import pytest

from sat_edge import InputError
from sat_keras import datasets
from sat_keras.datasets.flickr8k.flickr8k_dataset_builder import Builder

SENTENCES = """\
[/EN#2/other A {0} square] on [/EN#3/scene grey] .
[/EN#2/other The square] is [/EN#2/other {0}] .
[/EN#2/other A big {0} square] .
There is [/EN#2/other a {0} square] .
[/EN#2/other One {0} square] in the middle of [/EN#4/other it] .
"""
ANNOTATION = """
<annotation><size><width>64</width><height>48</height></size>
<object><name>2</name>
<bndbox><xmin>17</xmin><ymin>13</ymin><xmax>48</xmax><ymax>36</ymax></bndbox></object>
<object><name>4</name>
<bndbox><xmin>33</xmin><ymin>1</ymin><xmax>64</xmax><ymax>48</ymax></bndbox></object>
</annotation>"""
SQUARE = [0.25, 0.25, 0.75, 0.75]


def write_entities(folder):
    for part in ("Sentences", "Annotations"):
        (folder / part).mkdir(parents=True)
    for i in range(6):
        color = ("red", "green", "blue")[i % 3]
        (folder / "Sentences" / f"{i}.txt").write_text(SENTENCES.format(color))
        (folder / "Annotations" / f"{i}.xml").write_text(ANNOTATION)
    return folder


@pytest.fixture
def entities(tmp_path):
    return write_entities(tmp_path / "entities")


@pytest.fixture
def records(tmp_path):
    return tmp_path / "records"


def first_record(builder):
    _, _, record = next(datasets.read_photos(builder, "train"))
    return record


def test_phrases_of_records(flickr8k, entities, records):
    builder = datasets.build_records("flickr8k", records, flickr8k, entities)
    splits = [datasets.read_photos(builder, split) for split in datasets.SPLITS]
    photos = [record for _, _, record in itertools.chain(*splits)]
    assert len(photos) == 6
    for record in photos:
        found = [[(p["first"], p["end"]) for p in each] for each in record["phrases"]]
        assert found == [[(0, 3)], [(0, 2), (3, 4)], [(0, 4)], [(2, 5)], [(0, 3)]]
        for each in itertools.chain(*record["phrases"]):
            assert each["boxes"] == [SQUARE] and each["type"] == "other"


def test_phrases_that_are_lost_are_counted(flickr8k, entities, records, caplog):
    with caplog.at_level(logging.WARNING, logger="sat_keras"):
        datasets.build_records("flickr8k", records, flickr8k, entities)
    (line,) = (each.message for each in caplog.records if each.name.startswith("sat_keras"))
    # Captions end with "in the middle".
    assert line == (f"{entities}: 36 phrases with boxes; 6 more have no place in the captions here")


def test_each_builds_its_own_records(flickr8k, entities, records):
    without = datasets.build_records("flickr8k", records, flickr8k)
    assert first_record(without)["phrases"] == [[]] * 5
    assert datasets.build_records("flickr8k", records).data_dir == without.data_dir
    with pytest.raises(InputError, match="name their folder by --data-dir"):
        datasets.build_records("flickr8k", records, entities=entities)

    named = datasets.build_records("flickr8k", records, flickr8k, entities)
    assert named.data_dir != without.data_dir
    assert all(first_record(named)["phrases"])
    # Without any folder, those with phrases; with the folder of photos alone, those without.
    opened = datasets.build_records("flickr8k", records)
    assert opened.data_dir == named.data_dir
    assert first_record(opened) == first_record(named)
    assert datasets.build_records("flickr8k", records, entities=entities).data_dir == named.data_dir
    assert datasets.build_records("flickr8k", records, flickr8k).data_dir == without.data_dir
    assert first_record(without)["phrases"] == [[]] * 5


def test_entities_among_the_data_set_s_files(flickr8k, records):
    write_entities(flickr8k / "Flickr30kEntities")
    builder = datasets.build_records("flickr8k", records, flickr8k)
    assert all(first_record(builder)["phrases"])
    assert datasets.build_records("flickr8k", records).data_dir == builder.data_dir


def test_named_entities_come_before_those_inside(flickr8k, entities):
    inside = write_entities(flickr8k / "Flickr30kEntities")
    assert Builder.config_for(flickr8k, None).directory == inside
    assert Builder.config_for(flickr8k, entities).directory == entities
    assert Builder.config_for(None, entities).directory == entities
    assert Builder.config_for(None, None) is None


def test_a_folder_without_them(flickr8k, records, tmp_path):
    with pytest.raises(InputError, match="no Sentences/ in it; name the folder of Flickr30k"):
        datasets.build_records("flickr8k", records, flickr8k, flickr8k)
    with pytest.raises(InputError, match="nowhere: no such folder, or an empty one"):
        datasets.build_records("flickr8k", records, flickr8k, tmp_path / "nowhere")
    (flickr8k / "Flickr30kEntities" / "Sentences").mkdir(parents=True)
    with pytest.raises(InputError, match="no Annotations/ in it"):
        datasets.build_records("flickr8k", records, flickr8k)


def test_a_photo_without_its_files(flickr8k, entities, records):
    (entities / "Annotations" / "5.xml").unlink()
    with pytest.raises(InputError, match="5.xml: no such file of Flickr30k Entities"):
        datasets.build_records("flickr8k", records, flickr8k, entities)
    (entities / "Annotations" / "5.xml").write_text(ANNOTATION)
    builder = datasets.build_records("flickr8k", records, flickr8k, entities)
    assert all(first_record(builder)["phrases"])


def test_phrases_of_any_other_caption(flickr8k, entities, records):
    builder = datasets.build_records("flickr8k", records, flickr8k, entities)
    found = builder.named_phrases("a square that is red on grey".split(), first_record(builder))
    assert found == [
        {"first": i, "end": i + 1, "type": "other", "boxes": [tuple(SQUARE)]} for i in (1, 4)
    ]
