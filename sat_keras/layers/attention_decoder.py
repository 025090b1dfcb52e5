import keras
import tensorflow as tf
from keras import ops
from keras.layers import Embedding

from sat_keras.layers.deep_output import DeepOutput
from sat_keras.layers.initial_state import InitialState
from sat_keras.layers.repeat_rows import captions_each, repeat_rows


@keras.saving.register_keras_serializable("sat_keras")
class AttentionDecoder(keras.layers.Layer):
    """Words from annotations: embedding, `AttentionLSTMCell`, `DeepOutput`, `InitialState`.

    `start` and `step` are the contract that every way of decoding uses; `call` runs the same
    layers over known captions (teacher forcing), with all that no state enters (embeddings, their
    gate inputs, the vocabulary's logits) as one matrix product outside the loop.

    Args:
        vocabulary_size: int V.
        cell: `AttentionLSTMCell`.
        embedding_size: int E. Defaults to `512`.
        dropout: float. Share dropped in `DeepOutput`, in training. Defaults to `0.5`.
    Call arguments:
        annotations: float tensor `(B / C, L, D)`; C captions of each picture, one after the other.
        tokens: int tensor `(B, T)`, the words before each word to predict: `<start>` first.
        noise: of the selection for T steps, each tensor `(T, B, ...)`, see `HardSelection`.
            Defaults to `()`: nothing is sampled.
    Returns:
        `logits` float32 `(B, T, V)`; `alphas` float32 `(B, T, L)`; and the selection's `samples`
        `(B, T, L)`, one-hot or zero, or `None` without noise.
    Reference:
        Xu et al., 2015, arXiv 1502.03044, section 3.1.2.
    """

    state_names = ("h", "c")  # of `start`'s state, which `step` returns anew
    memory_names = ("annotations", "projected")  # of `start`'s memory, which stays the same

    def __init__(self, vocabulary_size, cell, embedding_size=512, dropout=0.5, **kwargs):
        # `start` casts annotations; noise keeps its precision.
        super().__init__(autocast=False, **kwargs)
        # === Layers ===
        self.vocabulary_size = vocabulary_size
        self.embedding_size = embedding_size
        self.dropout = dropout
        self.cell = cell
        self.embedding = Embedding(vocabulary_size, embedding_size, name="E")
        self.initial_state = InitialState(cell.units)
        self.deep_output = DeepOutput(vocabulary_size, dropout)

    def build(self, annotations_shape):
        self.embedding.build(None)
        self.initial_state.build(annotations_shape)
        if not self.cell.built:  # a cell that came out of a configuration is
            self.cell.build(annotations_shape, self.embedding_size)
        self.deep_output.build(
            (None, self.cell.units), (None, annotations_shape[-1]), (None, self.embedding_size)
        )
        self.built = True

    def start(self, annotations):
        """What decoding one batch of pictures begins with.

        Args:
            annotations: float tensor `(B, L, D)`.
        Returns:
            `memory`, the tensors that stay the same at every step (annotations and their
            projection), and the first `state` `(h_0, c_0)`.
        """
        annotations = ops.cast(annotations, self.compute_dtype)
        memory = (annotations, self.cell.project_annotations(annotations))
        return memory, self.initial_state(annotations)

    def step(self, token, state, memory, noise=()):
        """One word further.

        Args:
            token: int tensor `(B,)`, the previous word.
            state: tuple `(h, c)`.
            memory: as `start` returned it.
            noise: see `AttentionLSTMCell`. Defaults to `()`: none.
        Returns:
            `logits` float32 `(B, V)`, the new `state`, `alphas` float32 `(B, L)`.
        """
        words = self.embedding(token)  # (B, E)
        gates = self.cell.project_words(words)  # (B, 4H)
        state, context, alphas, _ = self.cell(gates, state, *memory, noise)
        logits = self.deep_output(state[0], context, words)  # (B, V)
        return logits, state, alphas

    def call(self, annotations, tokens, training=False, noise=()):
        memory, state = repeat_rows(self.start(annotations), captions_each(annotations, tokens))
        words = self.embedding(tokens)  # (B, T, E)
        word_gates = self.cell.project_words(words)  # (B, T, 4H)
        h, context, alphas, *samples = self._unroll(word_gates, state, memory, noise)
        logits = self.deep_output(h, context, words, training=training)  # (B, T, V)
        return logits, alphas, samples[0] if samples else None

    def _unroll(self, word_gates, state, memory, noise):
        """The cell over all T steps: h `(B, T, H)`, context `(B, T, D)`, alphas `(B, T, L)`, and
        samples `(B, T, L)` where there are any."""
        word_gates = tf.transpose(word_gates, (1, 0, 2))  # (T, B, 4H)
        steps = tf.shape(word_gates)[0]

        def body(t, state, outputs):
            step_noise = tuple(each[t] for each in noise)
            state, context, alphas, sample = self.cell(word_gates[t], state, *memory, step_noise)
            step_outputs = (state[0], context, alphas, sample)[: len(outputs)]
            outputs = [array.write(t, x) for array, x in zip(outputs, step_outputs, strict=True)]
            return t + 1, state, outputs

        dtypes = [self.compute_dtype, self.compute_dtype, "float32"] + ["float32"] * bool(noise)
        arrays = [tf.TensorArray(dtype, size=steps) for dtype in dtypes]
        _, _, outputs = tf.while_loop(
            lambda t, *_: t < steps, body, (0, state, arrays), maximum_iterations=steps
        )
        return [tf.transpose(array.stack(), (1, 0, 2)) for array in outputs]

    # === Config ===
    def get_config(self):
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "cell": keras.saving.serialize_keras_object(self.cell),
            "embedding_size": self.embedding_size,
            "dropout": self.dropout,
        }

    @classmethod
    def from_config(cls, config):
        config["cell"] = keras.saving.deserialize_keras_object(config["cell"])
        return cls(**config)
