from dataclasses import dataclass

import numpy as np

# Ids of the special words, the first four lines of every vocabulary.
PAD, START, END, UNKNOWN = range(4)
# A familiarity below this is worth a word to the user: fewer than 1 in 50 validation photos are so
# unlike those of the training.
UNFAMILIAR = 0.02
UNFAMILIAR_IN_WORDS = "unlike the photos that it learnt from: the caption may mean nothing"


@dataclass(frozen=True)
class Caption:
    """A caption and where each of its words looked.

    Attributes:
        text: the sentence.
        words: tuple of str, without `<end>`.
        tokens: int32 array `(N,)`: the ids of `words`, and of `<end>` if it was reached.
        log_prob: natural logarithm of the probability of all `tokens`.
        score: what the search ranked it by; `log_prob` where nothing else did.
        attention: float32 array `(N, rows, columns)`, each token's weights over the grid,
            sum 1 each.
        regions: float array `(rows * columns, 4)`: each location's part of the photo, (ymin, xmin,
            ymax, xmax), 0..1.
        confidence: 0..1. What CIDEr the caption can be expected to have, as a share of a person's.
            `None` where the captioner was never calibrated.
        familiarity: 0..1. The share of validation photos that are less like those of the training.
            `None` likewise.
    """

    text: str
    words: tuple[str, ...]
    tokens: np.ndarray
    log_prob: float
    score: float
    attention: np.ndarray
    regions: np.ndarray
    confidence: float | None = None
    familiarity: float | None = None

    @property
    def is_unfamiliar(self):
        """Whether the photo is so unlike the training photos that the caption means little."""
        return self.familiarity is not None and self.familiarity < UNFAMILIAR

    @property
    def trust(self):
        """`confidence` and `familiarity` by name, to four places; empty where they are `None`."""
        values = {"confidence": self.confidence, "familiarity": self.familiarity}
        return {name: round(value, 4) for name, value in values.items() if value is not None}

    @classmethod
    def from_decoder(
        cls,
        vocabulary,
        tokens,
        attention,
        log_prob,
        score,
        grid,
        regions,
        confidence=None,
        familiarity=None,
    ):
        """From what a decoder puts out: padded `tokens` `(T,)` and `attention` `(T, L)`."""
        tokens, attention = np.asarray(tokens), np.asarray(attention)
        ended = np.flatnonzero(tokens == END)
        length = ended[0] + 1 if ended.size else np.count_nonzero(tokens != PAD)
        tokens = tokens[:length]  # (N,)
        words = tuple(vocabulary[token] for token in tokens if token != END)
        # "n't" and "'s" are words of their own in a vocabulary (Penn Treebank).
        text = " ".join(words).replace(" n't", "n't").replace(" '", "'")
        return cls(
            text=text,
            words=words,
            tokens=tokens,
            log_prob=float(log_prob),
            score=float(score),
            attention=attention[:length].reshape(length, *grid),  # (N, rows, columns)
            regions=np.asarray(regions),
            confidence=None if confidence is None else float(confidence),
            familiarity=None if familiarity is None else float(familiarity),
        )
