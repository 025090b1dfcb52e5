"""Captions a conformance folder by `sat_edge`, on this machine's CPU or GPU.

    python export/conformance/run.py FOLDER --runtime python
    python export/conformance/run.py FOLDER --runtime gpu --accelerator gpu

Captions by each file's own search and writes `FOLDER/results/RUNTIME/NAME/{tokens,attention}.bin`,
see `make.py`. The GPU takes `gpu.tflite` of the files that have one. Where there is no GPU that
takes them, ends with 1.
"""

import argparse
import json
import sys
import warnings
from pathlib import Path

import numpy as np

from sat_edge import Captioner, InputError

MODELS = {"cpu": "captioner.tflite", "gpu": "gpu.tflite"}


def as_arrays(captions, max_length):
    """Captions as every runtime writes them: `tokens` int32 `(N, T)` and `attention` float32
    `(N, T, L)`, zeros behind each caption's last token."""
    locations = captions[0].attention[0].size
    tokens = np.zeros((len(captions), max_length), "<i4")
    attention = np.zeros((*tokens.shape, locations), "<f4")
    for i, caption in enumerate(captions):
        length = len(caption.tokens)
        tokens[i, :length] = caption.tokens
        attention[i, :length] = caption.attention.reshape(length, locations)
    return {"tokens": tokens, "attention": attention}


def run(folder, runtime, accelerator="cpu"):
    """Captions the folder's images with each file that the accelerator takes.

    Args:
        folder: path of what `make.py` wrote.
        runtime: str, the name of the results.
        accelerator: str, see `sat_edge.Captioner`. Defaults to `"cpu"`.
    """
    facts = json.loads((folder / "conformance.json").read_text())
    images = np.fromfile(folder / "images.bin", "uint8")
    images = images.reshape(facts["count"], *facts["image_size"], 3)
    for name, file in facts["files"].items():
        if accelerator == "gpu" and not file["gpu"]:
            continue
        captioner = Captioner(folder / name / MODELS[accelerator], accelerator=accelerator)
        found = as_arrays([captioner.caption(image) for image in images], file["max_length"])
        results = folder / "results" / runtime / name
        results.mkdir(parents=True, exist_ok=True)
        for kind, values in found.items():
            values.tofile(results / f"{kind}.part")
            (results / f"{kind}.part").replace(results / f"{kind}.bin")
        print(f"{runtime}, {name}: {len(images)} photos", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runtime", required=True, help="the name of the results")
    parser.add_argument("--accelerator", default="cpu", choices=MODELS)
    options = parser.parse_args()
    warnings.simplefilter("error", UserWarning)  # that the CPU captions in a GPU's place
    try:
        run(options.folder, options.runtime, options.accelerator)
    except (InputError, UserWarning) as reason:
        print(reason, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
