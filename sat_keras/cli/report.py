"""Writes one HTML page about a run: scores, curves, captions with attention."""

from pathlib import Path

from sat_keras.cli.options import (
    add_places,
    add_search,
    add_split_name,
    file_path,
    named,
    records,
)
from sat_keras.cli.output import DONE
from sat_keras.datasets import check_data_dir
from sat_keras.runs.paths import check_run
from sat_keras.runs.settings import RunSettings


def add_options(parser):
    parser.add_argument("run", metavar="RUN")
    add_places(parser)
    add_split_name(parser)
    parser.add_argument(
        "--out", type=file_path, metavar="FILE.html", help="the page (default: RUN/report.html)"
    )
    add_search(parser)


def check(options):
    check_run(options.run)
    options.dataset = RunSettings.load(options.run).dataset
    check_data_dir(options.dataset, options.data_dir, options.entities)


def run(options):
    from sat_keras.report import write_report

    out = options.out or str(Path(options.run) / "report.html")
    search = named(options, "search")
    scores = write_report(options.run, out, records(options), options.split, **search)
    return {"page": out, **scores}, DONE
