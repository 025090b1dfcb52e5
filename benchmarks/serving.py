"""A SavedModel as a server runs it: photos a second by batch size, and memory over many requests.

    python benchmarks/serving.py MODELS/captioner/1 --photos PHOTOS --requests 10000

Requests are of encoded photos, one after the other, to the signature that a client gets by default.
"""

import argparse
import itertools
import json
import os
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

from sat_keras.memory import keep_freed_memory

BATCHES = (1, 8, 32)
ROUNDS = 5  # of each batch size, in turns, each of as many photos as the largest batch


def resident_mb():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a version's folder")
    parser.add_argument("--photos", required=True, type=Path)
    parser.add_argument("--requests", type=int, default=10_000)
    options = parser.parse_args()
    keep_freed_memory()
    serve = tf.saved_model.load(options.model).signatures["serving_default"]
    paths = sorted(each for each in options.photos.iterdir() if each.is_file())
    photos = itertools.cycle(path.read_bytes() for path in paths)

    def request(batch):
        return serve(images=tf.constant(list(itertools.islice(photos, batch))))["captions"].numpy()

    seconds = {batch: [] for batch in BATCHES}
    for _ in range(1 + ROUNDS):
        for batch in BATCHES:
            began = time.perf_counter()
            for _ in range(max(BATCHES) // batch):
                request(batch)
            seconds[batch].append(time.perf_counter() - began)
    rates = {batch: max(BATCHES) / np.median(each[1:]) for batch, each in seconds.items()}

    memory = {}
    for count in range(1, options.requests + 1):
        request(1)
        if count % max(1, options.requests // 10) == 0:
            memory[count] = round(resident_mb(), 1)
            print(f"{count} requests: {memory[count]} MB", flush=True)
    result = {
        "photos_a_second": {str(batch): round(float(rate), 2) for batch, rate in rates.items()},
        "batch_of_32_to_single": round(float(rates[32] / rates[1]), 2),
        "resident_mb": memory,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
