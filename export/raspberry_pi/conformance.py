"""Runs the conformance folder on this machine: the signature `caption` of every photo.

    python conformance.py FOLDER --runtime aarch64

Writes `FOLDER/results/RUNTIME/{float32,int8}/{tokens,attention}.bin`, in the layouts of the
expected ones.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from sat_edge import Captioner


def run(folder, runtime):
    """Captions the folder's images with each of its files.

    Args:
        folder: path, with `conformance.json`, `images.bin` and a folder a file.
        runtime: str, the name of the results.
    """
    folder = Path(folder)
    settings = json.loads((folder / "conformance.json").read_text())
    count, length = settings["count"], settings["max_length"]
    images = np.fromfile(folder / "images.bin", "uint8")
    images = images.reshape(count, *settings["image_size"], 3)
    for name in settings["files"]:
        captioner = Captioner(folder / name / "captioner.tflite")
        tokens = np.zeros((count, length), "<i4")
        attention = np.zeros((count, length, settings["locations"]), "<f4")
        for i, image in enumerate(images):
            caption = captioner.caption(image)
            words = len(caption.tokens)
            tokens[i, :words] = caption.tokens
            attention[i, :words] = caption.attention.reshape(words, -1)
        results = folder / "results" / runtime / name
        results.mkdir(parents=True, exist_ok=True)
        for kind, values in (("tokens", tokens), ("attention", attention)):
            unfinished = results / f".{kind}.bin"
            values.tofile(unfinished)
            unfinished.replace(results / f"{kind}.bin")
        print(f"{runtime} {name}: {count} photos", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--runtime", required=True, metavar="NAME")
    options = parser.parse_args()
    run(options.folder, options.runtime)


if __name__ == "__main__":
    main()
