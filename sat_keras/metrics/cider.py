import itertools
from collections import Counter

import numpy as np

_N = 4  # longest n-gram
_SIGMA = 6.0  # words of difference in length


def cider(captions, references):
    """CIDEr of a whole corpus, with the document frequencies of the references.

    Arguments are those of `bleu`.

    Returns:
        `{"CIDEr": ...}`, 0..10.
    """
    return {"CIDEr": float(CiderD(references).score(captions, references).mean())}


class CiderD:
    """CIDEr-D: consensus with the references, weighted by how rare each n-gram is.

    For n = 1..4, captions are vectors of their n-grams' tf-idf weights; the score is the mean over
    n and references of their cosine, with a candidate's weights clipped to the reference's and a
    Gaussian penalty on the difference in length, times 10.

    Args:
        corpus: the references that document frequencies are counted on: for each picture, a list of
            captions, each a sequence of words or of ids.
    Reference:
        Vedantam et al., 2015, arXiv 1411.5726; the numbers are coco-caption's `Cider`.
    """

    def __init__(self, corpus):
        self._pictures_with = Counter(
            itertools.chain.from_iterable(
                {ngram for caption in captions for ngram in _count_ngrams(caption)}
                for captions in corpus
            )
        )
        self._log_pictures = np.log(float(len(corpus)))

    def score(self, candidates, references):
        """The score of each candidate, float64 `(N,)`; `references[i]` are those of candidate i."""
        scores = np.zeros(len(candidates))
        known = {}  # candidates of one picture share their references
        for i, (candidate, captions) in enumerate(zip(candidates, references, strict=True)):
            if id(captions) not in known:
                known[id(captions)] = [self._vector(caption) for caption in captions]
            vectors = known[id(captions)]
            vector = self._vector(candidate)
            scores[i] = 10 * np.mean([_similarity(vector, reference) for reference in vectors])
        return scores

    def among(self, captions):
        """The score of each of a picture's captions, the others its references: float64 `(C,)`.

        Args:
            captions: list of C captions, 2 or more.
        """
        vectors = [self._vector(caption) for caption in captions]
        similar = [[_similarity(one, other) for other in vectors] for one in vectors]  # (C, C)
        similar = np.array(similar)
        return 10 * (similar.sum(axis=1) - similar.diagonal()) / (len(captions) - 1)

    def unit_vector(self, caption):
        """tf-idf weights by n-gram, those of each n scaled so that two captions' product is their
        CIDEr / 10: their cosine, mean over n."""
        weights, norms, _ = self._vector(caption)
        scales = np.sqrt(_N) * norms
        return {ngram: x / scales[len(ngram) - 1] for ngram, x in weights.items() if x}

    def _vector(self, caption):
        """tf-idf weights by n-gram, the norms of the four vectors, and the length."""
        weights = {
            ngram: count * (self._log_pictures - np.log(max(1, self._pictures_with[ngram])))
            for ngram, count in _count_ngrams(caption).items()
        }
        squares = np.zeros(_N)
        for ngram, weight in weights.items():
            squares[len(ngram) - 1] += weight**2
        return weights, np.sqrt(squares), max(len(caption) - 1, 0)


def _count_ngrams(caption):
    words = tuple(caption)
    return Counter(
        words[start : start + n] for n in range(1, _N + 1) for start in range(len(words) - n + 1)
    )


def _similarity(candidate, reference):
    weights, norms, length = candidate
    reference_weights, reference_norms, reference_length = reference
    products = np.zeros(_N)
    for ngram, weight in weights.items():
        other = reference_weights.get(ngram, 0.0)
        products[len(ngram) - 1] += min(weight, other) * other
    norms = norms * reference_norms
    cosines = np.divide(products, norms, out=products, where=norms > 0)
    return cosines.mean() * np.exp(-((length - reference_length) ** 2) / (2 * _SIGMA**2))
