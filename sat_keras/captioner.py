import keras
import numpy as np
import tensorflow as tf
from keras import ops

from sat_edge.caption import Caption
from sat_edge.errors import InputError
from sat_edge.photo import open_photo, to_pixels
from sat_keras import decoding, losses
from sat_keras.encoders import Encoder
from sat_keras.layers import (
    AdditiveScorer,
    AttentionDecoder,
    AttentionLSTMCell,
    SoftSelection,
)
from sat_keras.vocabulary import Vocabulary

SCORERS = {"additive": AdditiveScorer}
SELECTIONS = {"soft": SoftSelection}


@keras.saving.register_keras_serializable("sat_keras")
class Captioner(keras.Model):
    """ "Show, Attend and Tell": an encoder, an attention decoder, and how they are trained.

    `fit` takes batches `(x, tokens, mask)` as `pipeline.batches` yields them: `x` images
    `(B / C, H, W, 3)` or the encoder's annotations `(B / C, L, D)`, `tokens` int `(B, T + 1)` from
    `<start>` on, C captions for each of `x`, `mask` `(B, T)`, 1 where a word is to be predicted. It
    minimises

        mean_n [ -sum_t log p(y_nt) + lambda sum_i (1 - sum_t alpha_nti)^2 ]

    Clip gradients by the optimizer's own `global_clipnorm`.

    Args:
        encoder: `encoders.Encoder`.
        vocabulary: `Vocabulary`.
        attention: str. `"soft"`. Defaults to `"soft"`.
        scorer: str. `"additive"`. Defaults to `"additive"`.
        units: int. LSTM size H. Defaults to `512`.
        embedding_size: int E. Defaults to `512`.
        attention_size: int A. Defaults to `512`.
        dropout: float. Defaults to `0.5`.
        doubly_stochastic: float. Lambda above. Defaults to `1.0`.
        train_encoder: bool. Whether the encoder learns too, from batches of images. Defaults to
            `False`.
        max_length: int. Longest caption, `<end>` included, that `caption` makes. Defaults to `20`.
    Example:
        >>> model = Captioner(encoders.mobilenet_v2(weights="imagenet"), vocabulary)
        >>> model.compile(optimizer=keras.optimizers.Adam(4e-4, global_clipnorm=5.0))
        >>> model.fit(train, validation_data=validation, epochs=5)
        >>> model.caption(["photo.jpg"])[0].text
    Reference:
        Xu et al., 2015, arXiv 1502.03044.
    """

    def __init__(
        self,
        encoder,
        vocabulary,
        attention="soft",
        scorer="additive",
        units=512,
        embedding_size=512,
        attention_size=512,
        dropout=0.5,
        doubly_stochastic=1.0,
        train_encoder=False,
        max_length=20,
        **kwargs,
    ):
        super().__init__(**kwargs)
        # === Layers ===
        self.encoder = encoder
        self.encoder.trainable = train_encoder
        self.decoder = AttentionDecoder(
            len(vocabulary),
            AttentionLSTMCell(
                units,
                _choose(SCORERS, scorer, "scorer")(attention_size),
                _choose(SELECTIONS, attention, "attention")(),
            ),
            embedding_size,
            dropout,
        )
        self.decoder.build(encoder.output_shape)
        self.built = True
        self.supports_jit = False  # XLA would compile the step anew for every caption length

        self._compiled_greedy = tf.function(self.greedy, reduce_retracing=True)

        # === Metrics: means over words, so that captions of any length compare ===
        self.loss_mean = keras.metrics.Mean("loss")
        self.cross_entropy_mean = keras.metrics.Mean("cross_entropy")
        self.accuracy_mean = keras.metrics.Mean("accuracy")
        self.gradient_norm = keras.metrics.Mean("gradient_norm")

        # === Config ===
        self.vocabulary = vocabulary
        self.attention = attention
        self.scorer = scorer
        self.units = units
        self.embedding_size = embedding_size
        self.attention_size = attention_size
        self.dropout = dropout
        self.doubly_stochastic = doubly_stochastic
        self.train_encoder = train_encoder
        self.max_length = max_length

    # === Training ===

    def encode(self, x, training=False):
        """Images `(B, H, W, 3)` to annotations `(B, L, D)`; annotations stay as they are."""
        if len(x.shape) == 4:
            return self.encoder(ops.cast(x, "float32"), training=training and self.train_encoder)
        return x

    def call(self, x, tokens, training=False):
        """`logits` `(B, T, V)` and `alphas` `(B, T, L)` of the words after each of `tokens`."""
        annotations = self.encode(x, training)  # (B / C, L, D)
        captions_per_photo = tf.shape(tokens)[0] // tf.shape(annotations)[0]
        annotations = tf.repeat(annotations, captions_per_photo, axis=0)  # (B, L, D)
        return self.decoder(annotations, tokens, training=training)

    def train_step(self, data):
        x, tokens, mask = data
        with tf.GradientTape() as tape:
            loss = self._loss(x, tokens, mask, training=True)
            scaled = self.optimizer.scale_loss(loss)
        # Dense: the embedding's gradient holds a word that comes twice as two rows, whose norm, and
        # so what clipping does, would not be the gradient's.
        gradients = tape.gradient(scaled, self.trainable_variables)
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        # Mixed precision scales losses, and so gradients; where they overflow it skips the step.
        norm = tf.linalg.global_norm(gradients) * (loss / scaled)
        finite = tf.math.is_finite(norm)
        self.gradient_norm.update_state(tf.where(finite, norm, 0.0), sample_weight=finite)
        return self.get_metrics_result()

    def test_step(self, data):
        x, tokens, mask = data
        self._loss(x, tokens, mask, training=False)
        results = self.get_metrics_result()
        results.pop("gradient_norm")
        return results

    def _loss(self, x, tokens, mask, training):
        words = tokens[:, 1:]  # (B, T)
        logits, alphas = self(x, tokens[:, :-1], training=training)  # (B, T, V), (B, T, L)
        cross_entropy = losses.cross_entropy(words, logits, mask)  # (B,)
        coverage = losses.doubly_stochastic(alphas, mask)  # (B,)
        loss = ops.mean(cross_entropy + self.doubly_stochastic * coverage)

        correct = ops.cast(ops.equal(ops.argmax(logits, axis=-1), words), "float32")  # (B, T)
        self.loss_mean.update_state(loss, sample_weight=ops.shape(tokens)[0])
        self.cross_entropy_mean.update_state(cross_entropy / ops.sum(mask, -1), ops.sum(mask, -1))
        self.accuracy_mean.update_state(correct, sample_weight=mask)
        return loss

    # === Captioning ===

    def caption(self, photos):
        """Greedy captions.

        Args:
            photos: array `(B, H, W, 3)` of RGB 0..255 in the encoder's size, or of annotations
                `(B, L, D)`; or a list of paths, `PIL.Image.Image` or arrays of any size.
        Returns:
            List of `Caption`.
        Raises:
            InputError: if a photo cannot be read.
        """
        if not isinstance(photos, np.ndarray | tf.Tensor):
            photos = [to_pixels(open_photo(photo), self.encoder.image_size) for photo in photos]
            photos = np.stack(photos)  # (B, H, W, 3)
        tokens, attention, log_prob = self._compiled_greedy(tf.cast(photos, tf.float32))
        return [
            Caption.from_decoder(self.vocabulary, *each, self.encoder.grid)
            for each in zip(tokens.numpy(), attention.numpy(), log_prob.numpy(), strict=True)
        ]

    def greedy(self, x):
        """`decoding.greedy` on images `(B, H, W, 3)` or annotations `(B, L, D)`."""
        annotations = self.encode(x)  # (B, L, D)
        memory, state = self.decoder.start(annotations)
        return decoding.greedy(
            lambda token, state: self.decoder.step(token, state, memory),
            state,
            annotations.shape[0] or tf.shape(annotations)[0],
            annotations.shape[1],
            self.max_length,
        )

    # === Config ===

    def get_config(self):
        names = (
            "attention",
            "scorer",
            "units",
            "embedding_size",
            "attention_size",
            "dropout",
            "doubly_stochastic",
            "train_encoder",
            "max_length",
        )
        return {
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "vocabulary": self.vocabulary.words,
            **{name: getattr(self, name) for name in names},
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config):
        config["encoder"] = keras.saving.deserialize_keras_object(
            config["encoder"], custom_objects={"Encoder": Encoder}
        )
        config["vocabulary"] = Vocabulary(config["vocabulary"])
        return cls(**config)

    # Keras saves weights but not the state of random generators. With it, a run that is
    # resumed drops the same units as one that was never stopped.
    def save_own_variables(self, store):
        for i, state in enumerate(self._random_states()):
            store[str(i)] = state.numpy()

    def load_own_variables(self, store):
        for i, state in enumerate(self._random_states()):
            state.assign(store[str(i)])

    def _random_states(self):
        return [each for each in self.variables if each.name == "seed_generator_state"]


def _choose(choices, name, what):
    if name not in choices:
        raise InputError(f"unknown {what} {name!r}: choose one of {', '.join(choices)}")
    return choices[name]
