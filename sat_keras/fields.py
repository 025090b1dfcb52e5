"""Fields of settings: each with its default, its range, and the help that the command line shows.

No TensorFlow here: the command line reads settings before it loads any.
"""

import dataclasses
import math

from sat_edge.errors import InputError, check_choice


def setting(default, help, least=None, above=None, most=None, choices=None, option=None):
    """A dataclass field of a setting.

    Args:
        default: the value that it has unless named.
        help: str, one line.
        least, above, most: numbers. The value is at least, above, at most this. Default to `None`:
            no bound.
        choices: tuple of str. Defaults to `None`: any value.
        option: str, its name on the command line. Defaults to `None`: the field's name.
    """
    metadata = {"help": help, "least": least, "above": above, "most": most}
    metadata |= {"choices": choices, "option": option}
    return dataclasses.field(default=default, metadata=metadata)


def check(settings):
    """Raises `InputError` for the first field of a dataclass that is out of its range."""
    for field in dataclasses.fields(settings):
        value, metadata = getattr(settings, field.name), field.metadata
        if "help" not in metadata or (value is None and field.default is None):
            continue
        _check_type(field, value)
        if metadata["choices"]:
            check_choice(field.name, value, metadata["choices"])
        least, above, most = (metadata[name] for name in ("least", "above", "most"))
        low = (least is not None and value < least) or (above is not None and value <= above)
        if low or (most is not None and value > most):
            bounds = [f"{least} or more"] if least is not None else []
            bounds += [f"a number above {above}"] if above is not None else []
            bounds += [f"at most {most}"] if most is not None else []
            raise InputError(f"{field.name} is {value}: name {', and '.join(bounds)}")


def kind(field):
    """The type of a field's values: of `str | None` it is `str`."""
    return field.type if isinstance(field.type, type) else field.type.__args__[0]


def _check_type(field, value):
    wanted = kind(field)
    accepted = (int, float) if wanted is float else wanted
    is_flag = isinstance(value, bool)
    if not isinstance(value, accepted) or (is_flag and wanted is not bool):
        raise InputError(f"{field.name} is {value!r}: name a value of type {wanted.__name__}")
    if wanted is float and not math.isfinite(value):  # no comparison would refuse nan
        raise InputError(f"{field.name} is {value}: name a finite number")
