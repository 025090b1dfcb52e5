"""What training makes small. B batch, T caption length, V vocabulary size, L locations."""

from keras import ops


def cross_entropy(tokens, logits, mask):
    """Negative log-likelihood of each caption: `-sum_t log p(y_t | y_1..y_{t-1}, a)`.

    Args:
        tokens: int tensor `(B, T)`, the words to predict.
        logits: float tensor `(B, T, V)`.
        mask: float tensor `(B, T)`, 1 for a word, 0 for padding.
    Returns:
        Float tensor `(B,)`, in nats.
    Reference:
        Xu et al., 2015, arXiv 1502.03044, eq. 14, first term.
    """
    words = ops.sparse_categorical_crossentropy(tokens, logits, from_logits=True)  # (B, T)
    return ops.sum(words * mask, axis=-1)


def doubly_stochastic(alphas, mask):
    """Asks attention to look everywhere once: `sum_i (1 - sum_t alpha_ti)^2`.

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
