"""Finds the weights of `Trust`, from photos and people's captions of them."""

import numpy as np

from sat_edge.caption import END, PAD, START, UNKNOWN
from sat_edge.errors import InputError
from sat_keras.metrics.cider import CiderD
from sat_keras.metrics.trust_scores import person_cider
from sat_keras.tokenizer import tokenize
from sat_keras.trust.trust import KNOTS, Trust

FEWEST = 50  # photos of a split, with two captions or more, that anything is found on
_MOST = {"train": 20_000, "validation": 5_000}
_ROWS = 500  # of a cache, read at a time
_NUMBERS = 70_000  # of both projections: 0.28 MB
_WORDS, _RANK = 300, 64
_RIDGE = 0.1
_SPREAD = 0.01
_FOLDS = 10
# F's values: photos that are rarer than 1 in 50 are told apart, and so are the most familiar.
_SHARES = np.array([1, 0.98, 0.9, 0.8, 0.65, 0.5, 0.35, 0.2, 0.1, 0.05, 0.02, 0])


class TooFewPhotos(InputError):
    """A data set is too small for a calibration."""


def calibrate(captioner, train, validation):
    """Gives a captioner a `Trust` of its own: afterwards its captions have `confidence` and
    `familiarity`.

    What photos look like, which words people use of them and how well people agree is learnt from
    the training photos; none of these depends on captions that the captioner has learnt by heart.
    How far all that can be trusted is learnt from the captions that it makes of the validation
    photos, each compared with the photo's references by CIDEr.

    Args:
        captioner: `Captioner`. Its search is the one that is calibrated. An earlier calibration is
            replaced.
        train, validation: `AnnotationCache`, of its encoder's annotations or of photos in its
            size. At most 20,000 and 5,000 photos are used.
    Raises:
        TooFewPhotos: for fewer than `FEWEST` photos with two captions or more.
    """
    train = _Split(captioner, train, "train")
    validation = _Split(captioner, validation, "validation")
    _, _, size = captioner.encoder.output_shape
    words = min(_WORDS, len(captioner.vocabulary))
    rank = min(_RANK, size, max(1, _NUMBERS // (2 * size + words)))
    trust = captioner.trust
    if trust is None or (trust.rank, trust.words) != (rank, words):
        trust = Trust(rank, words)
        trust.build(captioner.encoder.output_shape)
    values = _of_distances(train, rank) | _of_captions(captioner, train, rank, words)
    _assign(trust, values)
    _assign(trust, _familiarity_curve(trust, captioner, validation))
    _assign(trust, _confidence_curve(trust, captioner, validation))
    captioner.trust = trust


class _Split:
    """The photos of a split with two captions or more.

    Attributes:
        means: float32 array `(N, D)`, the mean annotation of each.
        spread: float array `(N,)`, the mean square of what annotations differ from it by.
        texts: list of N lists of captions as people wrote them.
        captions: the same, each a list of words.
        scorer: `CiderD` of these captions.
    """

    def __init__(self, captioner, cache, name):
        texts = [each["captions"] for each in cache.records[: _MOST[name]]]
        self._captioner, self._cache = captioner, cache
        self._rows = [row for row, each in enumerate(texts) if len(each) > 1]
        if len(self._rows) < FEWEST:
            raise TooFewPhotos(
                f"{name}: {len(self._rows)} photos with two captions or more; confidence is "
                f"calibrated on {FEWEST} or more"
            )
        moments = [_moments(each) for each in self.annotations()]
        self.means, self.spread = (np.concatenate(each) for each in zip(*moments, strict=True))
        self.texts = [texts[row] for row in self._rows]
        self.captions = [[tokenize(text) for text in each] for each in self.texts]
        self.scorer = CiderD(self.captions)

    def annotations(self):
        """Yields annotations `(n, L, D)`, a few photos at a time."""
        for start in range(0, len(self._rows), _ROWS):
            x = self._cache.read(self._rows[start : start + _ROWS])
            yield self._captioner.annotations(x)


def _moments(annotations):
    mean = annotations.mean(axis=1)  # (n, D)
    differences = annotations - mean[:, None]  # (n, L, D)
    return mean, np.square(differences).sum(axis=2).mean(axis=1)


def _of_distances(train, rank):
    """The weights of d."""
    mean = train.means.mean(axis=0, dtype="float64")  # (D,)
    centred = train.means - mean  # (N, D)
    covariance = centred.T @ centred / len(centred)  # (D, D)
    variances, directions = np.linalg.eigh(covariance)
    least = 1e-6 * variances.mean() or 1.0  # features that are constant
    variances = variances[::-1].clip(least)  # (D,)
    rest = variances[rank:].mean() if rank < len(variances) else 1.0
    return {
        "mean": mean,
        "components": directions[:, ::-1][:, :rank],  # (D, r)
        "precision": 1 / variances[:rank] - (rank < len(variances)) / rest,
        "rest_precision": (rank < len(variances)) / rest,
        "least_spread": _SPREAD * train.spread.mean() or 1.0,
    }


def _of_captions(captioner, train, rank, words):
    """The weights of `expected_words` and `outlook`, but for their factors: ridge regressions; that
    of words in r dimensions (reduced-rank regression)."""
    mean = train.means.mean(axis=0, dtype="float64")  # (D,)
    deviation = train.means.std(axis=0, dtype="float64")  # (D,)
    deviation[deviation == 0] = 1.0
    x = (train.means - mean) / deviation  # (N, D)
    kernel = x.T @ x + _RIDGE * len(x) * np.eye(x.shape[1])  # (D, D)

    agreement = np.array([train.scorer.among(each).mean() for each in train.captions])  # (N,)
    to_outlook = np.linalg.solve(kernel, x.T @ (agreement - agreement.mean()))  # (D,)

    used = _word_weights(captioner.vocabulary, train.texts, words)  # (N, W)
    to_words = np.linalg.solve(kernel, x.T @ (used - used.mean(axis=0)))  # (D, W)
    _, _, topics = np.linalg.svd(x @ to_words, full_matrices=False)  # (W, W)
    topics = topics[:rank].T  # (W, r)
    return {
        "to_outlook": (to_outlook / deviation)[:, None],
        "mean_outlook": agreement.mean(),
        "to_topics": to_words @ topics / deviation[:, None],  # (D, r)
        "to_words": topics.T,
        "mean_words": used.mean(axis=0),
    }


def _word_weights(vocabulary, texts, words):
    """Of each photo, for each word: the share of its captions that have it, times the square of
    the word's inverse document frequency: `(N, W)`, what CIDEr gives for it."""
    shares = np.zeros((len(texts), words))
    for row, each in enumerate(texts):
        for text in each:
            ids = [i for i in set(vocabulary.encode(text)) if i < words]
            shares[row, ids] += 1 / len(each)
    photos = np.maximum(1, (shares > 0).sum(axis=0))  # (W,)
    weights = np.log(len(texts) / photos) ** 2  # (W,)
    weights[[PAD, START, END, UNKNOWN]] = 0
    return shares * weights


def _familiarity_curve(trust, captioner, validation):
    """F: the distances that these shares of the validation photos exceed."""
    distances = np.concatenate([trust.distance(each).numpy() for each in validation.annotations()])
    knots = np.quantile(distances, 1 - _SHARES)
    return {"distance_knots": _rising(knots), "familiarity_knots": _SHARES}


def _confidence_curve(trust, captioner, validation):
    """The factors of the score, by least squares, and G, by isotonic regression of scores that
    were found without the photo."""
    features, share, photo, best = _validation_captions(trust, captioner, validation)
    fold = np.random.default_rng(0).permutation(len(validation.means))[photo] % _FOLDS  # (M,)
    scores = np.zeros(len(share))
    for number in range(_FOLDS):
        rest = fold != number
        scores[~rest] = _predict(_least_squares(features[rest], share[rest]), features[~rest])
    knots, values = _isotonic_knots(scores[best], share[best])
    probability, words, outlook, constant = _least_squares(features, share)
    return {
        "probability_factor": probability,
        "to_words": words * np.asarray(trust.to_words),
        "mean_words": words * np.asarray(trust.mean_words),
        "to_outlook": outlook * np.asarray(trust.to_outlook),
        "mean_outlook": outlook * np.asarray(trust.mean_outlook) + constant,
        "score_knots": knots,
        "confidence_knots": values,
    }


def _validation_captions(trust, captioner, validation):
    """Of M captions: what their scores are made of `(M, 3)`, their share of a person's CIDEr, 0..1,
    the number of their photo, and whether they are its best."""
    search = {"n_best": captioner.search.beam_width}
    person = person_cider(validation.scorer, validation.captions)
    features, share, photo, best, first = [], [], [], [], 0
    for annotations in validation.annotations():
        of_photos = {name: np.asarray(x) for name, x in trust.of_photo(annotations).items()}
        found = captioner.beam_search(annotations, **search)
        for n, captions in enumerate(found):
            for place, caption in enumerate(captions):
                ids = [i for i in set(caption.tokens.tolist()) if i < trust.words]
                agreement = of_photos["expected_words"][n, ids].sum()
                length = len(caption.tokens)
                probability = np.exp(caption.log_prob / length)
                row = (probability, agreement / length, of_photos["outlook"][n])
                features.append(row)
                photo.append(first + n)
                best.append(place == 0)
            references = validation.captions[first + n]
            words = [each.words for each in captions]
            cider = validation.scorer.score(words, [references] * len(words))  # (n,)
            share += list(np.minimum(1, cider / person))
        first += len(found)
    return np.array(features), np.array(share), np.array(photo), np.array(best)


def _least_squares(features, target):
    """Factors and constant, `(F + 1,)`."""
    design = np.column_stack([features, np.ones(len(features))])
    return np.linalg.lstsq(design, target, rcond=1e-6)[0]


def _predict(factors, features):
    return features @ factors[:-1] + factors[-1]


def _isotonic_knots(score, share):
    """G: means of equally many captions, made to rise (`isotonic`), at the means of their scores;
    equal ones are one knot, and the first and the last line go on to the ends.

    Returns:
        `(K,)` scores and `(K,)` values, 0..1.
    """
    groups = np.array_split(np.argsort(score, kind="stable"), KNOTS - 2)
    pools = isotonic([share[rows].mean() for rows in groups], [len(rows) for rows in groups])
    values = np.unique(pools)  # (k,)
    pooled = [np.concatenate([groups[i] for i in np.flatnonzero(pools == v)]) for v in values]
    knots = np.array([score[rows].mean() for rows in pooled])  # (k,)
    ends = np.array([min(score.min(), knots[0]), max(score.max(), knots[-1])])
    if len(knots) > 1:
        slopes = np.diff(values)[[0, -1]] / np.diff(knots)[[0, -1]].clip(1e-6)
        beyond = values[[0, -1]] + slopes * (ends - knots[[0, -1]])
    else:
        beyond = values[[0, -1]]
    knots = np.array([ends[0], *knots, *np.full(KNOTS - 1 - len(knots), ends[1])])
    values = np.array([beyond[0], *values, *np.full(KNOTS - 1 - len(values), beyond[1])])
    return _rising(knots), values.clip(0, 1)


def isotonic(values, weights):
    """The nearest sequence that does not fall, by least squares.

    Args:
        values, weights: sequences of N floats.
    Returns:
        float64 array `(N,)`.
    Reference:
        Barlow et al., 1972, "Statistical inference under order restrictions": pool adjacent
        violators.
    """
    pools = []  # mean, weight, length of each
    for value, weight in zip(values, weights, strict=True):
        pools.append((float(value), float(weight), 1))
        while len(pools) > 1 and pools[-2][0] >= pools[-1][0]:
            (low, light, few), (high, heavy, many) = pools[-2:]
            total = light + heavy
            pools[-2:] = [((low * light + high * heavy) / total, total, few + many)]
    return np.concatenate([np.full(length, mean) for mean, _, length in pools])


def _rising(knots):
    """Knots, equal ones a little apart: a curve divides by their differences."""
    scale = max(np.abs(knots).max(), 1e-6)
    return np.maximum.accumulate(knots) + 1e-5 * scale * np.arange(len(knots))


def _assign(trust, values):
    for name, value in values.items():
        weight = getattr(trust, name)
        padded = np.zeros(weight.shape)  # of fewer directions than it has room for
        padded[tuple(map(slice, np.shape(value)))] = value
        weight.assign(padded)
