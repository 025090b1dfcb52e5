from dataclasses import dataclass

import numpy as np

# Ids of the special words, the first four lines of every vocabulary.
PAD, START, END, UNKNOWN = range(4)


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
    """

    text: str
    words: tuple[str, ...]
    tokens: np.ndarray
    log_prob: float
    score: float
    attention: np.ndarray
    regions: np.ndarray

    @classmethod
    def from_decoder(cls, vocabulary, tokens, attention, log_prob, score, grid, regions):
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
        )
