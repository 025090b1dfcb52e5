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
        `context` `(B, D)` and float32 `alphas` `(B, L)`; alphas sum to 1 over L.
    Reference:
        Xu et al., 2015, arXiv 1502.03044, eq. 5 and 13.
    """

    def call(self, scores, annotations):
        # Under mixed precision too, weights are float32: half a float cannot tell 1/L apart.
        alphas = ops.softmax(ops.cast(scores, "float32"), axis=-1)  # (B, L)
        _, locations, size = annotations.shape
        weights = ops.reshape(ops.cast(alphas, annotations.dtype), (-1, 1, locations))  # (B, 1, L)
        context = ops.reshape(ops.matmul(weights, annotations), (-1, size))  # (B, D)
        return context, alphas
