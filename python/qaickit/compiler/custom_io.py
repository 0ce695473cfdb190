"""The file of `custom_io_list_file`: what the buffers of inputs and outputs are to look like.

A YAML list with an item for each input or output to change:

    - IOName: image        # required
      Layout: NHWC         # NCHW or NHWC, where the rank is four; the model's own is NCHW
      Precision: uint8     # float, float16, int8 or uint8
      Scale: 0.018         # for int8 and uint8: value = Scale * (integer - Offset)
      Offset: 114

Keys, layouts and precisions are those of the vendor's custom I/O configuration (Cloud AI SDK,
"Custom I/O"); uint8 is ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from qaickit._documents import parse_yaml, shown
from qaickit._files import read_file
from qaickit._text import did_you_mean
from qaickit.errors import InvalidArgumentError, UnsupportedError

LAYOUTS = ("NCHW", "NHWC")
# What the file says -> dtype.
PRECISIONS: Mapping[str, str] = MappingProxyType(
    {"float": "float32", "float16": "float16", "int8": "int8", "uint8": "uint8"}
)
# Of newer cards; there is no such buffer on a host.
_CARD_ONLY = ("bfloat16", "mxint8", "mxfp6")
_INTEGERS = ("int8", "uint8")
_KEYS = ("IOName", "Layout", "Precision", "Scale", "Offset")
# Axes of a transposition from NHWC, and to it.
TO_NCHW = (0, 3, 1, 2)
TO_NHWC = (0, 2, 3, 1)

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class CustomTensor:
    """One item of the file. `layout` and `dtype` are empty where the model's own is to stay."""

    name: str
    layout: str = ""
    dtype: str = ""
    scale: float = 1.0
    offset: int = 0

    @property
    def is_integer(self) -> bool:
        """True when the buffer holds integers that stand for scaled values."""
        return self.dtype in _INTEGERS

    def to_buffer(self, values: Array) -> Array:
        """What the buffer holds for `values`, of the model's layout and type.

        Integers are rounded half to even and saturated, as by ONNX's QuantizeLinear.
        """
        if self.layout == "NHWC":
            values = values.transpose(TO_NHWC)
        if self.is_integer:
            limits = np.iinfo(self.dtype)
            steps = np.rint(values.astype(np.float32) / np.float32(self.scale)) + self.offset
            values = np.clip(steps, limits.min, limits.max)
        return np.ascontiguousarray(values, self.dtype or None)

    def from_buffer(self, buffer: Array, dtype: npt.DTypeLike) -> Array:
        """What a buffer stands for, in the model's layout and of its `dtype`."""
        if self.is_integer:
            buffer = np.float32(self.scale) * (buffer.astype(np.float32) - self.offset)
        if self.layout == "NHWC":
            buffer = buffer.transpose(TO_NCHW)
        return np.ascontiguousarray(buffer, dtype)


def read_custom_io(path: str) -> list[CustomTensor]:
    """All items of the file. Whether the model has such tensors is not known here.

    Errors: NotFoundError, PermissionDeniedError; InvalidArgumentError naming the item and the key;
    UnsupportedError for a precision that only a card has.
    """
    where = f"the custom IO file '{path}'"
    data = read_file(path, "the custom IO file")
    try:
        items = parse_yaml(data)
    except ValueError as error:
        raise InvalidArgumentError(f"{where} is not valid YAML: {error}") from error
    if not isinstance(items, list):
        raise InvalidArgumentError(
            f"{where}: expected a list of items with IOName, got {type(items).__name__}"
        )
    found = [_read_item(item, f"{where}, item {index}") for index, item in enumerate(items, 1)]
    names = [tensor.name for tensor in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidArgumentError(f"{where}: '{twice[0]}' has more than one item")
    return found


def template(tensors: Iterable[tuple[str, int, str]]) -> str:
    """A file that changes nothing, to be edited: (name, rank, dtype) of each input and output."""
    items = []
    for name, rank, dtype in tensors:
        item: dict[str, Any] = {"IOName": name}
        if rank == 4:
            item["Layout"] = LAYOUTS[0]
        precision = next((key for key, value in PRECISIONS.items() if value == dtype), None)
        if precision and dtype not in _INTEGERS:
            item.update(Precision=precision, Scale=1.0, Offset=0)
        items.append(item)
    return str(yaml.safe_dump(items, sort_keys=False))


def _text(key: object) -> str:
    return key if isinstance(key, str) else shown(key)


def _read_item(item: Any, where: str) -> CustomTensor:
    if not isinstance(item, Mapping):
        raise InvalidArgumentError(f"{where}: expected keys and values, got {shown(item)}")
    for key in item:
        if key not in _KEYS:
            raise InvalidArgumentError(
                f"{where}: unknown key {shown(key)}{did_you_mean(_text(key), _KEYS)}"
            )
    name = item.get("IOName")
    if not isinstance(name, str) or not name:
        raise InvalidArgumentError(f"{where}: IOName is {shown(name)}, expected a name")
    where = f"{where} ('{name}')"
    dtype = _read_precision(item.get("Precision"), where)
    return CustomTensor(
        name=name,
        layout=_read_layout(item.get("Layout"), where),
        dtype=dtype,
        scale=_read_scale(item.get("Scale"), dtype, where),
        offset=_read_offset(item.get("Offset"), dtype, where),
    )


def _read_layout(value: Any, where: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or value not in LAYOUTS:
        raise InvalidArgumentError(
            f"{where}: Layout is {shown(value)}, expected one of {', '.join(LAYOUTS)}"
        )
    return value


def _read_precision(value: Any, where: str) -> str:
    if value is None:
        return ""
    known = value if isinstance(value, str) else ""
    if known in _CARD_ONLY:
        raise UnsupportedError(
            f"{where}: Precision {value} is only known to cards; use one of {', '.join(PRECISIONS)}"
        )
    if known not in PRECISIONS:
        raise InvalidArgumentError(
            f"{where}: Precision is {shown(value)}, expected one of {', '.join(PRECISIONS)}"
        )
    return PRECISIONS[known]


def _read_scale(value: Any, dtype: str, where: str) -> float:
    if value is None:
        if dtype in _INTEGERS:
            raise InvalidArgumentError(f"{where}: Precision {dtype} needs a Scale and an Offset")
        return 1.0
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    # What the descriptor holds is a float32; a greater int would not even be a float.
    fits = is_number and abs(value) <= float(np.finfo(np.float32).max)
    scale = float(np.float32(value)) if fits else math.nan
    if not (math.isfinite(scale) and scale > 0):
        raise InvalidArgumentError(f"{where}: Scale is {shown(value)}, expected a number above 0")
    return scale


def _read_offset(value: Any, dtype: str, where: str) -> int:
    if value is None:
        value = 0
    limits = np.iinfo(dtype if dtype in _INTEGERS else "int32")
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    if not is_integer or not limits.min <= value <= limits.max:
        raise InvalidArgumentError(
            f"{where}: Offset is {shown(value)}, expected an integer from {limits.min} to "
            f"{limits.max}"
        )
    return int(value)
