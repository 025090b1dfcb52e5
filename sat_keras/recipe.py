"""A recipe: phases of training, each of which begins with the captioner of the one before.

A run's folder is its last phase's; those before have a folder in it, by their names, and
`recipe.json` has the settings of all of them.
"""

import dataclasses
import json
from pathlib import Path

from sat_edge.errors import InputError
from sat_keras.files import atomic_output
from sat_keras.run import train
from sat_keras.run_config import CONFIG, RunConfig

RECIPE = "recipe.json"


def train_recipe(run, phases, builder, cache_dir, verbose="auto"):
    """Trains the phases that are not finished yet, a stopped one from its last complete epoch.

    Args:
        run: path of the run folder, made here.
        phases: dict, a phase's name to a dict of its settings, those of `RunConfig`.
        builder, cache_dir, verbose: see `run.train`.
    Returns:
        The last phase's history, see `run.train`.
    Raises:
        InputError: if a phase was begun with other settings.
    """
    run = Path(run)
    configs = _configs(run, phases)
    for folder, config in configs.items():
        if (folder / CONFIG).exists() and not _alike(RunConfig.load(folder), config):
            raise InputError(f"{folder}: was begun with other settings; name another folder")
    if len(phases) > 1:
        with atomic_output(run / RECIPE) as temporary:
            temporary.write_text(json.dumps(phases, indent=2) + "\n")
    for folder, config in configs.items():
        history = train(folder, config, builder, cache_dir, resume=True, verbose=verbose)
    return history


def load_recipe(run):
    """The phases of a run folder."""
    path = Path(run) / RECIPE
    if not path.exists():
        return {"": vars(RunConfig.load(run))}
    try:
        phases = json.loads(path.read_text())
        _configs(Path(run), phases)
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: damaged ({error})") from error
    return phases


def _configs(run, phases):
    """Each phase's folder and `RunConfig`."""
    configs, warm_start = {}, {}
    for i, (name, settings) in enumerate(phases.items(), start=1):
        folder = run if i == len(phases) else run / name
        configs[folder] = RunConfig(**{**settings, **warm_start})
        warm_start = {"warm_start": str(folder)}
    return configs


def _alike(one, other):
    """But for the path of the phase before: a run may be moved."""
    one, other = dataclasses.asdict(one), dataclasses.asdict(other)
    begun = [bool(each.pop("warm_start")) for each in (one, other)]
    return one == other and begun[0] == begun[1]
