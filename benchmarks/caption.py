"""What a caption costs on a device, beside the encoder alone: one thread, one file, one run.

    python benchmarks/caption.py captioner.tflite photo.jpg

Prints one JSON object: milliseconds (median) of `encode`, `step` and `caption`, the words of the
caption, and the ratio of `caption` to `encode`.
"""

import json
import sys

from timing import median_seconds

from sat_edge import Captioner, open_photo, to_pixels
from sat_edge.caption import START


def main(path, photo):
    captioner = Captioner(path, threads=1)
    pixels = to_pixels(open_photo(photo), captioner.image_size)
    state = captioner.encode(pixels)
    seconds = median_seconds(
        {
            "encode": lambda: captioner.encode(pixels),
            "step": lambda: captioner.step(START, **state),
            "caption": lambda: captioner.caption(pixels),
        },
        repeats=50,
    )
    result = {
        **{f"{name}_ms": 1000 * each for name, each in seconds.items()},
        "tokens": len(captioner.caption(pixels).tokens),
        "caption_to_encode": seconds["caption"] / seconds["encode"],
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main(*sys.argv[1:])
