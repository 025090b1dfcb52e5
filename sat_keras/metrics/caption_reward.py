import math
from collections import Counter, defaultdict

import numpy as np

from sat_keras.metrics.cider import CiderD

_ALPHA, _BETA, _GAMMA = 0.85, 0.2, 0.6  # METEOR's for English


class CaptionReward:
    """What self-critical training pays for a caption: CIDEr-D + bleu BLEU-4 + meteor METEOR.

    CIDEr-D alone leaves the other scores to chance. Of one caption BLEU-4 is the smoothed one, in
    which all but single words count once more than they are, and METEOR knows exact matches only,
    found from left to right: no stems, synonyms or paraphrases, and no Java.

    Args:
        corpus: see `CiderD`.
        bleu: float. Defaults to `0.0`.
        meteor: float. Defaults to `0.0`.
    Reference:
        Rennie et al., 2017, arXiv 1612.00563 (CIDEr-D); Liu et al., 2017, arXiv 1612.00370 (a mix);
        Lin and Och, 2004 (smoothed BLEU); Denkowski and Lavie, 2014 (METEOR 1.5).
    """

    def __init__(self, corpus, bleu=0.0, meteor=0.0):
        self.cider = CiderD(corpus)
        self.bleu = bleu
        self.meteor = meteor

    def score(self, candidates, references):
        """Each candidate's reward, float64 `(N,)`; `references[i]` is candidate i's list."""
        scores = self.cider.score(candidates, references)
        for weight, metric in ((self.bleu, sentence_bleu), (self.meteor, sentence_meteor)):
            if weight:
                pairs = zip(candidates, references, strict=True)
                scores += weight * np.array([metric(*pair) for pair in pairs])
        return scores


def sentence_bleu(candidate, references):
    """Smoothed BLEU-4 of one caption, 0..1; sequences of words or of ids."""
    if not candidate:
        return 0.0
    log_precision = 0.0
    for n in range(1, 5):
        found = _ngrams(candidate, n)
        most = Counter()
        for reference in references:
            most |= _ngrams(reference, n)
        smooth = int(n > 1)
        matches = sum((found & most).values()) + smooth
        if not matches:
            return 0.0
        log_precision += math.log(matches / (max(len(candidate) - n + 1, 0) + smooth)) / 4
    length = len(candidate)
    closest = min((len(each) for each in references), key=lambda x: (abs(x - length), x))
    return math.exp(log_precision + min(0.0, 1 - closest / length))


def sentence_meteor(candidate, references):
    """METEOR of one caption by exact matches, of the reference that it is nearest to; 0..1."""
    return max(_meteor(candidate, reference) for reference in references)


def _meteor(candidate, reference):
    places = defaultdict(list)
    for place, word in enumerate(reference):
        places[word].append(place)
    matches = chunks = 0
    before = None  # the place of the last word, where it matched
    for word in candidate:
        if not places[word]:
            before = None
            continue
        goes_on = before is not None and before + 1 in places[word]
        place = before + 1 if goes_on else places[word][0]
        places[word].remove(place)
        matches, chunks, before = matches + 1, chunks + (not goes_on), place
    if not matches:
        return 0.0
    precision, recall = matches / len(candidate), matches / len(reference)
    mean = precision * recall / (_ALPHA * precision + (1 - _ALPHA) * recall)
    return mean * (1 - _GAMMA * (chunks / matches) ** _BETA)


def _ngrams(caption, n):
    return Counter(tuple(caption[i : i + n]) for i in range(len(caption) - n + 1))
