"""Passes that fix the shapes and types of inputs and outputs."""

from __future__ import annotations

import onnx

from qaickit.compiler import runtime, shapes
from qaickit.compiler.graph import serialise, weights_as_inputs
from qaickit.compiler.job import Job
from qaickit.errors import InvalidArgumentError, QaicKitError


def define_symbols(model: onnx.ModelProto, job: Job) -> list[str]:
    """Gives every input a fixed shape: `onnx_define_symbol` and `batchsize`, which wins.

    Errors: see `shapes.define_symbols` and `shapes.set_batch`.
    """
    symbols = job.settings.define_symbols
    batch = job.options["batchsize"]
    if batch is not None:
        symbols.update(shapes.set_batch(model, batch))
    notes = shapes.define_symbols(model, symbols)
    job.outcome.symbols = symbols
    # What exporters noted of shapes inside the graph may contradict the sizes just given.
    del model.graph.value_info[:]
    return notes


def fix_outputs(model: onnx.ModelProto, job: Job) -> list[str]:
    """Gives every output a fixed shape and type. Errors: see `shapes.fix_outputs`, `runtime`."""
    declared = shapes.clear_output_shapes(model, job.outcome.symbols)
    with weights_as_inputs(model, job.source.files):
        bare = serialise(model)
    sources = [runtime.output_types(model, bare)]
    if not all(
        info.name in sources[0] and sources[0][info.name].is_fixed for info in model.graph.output
    ):
        sources.append(infer_outputs(bare))
    return shapes.fix_outputs(model, [*sources, declared])


def check_types(model: onnx.ModelProto, _job: Job) -> list[str]:
    """Error: UnsupportedError for a type or a size that a QPC cannot hold."""
    shapes.check_types(model)
    return []


def check_result(model: onnx.ModelProto, job: Job) -> list[str]:
    """Makes sure of what the passes made: ONNX Runtime takes it, and outputs are as declared.

    Error: QaicKitError itself, since no input may lead there.
    """
    # What is declared would be believed.
    declared = shapes.clear_output_shapes(model, {})
    try:
        with weights_as_inputs(model, job.source.files):
            found = runtime.output_types(model, serialise(model))
    except InvalidArgumentError as error:
        raise QaicKitError(f"the passes made a graph that is not valid: {error}") from error
    finally:
        for info in model.graph.output:
            shapes.write_type(info, declared[info.name])
    for name, tensor in declared.items():
        is_found = found.get(name, tensor)
        if is_found.is_fixed and is_found != tensor:
            raise QaicKitError(f"output '{name}': declared {tensor}, is {is_found}")
    return []


def infer_outputs(model_bytes: bytes) -> dict[str, shapes.TensorType]:
    """Types of the outputs as onnx infers them; nothing when it cannot."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model_bytes, data_prop=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        return {}
    return {
        info.name: shapes.read_type(info, f"output '{info.name}'") for info in inferred.graph.output
    }
