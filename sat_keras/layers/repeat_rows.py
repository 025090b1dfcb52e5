import tensorflow as tf


def repeat_rows(tensors, times):
    """Repeats each row `times` times in a row, in every tensor of a nest: pictures to captions."""
    return tf.nest.map_structure(lambda each: tf.repeat(each, times, axis=0), tensors)


def captions_each(annotations, tokens):
    """How many captions `(B, T)` each picture `(B / C, L, D)` has: C."""
    pictures = tf.shape(annotations)[0]
    return tf.shape(tokens)[0] // tf.maximum(pictures, 1)  # a replica may have no picture
