import keras
from keras import ops

from sat_keras.layers.soft_selection import SoftSelection, weighted_sum


@keras.saving.register_keras_serializable("sat_keras")
class HardSelection(SoftSelection):
    """Stochastic attention: one annotation, sampled from the attention weights.

    `s_t ~ Categorical(alpha_t)`, `z_t = a_{s_t}`. A sample is drawn by the Gumbel-max trick,
    `s_t = argmax_i (e_ti + g_ti)`, so that all noise can be drawn before the loop over words.

    Without noise it is the expectation, `SoftSelection`: that is how the paper captions.

    Call arguments:
        scores: float tensor `(B, L)`.
        annotations: float tensor `(B, L, D)`.
        noise: `()`, or a pair: `gumbel` `(B, L)`, where zeros select the most probable location,
            and `sampled` `(B, 1)`, 1 for a sample, 0 for the expectation
            `sum_i alpha_ti a_i`. Defaults to `()`.
    Returns:
        `context` `(B, D)`; float32 `alphas` `(B, L)`; and float32 `sample` `(B, L)`: one-hot, or
        zeros where the expectation was taken; `None` without noise.
    Reference:
        Xu et al., 2015, arXiv 1502.03044, section 4.1; Gumbel, 1954.
    """

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)  # noise stays float32

    def call(self, scores, annotations, noise=()):
        if not noise:
            return super().call(scores, annotations)
        gumbel, sampled = noise
        scores = ops.cast(scores, "float32")  # (B, L)
        alphas = ops.softmax(scores, axis=-1)  # (B, L)
        location = ops.argmax(scores + gumbel, axis=-1)  # (B,)
        sample = sampled * ops.one_hot(location, scores.shape[-1], dtype="float32")  # (B, L)
        context = weighted_sum(sample + (1 - sampled) * alphas, annotations)  # (B, D)
        return context, alphas, sample


def gumbel(uniform):
    """Standard Gumbel noise of uniform noise in [0, 1), of any shape."""
    return -ops.log(-ops.log(uniform + 1e-20))
