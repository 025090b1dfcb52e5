"""Takes a trained captioner out of the training world.

`import sat_export` itself loads no TensorFlow: `sat_export.schemes` needs none.
"""

__all__ = ["export_saved_model", "export_tflite"]


def __getattr__(name):
    if name == "export_tflite":
        from sat_export.tflite import export_tflite

        return export_tflite
    if name == "export_saved_model":
        from sat_export.saved_model import export_saved_model

        return export_saved_model
    raise AttributeError(f"module 'sat_export' has no attribute {name!r}")
