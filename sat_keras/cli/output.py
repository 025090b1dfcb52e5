import sys

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
