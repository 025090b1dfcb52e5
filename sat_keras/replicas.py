"""Replicas: copies of a captioner on several devices that share each batch (`tf.distribute`).

A step of R replicas gives the weights that one device gives for the whole batch. For that, sums
run over the whole batch, and random numbers are drawn for the whole batch: each replica takes the
rows that belong to its part. Without a strategy there is one replica, and nothing is exchanged.
"""

from typing import NamedTuple

import tensorflow as tf


class Rows(NamedTuple):
    """The part of a batch that a replica has: `count` rows from `first` on, of `total`."""

    first: tf.Tensor | int
    count: tf.Tensor | int
    total: tf.Tensor | int

    def of(self, tensor, axis=0):
        """These rows of a tensor that was made for the whole batch."""
        if self.total is self.count:
            return tensor
        return tf.gather(tensor, self.first + tf.range(self.count), axis=axis)

    def spread(self, tensor):
        """A tensor of these rows as one of the whole batch, with zeros for the other rows."""
        if self.total is self.count:
            return tensor
        behind = self.total - self.first - self.count
        return tf.pad(tensor, [[self.first, behind]] + [[0, 0]] * (len(tensor.shape) - 1))


def count():
    """R, an int."""
    context = _context()
    return context.num_replicas_in_sync if context else 1


def add_up(tensors):
    """Each tensor of a nest, summed over all replicas."""
    context = _context()
    return context.all_reduce(tf.distribute.ReduceOp.SUM, tensors) if context else tensors


def rows(count):
    """The `Rows` of this replica, which has `count` of them.

    Replicas exchange their counts here: call it outside of loops.
    """
    context = _context()
    if not context:
        return Rows(0, count, count)
    counts = context.all_gather(tf.reshape(count, [1]), axis=0)  # (R,)
    before = tf.range(context.num_replicas_in_sync) < context.replica_id_in_sync_group
    return Rows(
        tf.reduce_sum(tf.where(before, counts, 0)),
        tf.convert_to_tensor(count),
        tf.reduce_sum(counts),
    )


def map_rows(function, tensor):
    """`function(tensor)`, row by row, of a tensor of which this replica may have no row."""
    if not _context():
        return function(tensor)
    # oneDNN's convolution gives no rows the shape of its input: it gets one of zeros.
    count = tf.shape(tensor)[0]
    missing = tf.cast(tf.equal(count, 0), tf.int32)
    padded = tf.pad(tensor, [[0, missing]] + [[0, 0]] * (len(tensor.shape) - 1))
    return function(padded)[:count]


def hand_in_once(gradients):
    """The gradients of the whole batch, as each replica hands them to a Keras optimizer.

    The optimizer clips what each replica hands in and then sums. So the first replica hands in the
    gradients, and the others zeros: clipping sees the gradients of the whole batch.
    """
    context = _context()
    if not context:
        return gradients
    share = tf.cast(tf.equal(context.replica_id_in_sync_group, 0), tf.float32)
    # A product, not a choice: what is not finite stays so everywhere, and loss scaling sees it.
    return [gradient * tf.cast(share, gradient.dtype) for gradient in gradients]


def _context():
    """The context of this replica, where there are others."""
    context = tf.distribute.get_replica_context()
    return context if context is not None and context.num_replicas_in_sync > 1 else None
