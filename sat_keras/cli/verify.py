"""Compares an exported artefact with the run or preset it came from, on real photos."""

from pathlib import Path

from sat_edge.errors import InputError
from sat_keras.cli.options import add_places, add_split, check_own_dataset, file_path, records
from sat_keras.cli.output import DONE, fail
from sat_keras.files import write_json
from sat_keras.runs.paths import check_source


def add_options(parser):
    parser.add_argument("run", metavar="RUN|PRESET")
    parser.add_argument("artefact", metavar="FILE.tflite|FOLDER")
    add_places(parser)
    add_split(parser)
    parser.add_argument(
        "--most-lost",
        type=float,
        default=0.05,
        metavar="X",
        help="share of CIDEr that a quantised file may lose (default: 0.05)",
    )
    parser.add_argument("--out", type=file_path, metavar="FILE.json", help="write the result there")


def check(options):
    check_source(options.run)
    if not Path(options.artefact).exists():
        raise InputError(f"{options.artefact}: no such file or folder")
    check_own_dataset(options, options.run)


def run(options):
    from sat_export.verify import verify
    from sat_keras.runs.sources import load_captioner

    captioner, builder = load_captioner(options.run), records(options)
    result = verify(
        captioner, options.artefact, builder, options.split, options.limit, options.most_lost
    )
    if options.out:
        write_json(options.out, result)
    status = DONE if result["passed"] else fail(f"{options.artefact}: {result['why']}")
    return result, status
