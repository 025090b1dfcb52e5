import keras
from keras import ops
from keras.layers import Dense

from sat_keras.layers.dropout import Dropout


@keras.saving.register_keras_serializable("sat_keras")
class DeepOutput(keras.layers.Layer):
    """Scores every word from the state, the context and the previous word.

    `logits = L_o tanh(L_h h_t + L_z z_t + E y_{t-1} + b)`. The `tanh` is in the published code,
    not in the paper's equation. In training, dropout falls on `h_t` and before `L_o`.

    Args:
        vocabulary_size: int V.
        dropout: float. Share of units dropped in training. Defaults to `0.5`.
    Call arguments:
        h: float tensor `(..., H)`.
        context: float tensor `(..., D)`.
        words: float tensor `(..., E)`, the previous words' embeddings.
    Returns:
        Logits, float32 tensor `(..., V)`.
    Reference:
        Xu et al., 2015, arXiv 1502.03044, eq. 7.
    """

    def __init__(self, vocabulary_size, dropout=0.5, **kwargs):
        super().__init__(**kwargs)
        # === Layers ===
        self.vocabulary_size = vocabulary_size
        self.dropout = dropout
        self.state_dropout = Dropout(dropout)
        self.hidden_dropout = Dropout(dropout)

    def build(self, h_shape, context_shape, words_shape):
        word_size = words_shape[-1]
        self.project_state = Dense(word_size, name="L_h")
        self.project_context = Dense(word_size, use_bias=False, name="L_z")
        self.project_word = Dense(self.vocabulary_size, name="L_o")
        self.project_state.build(h_shape)
        self.project_context.build(context_shape)
        self.project_word.build(words_shape)
        self.state_dropout.build(h_shape)
        self.hidden_dropout.build(words_shape)
        self.built = True

    def call(self, h, context, words, training=False):
        h = self.state_dropout(h, training=training)  # (..., H)
        hidden = self.project_state(h) + self.project_context(context) + words  # (..., E)
        hidden = self.hidden_dropout(ops.tanh(hidden), training=training)  # (..., E)
        # The softmax behind is taken in float32 under mixed precision too.
        return ops.cast(self.project_word(hidden), "float32")  # (..., V)

    # === Config ===
    def get_config(self):
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "dropout": self.dropout,
        }
