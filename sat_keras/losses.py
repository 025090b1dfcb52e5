"""The terms that objectives minimise. B batch, T caption length, V vocabulary size, L locations.

Terms are sums over the words of a caption, never means, so that a word weighs the same in a long
caption as in a short one. The caller takes the mean over the captions of a batch.
"""

import tensorflow as tf
from keras import ops

_TINY = 1e-30  # smallest weight whose logarithm is taken


def cross_entropy(tokens, logits, mask):
    """Negative log-likelihood of each word: `-log p(y_t | y_1..y_{t-1}, a)`.

    Args:
        tokens: int tensor `(B, T)`, the words to predict.
        logits: float tensor `(B, T, V)`.
        mask: float tensor `(B, T)`, 1 for a word, 0 for padding.
    Returns:
        Float tensor `(B, T)`, in nats, 0 for padding. Its sum over T is a caption's.
    Reference:
        Xu et al., 2015, arXiv 1502.03044, eq. 14, first term.
    """
    return mask * ops.sparse_categorical_crossentropy(tokens, logits, from_logits=True)


def label_smoothing(tokens, logits, mask):
    """Label smoothing's difference from `cross_entropy`, to be multiplied by epsilon.

    The target distribution has 1 - epsilon on the word and epsilon / V on every word of the
    vocabulary. Arguments and result are those of `cross_entropy`.

    Reference:
        Szegedy et al., 2016, arXiv 1512.00567, section 7.
    """
    of_words = ops.take_along_axis(logits, tokens[:, :, None], axis=-1)[:, :, 0]  # (B, T)
    return mask * (of_words - ops.mean(logits, axis=-1))


def doubly_stochastic(alphas, mask):
    """Encourages attention to cover every location once: `sum_i (1 - sum_t alpha_ti)^2`.

    Args:
        alphas: float tensor `(B, T, L)`.
        mask: float tensor `(B, T)`, 1 for a word, 0 for padding.
    Returns:
        Float tensor `(B,)`, without its factor lambda.
    Reference:
        Xu et al., 2015, arXiv 1502.03044, eq. 14, second term.
    """
    looked_at = ops.sum(alphas * mask[:, :, None], axis=1)  # (B, L)
    return ops.sum(ops.square(1.0 - looked_at), axis=-1)


def entropy(alphas, mask):
    """The entropy of each step's attention: `H[s_t] = -sum_i alpha_ti log alpha_ti`.

    Args:
        alphas: float tensor `(B, T, L)`.
        mask: float tensor `(B, T)`, 1 for a word, 0 for padding.
    Returns:
        Float tensor `(B, T)`, in nats, 0 for padding; at most `log L`.
    """
    return -mask * ops.sum(alphas * ops.log(ops.maximum(alphas, _TINY)), axis=-1)


def grounding(alphas, cover, mask):
    """Attention to what a word names: `-log sum_i alpha_ti cover_ti`.

    Args:
        alphas: float tensor `(B, T, L)`.
        cover: float tensor `(B, T, L)`, each location's share inside the boxes of what a word
            names; zeros for a word that names nothing.
        mask: float tensor `(B, T)`, 1 for a word, 0 for padding.
    Returns:
        Three float tensors `(B, T)`, 0 where a word names nothing: the term; the attention inside
        the boxes, `sum_i alpha_ti cover_ti`; and the mask of the words that name something.
    Reference:
        Liu et al., 2017, arXiv 1605.09553, compare attention with the whole map of a box.
        Here it is free to choose any part of the box.
    """
    named = mask * ops.cast(ops.max(cover, axis=-1) > 0, "float32")  # (B, T)
    inside = ops.sum(alphas * cover, axis=-1)  # (B, T)
    return -named * ops.log(ops.maximum(inside, _TINY)), named * inside, named


def reinforce(rewards, baselines, alphas, samples):
    """A term whose gradient is REINFORCE's estimate for sampled locations (Williams, 1992).

    A location influences only the words from its own on. So its return is the sum over the words
    from there to the end: earlier words would add variance and, in expectation, nothing:

        -sum_t stop_gradient( sum_{u >= t} (r_u - b_u) ) log p(s_t)

    With the gradient of `cross_entropy` at the same samples this is, in expectation, the gradient
    of the expected negative log-likelihood: lambda_r of the paper is 1.

    Args:
        rewards: float tensor `(B, T)`, r: each word's log-likelihood, 0 for padding.
        baselines: float tensor `(B, T)`, b: the expected reward, 0 for padding. It must not depend
            on the caption's own samples.
        alphas: float tensor `(B, T, L)`.
        samples: float tensor `(B, T, L)`, one-hot; zeros where nothing was sampled.
    Returns:
        Float tensor `(B,)`.
    Reference:
        Xu et al., 2015, arXiv 1502.03044, eq. 11 and 12.
    """
    advantages = tf.stop_gradient(ops.flip(ops.cumsum(ops.flip(rewards - baselines, -1), -1), -1))
    log_p = ops.sum(samples * ops.log(ops.maximum(alphas, _TINY)), axis=-1)  # (B, T)
    return -ops.sum(advantages * log_p, axis=-1)
