def coco_layout(captions, references):
    """`(references, captions)` as pycocoevalcap's scorers take them: dicts of lists of strings."""
    wanted = {i: [" ".join(words) for words in each] for i, each in enumerate(references)}
    found = {i: [" ".join(words)] for i, words in enumerate(captions)}
    return wanted, found
