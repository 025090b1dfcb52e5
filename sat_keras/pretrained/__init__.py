"""Trained captioners as small folders, those in this package and a user's own.

config.json      the encoder's and the captioner's settings
vocabulary.txt
weights.npz      the decoder's and, where it was fine-tuned, the encoder's, in their order; kernels
                 in float16, biases and batch normalisation, which are small, in float32
"""

import json
import zipfile
from pathlib import Path

import numpy as np

from sat_edge.errors import InputError, check_choice
from sat_keras.encoders import Encoder
from sat_keras.files import atomic_output
from sat_keras.vocabulary import Vocabulary

_CONFIG, _VOCABULARY, _WEIGHTS = "config.json", "vocabulary.txt", "weights.npz"
NAMES = tuple(sorted(each.parent.name for each in Path(__file__).parent.glob(f"*/{_CONFIG}")))


def save(captioner, directory, with_encoder):
    """See `Captioner.save_to_preset`."""
    config = captioner.get_config()
    config["encoder"] = captioner.encoder.get_config()
    config["with_encoder"] = with_encoder
    del config["vocabulary"], config["name"]
    weights = captioner.decoder.get_weights()
    if with_encoder:
        weights += captioner.encoder.get_weights()
    with atomic_output(directory) as temporary:
        temporary.mkdir()
        (temporary / _CONFIG).write_text(json.dumps(config, indent=2) + "\n")
        captioner.vocabulary.save(temporary / _VOCABULARY)
        arrays = (each.astype("float16") if each.ndim > 1 else each for each in weights)
        named = {f"{i:03d}": each for i, each in enumerate(arrays)}
        np.savez_compressed(temporary / _WEIGHTS, **named)


def load(captioner_class, preset, encoder_weights):
    """See `Captioner.from_preset`."""
    directory = Path(preset)
    if not directory.is_dir():
        check_choice("preset", str(preset), NAMES)
        directory = Path(__file__).parent / preset
    try:
        config = json.loads((directory / _CONFIG).read_text())
        with_encoder, encoder = config.pop("with_encoder"), config.pop("encoder")
        with np.load(directory / _WEIGHTS) as file:
            weights = [file[name] for name in sorted(file)]
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{directory}: not a preset's files ({error})") from error
    vocabulary = Vocabulary.load(directory / _VOCABULARY)
    encoder = Encoder(**encoder, weights=None if with_encoder else encoder_weights)
    captioner = captioner_class(encoder, vocabulary, **config)
    count = len(captioner.decoder.get_weights())
    try:
        captioner.decoder.set_weights(weights[:count])
        if with_encoder:
            encoder.set_weights(weights[count:])
    except ValueError as error:
        raise InputError(f"{directory}: its weights are of another captioner") from error
    return captioner
