"""Training: one step for every objective. `Captioner` is what is trained.

Keras trains a model for losses of its outputs. A captioner is trained for an objective, which may
sample locations or captions, and under a strategy gets the gradients of the whole batch. Names of
Keras that begin with an underscore are overridden where it has no public ones.
"""

from functools import partial
from typing import NamedTuple

import keras
import tensorflow as tf
from keras import ops
from keras.src.trainers.compile_utils import CompileMetrics  # it has no public name

from sat_edge.caption import PAD
from sat_edge.errors import InputError
from sat_keras import replicas
from sat_keras.encoders import set_trainable_layers, trainable_layers
from sat_keras.layers import repeat_rows


class Batch(NamedTuple):
    """Photos, and the captions of each, one after the other.

    Attributes:
        x: images `(B / C, H, W, 3)` or annotations `(B / C, L, D)`.
        previous: int `(B, T)`, the word before each word to predict: `<start>` first.
        words: int `(B, T)`, the words to predict.
        mask: float `(B, T)`, 1 for a word, 0 for padding; or the word's weight.
        captions_per_photo: int C.
        cover: float `(B, T, L)`, each location's share inside the boxes of what a word names, zeros
            for a word that names nothing; or `None`.
    """

    x: tf.Tensor
    previous: tf.Tensor
    words: tf.Tensor
    mask: tf.Tensor
    captions_per_photo: int
    cover: tf.Tensor | None = None

    @classmethod
    def from_data(cls, data):
        """From what `fit` is given; see `Captioner`."""
        x, tokens, weights = keras.utils.unpack_x_y_sample_weight(data)
        cover = None
        if isinstance(tokens, dict):
            tokens, cover = tokens["tokens"], tokens["cover"]  # (N, C, T + 1), (N, C, T, L)
            cover = tf.reshape(cover, (-1, tf.shape(cover)[-2], cover.shape[-1]))  # (B, T, L)
        if tokens is None:
            raise InputError("a captioner is trained on (x, tokens): tokens are missing")
        if _rank(x) not in (3, 4):
            raise InputError(f"x of shape {x.shape}: name images (N, H, W, 3) or annotations")
        if _rank(tokens) not in (2, 3):
            raise InputError(f"tokens of shape {tokens.shape}: name (N, T + 1) or (N, C, T + 1)")
        *_, length = tokens.shape
        each = tokens.shape[1] if len(tokens.shape) == 3 else 1
        length = length or tf.shape(tokens)[-1]
        tokens = ops.cast(ops.reshape(tokens, (-1, length)), "int32")  # (B, T + 1)
        words = tokens[:, 1:]
        mask = ops.cast(ops.not_equal(words, PAD), "float32")  # (B, T)
        if weights is not None:
            weights = ops.cast(weights, "float32")
            if len(weights.shape) == 1:  # a weight per photo
                weights = ops.repeat(weights, each)[:, None]
            mask *= ops.reshape(weights, (-1, weights.shape[-1] or tf.shape(weights)[-1]))
        return cls(x, tokens[:, :-1], words, mask, each, cover)

    def repeat_captions(self, times):
        """Each caption `times` times in a row."""
        rows = {"previous": self.previous, "words": self.words, "mask": self.mask}
        if self.cover is not None:
            rows["cover"] = self.cover
        each = self.captions_per_photo * times
        return self._replace(**repeat_rows(rows, times), captions_per_photo=each)


class Trainable(keras.Model):
    """A model that is trained for an objective.

    A subclass has an `encoder`, an `attention` and a `vocabulary`, and whatever its objectives
    call.

    Attributes:
        objective: `objectives.Objective`, as `compile` took it; `None` before.
    """

    objective = None

    def compile(self, optimizer="rmsprop", objective=None, **options):
        """Configures training.

        Args:
            optimizer: as Keras takes it. It clips gradients by its own `global_clipnorm`.
            objective: `objectives.Objective`, whose state begins anew. Defaults to `None`: the
                default of the captioner's attention, see `Objective.default`.
            **options: `run_eagerly`, `steps_per_execution`, `jit_compile`, `auto_scale_loss` of
                `keras.Model.compile`.
        Raises:
            InputError: for `loss` or `metrics`, which an objective brings; or an objective that
                cannot train such a captioner.
        """
        from sat_keras.objectives import Objective

        refused = ("loss", "loss_weights", "metrics", "weighted_metrics")
        for name in refused:
            if options.pop(name, None) is not None:
                raise InputError(
                    f"compile takes no {name}: an objective brings loss and metrics; name one, "
                    "for example objective=sat_keras.objectives.CrossEntropy()"
                )
        if objective is None:
            objective = Objective.from_config({"name": Objective.default(self.attention)})
        if not isinstance(objective, Objective):
            raise InputError(
                f"objective is {objective!r}: name one of sat_keras.objectives, "
                "for example CrossEntropy()"
            )
        objective.build(self)
        super().compile(optimizer=optimizer, **options)
        self.objective = objective

    def train_step(self, data):
        """Loss, gradients, their sum over replicas, clipping, the update, and metrics."""
        batch = Batch.from_data(data)
        self._check_input(batch.x)
        with tf.GradientTape() as tape:
            each, totals = self.objective(self, batch, training=True)  # (B,)
            captions = tf.cast(tf.size(each), "float32")
            penalty = self._penalty()
            totals["loss"] = (tf.reduce_sum(each) + penalty * captions, captions)
            of_all = tf.stop_gradient(replicas.add_up(captions))
            loss = tf.reduce_sum(each) / of_all + penalty / replicas.count()
            loss = self.optimizer.scale_loss(loss)
        # Dense: the embedding's gradient holds a word that comes twice as two rows, whose norm, and
        # so what clipping does, would not be the gradient's.
        # TensorFlow's variables: with Keras's own, a gradient of zeros is not made.
        variables = [each.value for each in self.trainable_variables]
        gradients = tape.gradient(loss, variables, unconnected_gradients="zero")
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        gradients, totals = replicas.add_up((gradients, totals))
        handed_in = replicas.hand_in_once(gradients)
        self.optimizer.apply_gradients(zip(handed_in, self.trainable_variables, strict=True))
        self.objective.update(totals)
        totals["gradient_norm"] = self._norm(gradients)
        return self.objective.report(totals)

    def test_step(self, data):
        batch = Batch.from_data(data)
        each, totals = self.objective(self, batch, training=False)  # (B,)
        captions = tf.cast(tf.size(each), "float32")
        totals["loss"] = (tf.reduce_sum(each) + self._penalty() * captions, captions)
        return self.objective.report(replicas.add_up(totals))

    def _penalty(self):
        """The sum of the losses of layers: their regularizers'."""
        return sum(self.losses, start=0.0)

    def _norm(self, gradients):
        """The norm of the unscaled gradients, and its weight: 0 where the step is skipped.

        Mixed precision scales losses, and so gradients; where they overflow it skips the step.
        """
        norm = tf.linalg.global_norm(gradients) / self.optimizer.scale_loss(tf.ones(()))
        finite = tf.math.is_finite(norm)
        return tf.where(finite, norm, 0.0), tf.cast(finite, "float32")

    def _check_input(self, x):
        if self.encoder.trainable and len(x.shape) != 4:
            raise InputError(
                "the encoder is trainable, and learns from images, not from annotations: "
                "train on images, or set encoder.trainable = False and compile again"
            )

    @property
    def metrics(self):
        """Those of the objective; Keras's own loss tracker would be a second `loss`."""
        return [_ObjectiveMetrics(self.objective)] if self.compiled else []

    @property
    def metrics_names(self):
        return list(self.objective.metrics) if self.compiled else []

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # Under a strategy Keras builds a model from the mean of all replicas' first batches, which
        # fails where these differ in shape. All layers are built here; the optimizer is not.
        if self.distribute_strategy.num_replicas_in_sync > 1 and not self.optimizer.built:
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)

    # Photos or annotations, one caption of each or several: these differ in rank.

    def _make_function(self, step_function):
        return _by_rank(partial(super()._make_function, step_function))

    def make_predict_function(self, force=False):
        if self.predict_function is None or force:
            self.predict_function = _by_rank(self._make_predict_function)

    def _make_predict_function(self):
        of_all = self.predict_function
        super().make_predict_function(force=True)
        made, self.predict_function = self.predict_function, of_all
        return made

    # === What is saved of a compiled captioner ===

    def get_compile_config(self):
        if not self.compiled:
            return {}
        return {
            **super().get_compile_config(),
            "objective": self.objective.get_config(),
            "trainable": trainable_layers(self.encoder),
        }

    def compile_from_config(self, config):
        from sat_keras.objectives import Objective

        config = dict(config)
        objective = Objective.from_config(config.pop("objective"))
        set_trainable_layers(self.encoder, config.pop("trainable"))
        self.compile(**keras.saving.deserialize_keras_object(config), objective=objective)
        self.optimizer.build(self.trainable_variables)

    # Keras saves weights but not the state of random generators. With it, a run that is resumed
    # drops the same units as one that was never stopped.
    def save_own_variables(self, store):
        for name, variable in self._states().items():
            store[name] = variable.numpy()

    def load_own_variables(self, store):
        # Of another objective, or of none, a file has no such state.
        states = {name: each for name, each in self._states().items() if name in store}
        for name, variable in states.items():
            variable.assign(store[name])

    def _states(self):
        seeds = [each for each in self.variables if each.name == "seed_generator_state"]
        states = {f"seed_{i}": each for i, each in enumerate(seeds)}
        if self.compiled:
            objective = self.objective
            of_objective = enumerate(objective.variables)
            states |= {f"{objective.name}_{i}": variable for i, variable in of_objective}
        return states


class _ObjectiveMetrics(CompileMetrics):
    """The metrics of an objective, where callbacks look for the way in which each gets better."""

    def __init__(self, objective):
        super().__init__(None, None)
        self._means = list(objective.metrics.values())
        self.built = True

    @property
    def metrics(self):
        return self._means

    def result(self):
        return {each.name: each.result() for each in self._means}

    def reset_state(self):
        for each in self._means:
            each.reset_state()


def _by_rank(make):
    """A function of batches that makes one, by `make()`, for each rank of their tensors.

    One function for all of them would be traced for tensors of unknown rank.
    """
    made = {}

    def function(batches):
        if not hasattr(batches, "element_spec"):  # a generator of one batch, or a list of them
            batches = list(batches)
        spec = getattr(batches, "element_spec", batches)
        tensors = tf.nest.flatten(spec, expand_composites=True)
        ranks = tuple(_rank(each) for each in tensors if hasattr(each, "shape"))
        if ranks not in made:
            made[ranks] = make()
        return made[ranks](batches)

    return function


def _rank(tensor):
    """The number of axes of a tensor, an array or a specification; `None` if it is unknown."""
    return tf.TensorShape(tensor.shape).rank
