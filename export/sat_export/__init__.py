"""Takes a trained captioner out of the training world."""

from sat_export.tflite import QUANTIZATIONS, export_tflite

__all__ = ["QUANTIZATIONS", "export_tflite"]
