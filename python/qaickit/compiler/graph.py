"""Questions about an ONNX graph that several passes ask."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import onnx

from qaickit.compiler.report import GraphSize
from qaickit.compiler.source import MAX_MODEL_BYTES, tensors_of
from qaickit.errors import UnsupportedError

_QUANTISED_OPS = frozenset(
    {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul"}
)
_RANDOM_WEIGHTS_KEY = "qaickit.random_weights"
_TOO_LARGE = (
    "the graph, without the weights that stay in files, is over 2 GB, which no ONNX file holds; "
    "save the model with its weights as initializers in external data"
)

MakeModel = Callable[[], onnx.ModelProto]

__all__ = [
    "MakeModel",
    "captured_names",
    "count_operators",
    "domains",
    "element_types",
    "fresh_name",
    "graph_precision",
    "has_random_weights",
    "is_quantised",
    "names_of",
    "nodes_of",
    "serialise",
    "size_of",
    "tensor_bytes",
    "tensors_of",
    "weights_as_inputs",
]


def serialise(model: onnx.ModelProto) -> bytes:
    """The same bytes for the same model. Error: UnsupportedError over 2 GB."""
    try:
        data: bytes = model.SerializeToString(deterministic=True)
    except Exception as error:  # protobuf's, whose class depends on its implementation
        raise UnsupportedError(f"{_TOO_LARGE}: {error}") from error
    if len(data) > MAX_MODEL_BYTES:
        raise UnsupportedError(f"{_TOO_LARGE}: it has {len(data)} bytes")
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


@contextmanager
def weights_as_inputs(model: onnx.ModelProto, names: Collection[str]) -> Iterator[None]:
    """For the while, the initializers in `names` are inputs, so that nobody looks for their data.

    What changes the graph meanwhile leaves them as they are; those that no node takes any longer
    are dropped.
    """
    taken = [tensor for tensor in model.graph.initializer if tensor.name in names]
    if not taken:
        yield
        return
    taken = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in taken]
    given = {info.name for info in model.graph.input}
    added = {tensor.name for tensor in taken} - given
    _drop(model.graph.initializer, names)
    model.graph.input.extend(
        onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in taken
        if tensor.name in added
    )
    try:
        yield
    finally:
        _drop(model.graph.input, added)
        used = {name for node in nodes_of(model.graph) for name in node.input}
        used |= {info.name for info in model.graph.output}
        model.graph.initializer.extend(tensor for tensor in taken if tensor.name in used)


def _drop(entries: Any, names: Collection[str]) -> None:
    kept = [entry for entry in entries if entry.name not in names]
    del entries[:]
    entries.extend(kept)


def nodes_of(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """All nodes, with those of the graphs inside of If, Loop and Scan."""
    for node in graph.node:
        yield node
        for inner in _inner_graphs(node):
            yield from nodes_of(inner)


def names_of(graph: onnx.GraphProto) -> set[str]:
    """All names that are taken: of tensors and nodes, with those of the graphs inside."""
    names = {tensor.name for tensor in graph.initializer}
    names.update(tensor.values.name for tensor in graph.sparse_initializer)
    names.update(info.name for info in (*graph.input, *graph.output))
    for node in graph.node:
        names.update((node.name, *node.input, *node.output))
        for inner in _inner_graphs(node):
            names |= names_of(inner)
    return names


def fresh_name(model: onnx.ModelProto, wanted: str, also: Iterable[str] = ()) -> str:
    """`wanted`, if need be with a number: a name that is not taken in the model, nor in `also`."""
    taken = names_of(model.graph).union(also)
    numbered = (f"{wanted}.{number}" for number in range(1, len(taken) + 2))
    return next(name for name in (wanted, *numbered) if name not in taken)


def captured_names(node: onnx.NodeProto) -> list[str]:
    """Names that the bodies of a node (If, Loop, Scan) take from the graph around it."""
    names: list[str] = []
    for body in _inner_graphs(node):
        for inner in body.node:
            names += [*inner.input, *captured_names(inner)]
        names += [info.name for info in body.output]
    return names


def _inner_graphs(node: onnx.NodeProto) -> Iterable[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def count_operators(model: onnx.ModelProto) -> dict[str, int]:
    """Operator -> nodes of it."""
    return dict(Counter(node.op_type for node in nodes_of(model.graph)))


def domains(model: onnx.ModelProto) -> set[str]:
    """Domains of the operators in use; ONNX's own is ""."""
    return {"" if node.domain == "ai.onnx" else node.domain for node in nodes_of(model.graph)}


def element_types(model: onnx.ModelProto) -> set[int]:
    """Element types, by ONNX's numbers, of weights, inputs, outputs and casts."""
    infos = (*model.graph.input, *model.graph.output)
    return {
        *(info.type.tensor_type.elem_type for info in infos),
        *(tensor.data_type for tensor in tensors_of(model)),
        *(
            attribute.i
            for node in nodes_of(model.graph)
            if node.op_type == "Cast"
            for attribute in node.attribute
            if attribute.name == "to"
        ),
    }


def is_quantised(model: onnx.ModelProto) -> bool:
    """True when the graph quantises or computes in quantised numbers."""
    return any(node.op_type in _QUANTISED_OPS for node in nodes_of(model.graph))


def graph_precision(model: onnx.ModelProto) -> str:
    """The precision that the graph itself asks for: "int8", "fp16" or "fp32"."""
    if is_quantised(model):
        return "int8"
    kinds = {tensor.data_type for tensor in model.graph.initializer}
    half = onnx.TensorProto.FLOAT16 in kinds and onnx.TensorProto.FLOAT not in kinds
    return "fp16" if half else "fp32"


def has_random_weights(model: onnx.ModelProto) -> bool:
    """True for a model made for speed only, by a note in its metadata."""
    notes = {entry.key: entry.value for entry in model.metadata_props}
    return notes.get(_RANDOM_WEIGHTS_KEY, "").lower() in ("1", "true", "yes")
