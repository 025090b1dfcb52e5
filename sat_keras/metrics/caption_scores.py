from sat_keras.metrics.bleu import bleu
from sat_keras.metrics.cider import cider
from sat_keras.metrics.meteor import meteor
from sat_keras.metrics.rouge import rouge_l
from sat_keras.tokenizer import tokenize


def caption_scores(captions, references):
    """The usual scores of a whole corpus: BLEU-1 to BLEU-4, METEOR, ROUGE-L and CIDEr.

    Args:
        captions: list of str, one per photo.
        references: list of lists of str, the human captions of each photo.
    Returns:
        Dict of name to score: CIDEr 0..10, the others 0..1. METEOR is left out without Java.
    """
    captions = [tokenize(caption) for caption in captions]
    references = [[tokenize(caption) for caption in each] for each in references]
    scorers = (bleu, meteor, rouge_l, cider)
    return {name: score for s in scorers for name, score in s(captions, references).items()}
