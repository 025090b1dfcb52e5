"""The Android library's Kotlin on the JVM: its own logic, and the whole class over LiteRT's Python
package in place of its Java one."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sat_edge import Captioner
from sat_edge.beam_search import beam_search
from sat_edge.caption import END, PAD, START, UNKNOWN, Caption
from sat_edge.photo import open_photo, to_pixels

SCRIPT = Path(__file__).parents[2] / "export" / "android" / "test.sh"
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


@pytest.fixture(scope="module")
def files(make_captioner, tmp_path_factory):
    """A captioner's file for CPUs and that for GPUs; it ends some captions and cuts others off."""
    from sat_export import export_tflite

    captioner = make_captioner()
    project_word = captioner.decoder.deep_output.project_word
    project_word.kernel.assign(project_word.kernel * 0.5)
    project_word.bias.assign(2.0 * (np.arange(len(captioner.vocabulary)) == END))
    folder = tmp_path_factory.mktemp("files")
    export_tflite(captioner, folder / "captioner.tflite")
    export_tflite(captioner, folder / "gpu.tflite", target="gpu")
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
    {"width": 1},
    {"width": 3},
    {"width": 3, "n_best": 3},
    {"width": 3, "length_penalty": 0.7, "n_best": 2},
    {"width": 3, "no_repeat_ngram": 1},
    {"width": 3, "no_repeat_ngram": 2, "n_best": 3},
    {"width": 5, "length_penalty": 1.0, "no_repeat_ngram": 3, "n_best": 5},
    {"width": 12, "n_best": 12},
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
    defaults = {"length_penalty": 0.0, "no_repeat_ngram": 0, "n_best": 1}
    searches = [{**defaults, **search} for search in SEARCHES]
    question = {"kind": "beams", "table": str(tmp_path / "table.bin"), "words": words}
    answers = ask(*({**question, **search} for search in searches))

    def step(token, t):
        return table[t, token], t + 1, np.array([t, token])

    lengths = set()
    for search, answer in zip(searches, answers, strict=True):
        wanted = beam_search(step, 0, length, **search)
        assert len(answer["beams"]) == len(wanted) == search["n_best"]
        for found, beam in zip(answer["beams"], wanted, strict=True):
            assert tuple(found["tokens"]) == beam.tokens
            assert found["log_prob"] == pytest.approx(beam.log_prob, abs=1e-5)
            assert found["score"] == pytest.approx(beam.score(search["length_penalty"]), abs=1e-5)
            np.testing.assert_array_equal(found["attention"], beam.attention)
            lengths.add(len(beam.tokens))
    assert len(lengths) > 2  # a table that ends all captions alike would show little


@pytest.mark.parametrize(
    "search", [{"width": 0}, {"width": 2, "n_best": 3}, {"length_penalty": -1.0},
               {"no_repeat_ngram": -1}]
)  # fmt: skip
def test_refuses_the_searches_that_python_refuses(ask, tmp_path, search):
    np.zeros((1, 4, 4), "<f4").tofile(tmp_path / "table.bin")
    search = {"width": 3, "length_penalty": 0.0, "no_repeat_ngram": 0, "n_best": 1, **search}
    table = {"kind": "beams", "table": str(tmp_path / "table.bin"), "words": 4}
    with pytest.raises(ValueError) as wanted:
        beam_search(None, 0, 1, **search)
    assert ask({**table, **search})[0]["error"] == str(wanted.value)


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


def test_captions_are_sat_edge_s(ask, as_bitmap, tflite_file, photos):
    edge = Captioner(tflite_file)
    bitmaps = [as_bitmap(photo) for photo in photos]
    search = {"width": 3, "length_penalty": 0.5, "no_repeat_ngram": 2, "n_best": 2}
    question = {"kind": "captions", "file": str(tflite_file), "photos": bitmaps}
    greedy, by_pixels, asset, beams = ask(
        question, {**question, "pixels": True}, {**question, "asset": True}, {**question, **search}
    )
    texts = set()
    for n, photo in enumerate(photos):
        pixels = stretch(photo, edge.image_size)
        wanted = edge.caption(pixels)
        texts.add(wanted.text)
        for answer in (greedy, by_pixels, asset):
            assert len(answer["captions"][n]) == 1
            assert_same(answer["captions"][n][0], wanted)
        wanted = edge.beam_search(pixels, 3, 0.5, no_repeat_ngram=2, n_best=2)
        for found, one in zip(beams["captions"][n], wanted, strict=True):
            assert_same(found, one)
    assert len(texts) > 1  # of different photos


def test_transparent_and_hardware_bitmaps(ask, as_bitmap, tflite_file, photos):
    edge = Captioner(tflite_file)
    transparent = photos[6].convert("RGBA")
    transparent.putalpha(Image.fromarray(np.arange(300 * 200, dtype="uint8").reshape(200, 300)))
    bitmaps = [as_bitmap(transparent), as_bitmap(photos[6], config="HARDWARE")]
    answer, = ask({"kind": "captions", "file": str(tflite_file), "photos": bitmaps})  # fmt: skip
    for found, photo in zip(answer["captions"], (open_photo(transparent), photos[6]), strict=True):
        wanted = edge.caption(photo)
        assert found[0]["tokens"] == wanted.tokens.tolist()
        # A canvas and Pillow may round a half-transparent pixel to another level.
        assert found[0]["log_prob"] == pytest.approx(wanted.log_prob, abs=0.05)


@pytest.mark.parametrize(
    ("gpu", "reason"),
    [
        ("fine", None),
        ("none", "LiteRT knows this GPU not to do"),
        ("refuses", "operator not supported"),
        ("wrong", "the GPU's numbers differ from the CPU's by "),
        ("nan", "the GPU's numbers differ from the CPU's by NaN"),
    ],
)
def test_the_gpu_or_the_cpu_and_why(ask, as_bitmap, gpu_file, photos, gpu, reason):
    question = {"kind": "captions", "file": str(gpu_file), "photos": [as_bitmap(photos[0])]}
    answer, = ask({**question, "accelerator": "GPU"}, gpu=gpu)  # fmt: skip
    assert_same(answer["captions"][0][0], Captioner(gpu_file).caption(photos[0]))
    assert answer["fallback"] is None if reason is None else answer["fallback"].startswith(reason)


def test_a_file_with_a_loop_stays_on_the_cpu(ask, as_bitmap, tflite_file, photos):
    question = {"kind": "captions", "file": str(tflite_file), "photos": [as_bitmap(photos[0])]}
    answer, = ask({**question, "accelerator": "GPU"}, gpu="fine")  # fmt: skip
    assert "which no GPU takes" in answer["fallback"]
    assert_same(answer["captions"][0][0], Captioner(tflite_file).caption(photos[0]))


def rewrite(source, target, change):
    """A copy of a captioner's file whose inside went through `change`."""
    with zipfile.ZipFile(source) as inside:
        start = min(entry.header_offset for entry in inside.infolist())
        files = change({name: inside.read(name).decode() for name in inside.namelist()})
    target.write_bytes(source.read_bytes()[:start])
    if files:
        with zipfile.ZipFile(target, "a", zipfile.ZIP_DEFLATED) as inside:
            for name, text in files.items():
                inside.writestr(name, text)
    return target


def test_bad_files_get_one_line(ask, tflite_file, tmp_path, as_bitmap, photos):
    def vocabulary(files):
        return {**files, "vocabulary.txt": files["vocabulary.txt"] + "more\n"}

    def settings(change):
        return lambda files: {
            **files, "captioner.json": json.dumps(json.loads(files["captioner.json"]) | change)
        }  # fmt: skip

    words = len(Captioner(tflite_file).vocabulary)
    nothing = "no captioner (no vocabulary inside); make one with `sat-keras export`"
    int4 = {"quantization": {"encoder": "int8", "decoder": "int4"}}
    (tmp_path / "empty").touch()
    (tmp_path / "short").write_bytes(tflite_file.read_bytes()[-30:])
    whole = tflite_file.read_bytes()
    (tmp_path / "damaged").write_bytes(b"\0" * 64 + whole[64:])
    cases = {
        tmp_path / "absent": "no such file",
        tmp_path / "empty": nothing,
        tmp_path / "short": nothing,
        tmp_path / "damaged": "damaged file; export it again",
        rewrite(tflite_file, tmp_path / "bare", lambda files: {}): nothing,
        rewrite(tflite_file, tmp_path / "no.json", lambda f: {**f, "captioner.json": "{"}): nothing,
        rewrite(tflite_file, tmp_path / "int4", settings(int4)): (
            "int4 weights need LiteRT 2.1; export it with int8"
        ),
        rewrite(tflite_file, tmp_path / "longer", vocabulary): (
            f"{words + 1} words in its vocabulary, {words} in its model; export it again"
        ),
    }
    deflated = rewrite(tflite_file, tmp_path / "deflated", lambda files: files)
    questions = [{"kind": "captions", "photos": [], "file": str(path)} for path in cases]
    *bad, good, asset = ask(
        *questions,
        {"kind": "captions", "file": str(deflated), "photos": [as_bitmap(photos[0])]},
        {"kind": "captions", "file": "absent.tflite", "photos": [], "asset": True},
    )
    assert [each["error"] for each in bad] == [f"{path}: {why}" for path, why in cases.items()]
    assert_same(good["captions"][0][0], Captioner(tflite_file).caption(photos[0]))
    assert asset["error"].startswith("assets/absent.tflite: not there, or compressed")


# === Conformance ===


@pytest.fixture
def conformance(tflite_file, photos, tmp_path):
    """A little folder as `export/conformance/make.py` makes it, of one file."""
    edge = Captioner(tflite_file)
    folder = tmp_path / "conformance"
    (folder / "float32").mkdir(parents=True)
    count, length = len(photos), edge.settings["max_length"]
    locations, words = len(edge.regions), len(edge.vocabulary)
    tokens = np.zeros((count, length), "<i4")
    attention = np.zeros((count, length, locations), "<f4")
    logits = np.zeros((count, length, words), "<f4")
    for n, photo in enumerate(photos):
        state, token = edge.encode(photo), START
        for t in range(length):
            outputs = edge.step(token, **state)
            state |= {"h": outputs["h"], "c": outputs["c"]}
            logits[n, t], attention[n, t] = outputs["logits"][0], outputs["attention"][0]
            allowed = logits[n, t].copy()
            allowed[[PAD, START, UNKNOWN]] = -np.inf
            tokens[n, t] = token = int(allowed.argmax())
            if token == END:
                break
    for name, array in {"tokens": tokens, "attention": attention, "logits": logits}.items():
        array.tofile(folder / "float32" / f"{name}.bin")
    (folder / "conformance.json").write_text(
        json.dumps(
            {
                "count": count,
                "image_size": edge.image_size,
                "max_length": length,
                "locations": locations,
                "vocabulary_size": words,
                "files": ["float32"],
            }
        )
    )
    return folder, tokens


def test_conformance(conformance):
    folder, tokens = conformance
    assert 0 < (tokens == END).sum() < len(tokens)  # some end, some are cut off
    done = run("Conformance", folder)
    assert done.returncode == 0, done.stderr
    for name in ("tokens.bin", "attention.bin"):
        found = folder / "results" / "kotlin" / "float32" / name
        assert found.read_bytes() == (folder / "float32" / name).read_bytes()


def test_conformance_fails_on_another_word(conformance):
    folder, tokens = conformance
    tokens[0, 1] = (tokens[0, 1] + 1) % 4 + 4
    tokens.tofile(folder / "float32" / "tokens.bin")
    done = run("Conformance", folder)
    assert done.returncode != 0
    assert f"photo 0, step 2: after word {tokens[0, 1]}, not " in done.stderr
