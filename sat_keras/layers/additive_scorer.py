import keras
from keras import ops
from keras.layers import Dense

from sat_keras.layers.scorer import Scorer


@keras.saving.register_keras_serializable("sat_keras")
class AdditiveScorer(Scorer, name="additive"):
    """Scores each location against the decoder's state with a one-hidden-layer MLP.

    `e_ti = v^T tanh(W_a a_i + W_h h_{t-1} + b)`. `W_a a_i + b` does not change from word to
    word: `project` computes it once a picture.

    Args:
        units: int. Size A of the hidden layer. Defaults to `512`.
    Call arguments:
        projected: float tensor `(B, L, A)`, the result of `project`.
        h: float tensor `(B, H)`, the decoder's previous hidden state.
    Returns:
        Scores `e_t`, float tensor `(B, L)`.
    Example:
        >>> scorer = AdditiveScorer(64)
        >>> scores = scorer(scorer.project(annotations), h)
    Reference:
        Xu et al., 2015, arXiv 1502.03044, eq. 4 (the MLP of Bahdanau et al., 2015).
    """

    def __init__(self, units=512, **kwargs):
        super().__init__(**kwargs)
        # === Layers ===
        self.units = units
        self.project_annotation = Dense(units, name="W_a")
        self.project_state = Dense(units, use_bias=False, name="W_h")
        self.score = Dense(1, use_bias=False, name="v")

    @classmethod
    def from_size(cls, size):
        return cls(size)

    def build(self, annotations_shape, units):
        self.project_annotation.build(annotations_shape)
        self.project_state.build((None, units))
        self.score.build((None, self.units))
        self.built = True

    def project(self, annotations):
        """`W_a a_i + b`: annotations `(B, L, D)` to `(B, L, A)`."""
        return self.project_annotation(annotations)

    def call(self, projected, h):
        state = ops.reshape(self.project_state(h), (-1, 1, self.units))  # (B, 1, A)
        hidden = ops.tanh(projected + state)  # (B, L, A)
        return ops.reshape(self.score(hidden), (-1, projected.shape[1]))  # (B, L)

    # === Config ===
    def get_config(self):
        return {**super().get_config(), "units": self.units}
