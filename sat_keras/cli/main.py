import argparse
import contextlib
import json
import logging
import os
import sys
from importlib.metadata import version

from sat_edge.errors import InputError
from sat_keras import missing_package
from sat_keras.cli import (
    benchmark,
    calibrate,
    caption,
    demo,
    evaluate,
    export,
    prepare,
    report,
    train,
    verify,
)
from sat_keras.cli.output import fail, hushed, print_result
from sat_keras.memory import keep_freed_memory

_VERBS = (
    demo,
    prepare,
    train,
    calibrate,
    evaluate,
    report,
    caption,
    export,
    verify,
    benchmark,
)


def main(arguments=None):
    """Runs the command.

    Args:
        arguments: list of str. Defaults to those of the process.
    Returns:
        The exit status: 0 done, 1 failed; wrong usage exits with 2.
    """
    options = build_parser().parse_args(arguments)
    keep_freed_memory()
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("absl").setLevel(logging.ERROR)  # TensorFlow Datasets tells its own progress
    try:
        # Keras and pycocoevalcap print their progress; standard output is for the result.
        with contextlib.redirect_stdout(sys.stderr):
            if hasattr(options.verb, "check"):
                options.verb.check(options)
            if getattr(options.verb, "needs_tensorflow", lambda _: True)(options):
                _load_tensorflow()
            result, status = options.verb.run(options)
    except KeyboardInterrupt:
        return fail(getattr(options.verb, "WHEN_STOPPED", "stopped"))
    except InputError as error:
        return fail(error)
    except ModuleNotFoundError as error:
        return fail(missing_package(error))
    except OSError as error:
        return fail(f"{error.filename or 'writing failed'}: {error.strerror or error}")
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        print_result(result)
    return status


def build_parser():
    """The parser of the command."""
    parser = argparse.ArgumentParser(
        prog="sat-keras", description="Image captioning with visual attention."
    )
    parser.add_argument("--version", action="version", version=f"sat-keras {version('sat-keras')}")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for module in _VERBS:
        name, text = module.__name__.rpartition(".")[2], module.__doc__
        verb = verbs.add_parser(name, help=text, description=text)
        verb.set_defaults(verb=module)
        verb.add_argument("--json", action="store_true", help="print the result as a JSON object")
        module.add_options(verb)
    return parser


def _load_tensorflow():
    """Imports TensorFlow without the lines that its libraries write as they are loaded."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with hushed(), contextlib.suppress(ModuleNotFoundError):  # said by whoever needs it
        import tensorflow  # noqa: F401
