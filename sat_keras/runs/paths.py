"""The files of a run folder, and checks of what a user names. No TensorFlow here.

config.json               the settings
vocabulary.txt
captioner.keras           the best epoch's captioner, by CIDEr of validation's greedy captions
checkpoint.keras          the last complete epoch with optimizer and random state, to resume
log.csv                   one line an epoch
tensorboard/
recipe.json               of a run in phases, the settings of all of them; each phase but the last
                          has a folder of its own in this one, by its name
"""

from pathlib import Path

from sat_edge.errors import InputError
from sat_keras import pretrained

CONFIG, VOCABULARY, LOG, RECIPE = "config.json", "vocabulary.txt", "log.csv", "recipe.json"
IMAGENET = "imagenet"  # weights by their name, see `encoders.Encoder`
CAPTIONER, CHECKPOINT, HISTORY = "captioner.keras", "checkpoint.keras", "history.json"


def check_model(source):
    """Raises `InputError` for what is no `.tflite` file, preset or trained run."""
    if Path(source).suffix == ".tflite":
        check_file(source)
    else:
        check_source(source)


def check_source(source):
    """Raises `InputError` for what is no preset or trained run."""
    if pretrained.is_preset(source):
        return
    if not Path(source).exists():
        presets = ", ".join(pretrained.NAMES)
        raise InputError(f"{source}: no such run or preset; presets are {presets}")
    check_run(source)


def check_run(run):
    """Raises `InputError` for what is no run folder with a trained captioner."""
    run = Path(run)
    if not run.exists():
        raise InputError(f"{run}: no such run folder")
    if not (run / CONFIG).is_file():
        raise InputError(f"{run}: not a run folder (no {CONFIG} in it)")
    if not (run / CAPTIONER).is_file():
        raise InputError(f"{run}: no trained captioner yet (no {CAPTIONER}); train it first")


def check_file(path):
    """Raises `InputError` for what is no file."""
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file")


def check_weights(weights):
    """Raises `InputError` for an encoder's weights that are neither a name nor a file."""
    if weights not in (None, IMAGENET) and not Path(weights).is_file():
        raise InputError(f"{weights}: no such weights file")
