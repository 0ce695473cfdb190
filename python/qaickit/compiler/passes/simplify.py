"""Pass that lets ONNX Runtime simplify the graph: folds constants, fuses what is standard ONNX."""

from __future__ import annotations

import onnx

from qaickit.compiler import graph, runtime
from qaickit.compiler.job import Job

_HALF_TYPES = frozenset({onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16})
# Folding may write out what was computed. More than this is not simpler.
_GROWTH = 1.2
_GROWTH_BYTES = 1 << 20


def simplify(model: onnx.ModelProto, job: Job) -> list[str]:
    """Simplifies by ONNX Runtime's basic level, which is standard ONNX and the same on every CPU.

    A graph stays as it is where that would change what it says: quantised already, in half
    precision (for which the CPU would add casts), or with functions that were to be kept. Weights
    that stay in their files are not folded into what takes them. `job.outcome.moved` tells where
    the outputs of nodes went that are no longer there.
    """
    reason = _kept_because(model)
    if reason:
        return [f"kept as it is: {reason}"]
    with graph.weights_as_inputs(model, job.source.files):
        return _simplify(model, job)


def _simplify(model: onnx.ModelProto, job: Job) -> list[str]:
    before = graph.size_of(model)
    simplified = runtime.simplified(graph.serialise(model))
    if simplified is None:
        return ["kept as it is: onnxruntime's CPU lacks a kernel for it"]
    if not graph.domains(simplified) <= graph.domains(model):
        return ["kept as it is: onnxruntime would use operators of its own"]
    after = graph.size_of(simplified)
    if after.weight_bytes > before.weight_bytes * _GROWTH + _GROWTH_BYTES:
        return [f"kept as it is: its weights would grow to {after.weight_bytes} bytes"]
    job.outcome.moved.update(_moved(model.graph, simplified.graph))
    notes = _changes(graph.count_operators(model), graph.count_operators(simplified))
    # All else in the model (versions, names, metadata) stays as its author wrote it; so do sparse
    # weights, whose indices ONNX Runtime writes in smaller types than ONNX allows.
    written = {tensor.values.name: tensor for tensor in model.graph.sparse_initializer}
    sparse = [
        written.get(tensor.values.name, tensor) for tensor in simplified.graph.sparse_initializer
    ]
    model.graph.ClearField("node")
    model.graph.ClearField("initializer")
    model.graph.ClearField("sparse_initializer")
    model.graph.ClearField("value_info")
    model.graph.node.extend(simplified.graph.node)
    model.graph.initializer.extend(simplified.graph.initializer)
    model.graph.sparse_initializer.extend(sparse)
    return notes


def _kept_because(model: onnx.ModelProto) -> str:
    if model.functions:
        return "it has functions that were to be kept"
    if graph.is_quantised(model):
        return "it is quantised already"
    if graph.element_types(model) & _HALF_TYPES:
        return "it is in half precision"
    return ""


def _changes(before: dict[str, int], after: dict[str, int]) -> list[str]:
    names = sorted({*before, *after})
    return [
        f"{name}: {before.get(name, 0)} -> {after.get(name, 0)}"
        for name in names
        if before.get(name, 0) != after.get(name, 0)
    ]


def _moved(before: onnx.GraphProto, after: onnx.GraphProto) -> dict[str, str]:
    """Outputs that are gone -> the output of the node that computes them now.

    A node that was fused into its only user lives on in that; where a value has several users, or
    was folded into a constant, it has no single heir and is left out.
    """
    present = {name for node in after.node for name in node.output}
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in before.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    moved: dict[str, str] = {}
    for node in reversed(before.node):
        gone = node.output[0] if node.output else ""
        if not gone or gone in present or len(users.get(gone, [])) != 1:
            continue
        heir = users[gone][0].output[0]
        heir = moved.get(heir, heir)
        if heir in present:
            moved[gone] = heir
    return moved
