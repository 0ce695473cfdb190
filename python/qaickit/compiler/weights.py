"""Weights of a model beside its graph: those left in their files, and the segment they go to.

A QPC keeps large weights in a segment of their own, from which a device maps them. Those that the
model keeps in files go there from the mapped file, without passing through protobuf.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from qaickit._files import error_from_os
from qaickit.compiler import shapes
from qaickit.compiler.graph import tensor_bytes
from qaickit.compiler.source import FilePart
from qaickit.errors import DataLossError

# Name and alignment: kWeightsSegment and kWeightAlignment of the C++ side.
SEGMENT = "qaickit.weights.bin"
_ALIGNMENT = 64
# Below this a graph keeps its weights inside, in one segment that any ONNX tool reads.
_WORTH_MODEL_BYTES = 1 << 20
_WORTH_BYTES = 1 << 10

Array = npt.NDArray[Any]


def take_weights(
    model: onnx.ModelProto, files: Mapping[str, FilePart], *, shared: bool = False
) -> list[Array]:
    """Takes large initializers out of `model`, which then refers to `SEGMENT`; returns their bytes.

    `files`: where those are that were never in it. `shared`: several graphs use them, so that small
    models too have them beside the graph, once. Each array is uint8 [bytes]; those of files are
    mapped. Errors: those of the file system; DataLossError for a tensor whose shape does not go
    with its data.
    """
    total = sum(map(tensor_bytes, model.graph.initializer))
    taken: list[Array] = []
    offset = 0
    for tensor in model.graph.initializer:
        part = files.get(tensor.name)
        stays = not _is_worth(tensor) or (total < _WORTH_MODEL_BYTES and not shared)
        if part is None and stays:
            continue
        data = _take(tensor) if part is None else map_weight(tensor, part)
        _refer(tensor, offset, len(data))
        taken.append(data)
        offset += (len(data) + _ALIGNMENT - 1) // _ALIGNMENT * _ALIGNMENT
    return taken


def _is_worth(tensor: onnx.TensorProto) -> bool:
    return (
        tensor.HasField("raw_data")
        and tensor.data_type in shapes.DTYPES
        and tensor_bytes(tensor) >= _WORTH_BYTES
    )


def _take(tensor: onnx.TensorProto) -> Array:
    data = np.frombuffer(tensor.raw_data, np.uint8)
    tensor.ClearField("raw_data")
    _check_size(tensor, len(data))
    return data


def map_weight(tensor: onnx.TensorProto, part: FilePart) -> Array:
    """The bytes of an initializer that is in a file, uint8 [bytes]; errors as `take_weights`."""
    _check_size(tensor, part.length)
    try:
        mapped = np.memmap(part.path, np.uint8, "r", part.offset, (part.length,))
    except (OSError, ValueError) as error:
        failure = error if isinstance(error, OSError) else OSError(None, str(error))
        doing = f"cannot map '{os.path.basename(part.path)}' with the data of '{tensor.name}'"
        raise error_from_os(failure, doing) from error
    return mapped


def _check_size(tensor: onnx.TensorProto, found: int) -> None:
    expected = tensor_bytes(tensor)
    if expected != found:
        raise DataLossError(
            f"initializer '{tensor.name}' has {found} bytes; its shape {list(tensor.dims)} takes "
            f"{expected}"
        )


def _refer(tensor: onnx.TensorProto, offset: int, length: int) -> None:
    tensor.data_location = onnx.TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in (("location", SEGMENT), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))
