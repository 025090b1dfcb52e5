import keras
from keras import ops
from keras.layers import Dense


@keras.saving.register_keras_serializable("sat_keras")
class InitialState(keras.layers.Layer):
    """The LSTM's first state, from the mean annotation by two MLPs.

    `h_0 = tanh(W_h m)`, `c_0 = tanh(W_c m)` with `m = mean_i a_i`; hidden layers, if any, use ReLU.

    Args:
        units: int. Size H of the state.
        hidden_units: tuple of ints. Sizes of each MLP's hidden layers. Defaults to `()`.
    Call arguments:
        annotations: float tensor `(B, L, D)`.
    Returns:
        `(h_0, c_0)`, float tensors `(B, H)`.
    Reference:
        Xu et al., 2015, arXiv 1502.03044, section 3.1.2.
    """

    def __init__(self, units, hidden_units=(), **kwargs):
        super().__init__(**kwargs)
        # === Layers ===
        self.units = units
        self.hidden_units = tuple(hidden_units)
        self.hidden_mlp = self._build_mlp("W_h")
        self.cell_mlp = self._build_mlp("W_c")

    def _build_mlp(self, name):
        hidden = [
            Dense(units, activation="relu", name=f"{name}_{i}")
            for i, units in enumerate(self.hidden_units)
        ]
        return [*hidden, Dense(self.units, activation="tanh", name=name)]

    def build(self, annotations_shape):
        for mlp in (self.hidden_mlp, self.cell_mlp):
            size = annotations_shape[-1]
            for layer in mlp:
                layer.build((None, size))
                size = layer.units
        self.built = True

    def call(self, annotations):
        mean = ops.mean(annotations, axis=1)  # (B, D)
        h = c = mean
        for layer in self.hidden_mlp:
            h = layer(h)
        for layer in self.cell_mlp:
            c = layer(c)
        return h, c  # (B, H), (B, H)

    # === Config ===
    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "hidden_units": self.hidden_units,
        }
