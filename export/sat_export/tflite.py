import json
import tempfile
import zipfile
from importlib.metadata import version

import tensorflow as tf

from sat_edge.errors import check_choice
from sat_export.signatures import CaptionerModule
from sat_keras.files import atomic_output

QUANTIZATIONS = ("none", "float16", "dynamic")


def export_tflite(captioner, path, quantize="none", trained_on=None):
    """Writes a captioner as one `.tflite` file with its vocabulary and settings inside.

    Args:
        captioner: `sat_keras.Captioner`.
        path: where to.
        quantize: `"none"` for float32, `"float16"` for float16 weights, `"dynamic"` for int8
            weights of the large products, which run on int8 too. Defaults to `"none"`.
        trained_on: str. The data set's name, for `captioner.json`. Defaults to `None`.
    Returns:
        The file's size in bytes.
    Raises:
        InputError: for an unknown scheme.
    """
    check_choice("quantisation", quantize, QUANTIZATIONS)
    module = CaptionerModule(captioner)
    with tempfile.TemporaryDirectory() as saved_model:
        tf.saved_model.save(module, saved_model, signatures=module.signatures())
        converter = tf.lite.TFLiteConverter.from_saved_model(
            saved_model, signature_keys=["caption", "encode", "step"]
        )
        if quantize != "none":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantize == "float16":
            converter.target_spec.supported_types = [tf.float16]
        model = converter.convert()
    settings = {
        "image_size": captioner.encoder.image_size,
        "resize": "stretch, bilinear, antialiased",
        "grid": captioner.encoder.grid,
        "regions": captioner.encoder.regions.round(6).tolist(),
        "encoder": captioner.encoder.get_config(),
        "attention": captioner.attention,
        "scorer": captioner.scorer,
        "inject": captioner.inject,
        "units": captioner.units,
        "embedding_size": captioner.embedding_size,
        "attention_size": captioner.attention_size,
        "max_length": captioner.max_length,
        "vocabulary_size": len(captioner.vocabulary),
        "quantization": quantize,
        "trained_on": trained_on,
        "sat_keras": version("sat-keras"),
    }
    with atomic_output(path) as temporary:
        temporary.write_bytes(model)
        # A zip at the end of the file: TFLite's associated files; interpreters pass over it.
        with zipfile.ZipFile(temporary, "a") as inside:
            inside.writestr("vocabulary.txt", "\n".join(captioner.vocabulary.words) + "\n")
            inside.writestr("captioner.json", json.dumps(settings, indent=2))
        return temporary.stat().st_size
