"""What a caption costs on a device: time, memory and size, beside the same file's plain encoder."""

import json
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from ai_edge_litert.interpreter import Interpreter

from sat_edge import Captioner, open_photo, to_pixels
from sat_edge.caption import START
from sat_edge.errors import InputError
from sat_export.flatbuffer import drop_unused, origin, pack, parse

THREADS = (1, 2)
_GREEDY = {"beam_width": 1, "no_repeat_ngram": 0}
# A process of its own, as a device starts it: seconds to the first caption, and its most memory.
# Of that, getrusage knows the most of the process that started it as well; Linux's VmHWM does not.
_COLD_START = """
import json, sys, time
from sat_edge import Captioner
Captioner(sys.argv[1]).caption(sys.argv[2], **json.loads(sys.argv[3]))
ended = time.clock_gettime(time.CLOCK_MONOTONIC)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({"ended": ended, "peak_mb": int(status["VmHWM"].split()[0]) / 1024}))
"""


def benchmark(path, photo, captioner=None, repeats=30):
    """Times a `.tflite` file on one photo.

    Args:
        path: the file.
        photo: path of a photo.
        captioner: the `sat_keras.Captioner` that the file came from, to be timed too. Defaults to
            `None`.
        repeats: int. Every time is the median of so many; all take turns. Defaults to `30`.
    Returns:
        Dict: `bytes`; `zipped_bytes`, deflated; `encoder_bytes`, of the plain encoder's file;
        `operators` of one caption's graph and of the plain encoder's; `tokens` of the greedy
        caption; `cold_start_s` from a process's start to its first greedy caption, and its
        `peak_mb`; and of each number of threads, in milliseconds, `encoder_ms` (the plain encoder),
        `encode_ms`, `step_ms`, `caption_ms` (greedy), `default_caption_ms` (by the file's own
        search), and `caption_to_encoder`; with `captioner`, `keras_ms` of a greedy caption.
    Raises:
        InputError: if the file or the photo cannot be read.
    """
    captioners = {threads: Captioner(path, threads) for threads in THREADS}
    pixels = to_pixels(open_photo(photo), captioners[THREADS[0]].image_size)
    encoder = plain_encoder(Path(path).read_bytes())
    functions, tokens = {}, 0
    for threads, edge in captioners.items():
        state, tokens = edge.first_state(pixels), len(edge.caption(pixels, **_GREEDY).tokens)
        functions |= {
            f"{threads}/encoder_ms": _runner(encoder, pixels, threads),
            f"{threads}/encode_ms": lambda edge=edge: edge.encode(pixels),
            f"{threads}/step_ms": lambda edge=edge, state=state: edge.step(START, **state),
            f"{threads}/caption_ms": lambda edge=edge: edge.caption(pixels, **_GREEDY),
            f"{threads}/default_caption_ms": lambda edge=edge: edge.caption(pixels),
        }
    if captioner is not None:
        functions["keras_ms"] = lambda: captioner.caption(pixels[None], **_GREEDY)
    seconds = median_seconds(functions, repeats)
    result = {
        "bytes": Path(path).stat().st_size,
        "zipped_bytes": _zipped_bytes(path),
        "encoder_bytes": len(encoder),
        "operators": len(Interpreter(str(path))._get_ops_details()),
        "encoder_operators": len(Interpreter(model_content=encoder)._get_ops_details()),
        "tokens": tokens,
        **_cold_start(path, photo),
        "threads": {},
    }
    for threads in THREADS:
        names = ("encoder_ms", "encode_ms", "step_ms", "caption_ms", "default_caption_ms")
        row = {name: 1000 * seconds[f"{threads}/{name}"] for name in names}
        row["caption_to_encoder"] = row["caption_ms"] / row["encoder_ms"]
        result["threads"][str(threads)] = row
    if captioner is not None:
        result["keras_ms"] = 1000 * seconds["keras_ms"]
    return result


def median_seconds(functions, repeats):
    """Of each function of a dict, after one call that does not count. They take turns, so that the
    machine's changing speed is all of theirs."""
    for function in functions.values():
        function()
    seconds = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            began = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(each) for name, each in seconds.items()}


def plain_encoder(model):
    """A captioner file's bytes to those of a file with its encoder alone, annotations for images.

    Raises:
        InputError: for a captioner without attention, whose memory holds no annotations.
    """
    parsed = parse(model)
    signature = next(each for each in parsed.signatureDefs if each.signatureKey == b"encode")
    graph = parsed.subgraphs[signature.subgraphIndex]
    wanted = [each for each in signature.outputs if each.name == b"annotations"]
    if not wanted:
        raise InputError("no annotations in the file: an encoder alone can be had with attention")
    result = wanted[0].tensorIndex
    graph.operators, graph.outputs = origin(graph, result), [result]
    signature.outputs, signature.subgraphIndex = wanted, 0
    parsed.subgraphs, parsed.signatureDefs = [graph], [signature]
    parsed.metadata, parsed.metadataBuffer = [], []
    drop_unused(parsed)
    return pack(parsed)


def _runner(model, pixels, threads):
    interpreter = Interpreter(model_content=model, num_threads=threads)
    run = interpreter.get_signature_runner("encode")
    image = pixels[None].astype("float32")  # (1, H, W, 3)
    return lambda: run(image=image)


def _zipped_bytes(path):
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target:
            target.write(path)
        return file.tell()


def _cold_start(path, photo, repeats=3):
    """The median of a few starts; the file is in the system's cache."""
    seconds, peaks = [], []
    for _ in range(repeats):
        began = time.clock_gettime(time.CLOCK_MONOTONIC)
        command = [sys.executable, "-c", _COLD_START, str(path), str(photo), json.dumps(_GREEDY)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        seconds.append(found["ended"] - began)
        peaks.append(found["peak_mb"])
    return {"cold_start_s": statistics.median(seconds), "peak_mb": statistics.median(peaks)}
