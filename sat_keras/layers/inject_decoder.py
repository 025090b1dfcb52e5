import keras
from keras import ops
from keras.layers import LSTM, Dense, Embedding

from sat_keras.layers.dropout import Dropout
from sat_keras.layers.repeat_rows import captions_each, repeat_rows

INJECTIONS = ("first", "every", "only")


@keras.saving.register_keras_serializable("sat_keras")
class InjectDecoder(keras.layers.Layer):
    """The CNN-LSTM before attention: one vector a picture, words from an LSTM that was fed it.

    With `x = W_x mean_i a_i + b`, the mean annotation in the size of a word, and `f` an LSTM:

        first    h_0 = f(x, 0),  h_t = f(E y_{t-1}, h_{t-1})    (Vinyals et al., 2015)
        every    h_t = f([E y_{t-1}; x], h_{t-1})               (Mao et al., 2015)
        only     h_t = f(x, h_{t-1})                            without the previous word

    and `p(y_t) = softmax(W h_t + b)`. The contract is `AttentionDecoder`'s. Nothing looks anywhere:
    `alphas` are the weights that the mean gives, 1 / L each.

    Args:
        vocabulary_size: int V.
        units: int. LSTM size H.
        embedding_size: int E. Defaults to `512`.
        inject: str. `"first"`, `"every"` or `"only"`. Defaults to `"every"`.
        dropout: float. Share of words and of h dropped, in training. Defaults to `0.5`.
    Call arguments:
        annotations: float tensor `(B / C, L, D)`, L = 1 if they are a network's own vector; C
            captions of each picture, one after the other.
        tokens: int tensor `(B, T)`, the words before each word to predict: `<start>` first.
        noise: nothing is sampled here. Defaults to `()`.
    Returns:
        `logits` float32 `(B, T, V)`, `alphas` float32 `(B, T, L)`, and `None`: nothing is sampled.
    Reference:
        Vinyals et al., 2015, arXiv 1411.4555; Tanti et al., 2018, arXiv 1703.09137.
    """

    def __init__(
        self, vocabulary_size, units, embedding_size=512, inject="every", dropout=0.5, **kwargs
    ):
        super().__init__(**kwargs)
        # === Layers ===
        self.vocabulary_size = vocabulary_size
        self.units = units
        self.embedding_size = embedding_size
        self.inject = inject
        self.dropout = dropout
        self.project_image = Dense(embedding_size, name="W_x")
        self.embedding = Embedding(vocabulary_size, embedding_size, name="E")
        self.lstm = LSTM(units, return_sequences=True)
        self.input_dropout = Dropout(dropout)
        self.output_dropout = Dropout(dropout)
        self.project_word = Dense(vocabulary_size, name="W")

    def build(self, annotations_shape):
        _, self.locations, size = annotations_shape
        self.project_image.build((None, size))
        if self.inject != "only":
            self.embedding.build(None)
        self.lstm.build((None, None, self.embedding_size * (2 if self.inject == "every" else 1)))
        self.project_word.build((None, self.units))
        self.built = True

    state_names = ("h", "c")  # of `start`'s state, which `step` returns anew

    @property
    def memory_names(self):
        """Of `start`'s memory, which stays the same at every step."""
        return () if self.inject == "first" else ("image",)

    def start(self, annotations):
        """See `AttentionDecoder.start`."""
        annotations = ops.cast(annotations, self.compute_dtype)
        image = self.project_image(ops.mean(annotations, axis=1))  # (B, E)
        zeros = ops.zeros((ops.shape(image)[0], self.units), self.compute_dtype)  # (B, H)
        if self.inject != "first":
            return (image,), (zeros, zeros)
        _, state = self.lstm.cell(image, [zeros, zeros])
        return (), tuple(state)

    def step(self, token, state, memory, noise=()):
        """See `AttentionDecoder.step`."""
        words = self._embed(token)  # (B, E)
        h, state = self.lstm.cell(self._input(words, memory), list(state))  # (B, H)
        logits = ops.cast(self.project_word(h), "float32")  # (B, V)
        return logits, tuple(state), self._uniform(h)

    def call(self, annotations, tokens, training=False, noise=()):
        memory, state = repeat_rows(self.start(annotations), captions_each(annotations, tokens))
        words = self._embed(tokens, training)  # (B, T, E)
        steps = ops.shape(tokens)[1]
        memory = tuple(ops.repeat(each[:, None], steps, axis=1) for each in memory)  # (B, T, E)
        h = self.lstm(self._input(words, memory), initial_state=list(state))  # (B, T, H)
        logits = self.project_word(self.output_dropout(h, training=training))  # (B, T, V)
        return ops.cast(logits, "float32"), self._uniform(h), None

    def _embed(self, tokens, training=False):
        if self.inject == "only":
            return None
        return self.input_dropout(self.embedding(tokens), training=training)

    def _input(self, words, memory):
        """The LSTM's input, of one step or of all: `(..., E)` or `(..., 2E)`."""
        if self.inject == "first":
            return words
        (image,) = memory
        return image if self.inject == "only" else ops.concatenate([words, image], axis=-1)

    def _uniform(self, h):
        """Weights `(..., L)` of 1 / L, one row for each of h `(..., H)`."""
        shape = (*ops.shape(h)[:-1], self.locations)
        return ops.full(shape, 1 / self.locations, "float32")

    # === Config ===
    def get_config(self):
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "units": self.units,
            "embedding_size": self.embedding_size,
            "inject": self.inject,
            "dropout": self.dropout,
        }
