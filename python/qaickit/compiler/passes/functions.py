"""Passes that write functions out: those of the model, and those that ONNX defines operators by."""

from __future__ import annotations

import onnx
import onnx.inliner

from qaickit.compiler import graph
from qaickit.compiler.job import Job
from qaickit.errors import InvalidArgumentError


def inline_local_functions(model: onnx.ModelProto, job: Job) -> list[str]:
    """Replaces calls of the model's own functions by their bodies, unless `sub_functions`.

    Error: InvalidArgumentError for functions that onnx cannot expand (a recursion).
    """
    if not model.functions:
        return []
    names = sorted({function.name for function in model.functions})
    if job.options["sub_functions"]:
        return [f"kept: {', '.join(names)}"]
    _replace(model, lambda: onnx.inliner.inline_local_functions(model))
    return [f"expanded: {', '.join(names)}"]


def expand_onnx_functions(model: onnx.ModelProto, job: Job) -> list[str]:
    """`always_expand_onnx_functions`: writes out operators that ONNX defines by others.

    For instance LayerNormalization and Gelu become the arithmetic that they stand for. Error:
    InvalidArgumentError for a graph that onnx cannot expand.
    """
    if not job.options["always_expand_onnx_functions"]:
        return []
    before = graph.count_operators(model)

    def expanded() -> onnx.ModelProto:
        # Which body is chosen depends on the types, of weights too, and onnx reads those of no
        # initializer by itself.
        typed = onnx.shape_inference.infer_shapes(model)
        for tensor in typed.graph.initializer:
            typed.graph.value_info.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
        return onnx.inliner.inline_selected_functions(
            typed, [], exclude=True, inline_schema_functions=True
        )

    _replace(model, expanded)
    del model.graph.value_info[:]
    after = graph.count_operators(model)
    gone = {name: count - after.get(name, 0) for name, count in before.items()}
    return [f"expanded: {count} {name}" for name, count in sorted(gone.items()) if count > 0]


def _replace(model: onnx.ModelProto, make: graph.MakeModel) -> None:
    try:
        made = make()
    except Exception as error:  # onnx raises classes of its C++ side, which vary by version
        reason = " ".join(str(error).split())
        raise InvalidArgumentError(
            f"functions of the model cannot be expanded: {reason}"
        ) from error
    model.CopyFrom(made)
