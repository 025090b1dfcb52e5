"""Scores of captions. No TensorFlow here, and pycocoevalcap only where it scores."""

from sat_keras.metrics.bleu import bleu
from sat_keras.metrics.caption_reward import CaptionReward
from sat_keras.metrics.caption_scores import caption_scores
from sat_keras.metrics.cider import CiderD, cider
from sat_keras.metrics.fluency import fluency
from sat_keras.metrics.grounding import Grounding
from sat_keras.metrics.meteor import meteor
from sat_keras.metrics.rouge import rouge_l
from sat_keras.metrics.sexes import sexes
from sat_keras.metrics.trust_scores import trust_scores

__all__ = [
    "CaptionReward",
    "CiderD",
    "Grounding",
    "bleu",
    "caption_scores",
    "cider",
    "fluency",
    "meteor",
    "rouge_l",
    "sexes",
    "trust_scores",
]
