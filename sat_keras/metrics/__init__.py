"""How good captions are. No TensorFlow here."""

from sat_keras.metrics.bleu import bleu
from sat_keras.metrics.cider import CiderD, cider
from sat_keras.metrics.grounding import grounding

__all__ = ["CiderD", "bleu", "cider", "grounding"]
