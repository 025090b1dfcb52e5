"""Captions a conformance folder by `sat_edge`, on this machine's CPU or GPU.

    python export/conformance/run.py FOLDER --runtime python
    python export/conformance/run.py FOLDER --runtime gpu --accelerator gpu

Writes `FOLDER/results/RUNTIME/{float32,int8}/{tokens,attention}.bin`, see `make.py`. On the CPU
the signature `caption` decodes; on the GPU, which takes the float32 file alone, `encode` and
`step`. Where there is no GPU that takes it, ends with 1.
"""

import argparse
import json
import sys
import warnings
from pathlib import Path

import numpy as np

from sat_edge import Captioner

FILES = {
    "cpu": {"float32": "captioner.tflite", "int8": "captioner.tflite"},
    "gpu": {"float32": "gpu.tflite"},
}


def decode(captioner, images):
    """Greedy `tokens` int32 `(N, T)` and `attention` float32 `(N, T, L)` of a `Captioner`."""
    shape = (len(images), captioner.settings["max_length"])
    tokens = np.zeros(shape, "<i4")
    attention = np.zeros((*shape, len(captioner.regions)), "<f4")
    for i, image in enumerate(images):
        caption = captioner.caption(image)
        length = len(caption.tokens)
        tokens[i, :length] = caption.tokens
        attention[i, :length] = caption.attention.reshape(length, -1)
    return tokens, attention


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
    for name, file in FILES[accelerator].items():
        captioner = Captioner(folder / name / file, accelerator=accelerator)
        tokens, attention = decode(captioner, images)
        results = folder / "results" / runtime / name
        results.mkdir(parents=True, exist_ok=True)
        for kind, values in {"tokens": tokens, "attention": attention}.items():
            values.tofile(results / f"{kind}.part")
            (results / f"{kind}.part").replace(results / f"{kind}.bin")
        print(f"{runtime}, {name}: {len(images)} photos", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runtime", required=True, help="the name of the results")
    parser.add_argument("--accelerator", default="cpu", choices=FILES)
    options = parser.parse_args()
    warnings.simplefilter("error", UserWarning)  # that the CPU captions in a GPU's place
    try:
        run(options.folder, options.runtime, options.accelerator)
    except UserWarning as warning:
        print(warning, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
