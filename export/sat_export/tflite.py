import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from sat_edge.errors import InputError, check_choice
from sat_edge.photo import open_photo, to_pixels
from sat_export import quantization, schemes
from sat_export.captioner_files import CAPTIONER_JSON, VOCABULARY, settings_of
from sat_export.compression import compress
from sat_export.flatbuffer import operators, pack, parse, separate_outputs
from sat_export.quantization_aware import train_encoder
from sat_export.signatures import CaptionerModule
from sat_keras.files import atomic_output

# The signatures that a target's file lacks: a GPU has no loops.
TARGETS: dict[str, tuple[str, ...]] = {"cpu": (), "gpu": ("caption",)}
# Of LiteRT's operators, those that its GPU runtimes lack or, of int4 weights, break at.
_NOT_ON_GPU = {
    *("WHILE", "IF", "CALL_ONCE", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "ARG_MAX"),
    *("ARG_MIN", "ONE_HOT", "GATHER_ND", "UNPACK", "EXPAND_DIMS", "SQUEEZE", "LOG_SOFTMAX"),
    *("REVERSE_V2", "RANDOM_UNIFORM", "RANDOM_STANDARD_NORMAL", "MULTINOMIAL"),
}
_MOST_RANGES = 100  # photos that ranges are observed on: more do not change them
_MOST = 6000  # that are learnt from


def export_tflite(
    captioner,
    path,
    quantize="none",
    quantize_decoder=None,
    photos=None,
    trained_on=None,
    compression=None,
    target="cpu",
    search=None,
    **training,
):
    """Writes a captioner as one `.tflite` file with its vocabulary and settings inside.

    Args:
        captioner: `sat_keras.Captioner`.
        path: where to.
        quantize: str, a name of `schemes.SCHEMES`. Defaults to `"none"`: float32.
        quantize_decoder: str. Another scheme for the decoder, of `schemes.DECODER_SCHEMES`.
            Defaults to `None`: as `quantize` has it.
        photos: path of a folder of photos like those that the file will be used on, for schemes
            that observe ranges or learn, and for `compression`. Defaults to `None`.
        trained_on: str. The data set's name, for `captioner.json`. Defaults to `None`.
        compression: dict of options of `compression.compress`: the captioner is pruned, clustered
            or both before. Defaults to `None`: neither.
        target: str. `"cpu"`, or `"gpu"`: `encode` and `step` alone, of operators that GPUs have.
            Defaults to `"cpu"`.
        search: `Search`, the file's default. Defaults to `None`: the captioner's.
        **training: `loss`, `epochs`, `learning_rate` of the scheme `qat`, see
            `quantization_aware.train_encoder`.
    Returns:
        The file's size in bytes.
    Raises:
        InputError: for an unknown scheme or target, too few photos, or operators that the target
            lacks.
    """
    check_choice("target", target, TARGETS)
    scheme = schemes.choose(quantize, quantize_decoder)
    schemes.check_target(scheme, target)
    images = None
    if scheme.needs_photos or compression:
        most = _MOST if scheme.learns or compression else _MOST_RANGES
        images = _images(photos, captioner.encoder.image_size, most)
    if compression:
        captioner = compress(captioner, np.stack(images), **compression)
    model = _convert(captioner, TARGETS[target])
    encoder_name = captioner.encoder.name
    if scheme.learns:
        learnt = train_encoder(captioner, np.stack(images), **training)
        model = quantization.quantize(model, "none", scheme.decoder, encoder_name)
        model = quantization.replace_encoder(model, learnt)
    else:
        observed = images[:_MOST_RANGES] if scheme.observes else None
        model = quantization.quantize(model, scheme.encoder, scheme.decoder, encoder_name, observed)
    if target == "gpu":
        _check_for_gpu(model)
    settings = settings_of(captioner, target, scheme, search, compression, trained_on)
    with atomic_output(path) as temporary:
        temporary.write_bytes(model)
        # A zip at the end of the file: TFLite's associated files; interpreters pass over it.
        with zipfile.ZipFile(temporary, "a") as inside:
            inside.writestr(VOCABULARY, "\n".join(captioner.vocabulary.words) + "\n")
            inside.writestr(CAPTIONER_JSON, settings.to_json())
        return temporary.stat().st_size


def _convert(captioner, left_out):
    """A float32 file's bytes."""
    module = CaptionerModule(captioner)
    signatures = module.signatures()
    with tempfile.TemporaryDirectory() as saved_model:
        tf.saved_model.save(module, saved_model, signatures=signatures)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            saved_model, signature_keys=[name for name in signatures if name not in left_out]
        )
        parsed = parse(converter.convert())
    separate_outputs(parsed)
    return pack(parsed)


def _check_for_gpu(model):
    for graph, _, kind in operators(parse(model)):
        if kind in _NOT_ON_GPU:
            raise InputError(
                f"target gpu: GPUs have no {kind}, which `{graph.name.decode()}` needs; "
                "export for the target cpu, whose `caption` runs anywhere"
            )


def _images(folder, size, most):
    """Photos of a folder as arrays `(H, W, 3)`; those that cannot be read are named."""
    if folder is None:
        names = (name for name, each in schemes.SCHEMES.items() if each.needs_photos)
        raise InputError(
            f"{', '.join(names)} and compression need photos: name a folder of photos like yours"
        )
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: no such folder of photos")
    images = []
    for path in sorted(each for each in Path(folder).iterdir() if each.is_file()):
        try:
            images.append(to_pixels(open_photo(path), size))
        except InputError as error:
            print(f"left out: {error}", file=sys.stderr)
        if len(images) == most:
            break
    if len(images) < schemes.FEWEST_PHOTOS:
        raise InputError(
            f"{folder}: {len(images)} photos can be read; name {schemes.FEWEST_PHOTOS} or more"
        )
    return images
