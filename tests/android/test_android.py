"""The Android library's Kotlin on the JVM: its own logic, and the whole class over LiteRT's Python
package in place of its Java one."""

import dataclasses
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sat_edge import Captioner, InputError, Search
from sat_edge.beam_search import beam_search
from sat_edge.caption import END, Caption
from sat_edge.photo import open_photo, to_pixels
from sat_edge.settings import Settings

ANDROID = Path(__file__).parents[2] / "export" / "android"
SCRIPT = ANDROID / "test.sh"
JSON = Path("/usr/share/java/json-android.jar")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which(os.environ.get("KOTLINC", "kotlinc")) and JSON.exists()),
        reason="no Kotlin; apt-get install kotlin libandroid-json-org-java",
    ),
]


def run(*arguments, **properties):
    options = " ".join(f"-D{name}={value}" for name, value in properties.items())
    environment = {**os.environ, "PYTHON": sys.executable, "JAVA_OPTIONS": options}
    return subprocess.run(
        [SCRIPT, *arguments], capture_output=True, text=True, env=environment, check=False
    )


@pytest.fixture(scope="module", autouse=True)
def compiled():
    done = run()
    assert done.returncode == 0, done.stderr


SEARCH = Search(beam_width=3, length_penalty=1.0)  # of the files here


@pytest.fixture(scope="module")
def files(make_captioner, calibrated, tmp_path_factory):
    """Captioner files for the CPU and the GPU, and a CNN-LSTM's; each ends some captions and cuts
    others off."""
    from sat_export import export_tflite

    def end_some(project_word, bias):
        project_word.kernel.assign(project_word.kernel * 0.5)
        project_word.bias.assign(bias * (np.arange(project_word.units) == END))

    folder = tmp_path_factory.mktemp("files")
    captioner = make_captioner(search=SEARCH)
    end_some(captioner.decoder.deep_output.project_word, 2.0)
    export_tflite(captioner, folder / "captioner.tflite")
    export_tflite(captioner, folder / "gpu.tflite", target="gpu")
    for inject, bias in {"every": 1.0, "first": 0.0}.items():
        captioner = make_captioner(attention="none", inject=inject, search=SEARCH)
        end_some(captioner.decoder.project_word, bias)
        export_tflite(captioner, folder / f"inject-{inject}.tflite")
    export_tflite(calibrated, folder / "calibrated.tflite", search=SEARCH)
    return folder


@pytest.fixture(scope="module")
def tflite_file(files):
    return files / "captioner.tflite"


@pytest.fixture(scope="module")
def gpu_file(files):
    return files / "gpu.tflite"


@pytest.fixture
def ask(tmp_path):
    """A function that puts questions to `Answers.kt`."""

    def ask(*questions, **properties):
        (tmp_path / "questions.json").write_text(json.dumps(questions))
        done = run("Answers", tmp_path, **properties)
        assert done.returncode == 0, done.stderr
        return json.loads((tmp_path / "answers.json").read_text())

    return ask


@pytest.fixture
def as_bitmap(tmp_path):
    """A function that writes a PIL image as `Answers.kt` reads a bitmap."""
    written = []

    def as_bitmap(image, **more):
        path = tmp_path / f"{len(written)}.rgba"
        path.write_bytes(image.convert("RGBA").tobytes())
        written.append(path)
        return {"rgb": str(path), "height": image.height, "width": image.width, **more}

    return as_bitmap


def stretch(image, size):
    """Resized across, then down: in one step Pillow 13 goes down first for tall photos."""
    height, width = size
    across = image.resize((width, image.height), Image.Resampling.BILINEAR)
    return np.asarray(across.resize((width, height), Image.Resampling.BILINEAR))


def assert_same(found, wanted):
    """One caption of Kotlin's and one of `sat_edge`'s, of the same file by the same LiteRT."""
    assert found["text"] == wanted.text
    assert tuple(found["words"]) == wanted.words
    assert found["tokens"] == wanted.tokens.tolist()
    assert found["log_prob"] == pytest.approx(wanted.log_prob, abs=1e-4)
    assert found["score"] == pytest.approx(wanted.score, abs=1e-4)
    assert tuple(found["grid"]) == wanted.attention.shape[1:]
    rows = np.array(found["attention"]).reshape(wanted.attention.shape)
    np.testing.assert_allclose(rows, wanted.attention, atol=1e-6)
    np.testing.assert_allclose(found["regions"], wanted.regions, atol=1e-6)
    assert found["confidence"] == pytest.approx(wanted.confidence, abs=1e-5)
    assert found["familiarity"] == pytest.approx(wanted.familiarity, abs=1e-5)


# === Its own logic ===


SIZES = [
    # height, width, to height, to width
    (480, 640, 224, 224),
    (640, 480, 224, 224),
    (500, 300, 224, 224),
    (3, 500, 224, 224),
    (224, 224, 224, 224),
    (225, 223, 224, 224),
    (1, 1, 5, 7),
    (17, 31, 64, 9),
    (1200, 1601, 224, 224),
    (100, 224, 224, 224),
]


def test_resizes_as_pillow(ask, as_bitmap, tmp_path):
    rng = np.random.default_rng(0)
    questions, images = [], []
    for height, width, *to in SIZES:
        # Noise of few levels has the steepest edges there are.
        image = Image.fromarray(rng.choice([0, 128, 255], (height, width, 3)).astype("uint8"))
        out = tmp_path / f"{height}x{width}.rgb"
        questions.append({"kind": "resize", "to": to, "out": str(out), **as_bitmap(image)})
        images.append(image)
    ask(*questions)
    for question, image in zip(questions, images, strict=True):
        height, width = question["to"]
        found = np.fromfile(question["out"], "uint8").reshape(height, width, 3)
        np.testing.assert_array_equal(found, stretch(image, (height, width)), str(image.size))
        one_step = to_pixels(image, (height, width))
        np.testing.assert_allclose(found, one_step, rtol=0, atol=1, err_msg=str(image.size))


SEARCHES = [
    Search(1),
    Search(3),
    Search(3, n_best=3),
    Search(3, length_penalty=0.7, n_best=2),
    Search(3, no_repeat_ngram=1),
    Search(3, no_repeat_ngram=2, n_best=3),
    Search(5, length_penalty=1.0, no_repeat_ngram=3, n_best=5),
    Search(12, n_best=12),
]


@pytest.mark.parametrize("draw", ["normal", "equal"])
def test_beam_search_is_python_s(ask, tmp_path, draw):
    rng = np.random.default_rng(7)
    words, length = 9, 8
    shape = (length, words, words)
    table = rng.normal(0, 1.5, shape)
    if draw == "equal":  # many words of a step equally probable, of which the first must win
        table = rng.integers(0, 3, shape) * rng.uniform(0.5, 1.5, (length, words, 1))
    table = table.astype("<f4")
    table.tofile(tmp_path / "table.bin")
    question = {"kind": "beams", "table": str(tmp_path / "table.bin"), "words": words}
    answers = ask(*({**question, **search.as_dict()} for search in SEARCHES))

    def step(token, t):
        return table[t, token], t + 1, np.array([t, token])

    lengths = set()
    for search, answer in zip(SEARCHES, answers, strict=True):
        wanted = beam_search(step, 0, length, search)
        assert len(answer["beams"]) == len(wanted) == search.n_best
        for found, beam in zip(answer["beams"], wanted, strict=True):
            assert tuple(found["tokens"]) == beam.tokens
            assert found["log_prob"] == pytest.approx(beam.log_prob, abs=1e-5)
            assert found["score"] == pytest.approx(beam.score(search.length_penalty), abs=1e-5)
            np.testing.assert_array_equal(found["attention"], beam.attention)
            lengths.add(len(beam.tokens))
    assert len(lengths) > 2  # a table that ends all captions alike would show little


def in_kotlin(message):
    """A message of Python's with the fields' names as Kotlin has them."""
    return re.sub(r"(?<=[a-z])_([a-z])", lambda found: found[1].upper(), message)


def test_refuses_the_searches_that_python_refuses(ask, tmp_path):
    np.zeros((1, 4, 4), "<f4").tofile(tmp_path / "table.bin")
    table = {"kind": "beams", "table": str(tmp_path / "table.bin"), "words": 4}
    searches = [
        {"beam_width": 0},
        {"beam_width": 2, "n_best": 3},
        {"n_best": 0},
        {"length_penalty": -1.5},
        {"no_repeat_ngram": -1},
    ]
    answers = ask(*({**table, **SEARCH.as_dict(), **search} for search in searches))
    for search, answer in zip(searches, answers, strict=True):
        with pytest.raises(InputError) as wanted:
            SEARCH.override(**search)
        assert answer["error"] == in_kotlin(str(wanted.value))


def test_sentences_are_python_s(ask):
    sentences = [
        ["a", "dog", "'s", "ball", "is", "n't", "red"],
        ["'s"],
        [],
        ["n't", "'", "o'clock"],
    ]
    for words, answer in zip(
        sentences, ask(*({"kind": "sentence", "words": each} for each in sentences)), strict=True
    ):
        vocabulary = ["<pad>", "<start>", "<end>", "<unk>", *words]
        tokens = np.arange(4, 4 + len(words))
        wanted = Caption.from_decoder(
            vocabulary, tokens, np.ones((len(words), 1)), 0, 0, (1, 1), np.ones((1, 4))
        )
        assert answer["text"] == wanted.text


# === The class that apps use, over the real LiteRT ===


def captions(file, photos, call="caption", **search):
    """A question for the captions of photos."""
    return {"kind": "captions", "file": str(file), "photos": photos, "call": call, **search}


OVERRIDES = [
    {},
    {"beam_width": 1},  # by the signature `caption`
    {"beam_width": 5},
    {"length_penalty": 0.0},
    {"no_repeat_ngram": 1},
    {"beam_width": 1, "no_repeat_ngram": 1},
    {"beam_width": 4, "length_penalty": 0.3, "no_repeat_ngram": 2},
]


@pytest.mark.parametrize(
    "name",
    [
        "captioner.tflite",
        "gpu.tflite",
        "calibrated.tflite",
        "inject-every.tflite",
        "inject-first.tflite",
    ],
)
def test_captions_are_sat_edge_s(ask, as_bitmap, files, photos, name):
    edge = Captioner(files / name)
    bitmaps = [as_bitmap(photo) for photo in photos]
    answers = ask(
        *(captions(files / name, bitmaps, **search) for search in OVERRIDES),
        captions(files / name, bitmaps, "beam_search"),
        captions(files / name, bitmaps, "beam_search", n_best=3, no_repeat_ngram=2),
    )
    *bests, beams, three = answers
    pixels = [stretch(photo, edge.image_size) for photo in photos]
    said = []
    for search, answer in zip(OVERRIDES, bests, strict=True):
        assert answer["search"] == edge.search.as_dict() == SEARCH.as_dict()
        wanted = [edge.caption(each, **search) for each in pixels]
        for found, caption in zip(answer["captions"], wanted, strict=True):
            assert len(found) == 1
            assert_same(found[0], caption)
        said.append(tuple(caption.text for caption in wanted))
        known = {caption.confidence for caption in wanted}
        assert len(known) > 2 if name == "calibrated.tflite" else known == {None}
    for n, each in enumerate(pixels):
        assert_same(beams["captions"][n][0], edge.beam_search(each)[0])
        wanted = edge.beam_search(each, n_best=3, no_repeat_ngram=2)
        for found, caption in zip(three["captions"][n], wanted, strict=True):
            assert_same(found, caption)
    assert len(set(said[0])) > 1  # of different photos
    assert len(set(said)) > 2  # the searches differ


def test_bitmaps_pixels_and_assets_give_the_same(ask, as_bitmap, tflite_file, photos):
    edge, bitmaps = Captioner(tflite_file), [as_bitmap(photo) for photo in photos]
    question = captions(tflite_file, bitmaps)
    for search in ({}, {"beam_width": 1}, {"beam_width": 2, "length_penalty": 0.9}):
        answers = ask(
            {**question, "call": "caption_pixels", **search},
            {**question, "asset": True, **search},
        )
        for answer, (n, photo) in itertools.product(answers, enumerate(photos)):
            wanted = edge.caption(stretch(photo, edge.image_size), **search)
            assert_same(answer["captions"][n][0], wanted)


def test_the_file_s_search_is_the_default(ask, as_bitmap, tflite_file, photos, tmp_path):
    searches = [Search(), Search(4, 1.0, 2, 3), Search(2, 0.0, 1, 2)]
    paths = [
        rewrite(tflite_file, tmp_path / f"{n}.tflite", settings(search=search.as_dict()))
        for n, search in enumerate(searches)
    ]
    photo, wanted_of = as_bitmap(photos[0]), []
    for search, path in zip(searches, paths, strict=True):
        by_file, best, greedy, too_few = ask(
            captions(path, [photo], "beam_search"),
            captions(path, [photo]),
            captions(path, [photo], beam_width=1, no_repeat_ngram=0),
            captions(path, [photo], "beam_search", beam_width=1),
        )
        assert by_file["search"] == search.as_dict()
        edge = Captioner(path)
        wanted = edge.beam_search(photos[0])
        assert len(by_file["captions"][0]) == search.n_best
        for found, caption in zip(by_file["captions"][0], wanted, strict=True):
            assert_same(found, caption)
        assert_same(best["captions"][0][0], edge.caption(photos[0]))
        # Greedy of any file: n_best is of `beam_search` alone.
        assert_same(greedy["captions"][0][0], Captioner(paths[0]).caption(photos[0]))
        if search.n_best > 1:
            with pytest.raises(InputError) as error:
                edge.beam_search(photos[0], beam_width=1)
            assert too_few["error"] == in_kotlin(str(error.value))
        wanted_of.append(wanted[0].text)
    assert len(set(wanted_of)) > 1


def rename_state(source, target, names):
    """A copy of a captioner's file whose state has other names, in the model and in the settings;
    `encode` gives one tensor more, which is not state."""
    from ai_edge_litert.schema_py_generated import TensorMapT

    from sat_export.flatbuffer import pack, parse

    model = parse(source.read_bytes())
    for signature in model.signatureDefs:
        if signature.signatureKey == b"caption":
            continue
        for tensor in (*signature.inputs, *signature.outputs):
            given = tensor.name.decode()
            if (signature.signatureKey, given) != (b"encode", "image"):
                tensor.name = names.get(given, given).encode()
        if signature.signatureKey == b"encode":
            more = TensorMapT()
            more.name, more.tensorIndex = b"more", signature.outputs[0].tensorIndex
            signature.outputs.append(more)
    content = inside(source)
    state = json.loads(content["captioner.json"])["state"]
    state = {part: [names[name] for name in state[part]] for part in state}
    target.write_bytes(pack(model))
    append(target, settings(state=state)(content))
    return target


def test_knows_no_names_of_the_state(ask, as_bitmap, tflite_file, photos, tmp_path):
    names = {"h": "memory", "c": "h", "annotations": "image", "projected": "c"}
    renamed = rename_state(tflite_file, tmp_path / "renamed.tflite", names)
    answer, = ask(captions(renamed, [as_bitmap(photo) for photo in photos]))  # fmt: skip
    edge = Captioner(tflite_file)
    for found, photo in zip(answer["captions"], photos, strict=True):
        assert_same(found[0], edge.caption(stretch(photo, edge.image_size)))


def test_transparent_and_hardware_bitmaps(ask, as_bitmap, tflite_file, photos):
    edge = Captioner(tflite_file)
    transparent = photos[6].convert("RGBA")
    transparent.putalpha(Image.fromarray(np.arange(300 * 200, dtype="uint8").reshape(200, 300)))
    bitmaps = [as_bitmap(transparent), as_bitmap(photos[6], config="HARDWARE")]
    answer, = ask(captions(tflite_file, bitmaps, beam_width=1))  # fmt: skip
    for found, photo in zip(answer["captions"], (open_photo(transparent), photos[6]), strict=True):
        wanted = edge.caption(photo, beam_width=1)
        assert found[0]["tokens"] == wanted.tokens.tolist()
        # A canvas and Pillow may round a half-transparent pixel to another level.
        assert found[0]["log_prob"] == pytest.approx(wanted.log_prob, abs=0.05)


@pytest.mark.parametrize(
    ("gpu", "reason"),
    [
        ("fine", None),
        ("none", "LiteRT does not support this GPU"),
        ("refuses", "operator not supported"),
        ("wrong", "the GPU's numbers differ from the CPU's by "),
        ("nan", "the GPU's numbers differ from the CPU's by NaN"),
    ],
)
def test_the_gpu_or_the_cpu_and_why(ask, as_bitmap, gpu_file, photos, gpu, reason):
    question = captions(gpu_file, [as_bitmap(photos[0])])
    answer, = ask({**question, "accelerator": "GPU"}, gpu=gpu)  # fmt: skip
    assert_same(answer["captions"][0][0], Captioner(gpu_file).caption(photos[0]))
    assert answer["fallback"] is None if reason is None else answer["fallback"].startswith(reason)


def test_a_file_with_a_loop_stays_on_the_cpu(ask, as_bitmap, tflite_file, photos):
    question = captions(tflite_file, [as_bitmap(photos[0])])
    answer, = ask({**question, "accelerator": "GPU"}, gpu="fine")  # fmt: skip
    assert "which no GPU runs" in answer["fallback"]
    assert_same(answer["captions"][0][0], Captioner(tflite_file).caption(photos[0]))


# === Files that cannot be used ===


def inside(source):
    """Name to text of the files in a captioner's file."""
    with zipfile.ZipFile(source) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def append(target, files):
    """Lays a zip of files at the end of a model."""
    with zipfile.ZipFile(target, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)


def rewrite(source, target, change):
    """A copy of a captioner's file whose inside went through `change`."""
    with zipfile.ZipFile(source) as archive:
        start = min(entry.header_offset for entry in archive.infolist())
    target.write_bytes(source.read_bytes()[:start])
    if files := change(inside(source)):
        append(target, files)
    return target


MISSING = object()


def settings(**fields):
    """A change for `rewrite`: other values of fields of `captioner.json`, or `MISSING`."""

    def change(files):
        content = json.loads(files["captioner.json"]) | fields
        content = {name: value for name, value in content.items() if value is not MISSING}
        return {**files, "captioner.json": json.dumps(content)}

    return change


def test_bad_files_get_one_line(ask, tflite_file, tmp_path, as_bitmap, photos):
    def vocabulary(count):
        def change(files):
            return settings(vocabulary_size=count)(
                {**files, "vocabulary.txt": files["vocabulary.txt"] + "more\n"}
            )

        return change

    def replaced(text):
        return lambda files: {**files, "captioner.json": text}

    words = len(Captioner(tflite_file).vocabulary)
    nothing = "no captioner (no vocabulary inside); make one with `sat-keras export`"
    no_object = "captioner.json is not a JSON object; export it again"
    other_state = "its model has another state than its settings; export it again"
    state = Captioner(tflite_file).settings.state
    (tmp_path / "empty").touch()
    (tmp_path / "short").write_bytes(tflite_file.read_bytes()[-30:])
    whole = tflite_file.read_bytes()
    (tmp_path / "damaged").write_bytes(b"\0" * 64 + whole[64:])
    cases = {
        "absent": (None, "no such file"),
        "empty": (None, nothing),
        "short": (None, nothing),
        "damaged": (None, "damaged file; export it again"),
        "bare": (lambda files: {}, nothing),
        "no settings": (lambda f: {"vocabulary.txt": f["vocabulary.txt"]}, nothing),
        "no JSON": (replaced("{"), no_object),
        "a list": (replaced("[]"), no_object),
        "deep": (replaced("[" * 10**6), no_object),
        "of 0.1": (settings(format=MISSING), "made by sat_keras 0.1; export it again"),
        "of format 2": (
            settings(format=2),
            "its format is 2, and this version reads format 1; "
            "use a newer version of this library, or export it again",
        ),
        "resized otherwise": (
            settings(resize="crop"), "its resize rule is unknown; export it again"
        ),
        "of other settings": (
            vocabulary(words),
            f"{words + 1} words in its vocabulary, {words} in its settings; export it again",
        ),
        "longer": (
            vocabulary(words + 1),
            f"{words + 1} words in its vocabulary, {words} in its model; export it again",
        ),
        "unknown state": (
            settings(state={"returned": [*state.returned, "d"], "kept": state.kept}), other_state
        ),
        "kept for returned": (
            settings(state={"returned": [*state.returned, *state.kept], "kept": []}), other_state
        ),
        "too little state": (settings(state={"returned": ["h"], "kept": []}), other_state),
    }  # fmt: skip
    for name, (change, _) in cases.items():
        if change:
            rewrite(tflite_file, tmp_path / name, change)
    deflated = rewrite(tflite_file, tmp_path / "deflated", lambda files: files)
    *bad, good, asset = ask(
        *(captions(tmp_path / name, []) for name in cases),
        captions(deflated, [as_bitmap(photos[0])]),
        captions("absent.tflite", [], asset=True),
    )
    assert [each.get("error") for each in bad] == [
        f"{tmp_path / name}: {why}" for name, (_, why) in cases.items()
    ]
    assert_same(good["captions"][0][0], Captioner(tflite_file).caption(photos[0]))
    assert asset["error"].startswith("assets/absent.tflite: not there, or compressed")


BAD_FIELDS = {
    "format": [None, "1", 1.5, [1]],
    "image_size": [MISSING, 32, [32], [32, 64, 3], [0, 64], [32, 4097], [32.5, 64], ["32", 64]],
    "grid": [MISSING, None, [2], [0, 4], [2, 4097], [2, True], {"rows": 2, "columns": 4}],
    "max_length": [MISSING, None, 0, 1001, 7.5, "7", True, [7]],
    "vocabulary_size": [MISSING, None, 4, 2**31, 16.5, "16"],
    "regions": [
        MISSING,
        None,
        [],
        [[0, 0, 1, 1]] * 7,
        [[0, 0, 1, 1]] * 9,
        [[0, 0, 1, 1]] * 7 + [[0, 0, 1]],
        [[0, 0, 1, 1]] * 7 + [[0, 0, 1, 1, 1]],
        [[0, 0, 1, 1]] * 7 + [[0, 0, 1, "1"]],
        [[0, 0, 1, 1]] * 7 + [[0, 0, 1, float("nan")]],
        [[0, 0, 1, 1]] * 7 + [[0, 0, 1, True]],
    ],
    "state": [
        MISSING,
        None,
        [],
        {"returned": ["h", "c"]},
        {"returned": ["h", "c"], "kept": "annotations"},
        {"returned": ["h", 3], "kept": []},
        {"returned": ["h", "h"], "kept": []},
        {"returned": ["h", "c"], "kept": ["c"]},
    ],
    "search": [
        MISSING,
        None,
        3,
        {**SEARCH.as_dict(), "beam_width": 0},
        {**SEARCH.as_dict(), "beam_width": 2.5},
        {**SEARCH.as_dict(), "beam_width": "3"},
        {**SEARCH.as_dict(), "beam_width": True},
        {**SEARCH.as_dict(), "length_penalty": -0.5},
        {**SEARCH.as_dict(), "length_penalty": "0.5"},
        {**SEARCH.as_dict(), "no_repeat_ngram": -1},
        {**SEARCH.as_dict(), "n_best": 0},
        {**SEARCH.as_dict(), "n_best": 4},
    ],
    "least_litert": [MISSING, None, "", "1.4b", "2..1", "1.2.3.4.5", "12345", 1.4],
}  # fmt: skip


@pytest.mark.parametrize("field", BAD_FIELDS)
def test_bad_fields_are_named(ask, tflite_file, tmp_path, field):
    paths = [
        rewrite(tflite_file, tmp_path / f"{n}.tflite", settings(**{field: value}))
        for n, value in enumerate(BAD_FIELDS[field])
    ]
    answers = ask(*(captions(path, []) for path in paths))
    for path, answer in zip(paths, answers, strict=True):
        with pytest.raises(InputError, match=field):  # Python's reader agrees
            Settings.from_json(inside(path)["captioner.json"])
        why = f"captioner.json: {field} is missing or out of its range; export it again"
        assert answer["error"] == f"{path}: {why}"


@pytest.mark.parametrize("field", SEARCH.as_dict())
def test_a_search_has_all_of_its_fields(ask, tflite_file, tmp_path, field):
    search = {name: value for name, value in SEARCH.as_dict().items() if name != field}
    path = rewrite(tflite_file, tmp_path / "captioner.tflite", settings(search=search))
    answer, = ask(captions(path, []))  # fmt: skip
    assert "captioner.json: search is missing or out of its range" in answer["error"]


def test_unknown_fields_are_ignored(ask, as_bitmap, tflite_file, tmp_path, photos):
    def change(files):
        content = json.loads(files["captioner.json"])
        content["more"] = content["search"]["more"] = content["state"]["more"] = {"a": [1]}
        # What the library does not need may be missing.
        for name in ("sat_keras", "trained_on", "captioner", "encoder", "compression"):
            del content[name]
        return {**files, "captioner.json": json.dumps(content)}

    path = rewrite(tflite_file, tmp_path / "captioner.tflite", change)
    answer, = ask(captions(path, [as_bitmap(photos[0])]))  # fmt: skip
    assert_same(answer["captions"][0][0], Captioner(tflite_file).caption(photos[0]))


def test_files_that_need_a_newer_litert_are_refused(ask, tflite_file, tmp_path):
    gradle = (ANDROID / "captioner" / "build.gradle.kts").read_text()
    version, = re.findall(r'^val litert = "(.*)"$', gradle, re.MULTILINE)  # fmt: skip
    assert version == "1.4.2"
    dependencies = re.findall(r'implementation\("com.google.ai.edge.litert:(.*?)"\)', gradle)
    assert [each.split(":")[1] for each in dependencies] == ["$litert"] * 3
    runs = ["1.4", "1.4.2", "1.4.2.0", "1.3.10", "0.9"]
    needs_newer = ["2.1", "1.4.3", "1.4.2.1", "1.5", "1.10", "10.0"]
    int4 = {"encoder": "int4", "decoder": "int4"}  # says nothing by itself
    paths = [
        rewrite(
            tflite_file,
            tmp_path / f"{least}.tflite",
            settings(least_litert=least, quantization=int4),
        )
        for least in (*runs, *needs_newer)
    ]
    answers = ask(*(captions(path, []) for path in paths))
    assert all(each["captions"] == [] for each in answers[: len(runs)])
    for least, path, answer in zip(
        needs_newer, paths[len(runs) :], answers[len(runs) :], strict=True
    ):
        assert answer["error"] == (
            f"{path}: needs LiteRT {least}, and this library is built with 1.4.2; "
            "export it with other weights, such as int8"
        )


# === Conformance ===


def record(edge, images):
    """Each photo's best caption by the file's own search, and all steps that the search took."""
    captions, steps, logits, attention = [], [], [], []
    for photo, image in enumerate(images):
        first = len(steps)

        def step(token, state, photo=photo, first=first):
            parent, tensors = state
            outputs, tensors, weights = edge.decode_step(token, tensors)
            steps.append((photo, parent, token))
            logits.append(outputs)
            attention.append(weights)
            return outputs, (len(steps) - 1 - first, tensors), weights

        state = (-1, edge.first_state(image))
        captions.append(beam_search(step, state, edge.settings.max_length, edge.search)[0])
    return captions, np.array(steps, "<i4"), np.array(logits, "<f4"), np.array(attention, "<f4")


@pytest.fixture
def conformance(files, photos, tmp_path):
    """A little folder as `export/conformance/make.py` makes it."""
    folder = tmp_path / "conformance"
    sources = {
        "soft": files / "captioner.tflite",
        "soft-greedy": rewrite(
            files / "captioner.tflite", tmp_path / "greedy", settings(search=Search().as_dict())
        ),
        "inject": files / "inject-every.tflite",
    }
    facts = {}
    for name, source in sources.items():
        part = folder / name
        part.mkdir(parents=True)
        shutil.copy(source, part / "captioner.tflite")
        edge = Captioner(source)
        length, locations = edge.settings.max_length, len(edge.regions)
        best, steps, logits, attention = record(edge, photos)
        tokens = np.zeros((len(photos), length), "<i4")
        looks = np.zeros((len(photos), length, locations), "<f4")
        for n, beam in enumerate(best):
            tokens[n, : len(beam.tokens)] = beam.tokens
            looks[n, : len(beam.tokens)] = beam.attention
        for kind, array in {
            "tokens": tokens,
            "attention": looks,
            "steps": steps,
            "step_logits": logits,
            "step_attention": attention,
        }.items():
            array.tofile(part / f"{kind}.bin")
        facts[name] = {
            "exact": False,
            "max_length": length,
            "locations": locations,
            "vocabulary_size": len(edge.vocabulary),
            "gpu": False,
        }
    image_size = edge.image_size
    content = {"count": len(photos), "image_size": image_size, "files": facts}
    (folder / "conformance.json").write_text(json.dumps(content))
    return folder


def test_conformance(conformance):
    done = run("Conformance", conformance)
    assert done.returncode == 0, done.stderr
    written = {}
    for name in ("soft", "soft-greedy", "inject"):
        for kind in ("tokens.bin", "attention.bin"):
            found = conformance / "results" / "kotlin" / name / kind
            assert found.read_bytes() == (conformance / name / kind).read_bytes()
        written[name] = np.fromfile(conformance / name / "tokens.bin", "<i4").reshape(8, -1)
        # Some captions end, some are cut off.
        assert 0 < (written[name] == END).sum() < 8
    assert (written["soft"] != written["soft-greedy"]).any()


def test_conformance_fails_on_a_step_that_was_not_recorded(conformance):
    steps = np.fromfile(conformance / "inject" / "steps.bin", "<i4").reshape(-1, 3)
    photo, parent, token = steps[1]
    steps[1, 2] = token + 1
    steps.tofile(conformance / "inject" / "steps.bin")
    done = run("Conformance", conformance)
    assert done.returncode != 0
    assert (
        f"inject, photo {photo}: no step with word {token} after step {parent} was recorded"
        in done.stderr
    )


def test_conformance_searches_as_the_file_says(conformance):
    file = conformance / "soft" / "captioner.tflite"
    wider = dataclasses.replace(SEARCH, beam_width=4).as_dict()
    other = rewrite(file, conformance / "other.tflite", settings(search=wider))
    other.replace(file)
    done = run("Conformance", conformance)
    assert done.returncode != 0
    assert re.search(r"soft, photo 0: no step with word \d+ after step \d+ was", done.stderr)
