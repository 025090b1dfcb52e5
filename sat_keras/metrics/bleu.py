from pycocoevalcap.bleu.bleu import Bleu

from sat_keras.tokenizer import tokenize


def bleu(captions, references):
    """BLEU-1 to BLEU-4 of a whole corpus, as the COCO captioning challenge computes it.

    Args:
        captions: list of str, one a photo.
        references: list of lists of str, the human captions of each photo.
    Returns:
        `{"BLEU-1": ..., "BLEU-4": ...}`, each 0..1.
    Reference:
        Papineni et al., 2002; implementation: pycocoevalcap.
    """
    found = {i: [" ".join(tokenize(caption))] for i, caption in enumerate(captions)}
    wanted = {
        i: [" ".join(tokenize(caption)) for caption in each] for i, each in enumerate(references)
    }
    scores, _ = Bleu(4).compute_score(wanted, found, verbose=0)
    return {f"BLEU-{n}": float(score) for n, score in enumerate(scores, start=1)}
