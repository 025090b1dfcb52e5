"""Takes a trained captioner out of the training world."""

from sat_export.tflite import export_tflite

__all__ = ["export_tflite"]
