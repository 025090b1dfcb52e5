"""Times a .tflite file: cold start, captions, memory, beside its plain encoder."""

from sat_keras.cli.output import DONE
from sat_keras.runs.paths import check_file, check_source


def add_options(parser):
    parser.add_argument("file", metavar="FILE.tflite")
    parser.add_argument("photo", metavar="PHOTO")
    parser.add_argument("--run", metavar="RUN|PRESET", help="time what it came from too")


def check(options):
    check_file(options.file)
    check_file(options.photo)
    if options.run:
        check_source(options.run)


def run(options):
    from sat_export.benchmark import benchmark

    captioner = None
    if options.run:
        from sat_keras.runs.sources import load_captioner

        captioner = load_captioner(options.run)
    return benchmark(options.file, options.photo, captioner), DONE
