"""Captions out of a step function, in one `tf.while_loop`. Knows no model.

A step function is `step(token, state) -> (logits, state, alphas)`: the previous words `(B,)`, any
nest of state tensors with B first, logits `(B, V)` and attention `(B, L)`.
"""

import tensorflow as tf

from sat_edge.caption import END, PAD, START, UNKNOWN

# Words that no caption holds: a decoder passes over them, however probable.
_NEVER = [PAD, START, UNKNOWN]


def greedy(step, state, batch_size, locations, max_length=20):
    """Takes the most probable word until every caption has its `<end>`.

    Args:
        step: the step function.
        state: its first state.
        batch_size: int or scalar tensor B.
        locations: int L.
        max_length: int T, words and `<end>`. Defaults to `20`.
    Returns:
        `tokens` int32 `(B, T)`, from the first word to `<end>`, then `<pad>`; `alphas` float32
        `(B, T, L)`, zero behind `<end>`; `log_prob` float32 `(B,)`, the sum over words and
        `<end>`.
    """

    def body(t, token, running, state, tokens, alphas, log_prob):
        logits, state, alpha = step(token, state)  # (B, V), (B, L)
        vocabulary_size = logits.shape[-1]
        never = tf.constant([-1e9 if i in _NEVER else 0.0 for i in range(vocabulary_size)])
        token = tf.argmax(logits + never, axis=-1, output_type=tf.int32)  # (B,)
        chosen = tf.one_hot(token, vocabulary_size)  # (B, V)
        word_log_prob = tf.reduce_sum(chosen * tf.nn.log_softmax(logits), axis=-1)  # (B,)

        # Results go into tensors of their final size: lists do not convert to TFLite.
        token = tf.where(running, token, PAD)
        mask = tf.cast(running, tf.float32)
        log_prob += mask * word_log_prob
        here = tf.one_hot(t, max_length)  # (T,)
        tokens += token[:, None] * tf.cast(here, tf.int32)[None, :]
        alphas += (mask[:, None] * alpha)[:, None, :] * here[None, :, None]
        running = tf.logical_and(running, tf.not_equal(token, END))
        return t + 1, token, running, state, tokens, alphas, log_prob

    def some_running(t, token, running, *_):
        return tf.logical_and(t < max_length, tf.reduce_any(running))

    *_, tokens, alphas, log_prob = tf.while_loop(
        some_running,
        body,
        (
            tf.constant(0),
            tf.fill([batch_size], START),
            tf.fill([batch_size], True),
            state,
            tf.zeros([batch_size, max_length], tf.int32),
            tf.zeros([batch_size, max_length, locations]),
            tf.zeros([batch_size]),
        ),
        maximum_iterations=max_length,
    )
    return tokens, alphas, log_prob
