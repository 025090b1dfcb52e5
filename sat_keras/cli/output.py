import contextlib
import os
import sys
import tempfile

from sat_edge.errors import InputError

DONE, FAILED = 0, 1  # argparse itself exits with 2 on wrong usage


def say(message):
    """Prints a line on standard error."""
    print(message, file=sys.stderr, flush=True)


def fail(message):
    """Says what went wrong, a line for each of the message's, and returns the exit status."""
    for line in str(message).splitlines():
        say(f"sat-keras: {' '.join(line.split())}")
    return FAILED


def verbosity():
    """As `keras.Model.fit` takes it: a progress bar on a terminal, else a line per epoch."""
    return 1 if sys.stderr.isatty() else 2


def print_result(result):
    """Prints a dict, a line for each value, and a row for each element of a list."""
    for name, value in result.items():
        if isinstance(value, dict):
            print_result({f"{name}: {part}": each for part, each in value.items()})
        elif isinstance(value, list):
            for row in value:
                fields = row.values() if isinstance(row, dict) else [f"{name:44}{row}"]
                print("\t".join(str(field) for field in fields))
        else:
            print(f"{name:44}{value:.4f}" if isinstance(value, float) else f"{name:44}{value}")


@contextlib.contextmanager
def hushed():
    """Holds back what libraries write to standard error by themselves, past Python.

    It is shown if an unexpected error is raised.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        kept = os.dup(2)
        os.dup2(held.fileno(), 2)
        unexpected = False
        try:
            yield
        except Exception as error:
            unexpected = not isinstance(error, InputError | ModuleNotFoundError)
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            if unexpected:
                held.seek(0)
                os.write(2, held.read())
