"""Encoder and decoder in fewer bits, each by its own scheme (`schemes.py`), in one file."""

import copy
import itertools
import math
import re

from ai_edge_litert import schema_py_generated as schema
from ai_edge_quantizer import algorithm_manager, qtyping, quantizer

from sat_export.flatbuffer import drop_unused, operators, origin, pack, parse
from sat_export.signatures import TRUST

# Weights of a kernel that int4 does little harm to: 7 of MobileNetV2's 52, 63 % of its weights.
_LARGE = 2**16
_Op = qtyping.TFLOperationName
_PRODUCTS = (_Op.CONV_2D, _Op.DEPTHWISE_CONV_2D, _Op.FULLY_CONNECTED)


def quantize(model, encoder, decoder, encoder_name, images=None):
    """A float32 file's bytes to a quantised one's.

    Args:
        model: bytes of a `.tflite` with the signatures `encode` and `step`, and `caption` or not.
        encoder, decoder: str, schemes. Operators of `Trust` are neither's.
        encoder_name: str, the name of the encoder's layer: its operators have it in theirs.
        images: for the encoder's schemes `int8` and `int4`, iterable of uint8 arrays `(H, W, 3)`.
    Returns:
        bytes.
    """
    if encoder == decoder == "none":
        return model
    parsed = parse(model)
    _look_embeddings_up(parsed)
    work = quantizer.Quantizer(pack(parsed))
    inside = rf"(^|.*[/;]){re.escape(encoder_name)}(_\d+)?/.*"
    # What says how far a caption is to be trusted stays in float32: it is small, and its sums of
    # squares are not. A product that is an output of `encode` is called after that, not by its
    # layer.
    of_trust = [_scope(*where) for *where, weight in _products(parsed) if _is_of_trust(weight)]
    outside = rf"^(?!{'|'.join([inside, f'(^|.*[/;]){TRUST}/', *of_trust])})"
    if images is not None:
        work.add_static_config(inside, _Op.ALL_SUPPORTED, 8, 8)
    for operator in _PRODUCTS:
        _add(work, inside, operator, encoder)
        _add(work, outside, operator, decoder)
    _add(work, outside, _Op.EMBEDDING_LOOKUP, decoder)
    if decoder == "int4":
        for name in _in_blocks(parsed):
            work.add_dynamic_config(
                name, _Op.FULLY_CONNECTED, 4, qtyping.QuantGranularity.BLOCKWISE_64
            )
    if encoder == "int4":
        for name in _large_kernels(parsed):
            work.add_static_config(
                name, _Op.CONV_2D, 8, 4, algorithm_key=algorithm_manager.AlgorithmName.MSE
            )
    ranges = None if images is None else _find_ranges(work, parsed, images)
    quantized = work.quantize(ranges, enable_progress_report=False).quantized_model
    return pack(parse(bytes(quantized)))


def _add(work, scope, operator, scheme):
    if scheme == "float16":
        work.add_weight_only_config(
            scope, operator, 16, algorithm_key=algorithm_manager.AlgorithmName.FLOAT_CASTING
        )
    elif scheme == "dynamic" and operator != _Op.DEPTHWISE_CONV_2D:  # few weights, and slower
        work.add_dynamic_config(scope, operator, 8)
    elif scheme == "int4" and operator in (_Op.FULLY_CONNECTED, _Op.EMBEDDING_LOOKUP):
        work.add_dynamic_config(scope, operator, 4)


def _in_blocks(parsed):
    """Scopes of the decoder's products whose weights' rows are whole blocks."""
    for graph, operator, weight in _products(parsed):
        if not _is_of_trust(weight) and weight.shape[1] % 64 == 0:
            yield _scope(graph, operator)


def _products(parsed):
    """Of each product of vectors: its graph, its operator, its weights' tensor."""
    for graph, operator, kind in operators(parsed):
        if kind == "FULLY_CONNECTED":
            yield graph, operator, graph.tensors[operator.inputs[1]]


def _is_of_trust(weight):
    return f"{TRUST}/" in weight.name.decode()


def _large_kernels(parsed):
    """Scopes of the convolutions that have them."""
    for graph, operator, kind in operators(parsed):
        if kind == "CONV_2D" and math.prod(graph.tensors[operator.inputs[1]].shape) >= _LARGE:
            yield _scope(graph, operator)


def _scope(graph, operator):
    """A pattern of one operator, by its result."""
    return rf"^{re.escape(graph.tensors[operator.outputs[0]].name.decode())}(;|$)"


def _look_embeddings_up(parsed):
    """Makes the embedding's GATHER an EMBEDDING_LOOKUP, which takes a row of a quantised table;
    GATHER would make all of it float32 again at every word."""
    lookup = schema.OperatorCodeT()
    lookup.builtinCode = lookup.deprecatedBuiltinCode = schema.BuiltinOperator.EMBEDDING_LOOKUP
    lookup.version = 1
    for _, operator, kind in list(operators(parsed)):
        if kind == "GATHER":
            table, ids = operator.inputs
            operator.opcodeIndex = len(parsed.operatorCodes)
            operator.inputs = [ids, table]
            operator.builtinOptionsType, operator.builtinOptions = 0, None
    parsed.operatorCodes.append(lookup)


def _find_ranges(work, parsed, images):
    """Least and most of every tensor of the encoder, in `encode` and in `caption`.

    Only `encode` is run: what is inside a loop cannot be read from outside. `caption` begins with
    the same operators in the same order.
    """
    samples = [{"image": each[None].astype("float32")} for each in images]
    ranges = work.calibrate({"encode": samples}, num_threads=1)
    graphs = {each.name.decode(): each for each in parsed.subgraphs}
    encode = graphs["encode"]
    caption = graphs.get("caption", encode)
    for there, here in zip(caption.operators, encode.operators, strict=False):
        if there.opcodeIndex != here.opcodeIndex:
            break
        for i, j in zip(_tensors(there), _tensors(here), strict=True):
            found = ranges.get(encode.tensors[j].name.decode())
            if found is not None:
                ranges[caption.tensors[i].name.decode()] = found
    return ranges


def _tensors(operator):
    return itertools.chain(operator.inputs, operator.outputs)


def replace_encoder(model, encoder):
    """A captioner file's bytes with another encoder in it.

    Args:
        model: bytes of a `.tflite` with the signature `encode`, and `caption` or not, which begins
            with the same operators.
        encoder: bytes of a `.tflite`, an image to what annotations are reshaped from.
    """
    parsed, other = parse(model), parse(encoder)
    source = other.subgraphs[0]
    codes, buffers = len(parsed.operatorCodes), len(parsed.buffers)
    parsed.operatorCodes += other.operatorCodes
    parsed.buffers += other.buffers
    outputs = next(each for each in parsed.signatureDefs if each.signatureKey == b"encode").outputs
    annotations = next(each.tensorIndex for each in outputs if each.name == b"annotations")
    graphs = {each.name.decode(): each for each in parsed.subgraphs}
    encode = graphs["encode"]
    reshape = next(i for i, each in enumerate(encode.operators) if annotations in each.outputs)
    for graph in (graphs[name] for name in ("encode", "caption") if name in graphs):
        result = graph.operators[reshape].inputs[0]
        replaced = {id(each) for each in origin(graph, result)}
        place = {-1: -1, source.inputs[0]: graph.inputs[0], source.outputs[0]: result}
        for i, tensor in enumerate(source.tensors):
            if i not in place:
                place[i] = len(graph.tensors)
                graph.tensors.append(copy.copy(tensor))
                graph.tensors[-1].buffer += buffers
        grafted = [copy.copy(each) for each in source.operators]
        for operator in grafted:
            operator.opcodeIndex += codes
            operator.inputs = [place[i] for i in operator.inputs]
            operator.outputs = [place[i] for i in operator.outputs]
        kept = [each for each in graph.operators if id(each) not in replaced]
        graph.operators = grafted + kept
    drop_unused(parsed)
    return pack(parsed)
