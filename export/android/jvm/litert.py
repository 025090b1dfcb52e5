"""LiteRT in a process of its own, for `stubs/org/tensorflow/lite/Interpreter.java`.

python litert.py MODEL THREADS

Speaks Java's DataInput over standard input and output: first whether the model is valid, then its
signatures with the names and bytes of their tensors; from then on a signature and its inputs in,
its outputs out.
"""

import struct
import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter

questions, answers = sys.stdin.buffer, sys.stdout.buffer


def text(value):
    return struct.pack(">H", len(value.encode())) + value.encode()


def sizes(details):
    yield struct.pack(">i", len(details))
    for name, tensor in details.items():
        # Of a captioner every number has 4 bytes.
        yield text(name) + struct.pack(">i", 4 * int(np.prod(tensor["shape"])))


def main(model, threads):
    try:
        interpreter = Interpreter(model, num_threads=int(threads))
    except ValueError:
        answers.write(b"\0")
        return
    runners = {
        name: interpreter.get_signature_runner(name) for name in interpreter.get_signature_list()
    }
    answers.write(b"\1" + struct.pack(">i", len(runners)))
    for name, runner in runners.items():
        answers.write(text(name))
        for part in (*sizes(runner.get_input_details()), *sizes(runner.get_output_details())):
            answers.write(part)
    answers.flush()
    while length := questions.read(2):
        runner = runners[questions.read(*struct.unpack(">H", length)).decode()]
        inputs = {}
        for name, tensor in runner.get_input_details().items():
            data = questions.read(4 * int(np.prod(tensor["shape"])))
            inputs[name] = np.frombuffer(data, tensor["dtype"]).reshape(tensor["shape"])
        outputs = runner(**inputs)
        for name in runner.get_output_details():
            answers.write(outputs[name].tobytes())
        answers.flush()


main(*sys.argv[1:])
