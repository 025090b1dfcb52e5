"""Builds a data set's records and the annotations of every photo."""

from sat_keras.cli.options import add_dataset, add_settings, annotations, named, records
from sat_keras.cli.output import DONE
from sat_keras.datasets import SPLITS, check_data_dir
from sat_keras.runs.paths import check_weights
from sat_keras.runs.settings import EncoderSettings


def add_options(parser):
    add_dataset(parser)
    parser.add_argument(
        "--pixels",
        action="store_true",
        help="keep resized photos in place of annotations, for training that goes through the "
        "encoder at every step",
    )
    add_settings(parser, ("encoder",))


def check(options):
    check_weights(EncoderSettings(**named(options, "encoder")).weights)
    check_data_dir(options.dataset, options.data_dir, options.entities)


def run(options):
    from sat_keras.annotation_cache import build_annotation_cache
    from sat_keras.runs.training import load_encoder

    settings = EncoderSettings(**named(options, "encoder"))
    encoder = load_encoder(settings, settings.weights)
    builder = records(options)
    result = {}
    for split in SPLITS:
        cache = build_annotation_cache(
            annotations(options), builder, split, encoder, pixels=options.pixels
        )
        result[split] = f"{len(cache)} photos, {cache.directory}"
    return result, DONE
