import dataclasses
import sys
from dataclasses import dataclass

from sat_edge.errors import InputError


@dataclass(frozen=True)
class Search:
    """How a caption is searched for: greedily, or by beam search.

    Each captioner and each exported file carries one as its default. The captioning methods take
    these fields as keyword arguments, and a field that is named replaces the default's.

    Args:
        beam_width: int K. Captions that are kept at each word. Defaults to `1`: greedy.
        length_penalty: float. Captions are ranked by `log_prob / length ** length_penalty`, their
            `<end>` counted: 0 compares sums, 1 compares means over words. Defaults to `0.0`.
        no_repeat_ngram: int n. No n words in a row come twice in a caption. Defaults to `0`: off.
        n_best: int. Captions that are returned, at most `beam_width`. Defaults to `1`.
    Raises:
        InputError: for a value out of its range.
    Example:
        >>> Search(beam_width=3, length_penalty=0.5).override(beam_width=5)
        Search(beam_width=5, length_penalty=0.5, no_repeat_ngram=0, n_best=1)
    """

    beam_width: int = 1
    length_penalty: float = 0.0
    no_repeat_ngram: int = 0
    n_best: int = 1

    def __post_init__(self):
        for name in ("beam_width", "no_repeat_ngram", "n_best"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise InputError(f"{name} is {value!r}: name a whole number")
        if self.beam_width < 1:
            raise InputError(f"beam_width is {self.beam_width}: name 1 or more")
        if not 1 <= self.n_best <= self.beam_width:
            raise InputError(
                f"n_best is {self.n_best}: name 1 to the beam_width, which is {self.beam_width}"
            )
        penalty = self.length_penalty
        is_number = isinstance(penalty, int | float) and not isinstance(penalty, bool)
        # No `math.isfinite`: it raises OverflowError for whole numbers that no float can hold.
        if not is_number or not 0 <= penalty <= sys.float_info.max:
            raise InputError(f"length_penalty is {penalty}: name 0 or more")
        if self.no_repeat_ngram < 0:
            raise InputError(
                f"no_repeat_ngram is {self.no_repeat_ngram}: name 0 (off) or more words"
            )

    @property
    def is_greedy(self):
        """Whether the most probable word is taken at each step."""
        return self.beam_width == 1 and not self.no_repeat_ngram

    def override(self, **fields):
        """This search with other values of the named fields."""
        return dataclasses.replace(self, **fields)

    def for_one(self, **fields):
        """As `override`, for a method that returns the best caption alone.

        Raises:
            InputError: if `n_best` is named.
        """
        if "n_best" in fields:
            raise InputError("n_best: only beam_search takes it; here each photo has one caption")
        return self.override(n_best=1, **fields)

    def as_dict(self):
        """The fields by their names."""
        return dataclasses.asdict(self)
