import keras


class Scorer(keras.layers.Layer):
    """`f_att`: scores each location against the decoder's state, `e_ti = f_att(a_i, h_{t-1})`.

    A subclass names itself, `class AdditiveScorer(Scorer, name="additive")`, and implements
    `build`, `project` and `call`.

    Call arguments:
        projected: float tensor `(B, L, ...)`, the result of `project`.
        h: float tensor `(B, H)`, the decoder's previous hidden state.
    Returns:
        Scores `e_t`, float tensor `(B, L)`.
    """

    known = {}  # name to class: what `Captioner(scorer=...)` takes

    def __init_subclass__(cls, name=None, **kwargs):
        super().__init_subclass__(**kwargs)
        if name:
            cls.known[name] = cls

    @classmethod
    def from_size(cls, size):
        """A scorer of the captioner's `attention_size`."""
        return cls()

    def build(self, annotations_shape, units):
        """Creates the weights.

        Args:
            annotations_shape: `(B, L, D)`.
            units: int H.
        """
        raise NotImplementedError

    def project(self, annotations):
        """What does not change from word to word, of annotations `(B, L, D)`: `(B, L, ...)`."""
        raise NotImplementedError
