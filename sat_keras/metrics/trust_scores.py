"""Is what a captioner says of its own captions true?"""

import numpy as np

from sat_keras.metrics.cider import CiderD
from sat_keras.tokenizer import tokenize

BINS = 10  # of as many captions each
_TINY = 1e-9  # of a CIDEr: that of one photo alone is 0


def trust_scores(captions, references, confidence, familiarity):
    """How well confidence tells a caption's score, and how familiar the photos are.

    A caption's share is its CIDEr as a share of a person's (of the mean CIDEr of each reference
    against the others of its photo), at most 1.

    Args:
        captions: list of N str, one per photo.
        references: list of N lists of str, 2 or more.
        confidence, familiarity: float arrays `(N,)`.
    Returns:
        Dict: `confidence`, the mean; `share`, the mean that it should be; `calibration_error`, see
        the function; `rank_correlation` of confidence with CIDEr (Spearman's); `familiarity`, the
        mean, about 0.5 for photos like those of validation.
    """
    references = [[tokenize(text) for text in each] for each in references]
    scorer = CiderD(references)
    cider = scorer.score([tokenize(each) for each in captions], references)  # (N,)
    share = np.minimum(1, cider / person_cider(scorer, references))  # (N,)
    return {
        "confidence": float(np.mean(confidence)),
        "share": float(share.mean()),
        "calibration_error": calibration_error(reliability(confidence, share)),
        "rank_correlation": rank_correlation(confidence, cider),
        "familiarity": float(np.mean(familiarity)),
    }


def person_cider(scorer, references):
    """The mean CIDEr of a person's caption against the others of its photo.

    Args:
        scorer: `CiderD`.
        references: list of lists of captions, each a sequence of words. Photos with one caption
            are left out.
    """
    scores = [scorer.among(each) for each in references if len(each) > 1]
    return max(float(np.mean(np.concatenate(scores))), _TINY)


def reliability(confidence, share):
    """The reliability diagram: ten bins of as many captions each, from the lowest confidence on.

    Args:
        confidence, share: float arrays `(N,)`.
    Returns:
        List of dicts of `confidence` and `share`, the means of a bin, and `captions`, its number.
        Of fewer than ten captions each is a bin.
    """
    order = np.argsort(confidence, kind="stable")
    bins = [each for each in np.array_split(order, BINS) if each.size]
    return [
        {
            "confidence": float(confidence[rows].mean()),
            "share": float(share[rows].mean()),
            "captions": len(rows),
        }
        for rows in bins
    ]


def calibration_error(rows):
    """The expected calibration error: how far confidence is from the share, mean over captions.

    Args:
        rows: what `reliability` returned.
    Reference:
        Guo et al., 2017, arXiv 1706.04599, eq. 3, with bins of equal count.
    """
    errors = [abs(each["confidence"] - each["share"]) for each in rows]
    return float(np.average(errors, weights=[each["captions"] for each in rows]))


def rank_correlation(one, other):
    """Spearman's rank correlation of two arrays `(N,)`, equal values with their mean rank; 0 where
    one is constant."""
    one, other = (_ranks(np.asarray(each)) for each in (one, other))
    if not (one.std() and other.std()):
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def _ranks(values):
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)  # of equal values
    return (last - (count - 1) / 2)[place]
