"""Estimates the time that a photo takes on a Raspberry Pi 4 and 5. Nothing was measured on one.

    python estimate.py captioner.tflite other.tflite

Counts the multiply-adds of the encoder and of a word's step and the bytes of their weights in the
file itself, and takes speeds from published figures:

- Pi 4, MobileNetV2 1.0 at 224 x 224, all cores: 46 ms in float32, 17 ms in int8 (XNNPACK's README,
  "RPi 4 (BCM2711, ARM64)", February 2022). The network has 300 million multiply-adds (Sandler et
  al., 2018, table 4).
- Pi 4, memory: 5.5 GB/s (STREAM, sci-pi.org.uk/bench/stream.html). A word's step reads every weight
  once, so it takes the longer of arithmetic and reading.
- Pi 5: 2 times as fast (the lower end of Raspberry Pi's own "2-3x") to 4.8 times (MobileNetV2 SSD
  in TensorFlow Lite, 112.6 ms to 23.5 ms, github.com/aallan/benchmarking-ml-on-the-edge).

The caption is greedy, one step a word; a beam of width N takes up to N. Opening and resizing the
photo comes on top. Needs the project's `[export]` packages.
"""

import argparse
from math import prod
from pathlib import Path

from sat_export.flatbuffer import operators, parse, type_of

MOBILENET_V2_MULTIPLY_ADDS = 300e6
PI4_MOBILENET_V2_MS = {"float32": 46, "int8": 17}
PI4_BYTES_PER_S = 5.5e9
PI5_SPEEDUPS = (2.0, 112.6 / 23.5)
WORDS = 12  # with <end>, about the mean on Flickr8k


def count(path):
    """Of the signatures `encode` and `step`: multiply-adds, and bytes of weights, a dict each.

    The third, `encoder`, is the arithmetic that its convolutions are in, "int8" or "float32".
    """
    parsed = parse(Path(path).read_bytes())
    totals, encoder = {}, "float32"
    for signature in parsed.signatureDefs:
        name = signature.signatureKey.decode()
        if name not in ("encode", "step"):
            continue
        wanted = parsed.subgraphs[signature.subgraphIndex]
        multiply_adds, weights = 0, {}
        for graph, operator, kind in operators(parsed):
            if graph is not wanted:
                continue
            tensors = [graph.tensors[i] for i in operator.inputs if i >= 0]
            multiply_adds += _multiply_adds(kind, tensors, graph.tensors[operator.outputs[0]])
            if kind not in ("GATHER", "EMBEDDING_LOOKUP"):  # these read one row
                for tensor in tensors:
                    data = parsed.buffers[tensor.buffer].data
                    if data is not None and len(data):
                        weights[tensor.buffer] = len(data)
            if kind == "CONV_2D" and type_of(tensors[0]) == "INT8":
                encoder = "int8"
        totals[name] = {"multiply_adds": multiply_adds, "bytes": sum(weights.values())}
    return totals["encode"], totals["step"], encoder


def _multiply_adds(kind, tensors, output):
    shape = prod(output.shape)
    if kind in ("CONV_2D", "FULLY_CONNECTED"):
        return shape * prod(tensors[1].shape[1:])  # (out, height, width, in) or (out, in)
    if kind == "DEPTHWISE_CONV_2D":
        return shape * prod(tensors[1].shape[1:3])  # (1, height, width, channels)
    if kind == "BATCH_MATMUL":
        return shape * tensors[0].shape[-1]
    return 0


def pi4_ms(encode, step, encoder):
    """Milliseconds of the encoder and of a word's step."""
    rates = {
        kind: MOBILENET_V2_MULTIPLY_ADDS / ms  # multiply-adds a millisecond
        for kind, ms in PI4_MOBILENET_V2_MS.items()
    }
    reading = step["bytes"] / PI4_BYTES_PER_S * 1000
    arithmetic = step["multiply_adds"] / rates["float32"]
    return encode["multiply_adds"] / rates[encoder], max(reading, arithmetic)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", metavar="FILE.tflite")
    parser.add_argument("--words", type=int, default=WORDS)
    options = parser.parse_args()
    print(
        "| file | encoder, million multiply-adds | a step | its weights, MB "
        f"| Pi 4, {options.words} words, ms | Pi 5, ms |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for path in options.files:
        encode, step, encoder = count(path)
        encoder_ms, step_ms = pi4_ms(encode, step, encoder)
        pi4 = encoder_ms + options.words * step_ms
        slow, fast = (pi4 / speedup for speedup in PI5_SPEEDUPS)
        print(
            f"| {Path(path).name} | {encode['multiply_adds'] / 1e6:.0f} "
            f"| {step['multiply_adds'] / 1e6:.1f} | {step['bytes'] / 1e6:.1f} "
            f"| {pi4:.0f} ({encoder_ms:.0f} the encoder) | {fast:.0f} to {slow:.0f} |"
        )


if __name__ == "__main__":
    main()
