import shutil

from sat_keras.metrics.coco_layout import coco_layout


def meteor(captions, references):
    """METEOR 1.5: matches of words, stems, synonyms and paraphrases; arguments are those of `bleu`.

    Returns:
        `{"METEOR": ...}`, 0..1; `{}` without Java.
    Reference:
        Denkowski and Lavie, 2014; implementation: pycocoevalcap.
    """
    if shutil.which("java") is None:
        return {}
    from pycocoevalcap.meteor.meteor import Meteor

    scorer = Meteor()
    try:
        score, _ = scorer.compute_score(*coco_layout(captions, references))
    finally:
        scorer.meteor_p.stdin.close()  # its process ends with its input
        scorer.meteor_p.wait()
    return {"METEOR": float(score)}
