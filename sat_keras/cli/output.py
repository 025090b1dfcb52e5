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
    """Prints a dict, a line for each value, a row for each element of a list, and dicts alike as a
    table."""
    for name, value in result.items():
        if isinstance(value, dict) and _are_rows(value.values()):
            _print_table(name, {label: _cells(row) for label, row in value.items()})
        elif isinstance(value, dict):
            print_result({f"{name}: {part}": each for part, each in value.items()})
        elif isinstance(value, list):
            for row in value:
                fields = row.values() if isinstance(row, dict) else [f"{name:44}{row}"]
                print("\t".join(str(field) for field in fields))
        else:
            print(f"{name:44}{value:.4f}" if isinstance(value, float) else f"{name:44}{value}")


def _are_rows(rows):
    """Whether these are dicts of the same numbers, or of dicts of them."""
    if not rows or not all(isinstance(row, dict) for row in rows):
        return False
    first, *others = map(_cells, rows)
    alike = all(each.keys() == first.keys() for each in others)
    return alike and not any(isinstance(each, dict) for each in first.values())


def _cells(row):
    """A row's numbers by (name, part): a number's part is "", a dict's are its keys."""
    return {
        (name, part): number
        for name, value in row.items()
        for part, number in (value if isinstance(value, dict) else {"": value}).items()
    }


def _print_table(title, rows):
    """Prints rows of `_cells` under their names and, where they have any, the parts of these."""
    columns = list(next(iter(rows.values())))
    before = [None, *(name for name, _ in columns)]
    names = ["" if name == last else name for (name, _), last in zip(columns, before, strict=False)]
    parts = [part for _, part in columns]
    lines = [[title, *names], ["", *parts]] if any(parts) else [[title, *names]]
    for label, row in rows.items():
        lines.append(
            [label, *(f"{x:.4f}" if isinstance(x, float) else str(x) for x in row.values())]
        )
    first, *widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for label, *cells in lines:
        right = (f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        print("  ".join([f"{label:{first}}", *right]).rstrip())


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
