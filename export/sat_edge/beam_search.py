"""Beam search on the host, one photo, over any step function. What `sat_keras.decoding` does in a
graph, beam by beam."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sat_edge.caption import END, PAD, START, UNKNOWN
from sat_edge.errors import InputError


@dataclass(frozen=True)
class Beam:
    """A caption so far: its tokens, the attention of each, and the state behind the last one."""

    tokens: tuple[int, ...] = ()
    attention: tuple[np.ndarray, ...] = ()  # each (L,)
    log_prob: float = 0.0
    state: Any = None

    @property
    def finished(self):
        return self.tokens[-1:] == (END,)

    def score(self, length_penalty):
        return self.log_prob / max(len(self.tokens), 1) ** length_penalty


def beam_search(
    step, state, max_length=20, width=3, length_penalty=0.0, no_repeat_ngram=0, n_best=1
):
    """The n best captions, the best first.

    Args:
        step: callable, `(token, state)` to `(logits (V,), state, attention (L,))`.
        state: its first state.
        max_length, width, length_penalty, no_repeat_ngram, n_best: see
            `sat_keras.decoding.beam_search`.
    Returns:
        List of at most `n_best` of `Beam`.
    """
    check_search(width, length_penalty, no_repeat_ngram, n_best)
    beams = [Beam(state=state)]
    while not _settled(beams, max_length, length_penalty, n_best):
        grown = []
        for beam in beams:
            grown += [beam] if beam.finished else _grow(step, beam, width, no_repeat_ngram)
        beams = sorted(grown, key=lambda beam: -beam.score(length_penalty))[:width]
    return beams[:n_best]


def check_search(width, length_penalty, no_repeat_ngram, n_best):
    """Raises `InputError` for a search that cannot be."""
    if width < 1 or not 1 <= n_best <= width:
        raise InputError(
            f"beam width {width}, {n_best} best: name 1 or more, and at most the width"
        )
    if length_penalty < 0:
        raise InputError(f"length penalty {length_penalty}: name 0 or more")
    if no_repeat_ngram < 0:
        raise InputError(f"n-grams of {no_repeat_ngram} words: name 0 (off) or more")


def _settled(beams, max_length, length_penalty, n_best):
    """Whether no running beam can enter the n best any more."""
    running = [beam for beam in beams if not beam.finished]
    if not running or len(running[0].tokens) == max_length:
        return True
    limit = max(beam.log_prob for beam in running) / max_length**length_penalty
    final = [beam for beam in beams if beam.finished and beam.score(length_penalty) > limit]
    return len(final) >= n_best


def _grow(step, beam, width, no_repeat_ngram):
    """The beam with each of its `width` most probable next words."""
    token = beam.tokens[-1] if beam.tokens else START
    logits, state, attention = step(token, beam.state)
    highest = logits.max()
    log_p = logits - highest - np.log(np.exp(logits - highest).sum())  # (V,)
    log_p[[PAD, START, UNKNOWN, *_closing(beam.tokens, no_repeat_ngram)]] = -np.inf
    words = np.argsort(-log_p, kind="stable")[:width]
    return [
        Beam(
            (*beam.tokens, int(word)),
            (*beam.attention, attention),
            beam.log_prob + float(log_p[word]),
            state,
        )
        for word in words
        if np.isfinite(log_p[word])
    ]


def _closing(tokens, n):
    """Words that would close a run of n words which `tokens` already holds."""
    if not n:
        return []
    last = tokens[len(tokens) - n + 1 :]
    starts = range(len(tokens) - n + 1)
    return [tokens[i + n - 1] for i in starts if tokens[i : i + n - 1] == last]
