from collections import defaultdict

import numpy as np

from sat_keras.metrics.cider import CiderD
from sat_keras.metrics.fluency import repetitions

_ALPHA, _BETA, _GAMMA = 0.85, 0.2, 0.6  # METEOR's for English


class CaptionReward:
    """The reward of a caption in self-critical training: CIDEr-D + meteor METEOR - repetition R.

    CIDEr-D measures precision, and captions become short with it alone. METEOR measures recall for
    the most part. Here METEOR has exact matches only, found from left to right: no stems, synonyms
    or paraphrases, and no Java. (BLEU of a single caption does not help: it has to be smoothed, and
    then favours short captions itself, Nakov et al., 2012.) Neither minds a caption that says a
    word twice. R is the number of its `fluency.repetitions`.

    Args:
        corpus: see `CiderD`.
        meteor: float. Defaults to `0.0`.
        repetition: float. Defaults to `0.0`.
        words: list of str, the words of the ids in captions, for `repetition`. Defaults to `None`.
    Reference:
        Rennie et al., 2017, arXiv 1612.00563 (CIDEr-D); Liu et al., 2017, arXiv 1612.00370 (with
        METEOR); Denkowski and Lavie, 2014 (METEOR 1.5).
    """

    def __init__(self, corpus, meteor=0.0, repetition=0.0, words=None):
        self.cider = CiderD(corpus)
        self.meteor = meteor
        self.repetition = repetition
        self.words = words

    def score(self, candidates, references):
        """The reward of each candidate, float64 `(N,)`; `references[i]` are of candidate i."""
        scores = self.cider.score(candidates, references)
        if self.meteor:
            pairs = zip(candidates, references, strict=True)
            scores += self.meteor * np.array([sentence_meteor(*pair) for pair in pairs])
        if self.repetition:
            counts = np.array([repetitions([self.words[i] for i in each]) for each in candidates])
            scores -= self.repetition * counts
        return scores


def sentence_meteor(candidate, references):
    """METEOR of one caption by exact matches, the highest over its references; 0..1."""
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
