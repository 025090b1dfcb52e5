"""Trains a captioner into a run folder."""

from sat_edge.search import Search
from sat_keras.cli.options import (
    add_dataset,
    add_search,
    add_settings,
    annotations,
    folder_path,
    named,
    records,
)
from sat_keras.cli.output import DONE, verbosity
from sat_keras.datasets import check_data_dir
from sat_keras.recipes import RECIPES
from sat_keras.runs.paths import check_source, check_weights
from sat_keras.runs.phases import check_resumed, load_phases, new_phases, phase_settings

WHEN_STOPPED = "stopped; --resume goes on after the last complete epoch"


def add_options(parser):
    add_dataset(parser)
    parser.add_argument(
        "--out", type=folder_path, required=True, metavar="RUN", help="the run folder"
    )
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--resume", action="store_true", help="go on with the run in RUN")
    begin.add_argument(
        "--recipe",
        choices=RECIPES,
        help="a named training in phases; other options override its settings in each phase",
    )
    add_settings(parser, ("encoder", "decoder", "objective", "data", "training"))
    add_search(parser, Search())


def check(options):
    check_data_dir(options.dataset, options.data_dir, options.entities)
    first, *_ = _phases(options).values()
    if options.resume:  # what it began with may be gone by now
        return
    check_weights(first.get("encoder", {}).get("weights"))
    warm_start = first.get("training", {}).get("warm_start")
    if warm_start is not None:
        check_source(warm_start)


def run(options):
    from sat_keras.runs.training import check_names, train_phases

    phases = _phases(options)
    for settings in phase_settings(options.out, phases).values():
        check_names(settings)
    history = train_phases(options.out, phases, records(options), annotations(options), verbosity())
    return {"run": options.out, **history[-1]}, DONE


def _phases(options):
    given = named(options)
    if options.resume:
        phases = load_phases(options.out)
        check_resumed(options.out, phases, {"dataset": options.dataset, **given})
        return phases
    recipe = RECIPES[options.recipe]() if options.recipe else {"": {}}
    return new_phases(options.out, options.dataset, recipe, given)
