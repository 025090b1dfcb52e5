"""A `.tflite` file's graphs, to be looked at and changed."""

import copy

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

_KINDS, _TYPES = (
    {value: name for name, value in vars(enumeration).items()}
    for enumeration in (schema.BuiltinOperator, schema.TensorType)
)


def parse(model):
    """Bytes of a file to `schema.ModelT`, all weights in their buffers."""
    parsed = schema.ModelT.InitFromPackedBuf(model, 0)
    for buffer in parsed.buffers:
        # Some writers lay weights behind the graphs.
        if buffer.offset > 1:
            buffer.data = np.frombuffer(model, "uint8", buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return parsed


def pack(parsed):
    """`schema.ModelT` to a file's bytes."""
    builder = _SharingBuilder()
    builder.Finish(parsed.Pack(builder), b"TFL3")
    return bytes(builder.Output())


class _SharingBuilder(flatbuffers.Builder):
    """Writes equal lists of numbers once.

    Each signature repeats the scales and zero points of the shared weights: an eighth of an int8
    file.
    """

    def __init__(self):
        super().__init__()
        self._written = {}

    def CreateNumpyVector(self, numbers):
        key = numbers.dtype.str, numbers.tobytes()
        if key not in self._written:
            self._written[key] = super().CreateNumpyVector(numbers)
        return self._written[key]


def origin(graph, tensor):
    """The operators of a graph that a tensor is computed from, in order."""
    needed, found = {tensor}, []
    for operator in reversed(graph.operators):
        if needed & set(operator.outputs):
            needed |= set(operator.inputs)
            found.insert(0, operator)
    return found


def drop_unused(parsed):
    """Empties the buffers of weights that no operator reads any more."""
    used = {0, *(each.buffer for each in parsed.metadata or [])}
    for graph in parsed.subgraphs:
        ends = [*graph.inputs, *graph.outputs]
        for operator in graph.operators:
            ends += [*operator.inputs, *operator.outputs]
        used |= {graph.tensors[i].buffer for i in ends if i >= 0}
    for i, buffer in enumerate(parsed.buffers):
        if i not in used:
            buffer.data = None


def separate_outputs(parsed):
    """Gives each constant output of a signature a tensor of its own.

    The converter merges equal constants, such as two zero states. LiteRT's compiled models, which
    run on GPUs, then know only one of the names.
    """
    for signature in parsed.signatureDefs:
        graph, seen = parsed.subgraphs[signature.subgraphIndex], set()
        graph.outputs = list(graph.outputs)
        for output in signature.outputs:
            tensor = graph.tensors[output.tensorIndex]
            if output.tensorIndex in seen and parsed.buffers[tensor.buffer].data is not None:
                twin = copy.copy(tensor)
                twin.name = tensor.name + b":" + output.name
                place = graph.outputs.index(output.tensorIndex)
                graph.outputs[place] = output.tensorIndex = len(graph.tensors)
                graph.tensors.append(twin)
            seen.add(output.tensorIndex)


def operators(parsed):
    """Yields `(graph, operator, kind)` for each operator of each graph; kind as "CONV_2D"."""
    kinds = [_KINDS[each.builtinCode] for each in parsed.operatorCodes]
    for graph in parsed.subgraphs:
        for operator in graph.operators:
            yield graph, operator, kinds[operator.opcodeIndex]


def type_of(tensor):
    """Of a tensor's numbers, as "FLOAT32"."""
    return _TYPES[tensor.type]
