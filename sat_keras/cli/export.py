"""Writes a run or a preset as one .tflite file, or as a SavedModel for TensorFlow Serving."""

from pathlib import Path

from sat_edge.errors import InputError
from sat_export.schemes import DECODER_SCHEMES, SCHEMES, check_target, choose
from sat_keras.cli.options import add_search, count, named
from sat_keras.cli.output import DONE
from sat_keras.runs.paths import check_source
from sat_keras.runs.sources import trained_on


def add_options(parser):
    parser.add_argument("run", metavar="RUN|PRESET")
    parser.add_argument(
        "--format",
        default="tflite",
        choices=("tflite", "saved-model"),
        help="one file for a device, or a folder for TensorFlow Serving (default: tflite)",
    )
    parser.add_argument(
        "--target",
        default="cpu",
        choices=("cpu", "gpu"),
        help="gpu: `encode` and `step` alone, which run on a GPU whole (default: cpu)",
    )
    parser.add_argument(
        "--quantize",
        default="none",
        choices=tuple(SCHEMES),
        help="how weights are rounded; int8, qat and int4 round between the encoder's layers too "
        "(default: none)",
    )
    parser.add_argument(
        "--quantize-decoder",
        choices=DECODER_SCHEMES,
        help="another scheme for the decoder (default: as --quantize has it)",
    )
    parser.add_argument(
        "--photos",
        metavar="DIR",
        help="photos like yours: int8 and int4 observe ranges on them; qat, pruning and clustering "
        "train on them",
    )
    parser.add_argument(
        "--qat-loss",
        choices=("annotations", "words"),
        help="what qat preserves: the annotations, or the decoder's words too "
        "(default: annotations)",
    )
    parser.add_argument(
        "--qat-epochs", type=count, metavar="N", help="epochs of qat's training (default: 2)"
    )
    parser.add_argument("--sparsity", type=float, metavar="X", help="share of weights set to zero")
    parser.add_argument("--pattern", choices=("any", "2:4"), help="where zeros are (default: any)")
    parser.add_argument("--clusters", type=count, metavar="N", help="distinct weights per kernel")
    parser.add_argument(
        "--out", required=True, metavar="FILE.tflite|FOLDER", help="the file or folder to write"
    )
    add_search(parser)


def check(options):
    check_source(options.run)
    scheme = choose(options.quantize, options.quantize_decoder)
    check_target(scheme, options.target)
    if _training(options) and not scheme.learns:
        raise InputError("--qat-loss and --qat-epochs are of --quantize qat: name it too")
    if options.format == "saved-model":
        if options.quantize != "none" or options.quantize_decoder or _compression(options):
            raise InputError("a SavedModel is float32: leave quantisation and compression out")
        if Path(options.out).is_file():
            raise InputError(f"{options.out} is a file: name a folder")
        return
    if Path(options.out).is_dir():
        raise InputError(f"{options.out} is a folder: name a file")
    if options.photos is not None and not Path(options.photos).is_dir():
        raise InputError(f"{options.photos}: no such folder of photos")


def run(options):
    from sat_keras.runs.sources import load_captioner

    captioner, dataset = load_captioner(options.run), trained_on(options.run)
    captioner.search = captioner.search.override(**named(options, "search"))
    result = captioner.search.as_dict()
    if options.format == "saved-model":
        from sat_export import export_saved_model

        folder = export_saved_model(captioner, options.out, trained_on=dataset)
        return {"folder": str(folder), **result}, DONE
    from sat_export import export_tflite

    size = export_tflite(
        captioner,
        options.out,
        options.quantize,
        options.quantize_decoder,
        options.photos,
        trained_on=dataset,
        compression=_compression(options) or None,
        target=options.target,
        **_training(options),
    )
    return {"file": options.out, "quantize": options.quantize, "bytes": size, **result}, DONE


def _training(options):
    return _given(loss=options.qat_loss, epochs=options.qat_epochs)


def _compression(options):
    return _given(sparsity=options.sparsity, pattern=options.pattern, clusters=options.clusters)


def _given(**settings):
    return {name: value for name, value in settings.items() if value is not None}
