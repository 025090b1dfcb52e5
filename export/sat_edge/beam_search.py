"""Beam search on the host, for one photo and any step function.

`sat_keras.decoding` does the same in a graph.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sat_edge.caption import END, PAD, START, UNKNOWN


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


def beam_search(step, state, max_length, search):
    """The n best captions, the best first.

    Args:
        step: callable, `(token, state)` to `(logits (V,), state, attention (L,))`.
        state: its first state.
        max_length: int T, words and `<end>`.
        search: `Search`.
    Returns:
        List of at most `search.n_best` of `Beam`.
    """
    beams = [Beam(state=state)]
    while not _settled(beams, max_length, search):
        grown = []
        for beam in beams:
            grown += [beam] if beam.finished else _grow(step, beam, search)
        grown.sort(key=lambda beam: -beam.score(search.length_penalty))
        beams = grown[: search.beam_width]
    return beams[: search.n_best]


def _settled(beams, max_length, search):
    """Whether no running beam can enter the n best any more."""
    running = [beam for beam in beams if not beam.finished]
    if not running or len(running[0].tokens) == max_length:
        return True
    limit = max(beam.log_prob for beam in running) / max_length**search.length_penalty
    finished = (beam for beam in beams if beam.finished)
    final = [beam for beam in finished if beam.score(search.length_penalty) > limit]
    return len(final) >= search.n_best


def _grow(step, beam, search):
    """The beam with each of its K most probable next words."""
    token = beam.tokens[-1] if beam.tokens else START
    logits, state, attention = step(token, beam.state)
    highest = logits.max()
    log_p = logits - highest - np.log(np.exp(logits - highest).sum())  # (V,)
    log_p[[PAD, START, UNKNOWN, *_closing(beam.tokens, search.no_repeat_ngram)]] = -np.inf
    words = np.argsort(-log_p, kind="stable")[: search.beam_width]
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
