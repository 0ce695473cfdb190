"""Passes about the precision to compute in.

The graph of the host half stays as it can run everywhere; what was asked for goes into the
manifest, and a graph in fp16 beside it (the pass "fp16 graph"). Each device takes what it can
compute in, and a session tells what that is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from qaickit._documents import parse_yaml, shown
from qaickit._files import read_file
from qaickit.compiler import graph
from qaickit.compiler.fp16 import FP16_MAX
from qaickit.compiler.job import Job
from qaickit.compiler.weight_files import WeightFiles
from qaickit.compiler.weights import pieces_of, values_of
from qaickit.errors import InvalidArgumentError

# Keys of a node precision file -> precision.
_FILE_KEYS: Mapping[str, str] = {"FP16NodeInstanceNames": "fp16", "FP32NodeInstanceNames": "fp32"}
# What `keep_original_precision_for_nodes` writes beside a node: not to be quantised.
ORIGINAL = "original"


def set_precision_policy(model: onnx.ModelProto, job: Job) -> list[str]:
    """`convert_to_fp16`: asks devices for fp16, and clips constants to what fp16 can hold.

    Without the clipping a mask of -3.4e38 would be minus infinity on a device that computes in
    fp16, and its softmax no number. The clipped graph gives the same answers on all devices.
    """
    if not job.options["convert_to_fp16"]:
        return []
    job.outcome.precision = "fp16"
    files = job.source.files
    clipped = sum(_clip_tensor(tensor) for tensor in graph.tensors_of(model))
    clipped += sum(_clip_stored(t, files) for t in model.graph.initializer if t.name in files)
    clipped += sum(_clip_numbers(node) for node in graph.nodes_of(model.graph))
    notes = ["asked for: fp16"]
    return [*notes, f"clipped to +-{FP16_MAX:g}: {clipped} constants"] if clipped else notes


def set_node_precision(model: onnx.ModelProto, job: Job) -> list[str]:
    """Writes the precision of single nodes, by first output, into `job.outcome.node_precision`.

    From `execute_nodes_in_fp16` and `keep_original_precision_for_nodes` (operators) and
    `node_precision_info_file` (nodes by first output; wins). Errors: InvalidArgumentError for a
    file of another form, or for one node in two precisions.
    """
    chosen: dict[str, str] = {}
    notes: list[str] = []
    for option, precision in (
        ("keep_original_precision_for_nodes", ORIGINAL),
        ("execute_nodes_in_fp16", "fp16"),
    ):
        operators = set(job.options[option] or ())
        names = [
            node.output[0]
            for node in model.graph.node
            if node.op_type in operators and node.output[0]
        ]
        chosen.update(dict.fromkeys(names, precision))
        absent = operators - {node.op_type for node in model.graph.node}
        notes += [f"{option}: no operator {name} in the model" for name in sorted(absent)]
    from_file, file_notes = _from_file(model, job)
    chosen.update(from_file)
    job.outcome.node_precision = dict(sorted(chosen.items()))
    counts = {kind: list(chosen.values()).count(kind) for kind in ("fp16", "fp32", ORIGINAL)}
    notes += [f"{count} nodes in {kind}" for kind, count in counts.items() if count]
    return notes + file_notes


def read_node_precision(path: str) -> dict[str, str]:
    """First output name -> "fp16" or "fp32", of the YAML file of `node_precision_info_file`.

    Errors: NotFoundError, PermissionDeniedError; InvalidArgumentError, saying which key is wrong.
    """
    where = f"the node precision file '{path}'"
    text = read_file(path, "the node precision file")
    try:
        content = parse_yaml(text)
    except ValueError as error:
        raise InvalidArgumentError(f"{where} is not valid YAML: {error}") from error
    if not isinstance(content, Mapping):
        raise InvalidArgumentError(
            f"{where}: expected a mapping with {' or '.join(_FILE_KEYS)}, got "
            f"{type(content).__name__}"
        )
    found: dict[str, str] = {}
    for key, names in content.items():
        precision = _FILE_KEYS.get(key)
        if precision is None:
            raise InvalidArgumentError(
                f"{where}: key {shown(key)} is not known; expected {' or '.join(_FILE_KEYS)}"
            )
        for name in _names(names, key, where):
            if found.setdefault(name, precision) != precision:
                raise InvalidArgumentError(f"{where}: '{name}' is listed in fp16 and in fp32")
    return found


def _from_file(model: onnx.ModelProto, job: Job) -> tuple[dict[str, str], list[str]]:
    path = job.options["node_precision_info_file"]
    if path is None:
        return {}, []
    present = {node.output[0] for node in model.graph.node if node.output}
    chosen: dict[str, str] = {}
    absent = []
    for name, precision in read_node_precision(path).items():
        heir = name if name in present else job.outcome.moved.get(name, "")
        if heir not in present:
            absent.append(name)
        elif chosen.setdefault(heir, precision) != precision:
            raise InvalidArgumentError(
                f"the node precision file '{path}' wants fp16 and fp32 of nodes that are one, "
                f"'{heir}'"
            )
    if not absent:
        return chosen, []
    shown = ", ".join(absent[:3]) + (" ..." if len(absent) > 3 else "")
    return chosen, [f"node_precision_info_file: {len(absent)} nodes not in the model: {shown}"]


def _names(value: Any, key: str, where: str) -> Iterable[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise InvalidArgumentError(f"{where}: {key} is not a list of names")
    return value


def _clip_tensor(tensor: onnx.TensorProto) -> bool:
    """True when a float32 tensor had values beyond fp16's range. NaN stays."""
    is_external = tensor.data_location == onnx.TensorProto.EXTERNAL
    if tensor.data_type != onnx.TensorProto.FLOAT or is_external:
        return False
    values = numpy_helper.to_array(tensor)
    if not values.size or not np.nanmax(np.abs(values), initial=0.0) > FP16_MAX:
        return False
    clipped = np.clip(values, -FP16_MAX, FP16_MAX).astype(np.float32)
    tensor.CopyFrom(numpy_helper.from_array(clipped, tensor.name))
    return True


def _clip_stored(tensor: onnx.TensorProto, files: WeightFiles) -> bool:
    """The same for one that is in a file; read in pieces, and written anew where it is clipped."""
    if tensor.data_type != onnx.TensorProto.FLOAT:
        return False
    values = values_of(tensor, files)
    if not any(np.nanmax(np.abs(p), initial=0.0) > FP16_MAX for p in pieces_of(values)):
        return False
    files.write(tensor.name, (np.clip(p, -FP16_MAX, FP16_MAX) for p in pieces_of(values)))
    return True


def _clip_numbers(node: onnx.NodeProto) -> int:
    """The same for a Constant that holds plain numbers."""
    if node.op_type != "Constant":
        return 0
    clipped = 0
    for attribute in node.attribute:
        if attribute.name == "value_float" and abs(attribute.f) > FP16_MAX:
            attribute.f = float(np.clip(attribute.f, -FP16_MAX, FP16_MAX))
            clipped += 1
        elif attribute.name == "value_floats":
            values = np.clip(attribute.floats, -FP16_MAX, FP16_MAX)
            clipped += int(list(values) != list(attribute.floats))
            attribute.floats[:] = [float(value) for value in values]
    return clipped
