"""The passes from an ONNX model to a QPC, in order, each small and testable alone.

A pass changes the model in place and returns notes for the report. To add one, add a row to
`PASSES`.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import onnx

from qaickit._core import __version__, write_qpc
from qaickit._files import make_directory
from qaickit.compiler import runtime, shapes
from qaickit.compiler.report import CompileSettings, PassReport
from qaickit.compiler.source import MAX_MODEL_BYTES, OnnxSource
from qaickit.errors import DataLossError, QaicKitError, UnsupportedError

# The first IR version whose initializers need not be inputs too.
_FREE_INITIALIZERS_IR = 4
_QUANTISED_OPS = frozenset(
    {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul"}
)
_RANDOM_WEIGHTS_KEY = "qaickit.random_weights"


@dataclass(frozen=True, slots=True)
class Job:
    """One compilation: the model and what to make of it."""

    source: OnnxSource
    settings: CompileSettings


@dataclass(frozen=True, slots=True)
class Built:
    """What goes into a QPC."""

    program: dict[str, Any]
    manifest: dict[str, Any]
    model_bytes: bytes
    passes: tuple[PassReport, ...]


def build(job: Job) -> Built:
    """Runs all passes; see `qaickit.compiler.compile_onnx`. Every error names the model."""
    with _naming(job.source.path):
        model = job.source.model
        passes = tuple(_timed(name, change, model, job) for name, change in PASSES)
        return Built(
            program=describe_program(model, job),
            manifest=describe_compilation(model, job.settings),
            model_bytes=serialise(model),
            passes=passes,
        )


def package(built: Built, qpc_path: str) -> PassReport:
    """Writes the QPC and, if need be, its directory; on an error neither is left.

    Errors: those of the file system, naming the path.
    """
    started = time.perf_counter()
    directory = os.path.dirname(qpc_path) or "."
    was_there = os.path.isdir(directory)
    make_directory(directory, "the directory of the QPC")
    try:
        write_qpc(qpc_path, built.program, built.manifest, built.model_bytes, {})
    except QaicKitError:
        if not was_there:
            with contextlib.suppress(OSError):
                os.rmdir(directory)
        raise
    return PassReport("package", (qpc_path,), time.perf_counter() - started)


# --- passes --------------------------------------------------------------------------------------


def check_structure(model: onnx.ModelProto, _job: Job) -> list[str]:
    """Refuses what is no complete model. Error: DataLossError."""
    if not model.opset_import:
        raise DataLossError("damaged: it does not say which opset it uses")
    if not model.graph.output:
        raise DataLossError("damaged, or not a model for inference: it has no outputs")
    return [f"{len(model.graph.node)} nodes, {len(model.graph.initializer)} initializers"]


def drop_initializer_inputs(model: onnx.ModelProto, _job: Job) -> list[str]:
    """Weights that older exporters list as inputs stop being inputs."""
    weights = {tensor.name for tensor in model.graph.initializer}
    weights |= {tensor.values.name for tensor in model.graph.sparse_initializer}
    kept = [info for info in model.graph.input if info.name not in weights]
    dropped = len(model.graph.input) - len(kept)
    if not dropped:
        return []
    model.ir_version = max(model.ir_version, _FREE_INITIALIZERS_IR)
    del model.graph.input[:]
    model.graph.input.extend(kept)
    return [f"{dropped} weights are no longer inputs"]


def define_symbols(model: onnx.ModelProto, job: Job) -> list[str]:
    """Gives every input a fixed shape. Errors: see `shapes.define_symbols`."""
    notes = shapes.define_symbols(model, job.settings.define_symbols)
    # What exporters noted of shapes inside the graph may contradict the sizes just given.
    del model.graph.value_info[:]
    return notes


def fix_outputs(model: onnx.ModelProto, job: Job) -> list[str]:
    """Gives every output a fixed shape and type. Errors: see `shapes.fix_outputs`, `runtime`."""
    declared = shapes.clear_output_shapes(model, job.settings.define_symbols)
    bare = serialise(model)
    sources = [runtime.output_types(model, bare)]
    if not all(
        info.name in sources[0] and sources[0][info.name].is_fixed for info in model.graph.output
    ):
        sources.append(infer_outputs(bare))
    return shapes.fix_outputs(model, [*sources, declared])


def check_dtypes(model: onnx.ModelProto, _job: Job) -> list[str]:
    """Error: UnsupportedError for a type that a QPC cannot hold."""
    shapes.check_dtypes(model)
    return []


Pass = Callable[[onnx.ModelProto, Job], list[str]]
PASSES: tuple[tuple[str, Pass], ...] = (
    ("check structure", check_structure),
    ("drop initializer inputs", drop_initializer_inputs),
    ("define symbols", define_symbols),
    ("fix outputs", fix_outputs),
    ("check dtypes", check_dtypes),
)


# --- what the passes and the packaging need ------------------------------------------------------


def infer_outputs(model_bytes: bytes) -> dict[str, shapes.TensorType]:
    """Types of the outputs as onnx infers them; nothing when it cannot."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model_bytes, data_prop=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        return {}
    return {
        info.name: shapes.read_type(info, f"output '{info.name}'") for info in inferred.graph.output
    }


def describe_program(model: onnx.ModelProto, job: Job) -> dict[str, Any]:
    """The program as `qaickit._core.write_qpc` takes it."""
    inputs = [_tensor(info) for info in model.graph.input]
    outputs = [_tensor(info) for info in model.graph.output]
    return {
        "name": model.graph.name or job.source.stem,
        "num_cores": job.settings.num_cores,
        "batch_size": batch_size([tensor["dims"] for tensor in inputs + outputs]),
        "inputs": inputs,
        "outputs": outputs,
    }


def describe_compilation(model: onnx.ModelProto, settings: CompileSettings) -> dict[str, Any]:
    """The manifest as `qaickit._core.write_qpc` takes it."""
    return {
        "format_version": 1,
        "producer": f"qaickit {__version__}",
        "precision": settings.precision or graph_precision(model),
        "options": dict(settings.options),
        "random_weights": has_random_weights(model),
    }


def batch_size(all_dims: list[list[int]]) -> int:
    """The first dim that all tensors share, else 1."""
    first = {dims[0] if dims else None for dims in all_dims}
    return (first.pop() or 1) if len(first) == 1 else 1


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


def serialise(model: onnx.ModelProto) -> bytes:
    """The same bytes for the same model. Error: UnsupportedError over 2 GB."""
    try:
        data: bytes = model.SerializeToString(deterministic=True)
    except Exception as error:  # protobuf's, whose class depends on its implementation
        raise UnsupportedError(f"models over 2 GB cannot be compiled yet: {error}") from error
    if len(data) > MAX_MODEL_BYTES:
        raise UnsupportedError(f"it has {len(data)} bytes; models over 2 GB cannot be compiled yet")
    return data


def _tensor(info: onnx.ValueInfoProto) -> dict[str, Any]:
    tensor = shapes.read_type(info, info.name)
    return {
        "name": info.name,
        "dtype": shapes.DTYPES[tensor.elem_type],
        "dims": list(tensor.dims or ()),
        "scale": 1.0,
        "offset": 0,
    }


def _timed(name: str, change: Pass, model: onnx.ModelProto, job: Job) -> PassReport:
    started = time.perf_counter()
    notes = change(model, job)
    return PassReport(name, tuple(notes), time.perf_counter() - started)


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    """Puts the model's path before the message of our errors."""
    try:
        yield
    except QaicKitError as error:
        raise type(error)(f"'{path}': {error}") from error.__cause__
