import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from sat_edge import Captioner, InputError
from sat_edge.caption import END, START, Caption


def test_same_captions_as_keras(captioner, tflite_file, photos):
    edge = Captioner(tflite_file)
    for photo, wanted in zip(photos, captioner.caption(photos), strict=True):
        found = edge.caption(photo)
        assert found.text == wanted.text
        np.testing.assert_array_equal(found.tokens, wanted.tokens)
        assert found.log_prob == pytest.approx(wanted.log_prob, abs=1e-3)
        np.testing.assert_allclose(found.attention, wanted.attention, atol=1e-4)


def test_encode_and_step_by_hand_equal_caption(tflite_file, photos):
    edge = Captioner(tflite_file)
    for photo in photos:
        wanted = edge.caption(photo)
        state = edge.encode(photo)
        token, log_prob = START, 0.0
        for n, token_wanted in enumerate(wanted.tokens):
            outputs = edge.step(token, **state)
            logits = outputs["logits"][0]  # (V,)
            allowed = logits.copy()
            allowed[[0, 1, 3]] = -np.inf
            token = int(allowed.argmax())
            assert token == token_wanted
            log_prob += logits[token] - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
            np.testing.assert_allclose(
                outputs["attention"][0], wanted.attention[n].ravel(), atol=1e-5
            )
            state |= {"h": outputs["h"], "c": outputs["c"]}
        assert log_prob == pytest.approx(wanted.log_prob, abs=1e-3)


def test_no_tensorflow_in_that_process(tflite_file, photos, tmp_path):
    photos[0].save(tmp_path / "photo.png")
    code = (
        "import sys, sat_edge\n"
        "caption = sat_edge.Captioner(sys.argv[1]).caption(sys.argv[2])\n"
        "print(caption.text)\n"
        "print([m for m in ('tensorflow', 'keras', 'sat_keras') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tflite_file, tmp_path / "photo.png"],
        capture_output=True,
        text=True,
        check=True,
    )
    text, loaded = done.stdout.splitlines()
    assert text == Captioner(tflite_file).caption(photos[0]).text
    assert loaded == "[]"


def caption(vocabulary, tokens):
    attention, regions = np.ones((len(tokens), 1)), np.array([[0, 0, 1, 1]])
    return Caption.from_decoder(vocabulary, tokens, attention, -1.0, -1.0, (1, 1), regions)


def test_treebank_words_are_joined():
    words = ["<pad>", "<start>", "<end>", "<unk>", "man", "'s", "does", "n't"]
    found = caption(words, [4, 5, 6, 7, END, 0])
    assert found.text == "man's doesn't"
    assert found.words == ("man", "'s", "does", "n't")
    assert found.attention.shape == (5, 1, 1)


def test_caption_without_end():
    found = caption(["<pad>", "", "", "", "a"], [4, 4])
    assert found.words == ("a", "a")


def with_words(tflite_file, tmp_path, words):
    """The same model with another vocabulary inside."""
    path = tmp_path / "other.tflite"
    with zipfile.ZipFile(tflite_file) as inside:
        settings = inside.read("captioner.json")
        start = min(each.header_offset for each in inside.infolist())
    path.write_bytes(tflite_file.read_bytes()[:start])
    with zipfile.ZipFile(path, "a") as inside:
        inside.writestr("captioner.json", settings)
        if words is not None:
            inside.writestr("vocabulary.txt", "\n".join(words))
    return path


@pytest.mark.parametrize(
    "words, says",
    [(None, "no vocabulary inside"), (["<pad>", "<start>"], "2 words in its vocabulary, 16 in")],
)
def test_vocabulary_that_does_not_fit(tflite_file, tmp_path, words, says):
    path = with_words(tflite_file, tmp_path, words)
    with pytest.raises(InputError, match=f"other.tflite: .*{says}"):
        Captioner(path)


def test_files_that_are_no_captioner(tmp_path):
    with pytest.raises(InputError, match="none.tflite: no such file"):
        Captioner(tmp_path / "none.tflite")
    (tmp_path / "text.tflite").write_text("no model at all")
    with pytest.raises(InputError, match="text.tflite: no captioner"):
        Captioner(tmp_path / "text.tflite")
    with zipfile.ZipFile(tmp_path / "zip.tflite", "w") as inside:
        inside.writestr("vocabulary.txt", "a")
        inside.writestr("captioner.json", json.dumps({}))
    with pytest.raises(InputError, match="zip.tflite: damaged"):
        Captioner(tmp_path / "zip.tflite")
