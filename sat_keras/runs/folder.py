"""Reads and writes the files of a run folder, see `paths`."""

import contextlib
import csv
import json
import zipfile
from pathlib import Path

import keras

from sat_edge.errors import InputError
from sat_keras.captioner import Captioner
from sat_keras.files import atomic_output
from sat_keras.runs.paths import CAPTIONER, CHECKPOINT, HISTORY, LOG, VOCABULARY, check_run
from sat_keras.runs.settings import RunSettings
from sat_keras.vocabulary import Vocabulary


def load_run(run):
    """The trained `Captioner` of a run folder.

    Raises:
        InputError: if the folder is no run, has no captioner yet, or its vocabulary is another.
    """
    run = Path(run)
    check_run(run)
    RunSettings.load(run)
    vocabulary = Vocabulary.load(run / VOCABULARY)
    path = run / CAPTIONER
    captioner = load_keras(path, "train it again", compile=False)
    if captioner.vocabulary != vocabulary:
        raise InputError(
            f"{run / VOCABULARY}: its {len(vocabulary)} words are not the "
            f"{len(captioner.vocabulary)} that {CAPTIONER} was trained with"
        )
    return captioner


def load_keras(path, advice, **options):
    """A captioner's `.keras` file; `options` are those of `keras.saving.load_model`.

    Raises:
        InputError: if it is damaged, with the advice.
    """
    with damage_named(path, advice):
        return keras.saving.load_model(path, {"Captioner": Captioner}, **options)


def read_log(run):
    """The epochs of a run's `log.csv`: a list of dicts of float."""
    path = Path(run) / LOG
    if not path.exists():
        raise InputError(f"{run}: no epoch is complete yet (no {LOG})")
    with damage_named(path, "train again, elsewhere"), open(path, newline="") as file:
        log = [{name: float(x) for name, x in row.items()} for row in csv.DictReader(file)]
        return sorted(log, key=lambda each: each["epoch"])


def write_log(run, history):
    """Writes the epochs, a list of dicts."""
    with atomic_output(Path(run) / LOG) as temporary:
        with open(temporary, "w", newline="") as file:
            writer = csv.DictWriter(file, history[-1])
            writer.writeheader()
            writer.writerows(history)


def write_checkpoint(run, captioner, history, data):
    """Writes a compiled captioner, with its epochs and the data set's full name.

    In one file, so that weights and history are always of the same epoch.
    """
    with atomic_output(Path(run) / CHECKPOINT) as temporary:
        captioner.save(temporary)
        with zipfile.ZipFile(temporary, "a") as file:
            file.writestr(HISTORY, json.dumps({"data": data, "epochs": history}))


def read_checkpoint_history(run, builder):
    """The epochs up to the checkpoint.

    Raises:
        InputError: if it is damaged, or the run was begun with other data.
    """
    path = Path(run) / CHECKPOINT
    advice = "train without --resume, elsewhere"
    with damage_named(path, advice), zipfile.ZipFile(path) as file:
        content = json.loads(file.read(HISTORY))
        data, epochs = content["data"], content["epochs"]
    if data != builder.info.full_name:
        raise InputError(f"{run}: was begun with {data}, and this is {builder.info.full_name}")
    return epochs


@contextlib.contextmanager
def damage_named(path, advice):
    """Errors of a file that holds something else than we wrote, as `InputError`."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (ValueError, KeyError, TypeError, OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: damaged; {advice}") from error
