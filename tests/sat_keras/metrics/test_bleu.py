import json

import pytest

from sat_keras.metrics import bleu


def test_by_hand():
    # Precisions 5/6 (unigrams: one "the" too many is clipped), 3/5; lengths are equal.
    scores = bleu(["the the cat sat down there"], [["the cat sat down there ok"]])
    assert scores["BLEU-1"] == pytest.approx(5 / 6, rel=1e-6)
    assert scores["BLEU-2"] == pytest.approx((5 / 6 * 4 / 5) ** 0.5, rel=1e-6)


def test_brevity_penalty():
    scores = bleu(["a dog"], [["a dog runs fast"]])
    assert scores["BLEU-1"] == pytest.approx(2.718281828 ** (1 - 4 / 2), rel=1e-6)


def test_case_and_punctuation_do_not_count():
    assert bleu(["A dog, running."], [["a dog running"]])["BLEU-3"] == pytest.approx(1.0)


@pytest.mark.slow
def test_gold_of_coco_caption(shared):
    gold = shared / "gold" / "coco-caption"
    found = json.loads((gold / "en_captions_val2014_results_after_tokenization.json").read_text())
    wanted = json.loads(
        (gold / "en_captions_val2014_references_after_tokenization.json").read_text()
    )
    corpus = json.loads((gold / "gold_pycocoevalcap.json").read_text())["corpus"]
    scores = bleu([found[i][0] for i in found], [wanted[i] for i in found])
    for n in range(1, 5):
        published = next(value for name, value in corpus.items() if name.lower().endswith(f"{n}"))
        assert scores[f"BLEU-{n}"] == pytest.approx(published, abs=1e-6)
