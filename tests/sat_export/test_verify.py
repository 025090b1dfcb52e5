"""An artefact that says something else, or has other words, is found out."""

import json
import shutil
import zipfile

import keras
import numpy as np
import pytest

from sat_edge import Captioner, InputError, Search
from sat_export import export_tflite
from sat_export.flatbuffer import pack, parse
from sat_export.saved_model import export_saved_model
from sat_export.verify import contents, verify
from sat_keras import datasets
from sat_keras.evaluation import evaluate


@pytest.fixture(scope="module")
def builder(make_flickr8k, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    official = make_flickr8k(folder / "flickr8k", photos=8, validation=3)
    return datasets.build_records("flickr8k", folder / "records", official)


def copy_with(path, model, inside):
    """A file of another model with what is inside another."""
    path.write_bytes(model)
    with zipfile.ZipFile(inside) as source, zipfile.ZipFile(path, "a") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))


@pytest.mark.slow
def test_the_same_file(captioner, tflite_file, builder):
    result = verify(captioner, tflite_file, builder, "train")
    assert result["passed"] and result["why"] == ""
    assert "grounding" not in result  # no boxes
    assert (result["same"], result["edit_distance"], result["photos"]) == (1.0, 0.0, 4)
    assert result["CIDEr_difference"] == result["BLEU-4_difference"] == 0
    assert result["attention_difference"] < 1e-3
    # A sum over a caption's words.
    assert result["log_prob_difference"] < 1e-3 * captioner.max_length


@pytest.mark.slow
def test_grounding_of_a_file_and_of_its_source(
    captioner, tflite_file, make_flickr8k, make_entities, tmp_path, monkeypatch
):
    """Where the photos have boxes; of the references, so that the words are the same."""
    official = make_flickr8k(tmp_path / "flickr8k", photos=4)
    entities = make_entities(tmp_path / "entities", photos=4)
    builder = datasets.build_records("flickr8k", tmp_path / "records", official, entities)
    asked, attend = [], Captioner.attend
    monkeypatch.setattr(Captioner, "attend", lambda *each: asked.append(each) or attend(*each))
    found = verify(captioner, tflite_file, builder, "train")["grounding"]
    assert list(found) == ["file", "Keras"]
    assert [len(captions) for _, _, captions in asked] == [2, 2]
    scores, _ = evaluate(captioner.caption, builder, "train", attend=captioner.attend)
    wanted = scores["grounding"]["references"]["all"]
    assert found["Keras"] == wanted and wanted["phrases"] == 2 * 2
    assert found["file"]["phrases"] == wanted["phrases"]
    for name in ("pointing", "mass"):
        assert found["file"][name] == pytest.approx(wanted[name], abs=1e-3)


@pytest.mark.slow
def test_one_damaged_weight(captioner, tflite_file, builder, tmp_path):
    model = parse(tflite_file.read_bytes())
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if tensor.name.decode().endswith("L_o_1/MatMul"):
                values = model.buffers[tensor.buffer].data.copy().view("float32")
                values[-1] = 1e3
                model.buffers[tensor.buffer].data = values.view("uint8")
    damaged = tmp_path / "damaged.tflite"
    copy_with(damaged, pack(model), tflite_file)
    result = verify(captioner, damaged, builder, "train")
    assert not result["passed"]
    assert "of captions are the same" in result["why"]
    assert result["edit_distance"] > 0


@pytest.mark.slow
def test_a_file_of_before_its_captioner_was_calibrated(calibrated, captioner, builder, tmp_path):
    export_tflite(captioner, tmp_path / "before.tflite")
    export_tflite(calibrated, tmp_path / "after.tflite", search=captioner.search)
    for source, file, why in (
        (captioner, "before", ""),
        (calibrated, "before", "its captioner alone is calibrated: export again"),
        (captioner, "after", "it alone is calibrated: export again"),
    ):
        result = verify(source, tmp_path / f"{file}.tflite", builder)
        assert (result["why"], result["passed"]) == (why, not why)
    calibrated.save(tmp_path / "other.keras")
    other = keras.saving.load_model(tmp_path / "other.keras")
    other.trust.confidence_knots.assign(other.trust.confidence_knots * 0.9)
    result = verify(other, tmp_path / "after.tflite", builder)
    assert result["why"].startswith("confidence differs by ") and not result["passed"]


def test_words_in_another_order(captioner, tflite_file, builder, tmp_path):
    words = captioner.vocabulary.words
    swapped = [*words[:4], words[5], words[4], *words[6:]]
    path = tmp_path / "other.tflite"
    shutil.copy(tflite_file, path)
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as inside:
        inside.writestr("vocabulary.txt", "\n".join(swapped) + "\n")
    assert Captioner(path).vocabulary == swapped
    with pytest.raises(InputError, match=r"other\.tflite: its vocabulary is not the captioner's"):
        verify(captioner, path, builder, "train")


@pytest.mark.slow
def test_quantised_files_are_held_to_cider(captioner, builder, tmp_path):
    path = tmp_path / "captioner.tflite"
    export_tflite(captioner, path, "dynamic")
    result = verify(captioner, path, builder, "train", most_lost=1.0)
    assert result["passed"]
    allowed = -result["CIDEr_difference"] - 1e-6
    result = verify(captioner, path, builder, "train", most_lost=allowed)
    assert not result["passed"] and "of CIDEr lost" in result["why"]


@pytest.mark.slow
def test_saved_model(captioner, builder, tmp_path):
    """By its own search, which is in its settings: another one there, other captions."""
    named = {"beam_width": 4, "length_penalty": 0.5, "no_repeat_ngram": 1}
    directory = export_saved_model(captioner, tmp_path / "model", **named)
    result = verify(captioner, directory, builder, "train", limit=3)
    assert result["passed"] and (result["same"], result["photos"]) == (1.0, 3)
    path = directory / "assets.extra" / "captioner.json"
    settings = json.loads(path.read_text())
    settings["search"]["no_repeat_ngram"] = 0
    path.write_text(json.dumps(settings))
    result = verify(captioner, directory, builder, "train", limit=3)
    assert not result["passed"] and "of captions are the same" in result["why"]
    del settings["format"]
    path.write_text(json.dumps(settings))
    with pytest.raises(InputError) as error:
        verify(captioner, directory, builder, "train", limit=3)
    assert str(error.value) == f"{directory}: made by sat_keras 0.1; export it again"


@pytest.mark.slow
def test_a_file_is_compared_by_its_own_search(captioner, builder, tmp_path):
    """The source's default is greedy."""
    path = tmp_path / "captioner.tflite"
    export_tflite(captioner, path, search=Search(beam_width=3, no_repeat_ngram=1, n_best=2))
    result = verify(captioner, path, builder, "train")
    assert result["passed"] and result["same"] == 1.0


@pytest.mark.parametrize("kind", ["folder", "truncated", "foreign"])
def test_artefacts_that_are_none(captioner, tflite_file, builder, tmp_path, kind):
    path = tmp_path / "x.tflite"
    if kind == "folder":
        path.mkdir()
    elif kind == "truncated":
        copy_with(path, tflite_file.read_bytes()[:50_000], tflite_file)
    else:
        path.write_bytes(b"<html>" * 1000)
    with pytest.raises(InputError, match=r"x\.tflite: "):
        verify(captioner, path, builder, "train")


def test_contents_are_the_whole_file(captioner, tflite_file):
    found = contents(tflite_file)
    assert found["bytes"] == tflite_file.stat().st_size == sum(found["components"].values())
    # Of batch normalisation a bias stays; the converter adds small constants.
    kept = [each for each in captioner.encoder.weights if each.ndim > 1 or "beta" in each.path]
    all_weights = (kept, captioner.decoder.weights, captioner.decoder.embedding.weights)
    encoder, decoder, embedding = (
        4 * sum(int(np.prod(each.shape)) for each in weights) for weights in all_weights
    )
    assert found["components"]["embedding"] == pytest.approx(embedding, rel=0.01)
    assert found["components"]["encoder"] == pytest.approx(encoder, rel=0.05)
    assert found["components"]["decoder"] == pytest.approx(decoder - embedding, rel=0.2)
    assert found["operators"]["WHILE"] == 1
    assert found["weights"]["FLOAT32"] > 0.95 * sum(found["weights"].values())


@pytest.mark.slow
def test_contents_of_a_quantised_file(captioner, tmp_path):
    """Its weights lie behind the graphs."""
    path = tmp_path / "captioner.tflite"
    export_tflite(captioner, path, "dynamic")
    found = contents(path)
    weights = sum(int(np.prod(each.shape)) for each in captioner.weights if each.ndim > 1)
    assert found["weights"]["INT8"] > 0.9 * weights
    assert sum(found["components"].values()) == found["bytes"]
    assert found["components"]["graphs"] < 0.5 * found["bytes"]
