"""Questions about an ONNX graph that several passes ask."""

from __future__ import annotations

import math

import onnx

from qaickit.compiler.report import GraphSize
from qaickit.compiler.source import MAX_MODEL_BYTES
from qaickit.errors import UnsupportedError

_QUANTISED_OPS = frozenset(
    {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul"}
)
_RANDOM_WEIGHTS_KEY = "qaickit.random_weights"


def serialise(model: onnx.ModelProto) -> bytes:
    """The same bytes for the same model. Error: UnsupportedError over 2 GB."""
    try:
        data: bytes = model.SerializeToString(deterministic=True)
    except Exception as error:  # protobuf's, whose class depends on its implementation
        raise UnsupportedError(f"models over 2 GB cannot be compiled yet: {error}") from error
    if len(data) > MAX_MODEL_BYTES:
        raise UnsupportedError(f"it has {len(data)} bytes; models over 2 GB cannot be compiled yet")
    return data


def size_of(model: onnx.ModelProto) -> GraphSize:
    """Counted from dims and types, so that no weight is copied."""
    return GraphSize(len(model.graph.node), sum(map(tensor_bytes, model.graph.initializer)))


def tensor_bytes(tensor: onnx.TensorProto) -> int:
    """Bytes of a tensor's data, were it raw; 0 for texts and unknown types."""
    try:
        item = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except (KeyError, TypeError, ValueError):
        return 0
    return int(math.prod(tensor.dims)) * int(item)


def graph_precision(model: onnx.ModelProto) -> str:
    """The precision that the graph itself asks for: "int8", "fp16" or "fp32"."""
    if any(node.op_type in _QUANTISED_OPS for node in model.graph.node):
        return "int8"
    kinds = {tensor.data_type for tensor in model.graph.initializer}
    half = onnx.TensorProto.FLOAT16 in kinds and onnx.TensorProto.FLOAT not in kinds
    return "fp16" if half else "fp32"


def has_random_weights(model: onnx.ModelProto) -> bool:
    """True for a model made for speed only, by a note in its metadata."""
    notes = {entry.key: entry.value for entry in model.metadata_props}
    return notes.get(_RANDOM_WEIGHTS_KEY, "").lower() in ("1", "true", "yes")
