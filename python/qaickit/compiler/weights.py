"""Weights of a model beside its graph: those left in their files, and the segment they go to.

A QPC keeps large weights in a segment of their own, from which a device maps them. Those that the
model keeps in files go there from the mapped file, without passing through protobuf.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from qaickit._files import error_from_os
from qaickit.compiler import shapes
from qaickit.compiler.graph import tensor_bytes
from qaickit.compiler.weight_files import FilePart
from qaickit.errors import DataLossError

# Name and alignment: kWeightsSegment and kWeightAlignment of the C++ side.
SEGMENT = "qaickit.weights.bin"
_ALIGNMENT = 64
# Below this a graph keeps its weights inside, in one segment that any ONNX tool reads.
_WORTH_MODEL_BYTES = 1 << 20
_WORTH_BYTES = 1 << 10
# Values that are worked on at a time.
_PIECE = 1 << 20

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
        refer(tensor, SEGMENT, offset, len(data))
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


def values_of(tensor: onnx.TensorProto, files: Mapping[str, FilePart]) -> Array:
    """The values of an initializer in its dims, mapped where it is in a file.

    Errors as `take_weights`.
    """
    part = files.get(tensor.name)
    if part is None:
        return numpy_helper.to_array(tensor)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return map_weight(tensor, part).view(dtype).reshape(tuple(tensor.dims))


def pieces_of(values: Array) -> Iterator[Array]:
    """The rows of an array in pieces of a few MB, of which each may be worked on in memory."""
    if not values.ndim:
        yield values
        return
    rows = max(1, _PIECE // max(1, math.prod(values.shape[1:])))
    yield from (values[start : start + rows] for start in range(0, len(values), rows))


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


def refer(tensor: onnx.TensorProto, location: str, offset: int, length: int) -> None:
    """Makes an initializer say that its data is `length` bytes at `offset` of a file."""
    tensor.data_location = onnx.TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))
