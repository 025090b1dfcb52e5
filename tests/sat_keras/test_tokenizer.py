import json
from collections import defaultdict

import pytest

from sat_keras.tokenizer import tokenize


@pytest.mark.parametrize(
    "sentence, words",
    [
        ("A man's dog doesn't bark.", "a man 's dog does n't bark"),
        ("who's that, at 10:30 a.m.?", "who 's that at 10:30 a.m."),
        ("T-shirts -- and hot-dogs", "t-shirts and hot-dogs"),
        ('He said "no!" (twice)', "he said no twice"),
        ("the child\u2019s toy", "the child 's toy"),
        ("Morgan Rd. sign #25", "morgan rd. sign # 25"),
        ("", ""),
        (" .,!? ", ""),
    ],
)
def test_penn_treebank_rules(sentence, words):
    assert tokenize(sentence) == words.split()


@pytest.mark.slow
def test_agrees_with_stanford_on_the_gold_references(shared):
    gold = shared / "gold" / "coco-caption"
    raw = defaultdict(list)
    for each in json.loads((gold / "en_captions_val2014.json").read_text())["annotations"]:
        raw[str(each["image_id"])].append(each["caption"])
    tokenized = json.loads(
        (gold / "en_captions_val2014_references_after_tokenization.json").read_text()
    )
    pairs = [
        (" ".join(tokenize(sentence)), words)
        for image, references in tokenized.items()
        for sentence, words in zip(raw[image], references, strict=True)
    ]
    assert len(pairs) == 5005
    assert [pair for pair in pairs if pair[0] != pair[1]] == []
