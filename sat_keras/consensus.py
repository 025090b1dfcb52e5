"""Consensus: ranks the candidate captions of a photo by their expected CIDEr.

The most probable caption is seldom the one with the highest CIDEr. The references of a photo are
predicted from the captions of the training photos, and each caption that beam search finds is
ranked by its agreement with the prediction as well:

    score(c) = log p(c | photo) / length ** penalty + weight * agreement(c, photo)

Agreement is the expected CIDEr. CIDEr is ten times the mean, over a photo's references s and
n = 1..4, of the cosine between the tf-idf vectors of n-grams of two captions. With g the vectors of
the four n, scaled and concatenated, it is 10 mean_s g(c) . g(s). It is linear in the references'
mean vector, which kernel ridge regression predicts from N training photos:

    E[g | x] = sum_j w_j(x) mean_s g(s_j)       w(x) = (K + ridge 1)^-1 k(x)
    K_ij = k(x_i, x_j) = exp(sharpness (cos(x_i - m, x_j - m) - 1))

x is the mean annotation of a photo, m its mean over the training photos. With several captioners
the cosine is the mean of their cosines. Only the references of training photos are used.

Reference:
    Devlin et al., 2015, arXiv 1505.04467, and Mao et al., 2015, arXiv 1412.6632, section 8, which
    take the mean over the nearest training photos instead of the regression.
"""

import dataclasses
import itertools

import numpy as np

from sat_keras.metrics.cider import CiderD

_TINY = 1e-12  # of a norm: a photo may equal the mean of the training photos


WIDE = {"beam_width": 20, "length_penalty": 0.5, "no_repeat_ngram": 0}


class Consensus:
    """Captioners, and the captions of the photos that they were trained on.

    Args:
        captioners: list of `Captioner`. Each caption that one of them finds is a candidate.
        features: list of float arrays `(N, D)`, one per captioner: the mean annotations of N
            training photos by its encoder. N x N numbers are held in memory.
        captions: list of N lists of captions, each a sequence of words.
        weight: float. Factor of agreement beside log p / length ** penalty. Defaults to `12.0`.
        sharpness: float. Higher values give more weight to the nearest photos. Defaults to `3.0`.
        ridge: float. Higher values make the prediction smoother. Defaults to `0.3`.
    Example:
        >>> consensus = load_consensus(["flickr8k-soft"], builder, "annotations")
        >>> consensus.caption(["photo.jpg"], beam_width=20)[0].text
    """

    def __init__(self, captioners, features, captions, weight=12.0, sharpness=3.0, ridge=0.3):
        self.captioners = captioners
        self.weight = weight
        self.sharpness = sharpness

        # === Training photos ===
        self._origins = [each.mean(axis=0) for each in features]  # (D,) each
        self._photos = self._directions(features)  # (N, D of all)
        kernel = self._kernel(self._photos)  # (N, N)
        kernel[np.diag_indices_from(kernel)] += ridge
        self._inverse = np.linalg.inv(kernel)  # (N, N)

        # === Their captions: a sparse matrix (N, G), each row the mean g of a photo's ===
        self._cider = CiderD(captions)
        self._columns = {}  # of n-grams
        entries = [
            (photo, self._columns.setdefault(ngram, len(self._columns)), value / len(each))
            for photo, each in enumerate(captions)
            for caption in each
            for ngram, value in self._cider.unit_vector(caption).items()
        ]
        photos, columns, values = zip(*entries, strict=True)
        self._entries = np.array(photos), np.array(columns), np.array(values, "float32")

    def caption(self, photos, **search):
        """The best candidate for each photo.

        Args:
            photos: list of paths, `PIL.Image.Image` or arrays `(H, W, 3)`, of any size.
            search: fields of `Search` that replace those of `WIDE`, a beam of 20: every caption of
                the beam is a candidate.
        Returns:
            List of `Caption`. Its `score` is the sum above, its attention that of the captioner
            that found it; its confidence and familiarity are not known.
        Raises:
            InputError: if a photo cannot be read, or for a search that cannot be.
        """
        search = {**WIDE, **search}
        search = {**search, "n_best": search["beam_width"]}
        features, found = [], []
        for captioner in self.captioners:
            annotations = captioner.annotations(photos)  # (B, L, D)
            features.append(annotations.mean(axis=1))
            found.append(captioner.beam_search(annotations, **search))
        candidates = [list(itertools.chain(*each)) for each in zip(*found, strict=True)]
        words = [[one.words for one in each] for each in candidates]
        agreement = self.agreement(features, words)
        best = []
        for each, agreed in zip(candidates, agreement, strict=True):
            scores = [one.score for one in each] + self.weight * agreed
            first = int(np.argmax(scores))
            # Calibrated for another search and another choice.
            unknown = {"confidence": None, "familiarity": None}
            best.append(dataclasses.replace(each[first], score=float(scores[first]), **unknown))
        return best

    def agreement(self, features, candidates):
        """The expected CIDEr of each candidate: plain CIDEr, not CIDEr-D.

        Args:
            features: list of float arrays `(B, D)`, of B photos, one per captioner.
            candidates: list of B lists of captions, each a sequence of words.
        Returns:
            List of B arrays, one number per candidate.
        """
        weights = self._kernel(self._directions(features)) @ self._inverse  # (B, N)
        photos, columns, values = self._entries
        agreement = []
        for of_photo, captions in zip(weights, candidates, strict=True):
            expected = np.bincount(columns, values * of_photo[photos])  # (G,)
            agreement.append(np.array([self._product(expected, each) for each in captions]))
        return agreement

    def _product(self, expected, caption):
        vector = self._cider.unit_vector(caption).items()
        return 10 * sum(x * expected[self._columns[n]] for n, x in vector if n in self._columns)

    def _directions(self, features):
        """`(B, D of all)`: centred, of norm 1, equal weights of captioners."""
        centred = [x - m for x, m in zip(features, self._origins, strict=True)]
        units = [x / np.linalg.norm(x, axis=1, keepdims=True).clip(_TINY) for x in centred]
        return np.concatenate(units, axis=1) / np.sqrt(len(units))

    def _kernel(self, directions):
        """`(B, N)`: the similarity of each of B photos to the training photos, at most 1."""
        return np.exp(self.sharpness * (directions @ self._photos.T - 1))
