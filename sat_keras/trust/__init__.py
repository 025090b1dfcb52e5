"""How far a caption is to be trusted: what it can be expected to score, and how like the photo is
to those of the training."""

from sat_keras.trust.calibration import FEWEST, TooFewPhotos, calibrate
from sat_keras.trust.trust import Trust

__all__ = ["FEWEST", "TooFewPhotos", "Trust", "calibrate"]
