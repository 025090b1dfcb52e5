"""Gives a trained captioner's captions their confidence and familiarity."""

from pathlib import Path

from sat_edge.errors import InputError
from sat_keras import pretrained
from sat_keras.cli.options import add_places, annotations, check_own_dataset, folder_path, records
from sat_keras.cli.output import DONE
from sat_keras.runs.paths import check_source


def add_options(parser):
    parser.add_argument("model", metavar="RUN|PRESET")
    add_places(parser)
    parser.add_argument(
        "--out",
        type=folder_path,
        metavar="DIR",
        help="of a preset: the folder of the calibrated one (a run is calibrated where it is)",
    )


def check(options):
    check_source(options.model)
    is_preset = pretrained.is_preset(options.model)
    if is_preset and options.out is None:
        raise InputError(f"{options.model} is a preset: name a folder for the new one by --out")
    if not is_preset and options.out is not None:
        raise InputError("--out is for presets: a run is calibrated where it is")
    if is_preset:
        pretrained.check_folder(options.out)
    check_own_dataset(options, options.model)


def run(options):
    from sat_keras.runs.training import calibrate_run

    builder = records(options)
    if options.out is None:
        calibrate_run(options.model, builder, annotations(options))
        return {"run": options.model}, DONE
    from sat_keras.annotation_cache import build_annotation_cache
    from sat_keras.runs.sources import load_captioner

    captioner = load_captioner(options.model)
    caches = (
        build_annotation_cache(annotations(options), builder, split, captioner.encoder)
        for split in ("train", "validation")
    )
    captioner.calibrate(*caches)
    captioner.save_to_preset(options.out, trained_on=options.dataset)
    return {"preset": str(Path(options.out))}, DONE
