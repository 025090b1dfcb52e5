"""Trained captioners as small folders, those in this package and a user's own.

config.json      the encoder's and the captioner's settings
vocabulary.txt
weights.npz      the decoder's and, where asked for, the encoder's, in their order; kernels
                 in float16, biases and batch normalisation, which are small, in float32. Kernels
                 are rounded to 9 significant bits: zipped, the file is a tenth smaller
trust.npz        of a captioner that is calibrated, the weights of its `Trust` by their names, in
                 float32
"""

import contextlib
import json
import zipfile
import zlib
from pathlib import Path

import numpy as np

from sat_edge.errors import InputError, check_choice
from sat_edge.search import Search
from sat_keras.files import atomic_output
from sat_keras.vocabulary import Vocabulary

_CONFIG, _VOCABULARY, _WEIGHTS = "config.json", "vocabulary.txt", "weights.npz"
_TRUST = "trust.npz"
NAMES = tuple(sorted(each.parent.name for each in Path(__file__).parent.glob(f"*/{_CONFIG}")))


def is_preset(name):
    """Whether it is one that comes with this package, or the path of a preset's folder."""
    return str(name) in NAMES or (Path(name) / _WEIGHTS).is_file()


def check_folder(directory):
    """Raises `InputError` if a folder holds anything else than a preset."""
    found = {each.name for each in Path(directory).glob("*")}
    if others := found - {_CONFIG, _VOCABULARY, _WEIGHTS, _TRUST}:
        raise InputError(f"{directory}: holds {others.pop()}; name a folder of its own")


def save(captioner, directory, with_encoder, trained_on):
    """See `Captioner.save_to_preset`."""
    directory = Path(directory)
    check_folder(directory)
    own = {"places": "an encoder of your own", "quantized": "quantized layers"}
    for name, what in own.items():
        if name in captioner.get_config():
            raise InputError(f"a preset cannot hold {what}: use captioner.save(FILE.keras)")
    config = {
        **captioner.get_config(),
        "encoder": captioner.encoder.get_config(),
        "encoder_digest": None if with_encoder else captioner.encoder.digest(),
        "trained_on": trained_on,
    }
    del config["vocabulary"], config["name"], config["dtype"]
    weights = captioner.decoder.get_weights()
    if with_encoder:
        weights += captioner.encoder.get_weights()
    with atomic_output(directory) as temporary:
        temporary.mkdir()
        (temporary / _CONFIG).write_text(json.dumps(config, indent=2) + "\n")
        captioner.vocabulary.save(temporary / _VOCABULARY)
        arrays = (_rounded(each) if each.ndim > 1 else each for each in weights)
        named = {f"{i:03d}": each for i, each in enumerate(arrays)}
        np.savez_compressed(temporary / _WEIGHTS, **named)
        if captioner.trust is not None:
            of_trust = {each.name: each.numpy() for each in captioner.trust.weights}
            np.savez_compressed(temporary / _TRUST, **of_trust)


def _rounded(kernel):
    """To float16 with the last 2 of its 10 bits zero."""
    bits = kernel.astype("float16").view("uint16")
    return ((bits + 2) // 4 * 4).view("float16")


def trained_on(preset):
    """The name of a preset's data set, `None` where it does not name it."""
    return _read_config(_directory(preset)).get("trained_on")


def load(captioner_class, preset, encoder_weights):
    """See `Captioner.from_preset`."""
    from sat_keras.encoders import Encoder
    from sat_keras.trust import Trust

    directory = _directory(preset)
    config = _read_config(directory)
    with _damage_named(directory):
        config.pop("trained_on", None)
        digest, encoder = config.pop("encoder_digest"), config.pop("encoder")
        with np.load(directory / _WEIGHTS) as file:
            weights = [file[name] for name in sorted(file)]
        encoder = Encoder(**encoder, weights=encoder_weights if digest else None)
        vocabulary = Vocabulary.load(directory / _VOCABULARY)
        config["search"] = _read_search(directory, config)
        if "trust" in config:
            config["trust"] = Trust(**config["trust"])
        captioner = captioner_class(encoder, vocabulary, **config)
        count = len(captioner.decoder.get_weights())
        captioner.decoder.set_weights(weights[:count])
        if digest is None:
            encoder.set_weights(weights[count:])
        if captioner.trust is not None:
            with np.load(directory / _TRUST) as file:
                captioner.trust.set_weights([file[each.name] for each in captioner.trust.weights])
    if digest and digest != encoder.digest():
        raise InputError(
            f"{directory}: was trained with other encoder weights than {encoder_weights}"
        )
    return captioner


def _read_config(directory):
    """The content of `config.json`."""
    with _damage_named(directory):
        config = json.loads((directory / _CONFIG).read_text())
    if "search" not in config:
        raise InputError(f"{directory}: a preset of sat_keras 0.1; save it again by this version")
    return config


def _read_search(directory, config):
    try:
        return Search(**config["search"])
    except InputError as error:
        raise InputError(f"{directory / _CONFIG}: {error}") from error


def _directory(preset):
    directory = Path(preset)
    if not directory.is_dir():
        check_choice("preset", str(preset), (*NAMES, "the path of a folder"))
        directory = Path(__file__).parent / preset
    return directory


@contextlib.contextmanager
def _damage_named(directory):
    """Errors of a folder that holds something else than we wrote, as `InputError`."""
    try:
        yield
    except InputError:
        raise
    except (OSError, KeyError, ValueError, TypeError, AttributeError, EOFError) as error:
        raise InputError(f"{directory}: not a preset's files ({error})") from error
    except (zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{directory}: its weights are damaged ({error})") from error
