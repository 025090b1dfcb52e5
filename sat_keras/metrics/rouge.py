from sat_keras.metrics.coco_layout import coco_layout


def rouge_l(captions, references):
    """ROUGE-L: the longest common subsequence with a reference; arguments are those of `bleu`.

    Returns:
        `{"ROUGE-L": ...}`, 0..1.
    Reference:
        Lin, 2004; implementation: pycocoevalcap.
    """
    from pycocoevalcap.rouge.rouge import Rouge

    score, _ = Rouge().compute_score(*coco_layout(captions, references))
    return {"ROUGE-L": float(score)}
