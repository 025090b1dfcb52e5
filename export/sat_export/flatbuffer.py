"""A `.tflite` file's graphs, to be looked at and changed."""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema


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
    builder = flatbuffers.Builder()
    builder.Finish(parsed.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def name_of(enumeration, value):
    """Of a member of `schema.BuiltinOperator` or `schema.TensorType`."""
    return next(name for name, each in vars(enumeration).items() if each == value)
