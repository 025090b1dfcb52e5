"""A run in phases: a dict, each phase's name to its nested settings. No TensorFlow here.

The folder of a run is that of its last phase; earlier phases have folders in it, by their names. A
training that is no recipe has one phase without a name.
"""

import json
from pathlib import Path

from sat_edge.errors import InputError
from sat_keras.objectives import Objective
from sat_keras.runs.paths import CONFIG, RECIPE
from sat_keras.runs.settings import OLD, RunSettings, is_old


def new_phases(run, dataset, recipe, named):
    """The phases of a training that begins: a recipe's, with the settings that are named instead.

    Args:
        run: path of the run folder to be made.
        dataset, recipe, named: see `override`.
    Raises:
        InputError: if a run is there, or for settings that cannot be.
    """
    if any((Path(run) / name).exists() for name in (CONFIG, RECIPE)):
        raise InputError(f"{run}: a run is there; --resume it or name another folder")
    phases = override(recipe, dataset, named)
    _check_objective_settings(phase_settings(run, phases).values(), named)
    return phases


def override(recipe, dataset, named):
    """A recipe's phases on a data set, with other values of the settings that are named.

    An objective's setting reaches the phases whose objective has it. An objective that is named
    replaces every phase's.

    Args:
        recipe: the recipe's phases.
        dataset: str.
        named: nested settings.
    """
    return {
        name: {"dataset": dataset, **_merge(settings, named)} for name, settings in recipe.items()
    }


def load_phases(run):
    """The phases of a run folder.

    Raises:
        InputError: if it is no run folder, or its settings are damaged.
    """
    path = Path(run) / RECIPE
    if not path.exists():
        return {"": RunSettings.load(run).as_dict()}
    try:
        phases = json.loads(path.read_text())
        old = any(is_old(each) for each in phases.values())
        found = {} if old else phase_settings(run, phases)
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: damaged ({error}); train again, elsewhere") from error
    if old:
        raise InputError(f"{run}: {OLD}")
    if not found:
        raise InputError(f"{path}: damaged (no phases); train again, elsewhere")
    return phases


def check_resumed(run, phases, named):
    """Raises `InputError` if a setting that is named is another than that of a phase."""
    found = list(phase_settings(run, phases).values())
    _check_objective_settings(found, named)
    for i, settings in enumerate(found):
        content = settings.as_dict()
        for part, value in named.items():
            values = value if isinstance(value, dict) else {part: value}
            known = content[part] if isinstance(value, dict) else content
            for name, wanted in values.items():
                if name == "warm_start" and i > 0:  # the phase before
                    continue
                if name in known and known[name] != wanted:
                    what = part if name == "name" else name
                    raise InputError(f"{run}: was begun with another {what}; leave it out")


def phase_settings(run, phases):
    """The folder and the `RunSettings` of each phase; each begins with the one before."""
    run, found, start = Path(run), {}, None
    for i, (name, content) in enumerate(phases.items(), start=1):
        folder = run if i == len(phases) else run / name
        if start is not None:
            content = _merge(content, {"training": {"warm_start": str(start)}})
        found[folder] = RunSettings.from_dict(content)
        start = folder
    return found


def alike(one, other):
    """Whether two `RunSettings` are the same but for the path of the phase before: a run may
    move."""
    one, other = one.as_dict(), other.as_dict()
    begun = [bool(each["training"].pop("warm_start")) for each in (one, other)]
    return one == other and begun[0] == begun[1]


def _merge(settings, named):
    """Nested settings, with those of `named` instead, part by part."""
    merged = dict(settings)
    for part, value in named.items():
        if part == "objective":
            continue
        merged[part] = {**merged.get(part, {}), **value} if isinstance(value, dict) else value
    if "objective" in named:  # last: its default depends on the attention
        merged["objective"] = _merge_objective(merged, named["objective"])
    return merged


def _merge_objective(settings, named):
    """An objective's settings. Another objective begins with its defaults, and settings of other
    objectives are left to the phases that have those."""
    attention = settings.get("decoder", {}).get("attention", "soft")
    own = settings.get("objective") or {}
    name = own.get("name", Objective.default(attention))
    if named.get("name", name) != name:
        own, name = {}, named["name"]
    known = Objective.known[name].setting_names()
    return {**own, "name": name, **{each: named[each] for each in named if each in known}}


def _check_objective_settings(phases, named):
    """Raises `InputError` for a setting that the objective of no phase has, of `RunSettings`."""
    names = {each.objective["name"] for each in phases}
    for setting in named.get("objective", {}):
        known = {"name"}.union(*(Objective.known[name].setting_names() for name in names))
        if setting not in known:
            raise InputError(
                f"{setting} is no setting of objective {', '.join(sorted(names))}: leave it out, "
                "or name its objective"
            )
