"""What a caption costs on a device, beside the encoder alone: one thread, one file, one run.

    python benchmarks/caption.py captioner.tflite photo.jpg

Prints one JSON object: milliseconds (median) of `encode`, `step` and `caption`, the words of the
caption, and the ratio of `caption` to `encode`.
"""

import json
import statistics
import sys
import time

from sat_edge import Captioner, open_photo, to_pixels
from sat_edge.caption import START

REPEATS = 50


def median_milliseconds(functions):
    """Of each function; they take turns, so that the machine's changing speed is all of theirs."""
    milliseconds = {name: [] for name in functions}
    for _ in range(REPEATS):
        for name, function in functions.items():
            began = time.perf_counter()
            function()
            milliseconds[name].append(1000 * (time.perf_counter() - began))
    return {name: statistics.median(each) for name, each in milliseconds.items()}


def main(path, photo):
    captioner = Captioner(path, threads=1)
    pixels = to_pixels(open_photo(photo), captioner.image_size)
    state = captioner.encode(pixels)
    medians = median_milliseconds(
        {
            "encode_ms": lambda: captioner.encode(pixels),
            "step_ms": lambda: captioner.step(START, **state),
            "caption_ms": lambda: captioner.caption(pixels),
        }
    )
    result = {
        **medians,
        "tokens": len(captioner.caption(pixels).tokens),
        "caption_to_encode": medians["caption_ms"] / medians["encode_ms"],
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main(*sys.argv[1:])
