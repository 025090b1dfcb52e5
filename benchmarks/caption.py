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


def median_milliseconds(function):
    function()
    milliseconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        function()
        milliseconds.append(1000 * (time.perf_counter() - began))
    return statistics.median(milliseconds)


def main(path, photo):
    captioner = Captioner(path, threads=1)
    pixels = to_pixels(open_photo(photo), captioner.image_size)
    state = captioner.encode(pixels)
    encode = median_milliseconds(lambda: captioner.encode(pixels))
    step = median_milliseconds(lambda: captioner.step(START, **state))
    caption = median_milliseconds(lambda: captioner.caption(pixels))
    result = {
        "encode_ms": encode,
        "step_ms": step,
        "caption_ms": caption,
        "tokens": len(captioner.caption(pixels).tokens),
        "caption_to_encode": caption / encode,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main(*sys.argv[1:])
