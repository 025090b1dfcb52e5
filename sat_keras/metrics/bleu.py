from sat_keras.metrics.coco_layout import coco_layout


def bleu(captions, references):
    """BLEU-1 to BLEU-4 of a whole corpus, as the COCO captioning challenge computes it.

    Args:
        captions: list of lists of words, one per photo.
        references: for each photo, a list of lists of words.
    Returns:
        `{"BLEU-1": ..., "BLEU-4": ...}`, each 0..1.
    Reference:
        Papineni et al., 2002; implementation: pycocoevalcap.
    """
    from pycocoevalcap.bleu.bleu import Bleu

    scores, _ = Bleu(4).compute_score(*coco_layout(captions, references), verbose=0)
    return {f"BLEU-{n}": float(score) for n, score in enumerate(scores, start=1)}
