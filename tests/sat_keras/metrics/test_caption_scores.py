"""Against coco-caption's own 1,000 captions and pycocoevalcap's published scores of them."""

import json
import shutil

import numpy as np
import pytest

from sat_keras.metrics import CiderD, bleu, caption_scores, cider, meteor, rouge_l

PUBLISHED = {f"BLEU-{n}": f"Bleu_{n}" for n in range(1, 5)} | {
    "ROUGE-L": "ROUGE_L",
    "CIDEr": "CIDEr",
}
METEOR = 0.1953

needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="METEOR needs Java")


def load(folder, name):
    return json.loads((folder / name).read_text())


@pytest.fixture(scope="module")
def folder(shared):
    return shared / "gold" / "coco-caption"


@pytest.fixture(scope="module")
def gold(folder):
    return load(folder, "gold_pycocoevalcap.json")


@pytest.fixture(scope="module")
def tokenized(folder):
    found = load(folder, "en_captions_val2014_results_after_tokenization.json")
    wanted = load(folder, "en_captions_val2014_references_after_tokenization.json")
    captions = [found[i][0].split() for i in found]
    return list(found), captions, [[text.split() for text in wanted[i]] for i in found]


@pytest.fixture(scope="module")
def raw(folder):
    found = load(folder, "en_captions_val2014_fakecap_results.json")
    wanted = {}
    for each in load(folder, "en_captions_val2014.json")["annotations"]:
        wanted.setdefault(each["image_id"], []).append(each["caption"])
    captions = [each["caption"] for each in found]
    return captions, [wanted[each["image_id"]] for each in found]


@pytest.mark.slow
def test_tokenised_gold(tokenized, gold):
    _, captions, references = tokenized
    scores = {}
    for metric in (bleu, rouge_l, cider):
        scores |= metric(captions, references)
    for name, published in PUBLISHED.items():
        assert scores[name] == pytest.approx(gold["corpus"][published], abs=1e-6)


@pytest.mark.slow
def test_cider_of_each_picture(tokenized, gold):
    ids, captions, references = tokenized
    scores = CiderD(references).score(captions, references)
    np.testing.assert_allclose(scores, [gold["per_image"][i]["CIDEr"] for i in ids], atol=1e-6)


@pytest.mark.slow
@needs_java
def test_meteor_of_the_tokenised_gold(tokenized):
    _, captions, references = tokenized
    assert meteor(captions, references)["METEOR"] == pytest.approx(METEOR, abs=1e-4)


@pytest.mark.slow
def test_raw_captions(raw, gold):
    scores = caption_scores(*raw)
    for name in ("BLEU-4", "ROUGE-L", "CIDEr"):
        assert scores[name] == pytest.approx(gold["corpus"][PUBLISHED[name]], abs=0.002)
    if shutil.which("java"):
        assert scores["METEOR"] == pytest.approx(METEOR, abs=1e-4)


def test_case_and_punctuation_do_not_count():
    scores = caption_scores(["A dog, running.", "a cat"], [["a dog running"], ["a cat"]])
    assert scores["BLEU-2"] == pytest.approx(1.0)
    assert scores["ROUGE-L"] == pytest.approx(1.0)


def test_without_java_there_is_no_meteor(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert list(caption_scores(["a dog"], [["a dog"]])) == [
        *(f"BLEU-{n}" for n in range(1, 5)),
        "ROUGE-L",
        "CIDEr",
    ]
