"""The parts of the attention decoder, one equation a file.

Dimensions, here and everywhere: B batch, L locations, D annotation size, E embedding size,
H LSTM units, A attention size, T caption length, V vocabulary size.
"""

from sat_keras.layers.additive_scorer import AdditiveScorer
from sat_keras.layers.attention_decoder import AttentionDecoder
from sat_keras.layers.attention_lstm_cell import AttentionLSTMCell
from sat_keras.layers.bilinear_scorer import BilinearScorer
from sat_keras.layers.deep_output import DeepOutput
from sat_keras.layers.dropout import Dropout
from sat_keras.layers.hard_selection import HardSelection, gumbel
from sat_keras.layers.initial_state import InitialState
from sat_keras.layers.inject_decoder import INJECTIONS, InjectDecoder
from sat_keras.layers.repeat_rows import captions_each, repeat_rows
from sat_keras.layers.scorer import Scorer
from sat_keras.layers.soft_selection import SoftSelection

__all__ = [
    "INJECTIONS",
    "AdditiveScorer",
    "AttentionDecoder",
    "AttentionLSTMCell",
    "BilinearScorer",
    "DeepOutput",
    "Dropout",
    "HardSelection",
    "InitialState",
    "InjectDecoder",
    "Scorer",
    "SoftSelection",
    "captions_each",
    "gumbel",
    "repeat_rows",
]
