"""`captioner.json`: what is written comes back, and what cannot be is refused in one line."""

import json
import re
import zipfile
from pathlib import Path

import pytest

from sat_edge import Captioner, InputError, Search
from sat_edge.settings import Settings, State

DOCUMENT = Path(__file__).parents[2] / "docs" / "file-format.md"
SETTINGS = Settings(
    target="cpu",
    image_size=(32, 64),
    grid=(1, 2),
    regions=((0.0, 0.0, 1.0, 0.5), (0.0, 0.5, 1.0, 1.25)),
    max_length=7,
    vocabulary_size=16,
    state=State(("h", "c"), ("annotations",)),
    search=Search(beam_width=4, length_penalty=0.5, no_repeat_ngram=3, n_best=2),
    captioner={"attention": "soft"},
    encoder={"backbone": "mobilenet"},
    quantization={"encoder": "int8", "decoder": "dynamic"},
    least_litert="1.4",
    compression={"sparsity": 0.5},
    trained_on="flickr8k",
    sat_keras="0.2.0",
)


def content(**fields):
    """The JSON object of `SETTINGS` with other values of some fields."""
    return {**json.loads(SETTINGS.to_json()), **fields}


def refusal(found):
    with pytest.raises(InputError) as error:
        Settings.from_json(found if isinstance(found, str) else json.dumps(found))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_is_written_comes_back():
    assert Settings.from_json(SETTINGS.to_json()) == SETTINGS
    written = content()
    assert written["format"] == 1
    assert written["resize"] == "stretch, bilinear, antialiased"
    assert written["state"] == {"returned": ["h", "c"], "kept": ["annotations"]}
    assert written["search"] == {
        "beam_width": 4,
        "length_penalty": 0.5,
        "no_repeat_ngram": 3,
        "n_best": 2,
    }


def test_every_field_is_in_the_document():
    described = DOCUMENT.read_text().split("## `captioner.json`")[1]
    assert set(re.findall(r"^\| `(\w+)`", described, re.MULTILINE)) == set(content())


def test_what_may_be_absent_is_null():
    read = Settings.from_json(json.dumps(content(compression=None, trained_on=None)))
    assert (read.compression, read.trained_on) == (None, None)


def test_unknown_fields_are_ignored():
    found = content(colour="red")
    found["search"]["temperature"] = found["state"]["forgotten"] = 2
    assert Settings.from_json(json.dumps(found)) == SETTINGS


def test_files_of_version_0_1_are_refused():
    found = content(attention="soft")
    del found["format"]
    assert refusal(found) == "made by sat_keras 0.1; export it again"


@pytest.mark.parametrize("number", [2, 0, "1", None])
def test_other_formats_are_refused(number):
    assert refusal(content(format=number)) == (
        f"its format is {number!r}, and this version reads format 1; "
        "install a newer sat-keras, or export it again"
    )


@pytest.mark.parametrize("name", [each for each in content() if each not in ("format", "resize")])
def test_a_field_that_is_missing(name):
    found = content()
    del found[name]
    assert refusal(found) == f"captioner.json: {name} is missing; export it again"


def test_another_resize_rule():
    says = "its resize rule is unknown: {!r}; export it again"
    assert refusal(content(resize="crop")) == says.format("crop")
    found = content()
    del found["resize"]
    assert refusal(found) == says.format(None)


REGION = [0.0, 0.0, 1.0, 1.0]
BEAM = {"beam_width": 4, "length_penalty": 0.5, "no_repeat_ngram": 3, "n_best": 2}
BAD = {
    "target": ["tpu", 3, None, ["cpu"]],
    "image_size": [[224], [224, 224, 3], [0, 224], [224, 4097], [224.0, 224], "224", {}, None],
    "grid": [[0, 2], [1, True], [1, 4097], 2],
    "regions": [
        [REGION],  # one of two
        [REGION] * 3,
        [REGION, [0.0, 0.0, 1.0]],
        [REGION, [0.0, 0.0, 1.0, "1"]],
        [REGION, [0.0, 0.0, 1.0, True]],
        [REGION, [0.0, 0.0, 1.0, float("nan")]],
        [REGION, [0.0, 0.0, 1.0, float("inf")]],
        [REGION, [0.0, 0.0, 1.0, 10**400]],
        [REGION, None],
        {},
    ],
    "max_length": [0, 1001, 7.0, "7", True, None],
    "vocabulary_size": [4, 16.0, "16", None],
    "state": [
        [],
        {},
        {"returned": ["h"]},
        {"returned": ["h"], "kept": None},
        {"returned": "hc", "kept": []},
        {"returned": ["h", 1], "kept": []},
        {"returned": ["h", "h"], "kept": []},
        {"returned": ["h"], "kept": ["h"]},
    ],
    "search": [
        None,
        [],
        "beam",
        {},
        *[{k: v for k, v in BEAM.items() if k != name} for name in BEAM],
        {**BEAM, "beam_width": 0},
        {**BEAM, "beam_width": 4.0},
        {**BEAM, "length_penalty": -1},
        {**BEAM, "length_penalty": float("inf")},
        {**BEAM, "length_penalty": 10**400},
        {**BEAM, "length_penalty": True},
        {**BEAM, "no_repeat_ngram": -1},
        {**BEAM, "n_best": 5},
    ],
    "captioner": [None, [], "soft"],
    "encoder": [None, 3],
    "quantization": [None, "int8"],
    "least_litert": [2.1, None, "", "2.x", "2.1 or newer", "-1"],
    "compression": [[], 0.5],
    "trained_on": [8, ["flickr8k"]],
    "sat_keras": [None, 0.2],
}


def test_every_field_is_tried():
    assert set(BAD) == set(content()) - {"format", "resize"}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in BAD.items() for value in values]
)
def test_a_field_of_another_type_or_out_of_range(name, value):
    found = refusal(content(**{name: value}))
    assert found.startswith(f"captioner.json: {name} is ")
    assert found.endswith("; export it again")
    assert len(found) < 120  # whatever is in there


@pytest.mark.parametrize("edge", [1, 4096])
def test_the_ends_of_the_ranges(edge):
    found = content(image_size=[edge, edge], max_length=min(edge, 1000), vocabulary_size=5)
    assert Settings.from_json(json.dumps(found)).image_size == (edge, edge)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, b"\xff\xfe{", "{'a': 1}"])
def test_what_is_not_json(text):
    with pytest.raises(InputError) as error:
        Settings.from_json(text)
    assert str(error.value) == "captioner.json is not JSON; export it again"


@pytest.mark.parametrize("text", ["[]", "3", "null", '"format"'])
def test_what_is_not_an_object(text):
    assert refusal(text) == "captioner.json is not a JSON object; export it again"


# === In a file ===


def write_settings(source, path, settings):
    """A copy of a captioner file with other settings."""
    with zipfile.ZipFile(source) as inside:
        vocabulary = inside.read("vocabulary.txt")
        start = min(each.header_offset for each in inside.infolist())
    path.write_bytes(source.read_bytes()[:start])
    with zipfile.ZipFile(path, "a") as inside:
        inside.writestr("vocabulary.txt", vocabulary)
        inside.writestr("captioner.json", json.dumps(settings))


def read_settings(path):
    with zipfile.ZipFile(path) as inside:
        return json.loads(inside.read("captioner.json"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": ...}, "made by sat_keras 0.1; export it again"),
        ({"format": 2}, "its format is 2, and this version reads format 1; install a newer"),
        ({"grid": ...}, "captioner.json: grid is missing; export it again"),
        ({"max_length": 0}, "captioner.json: max_length is 0; export it again"),
        (
            {"state": {"returned": ["h", "c"], "kept": ["annotations", "memory"]}},
            "its `encode` does not return memory; export it again",
        ),
        (
            {"state": {"returned": ["h", "projected"], "kept": ["annotations", "c"]}},
            "its `step` does not return projected; export it again",
        ),
    ],
)
def test_a_file_is_named_in_the_line(tflite_file, tmp_path, changes, says):
    settings = {**read_settings(tflite_file), **changes}
    settings = {name: value for name, value in settings.items() if value is not ...}
    path = tmp_path / "other.tflite"
    write_settings(tflite_file, path, settings)
    with pytest.raises(InputError) as error:
        Captioner(path)
    assert str(error.value).startswith(f"{path}: {says}")
    assert "\n" not in str(error.value)
