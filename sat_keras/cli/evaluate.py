"""Captions a split and scores the captions."""

from sat_keras.cli.options import (
    add_dataset,
    add_search,
    add_split,
    annotations,
    file_path,
    named,
    records,
)
from sat_keras.cli.output import DONE, hushed
from sat_keras.datasets import check_data_dir
from sat_keras.runs.paths import check_model, check_source


def add_options(parser):
    parser.add_argument("model", metavar="RUN|PRESET|FILE.tflite")
    add_dataset(parser)
    add_split(parser)
    parser.add_argument(
        "--out",
        type=file_path,
        metavar="FILE.json",
        help="write scores, settings, versions and captions there",
    )
    parser.add_argument(
        "--consensus",
        nargs="*",
        metavar="RUN|PRESET",
        help="rank the captions that beam search finds, of it and of those named here, by how well "
        "they agree with the captions of similar training photos; the default search is a beam of "
        "20",
    )
    add_search(parser)


def check(options):
    if options.consensus is None:
        check_model(options.model)
    else:
        for source in (options.model, *options.consensus):
            check_source(source)
    check_data_dir(options.dataset, options.data_dir, options.entities)


def run(options):
    from sat_keras.evaluation import evaluate, save_results
    from sat_keras.runs.sources import captions_by, captions_by_consensus, made_with

    search, attend = named(options, "search"), None
    if options.consensus is None:
        caption, attend, search = captions_by(options.model, **search)
        builder = records(options)
        made = made_with(options.model)
    else:
        builder = records(options)
        sources = [options.model, *options.consensus]
        caption, search = captions_by_consensus(
            sources, builder, annotations(options), options.split, **search
        )
        made = {**made_with(options.model), "consensus": {}}
        made["consensus"] = {each: made_with(each) for each in options.consensus}
    scores, captions = evaluate(
        hushed()(caption), builder, options.split, options.limit, attend and hushed()(attend)
    )
    settings = {
        "model": options.model,
        "dataset": options.dataset,
        "data": builder.info.full_name,
        "split": options.split,
        "limit": options.limit,
        **search,
    }
    if options.consensus is not None:
        settings["consensus"] = options.consensus
    if options.out:
        save_results(options.out, scores, captions, {**settings, **made})
    return {**settings, **scores}, DONE
