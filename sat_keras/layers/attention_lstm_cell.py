import keras
from keras import ops
from keras.layers import Dense


@keras.saving.register_keras_serializable("sat_keras")
class AttentionLSTMCell(keras.layers.Layer):
    """One step of the LSTM decoder that looks at the picture.

    With the previous word's embedding `E y_{t-1}`, the previous state `h_{t-1}, c_{t-1}` and the
    annotations `a_1..a_L`:

        e_ti    = f_att(a_i, h_{t-1})                        scorer
        phi_t   = selection(e_t, a)                          soft: sum_i softmax(e_t)_i a_i
        z_t     = beta_t phi_t,  beta_t = sigmoid(W_beta h_{t-1} + b_beta)
        i, f, g, o = split(W_y E y_{t-1} + W_h h_{t-1} + W_z z_t + b)
        c_t     = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g)
        h_t     = sigmoid(o) tanh(c_t)

    `W_y E y_{t-1} + b` depends on no state, so the caller computes it for all steps at once with
    `project_words`, and `f_att`'s share of the annotations with `project_annotations`.

    Args:
        units: int. Size H of the hidden state.
        scorer: layer, `f_att`, e.g. `AdditiveScorer`.
        selection: layer that turns scores into a context, `SoftSelection` or `HardSelection`.
    Call arguments:
        word_gates: float tensor `(B, 4H)`, the result of `project_words` for one step.
        state: tuple `(h, c)` of float tensors `(B, H)`.
        annotations: float tensor `(B, L, D)`.
        projected: float tensor `(B, L, ...)`, the result of `project_annotations`.
        noise: of the selection, see `HardSelection`. Defaults to `()`: none.
    Returns:
        The new state `(h, c)`, the gated context `z` `(B, D)`, `alphas` `(B, L)`, and the
        selection's `sample` `(B, L)` or `None`.
    Example:
        >>> cell = AttentionLSTMCell(512, AdditiveScorer(512), SoftSelection())
        >>> cell.build((None, 49, 1280), word_size=512)
        >>> projected = cell.project_annotations(annotations)
        >>> gates = cell.project_words(words)
        >>> state, context, alphas, _ = cell(gates, state, annotations, projected)
    Reference:
        Xu et al., 2015, arXiv 1502.03044, eq. 1-5 and section 4.2.1 (beta).
    """

    def __init__(self, units, scorer, selection, **kwargs):
        # Its inputs have their precision: autocast would take float32 noise to half.
        super().__init__(autocast=False, **kwargs)
        # === Layers ===
        self.units = units
        self.scorer = scorer
        self.selection = selection
        self.word_gates = Dense(4 * units, bias_initializer=_forget_bias, name="W_y")
        self.state_gates = Dense(
            4 * units, use_bias=False, kernel_initializer="orthogonal", name="W_h"
        )
        self.context_gates = Dense(4 * units, use_bias=False, name="W_z")
        self.beta = Dense(1, activation="sigmoid", name="W_beta")

    def build(self, annotations_shape, word_size):
        if not self.scorer.built:  # a scorer that came out of a configuration is
            self.scorer.build(annotations_shape, self.units)
        self.selection.build()
        self.word_gates.build((None, word_size))
        self.state_gates.build((None, self.units))
        self.context_gates.build((None, annotations_shape[-1]))
        self.beta.build((None, self.units))
        self.built = True

    def project_words(self, words):
        """`W_y E y + b`: embeddings `(..., E)` to gate inputs `(..., 4H)`."""
        return self.word_gates(words)

    def project_annotations(self, annotations):
        """The scorer's share of the annotations, `(B, L, D)` to `(B, L, ...)`."""
        return self.scorer.project(annotations)

    def call(self, word_gates, state, annotations, projected, noise=()):
        h, c = state  # (B, H), (B, H)
        scores = self.scorer(projected, h)  # (B, L)
        selected, alphas, sample = self.selection(scores, annotations, noise)  # (B, D), (B, L)
        context = self.beta(h) * selected  # (B, D)
        gates = word_gates + self.state_gates(h) + self.context_gates(context)  # (B, 4H)
        i, f, g, o = ops.split(gates, 4, axis=-1)  # each (B, H)
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)  # (B, H)
        h = ops.sigmoid(o) * ops.tanh(c)  # (B, H)
        return (h, c), context, alphas, sample

    # === Config ===
    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "scorer": keras.saving.serialize_keras_object(self.scorer),
            "selection": keras.saving.serialize_keras_object(self.selection),
        }

    @classmethod
    def from_config(cls, config):
        for name in ("scorer", "selection"):
            config[name] = keras.saving.deserialize_keras_object(config[name])
        return cls(**config)


def _forget_bias(shape, dtype=None):
    """Zeros, but ones for the forget gate: a fresh LSTM remembers (Jozefowicz et al., 2015)."""
    units = shape[0] // 4
    zeros, ones = ops.zeros((units,), dtype), ops.ones((units,), dtype)
    return ops.concatenate([zeros, ones, zeros, zeros])  # i, f, g, o
