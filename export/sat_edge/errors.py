import difflib


class InputError(ValueError):
    """Something handed in cannot be used. Each line of the message says what to do."""


def check_choice(what, name, choices):
    """Raises `InputError` with the choices nearest to it if `name` is none of them."""
    if name not in choices:
        near = difflib.get_close_matches(name, choices, n=8, cutoff=0.0)
        raise InputError(f"unknown {what} {name!r}: choose one of {', '.join(near)}")
