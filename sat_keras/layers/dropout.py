import keras
from keras import ops

from sat_keras import replicas


@keras.saving.register_keras_serializable("sat_keras")
class Dropout(keras.layers.Dropout):
    """Keras's dropout, drawn for the whole batch however many replicas share it.

    Arguments, call arguments and numbers are those of `keras.layers.Dropout`. The first axis is
    that of the batch.
    """

    def call(self, inputs, training=False):
        if not training or not self.rate or replicas.count() == 1:
            return super().call(inputs, training=training)
        count, *others = ops.shape(inputs)
        rows = replicas.rows(count)
        ones = ops.ones((rows.total, *others), inputs.dtype)
        kept = keras.random.dropout(ones, self.rate, seed=self.seed_generator)
        return inputs * rows.of(kept)
