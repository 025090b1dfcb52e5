import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from sat_edge import Captioner, InputError, Search
from sat_edge.caption import END, START, Caption
from sat_export import export_tflite
from sat_export.benchmark import plain_encoder


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
            state |= {name: outputs[name] for name in edge.settings.state.returned}
        assert log_prob == pytest.approx(wanted.log_prob, abs=1e-3)


def test_same_attention_to_given_captions_as_keras(make_attentive, photos, tmp_path):
    captioner, path = make_attentive(), tmp_path / "captioner.tflite"
    export_tflite(captioner, path)
    edge = Captioner(path)
    captions = [["red", "square"], [], ["a", "zebra", "is", "grey"], ["the"] * 9]
    for photo, wanted in zip(photos, captioner.attend(photos, [captions] * 8), strict=True):
        found = edge.attend(photo, captions)
        assert [len(each) for each in found] == [3, 1, 5, 7]  # `<end>` too; seven at most
        for one, other in zip(found, wanted, strict=True):
            assert one.shape == other.shape and one.dtype == other.dtype
            np.testing.assert_allclose(one, other, atol=1e-3)


def test_attending_to_its_own_caption_is_what_it_looked_at(tflite_file, photos):
    edge = Captioner(tflite_file)
    for photo in photos:
        caption = edge.caption(photo)
        (found,) = edge.attend(photo, [caption.words])
        np.testing.assert_allclose(found, caption.attention, atol=1e-5)


def test_captions_that_are_attended_to_are_words(tflite_file, photos):
    with pytest.raises(InputError, match="are lists of words: split them"):
        Captioner(tflite_file).attend(photos[0], ["red square"])


@pytest.fixture(scope="module")
def by_beam(make_captioner, tmp_path_factory):
    """A captioner whose default is a beam search, of words of like probability, and its file."""
    captioner = make_captioner(search=Search(beam_width=4, length_penalty=0.5, n_best=2))
    kernel = captioner.decoder.deep_output.project_word.kernel
    kernel.assign(kernel * 0.5)
    path = tmp_path_factory.mktemp("by_beam") / "captioner.tflite"
    export_tflite(captioner, path)
    return captioner, Captioner(path)


OVERRIDES = [{}, {"beam_width": 2}, {"length_penalty": 0.0}, {"no_repeat_ngram": 1}]


@pytest.mark.parametrize("named", OVERRIDES)
def test_a_field_that_is_not_named_is_the_file_s(by_beam, photos, named):
    """Against Keras, told of every field."""
    captioner, edge = by_beam
    fields = {"beam_width": 4, "length_penalty": 0.5, "no_repeat_ngram": 0, "n_best": 2, **named}
    for photo, wanted in zip(photos, captioner.beam_search(photos, **fields), strict=True):
        found = edge.beam_search(photo, **named)
        assert [each.words for each in found] == [each.words for each in wanted]
        assert found[0].score == pytest.approx(wanted[0].score, abs=1e-3)
        assert edge.caption(photo, **named).words == wanted[0].words


def test_the_fields_matter(by_beam, photos):
    """Each override above changes the words of some photo, and so does a greedy search."""
    _, edge = by_beam
    said = [
        tuple(edge.caption(photo, **named).text for photo in photos)
        for named in (*OVERRIDES, {"beam_width": 1})
    ]
    assert len(set(said)) == len(said)


def test_greedy_is_a_beam_of_width_one(by_beam, photos):
    captioner, edge = by_beam
    greedy = captioner.greedy(np.stack([np.asarray(x.resize((64, 32))) for x in photos]))[0]
    for photo, tokens in zip(photos, greedy.numpy(), strict=True):
        assert edge.caption(photo.resize((64, 32)), beam_width=1).tokens.tolist() == [
            token for token in tokens if token
        ]


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ({"beam_width": 0}, "beam_width is 0: name 1 or more"),
        ({"length_penalty": -1}, "length_penalty is -1: name 0 or more"),
    ],
)
def test_searches_that_cannot_be(by_beam, photos, named, says):
    for ask in (by_beam[1].caption, by_beam[1].beam_search):
        with pytest.raises(InputError, match=says):
            ask(photos[0], **named)


def test_what_encode_returns_beside_the_state_is_passed_over(tflite_file, photos, monkeypatch):
    edge = Captioner(tflite_file)
    wanted, run = edge.caption(photos[0], beam_width=2), edge._runtime.run

    def with_more(signature, **inputs):
        more = {"extra": np.zeros(3)} if signature == "encode" else {}
        return run(signature, **inputs) | more

    monkeypatch.setattr(edge._runtime, "run", with_more)
    assert "extra" in edge.encode(photos[0])
    assert edge.caption(photos[0], beam_width=2).words == wanted.words


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


def with_words(tflite_file, tmp_path, words, **settings):
    """The same model with another vocabulary inside, and other settings."""
    path = tmp_path / "other.tflite"
    with zipfile.ZipFile(tflite_file) as inside:
        settings = {**json.loads(inside.read("captioner.json")), **settings}
        start = min(each.header_offset for each in inside.infolist())
    path.write_bytes(tflite_file.read_bytes()[:start])
    with zipfile.ZipFile(path, "a") as inside:
        inside.writestr("captioner.json", json.dumps(settings))
        if words is not None:
            inside.writestr("vocabulary.txt", "\n".join(words))
    return path


@pytest.mark.parametrize(
    "words, settings, says",
    [
        (None, {}, "no vocabulary inside"),
        (["<pad>", "<start>"], {}, "2 words in its vocabulary, 16 in its settings; export"),
        (list("abcde"), {"vocabulary_size": 5}, "5 words in its vocabulary, 16 in its model; exp"),
    ],
)
def test_vocabulary_that_does_not_fit(tflite_file, tmp_path, words, settings, says):
    path = with_words(tflite_file, tmp_path, words, **settings)
    with pytest.raises(InputError, match=f"other.tflite: .*{says}"):
        Captioner(path)


def test_files_that_are_no_captioner(tflite_file, tmp_path):
    with pytest.raises(InputError, match="none.tflite: no such file"):
        Captioner(tmp_path / "none.tflite")
    (tmp_path / "text.tflite").write_text("no model at all")
    with pytest.raises(InputError, match="text.tflite: no captioner"):
        Captioner(tmp_path / "text.tflite")
    with zipfile.ZipFile(tflite_file) as inside:
        words, settings = inside.read("vocabulary.txt"), inside.read("captioner.json")
    for name, model, says in (
        ("zip", b"", "damaged file; export it again"),
        ("encoder", plain_encoder(tflite_file.read_bytes()), "its `encode` does not return c"),
    ):
        (tmp_path / f"{name}.tflite").write_bytes(model)
        with zipfile.ZipFile(tmp_path / f"{name}.tflite", "a") as inside:
            inside.writestr("vocabulary.txt", words)
            inside.writestr("captioner.json", settings)
        with pytest.raises(InputError, match=f"{name}.tflite: {says}"):
            Captioner(tmp_path / f"{name}.tflite")
