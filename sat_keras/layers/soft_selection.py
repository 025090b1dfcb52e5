import keras
from keras import ops


@keras.saving.register_keras_serializable("sat_keras")
class SoftSelection(keras.layers.Layer):
    """Deterministic attention: the expected annotation under the attention weights.

    `alpha_t = softmax(e_t)`, `z_t = sum_i alpha_ti a_i`.

    Call arguments:
        scores: float tensor `(B, L)`.
        annotations: float tensor `(B, L, D)`.
    Returns:
        `context` `(B, D)`; float32 `alphas` `(B, L)`, which sum to 1 over L; and `None`: nothing
        was sampled.
    Reference:
        Xu et al., 2015, arXiv 1502.03044, eq. 5 and 13.
    """

    def build(self, scores_shape=None, annotations_shape=None):
        self.built = True  # it has no weights

    def call(self, scores, annotations, noise=()):
        # Under mixed precision too, weights are float32: half a float cannot tell 1/L apart.
        alphas = ops.softmax(ops.cast(scores, "float32"), axis=-1)  # (B, L)
        return weighted_sum(alphas, annotations), alphas, None


def weighted_sum(weights, annotations):
    """`sum_i w_i a_i`: weights `(B, L)` and annotations `(B, L, D)` to `(B, D)`."""
    _, locations, size = annotations.shape
    weights = ops.reshape(ops.cast(weights, annotations.dtype), (-1, 1, locations))  # (B, 1, L)
    return ops.reshape(ops.matmul(weights, annotations), (-1, size))  # (B, D)
