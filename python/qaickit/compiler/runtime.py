"""What ONNX Runtime makes of a model: whether it takes it, and the types of its outputs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import onnx
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as state

from qaickit.compiler.graph import serialise
from qaickit.compiler.shapes import Dim, TensorType
from qaickit.compiler.weight_files import copy_part, temporary_directory
from qaickit.compiler.weights import refer
from qaickit.errors import InvalidArgumentError, ResourceExhaustedError, UnsupportedError

if TYPE_CHECKING:
    from qaickit.compiler.source import OnnxSource

# Errors come as exceptions, and would be told twice.
_FATAL_ONLY = 4
_EXTERNAL_DIRECTORY = "session.model_external_initializers_file_folder_path"
_GATHERED = "weights"
_ELEM_TYPES: Mapping[str, int] = {
    "tensor(float)": onnx.TensorProto.FLOAT,
    "tensor(float16)": onnx.TensorProto.FLOAT16,
    "tensor(bfloat16)": onnx.TensorProto.BFLOAT16,
    "tensor(double)": onnx.TensorProto.DOUBLE,
    "tensor(string)": onnx.TensorProto.STRING,
    "tensor(bool)": onnx.TensorProto.BOOL,
    **{
        f"tensor({sign}int{bits})": getattr(onnx.TensorProto, f"{sign.upper()}INT{bits}")
        for sign in ("", "u")
        for bits in (8, 16, 32, 64)
    },
}


def output_types(model: onnx.ModelProto, model_bytes: bytes) -> dict[str, TensorType]:
    """Types of the outputs as ONNX Runtime infers them, which also shows that it takes the model.

    Nothing when its CPU lacks a kernel: a card or another backend may still run the program.
    Errors: UnsupportedError (IR or opset version too new), InvalidArgumentError (invalid graph).
    """
    try:
        session = _load(model_bytes)
    except state.NotImplemented:
        return {}
    except Exception as error:  # ONNX Runtime has a dozen classes without a base of their own
        _refuse_versions(model)
        raise InvalidArgumentError(f"onnxruntime refuses the graph: {_one_line(error)}") from error
    return {
        output.name: TensorType(
            elem_type=_ELEM_TYPES.get(output.type, 0),
            dims=_dims(output.shape, output.name),
        )
        for output in session.get_outputs()
    }


def simplified(model_bytes: bytes) -> onnx.ModelProto | None:
    """The model after ONNX Runtime's basic optimisations; None when its CPU lacks a kernel.

    The model is known to be valid: `output_types` took it. Error: ResourceExhaustedError where the
    directory for temporary files is full.
    """
    with temporary_directory() as directory:
        options = _quiet_options()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = os.path.join(directory, "model.onnx")
        try:
            onnxruntime.InferenceSession(model_bytes, options, providers=["CPUExecutionProvider"])
        except state.NotImplemented:
            return None
        except state.InvalidProtobuf as error:
            raise ResourceExhaustedError(
                f"onnxruntime cannot write the simplified graph into '{directory}', whose disk may "
                f"be full; make room, or set TMPDIR to another place: {_one_line(error)}"
            ) from error
        return onnx.load(options.optimized_model_filepath)


def session_for(
    model: onnx.ModelProto, names: Sequence[str], source: OnnxSource, threads: int = 0
) -> onnxruntime.InferenceSession:
    """A session whose outputs are `names`, float32 where they are no outputs of `model`.

    Weights in `source.files` are mapped; where passes made some, all are copied first into a
    temporary directory, from which they are mapped. `threads`: 0 for ONNX Runtime's choice.

    Errors: those of the file system; UnsupportedError where ONNX Runtime cannot open the model.
    """
    options = _quiet_options(threads)
    disabled = []
    if source.files:
        # Kernels are not to copy weights into a form of their own, nor folding to write them out.
        options.add_session_config_entry("session.disable_prepacking", "1")
        disabled.append("ConstantFolding")
    with _with_outputs(model, names), _weights_in_one_place(model, source) as directory:
        options.add_session_config_entry(_EXTERNAL_DIRECTORY, directory)
        data = serialise(model)
        try:
            return onnxruntime.InferenceSession(
                data, options, providers=["CPUExecutionProvider"], disabled_optimizers=disabled
            )
        except Exception as error:  # as above
            raise UnsupportedError(
                "calibrating and comparing run the model on this machine, and onnxruntime cannot: "
                f"{_one_line(error)}"
            ) from error


def run(
    session: onnxruntime.InferenceSession, names: Sequence[str], feed: Mapping[str, Any], where: str
) -> list[Any]:
    """The tensors `names` for the sample `where`. Error: InvalidArgumentError where it fails."""
    if not names:
        return []
    try:
        return list(session.run(list(names), dict(feed)))
    except Exception as error:  # as above
        raise InvalidArgumentError(
            f"{where}: onnxruntime fails on it: {_one_line(error)}"
        ) from error


@contextmanager
def _with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> Iterator[None]:
    """Put in and taken out again: a copy of the model would be a copy of all weights."""
    outputs = {info.name: info for info in model.graph.output}
    before = list(outputs.values())
    wanted = [
        outputs.get(name) or onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in names
    ]
    del model.graph.output[:]
    model.graph.output.extend(wanted or before)
    try:
        yield
    finally:
        del model.graph.output[:]
        model.graph.output.extend(before)


@contextmanager
def _weights_in_one_place(model: onnx.ModelProto, source: OnnxSource) -> Iterator[str]:
    """The directory that external data lies in, which ONNX Runtime takes only one of."""
    files = source.files
    if not files.has_made:
        yield source.directory
        return
    stored = [tensor for tensor in model.graph.initializer if tensor.name in files]
    before = [list(tensor.external_data) for tensor in stored]
    with temporary_directory() as directory:
        path = os.path.join(directory, _GATHERED)
        try:
            for tensor in stored:
                part = files[tensor.name]
                refer(tensor, _GATHERED, copy_part(part, path), part.length)
            yield directory
        finally:
            for tensor, entries in zip(stored, before, strict=True):
                del tensor.external_data[:]
                tensor.external_data.extend(entries)


def newest_ir_version(found: int) -> int:
    """The newest IR version up to `found` that ONNX Runtime takes; `found` if none."""
    return _newest(found, lambda version: _probe(version, opset=8))


def newest_opset(found: int) -> int:
    """The same for the opset of ONNX's own operators."""
    return _newest(found, lambda version: _probe(ir_version=8, opset=version))


def default_opset(model: onnx.ModelProto) -> int:
    """The opset of ONNX's own operators."""
    own = (entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    return max(own, default=8)


def _dims(shape: list[Any], tensor: str) -> tuple[Dim, ...] | None:
    # ONNX Runtime's Python API says [] both for a scalar and when it knows nothing.
    if not shape:
        return None
    return tuple(
        dim if isinstance(dim, int) else str(dim or f"{tensor}:{axis}")
        for axis, dim in enumerate(shape)
    )


def _load(model_bytes: bytes) -> Any:
    options = _quiet_options()
    # The backend optimises for itself; here that would only cost time.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model_bytes, options, providers=["CPUExecutionProvider"])


def _quiet_options(threads: int = 1) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    options.intra_op_num_threads = threads
    return options


def _refuse_versions(model: onnx.ModelProto) -> None:
    """Error: UnsupportedError when it is the version of the model that ONNX Runtime cannot take."""
    where = f"onnxruntime {onnxruntime.__version__}"
    limit = newest_ir_version(model.ir_version)
    if limit != model.ir_version:
        raise UnsupportedError(
            f"its IR version is {model.ir_version}, {where} takes up to {limit}; save the model "
            f"again with model.ir_version = {limit}, or install a newer onnxruntime"
        )
    opset = default_opset(model)
    limit = newest_opset(opset)
    if limit != opset:
        raise UnsupportedError(
            f"its opset is {opset}, {where} takes up to {limit}; convert it with onnx."
            f"version_converter.convert_version(model, {limit}), or install a newer onnxruntime"
        )


def _newest(found: int, works: Any) -> int:
    """The newest version up to `found` that works; `found` itself when none does."""
    return next((version for version in range(found, 0, -1) if works(version)), found)


def _probe(ir_version: int, opset: int) -> bool:
    """True when ONNX Runtime takes a one-node model of these versions."""
    scalar = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [])
    result = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [])
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "probe", [scalar], [result])
    probe = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    probe.ir_version = ir_version
    try:
        _load(probe.SerializeToString())
    except Exception:  # the classes vary; any of them means no
        return False
    return True


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
