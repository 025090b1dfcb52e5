"""Inputs and expected outputs that every runtime is checked against.

    python export/conformance/make.py FOLDER --photos PHOTOS [--run RUN] [--count 50]

Writes, N photos, (H, W) the captioner's image size, T its longest caption, L locations, V words:

    conformance.json           count, image_size, max_length, locations, vocabulary_size, files
    images.bin                 uint8 (N, H, W, 3), already stretched
    float32/captioner.tflite   with its three signatures
    float32/gpu.tflite         `encode` and `step` alone
    float32/tokens.bin         int32 (N, T), greedy, by Keras
    float32/attention.bin      float32 (N, T, L), by Keras
    float32/logits.bin         float32 (N, T, V), of `step` along these tokens, zeros behind `<end>`
    int8/                      the same, quantised; expected is what Python's LiteRT says

A runtime writes `results/RUNTIME/{float32,int8}/{tokens,attention}.bin` in the same layouts;
`check.py` compares them all.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from run import decode

from sat_edge import Captioner as EdgeCaptioner
from sat_edge import open_photo, to_pixels
from sat_edge.caption import START
from sat_export import export_tflite
from sat_keras.files import atomic_output
from sat_keras.run import load_captioner

PRESET = "flickr8k-soft"
SCHEMES = {"float32": "none", "int8": "int8"}


def expected_of_keras(captioner, images):
    """Greedy `tokens` `(N, T)` and `attention` `(N, T, L)`."""
    tokens, attention, _ = captioner.greedy(images.astype("float32"))
    return tokens.numpy(), attention.numpy()


def logits_along(edge, images, tokens):
    """`step`'s logits `(N, T, V)` where the words before are those of `tokens`."""
    logits = np.zeros((*tokens.shape, len(edge.vocabulary)), "float32")
    for i, image in enumerate(images):
        state, previous = edge.encode(image), START
        for t, token in enumerate(tokens[i][tokens[i] != 0]):
            outputs = edge.step(previous, **state)
            logits[i, t] = outputs["logits"][0]
            state |= {"h": outputs["h"], "c": outputs["c"]}
            previous = token
    return logits


def make(folder, captioner, photos):
    """Writes the folder.

    Args:
        folder: path, made here.
        captioner: `sat_keras.Captioner`.
        photos: list of paths, 16 or more; int8's ranges are found on their folder's.
    """
    folder = Path(folder)
    size = captioner.encoder.image_size
    images = np.stack([to_pixels(open_photo(each), size) for each in photos])  # (N, H, W, 3)
    for name, scheme in SCHEMES.items():
        part = folder / name
        part.mkdir(parents=True, exist_ok=True)
        options = {"quantize": scheme, "photos": Path(photos[0]).parent}
        export_tflite(captioner, part / "captioner.tflite", **options)
        if name == "float32":
            export_tflite(captioner, part / "gpu.tflite", target="gpu", **options)
        edge = EdgeCaptioner(part / "captioner.tflite")
        if name == "float32":
            tokens, attention = expected_of_keras(captioner, images)
        else:
            tokens, attention = decode(edge, images)
        logits = logits_along(edge, images, tokens)
        for file, array in {"tokens": tokens, "attention": attention, "logits": logits}.items():
            array.tofile(part / f"{file}.bin")
    images.tofile(folder / "images.bin")
    facts = {
        "count": len(images),
        "image_size": size,
        "max_length": tokens.shape[1],
        "locations": attention.shape[2],
        "vocabulary_size": logits.shape[2],
        "files": list(SCHEMES),
    }
    with atomic_output(folder / "conformance.json") as temporary:
        temporary.write_text(json.dumps(facts, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", required=True, type=Path, help="a folder of photos")
    parser.add_argument("--run", default=PRESET, help=f"or a preset (default: {PRESET})")
    parser.add_argument("--count", type=int, default=50, help="photos (default: 50)")
    options = parser.parse_args()
    photos = sorted(each for each in options.photos.iterdir() if each.is_file())[: options.count]
    make(options.folder, load_captioner(options.run), photos)


if __name__ == "__main__":
    main()
