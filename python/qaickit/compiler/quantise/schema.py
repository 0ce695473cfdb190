"""Schemata: which integers stand for which values, and how a host computes with them.

A schema is what the card is told. The integers of this module are the host's: ONNX Runtime has its
fast kernels for uint8 activations with int8 weights, and adding 128 to an int8 and to its zero
point changes nothing of what it stands for. So an int8 activation `q` is the uint8 `q + 128`, and a
uint8 weight `q` the int8 `q - 128`, exactly.

Weights keep all 8 bits. On machines without VNNI instructions ONNX Runtime's kernels for uint8 by
int8 could saturate at 16 bits; the `cpu` backend asks for its exact kernels there, rather than that
every machine loses a bit of weight.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qaickit.compiler.calibration import methods
from qaickit.compiler.calibration.methods import Grid

ASYMMETRIC = "asymmetric"
SYMMETRIC = "symmetric"
SYMMETRIC_WITH_UINT8 = "symmetric_with_uint8"
POWER2 = "symmetric_with_power2_scale"

_INT8_MAX = 127
_UINT8_MAX = 255
_ZERO_OF_INT8 = 128
# Scales outside would leave float32's normal numbers when two of them are multiplied.
_LEAST_SCALE = 2.0**-60
# Values of a constant that are quantised at a time.
_PIECE = 1 << 20

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ActivationScale:
    """How a tensor is held: `value = scale * (q - zero)` for q in 0..255. `scale` is a float32."""

    scale: float
    zero: int

    @property
    def low(self) -> float:
        """The least value that it holds."""
        return -self.zero * self.scale

    @property
    def high(self) -> float:
        """The greatest value that it holds."""
        return (_UINT8_MAX - self.zero) * self.scale

    def quantise(self, value: float) -> int:
        """The integer for a value, rounded half to even and clipped to 0..255."""
        scaled = value / self.scale
        if math.isinf(scaled):
            return _UINT8_MAX if scaled > 0 else 0
        return int(min(max(np.rint(scaled) + self.zero, 0), _UINT8_MAX))


@dataclass(frozen=True)
class QuantisedConstant:
    """Int8 `values` of a constant; `value = scales * (q - zero)`, scales along `axis` or one."""

    values: npt.NDArray[np.int8]
    scales: Floats
    zero: int
    axis: int | None

    def dequantised(self) -> npt.NDArray[np.float64]:
        """What the integers stand for, float64 of the constant's shape."""
        scales = _along(self.scales, self.axis, self.values.ndim)
        real: npt.NDArray[np.float64] = (self.values.astype(np.float64) - self.zero) * scales
        return real

    def noise(self, values: npt.NDArray[np.float32]) -> tuple[float, float]:
        """Sums of squares of `values`, which this was made of, and of what it is off by."""
        signal = noise = 0.0
        scales = _along(self.scales, self.axis, self.values.ndim)
        for rows in _rows_of(values):
            real = values[rows].astype(np.float64)
            held = (self.values[rows].astype(np.float64) - self.zero) * _part(scales, rows)
            signal += float((real**2).sum())
            noise += float(((held - real) ** 2).sum())
        return signal, noise


def grid_of(schema: str, low: float) -> Grid:
    """The grid that a schema gives an activation whose least value is `low`."""
    if schema == ASYMMETRIC or (schema == SYMMETRIC_WITH_UINT8 and low >= 0):
        return methods.UNSIGNED
    return methods.SIGNED


def activation_scale(schema: str, grid: Grid, low: float, high: float) -> ActivationScale:
    """The scale for a range with zero inside.

    - unsigned grid: `scale = (high - low) / 255`, `zero = round(-low / scale)`;
    - signed grid: `scale = max(-low, high) / 127`, zero at int8's 0, which is 128 here;
    - symmetric_with_power2_scale: the same with the scale raised to a power of two.

    -128 is left to values beyond the range.
    """
    if not grid.symmetric:
        scale = _float32((high - low) / _UINT8_MAX)
        return ActivationScale(scale, min(max(round(-low / scale), 0), _UINT8_MAX))
    scale = _float32(max(-low, high) / _INT8_MAX)
    if schema == POWER2:
        scale = 2.0 ** math.ceil(math.log2(scale))
    return ActivationScale(scale, _ZERO_OF_INT8)


def quantise_constant(
    values: npt.NDArray[np.float32],
    schema: str,
    axis: int | None,
    least: npt.NDArray[np.float64] | float = 0.0,
) -> QuantisedConstant:
    """Int8 for a constant over its whole range, one scale for all or one for each index of `axis`.

    - symmetric: `scale = max |w| / 127`, zero 0;
    - symmetric_with_uint8: without negative values `scale = max / 255`, uint8's 0 being -128 here;
      else symmetric;
    - asymmetric: `scale = (max - min) / 255`, the zero where it falls. Along an axis kernels take
      one zero for all, so there it is symmetric.

    Where all values along an index of the axis are 0, it has the scale of the whole constant, which
    a bias can be expressed with too. No scale is below `least`, of which there is one for each.
    """
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    by_axis = axis is not None
    whole, zero = _constant_scale(schema, low, high, float(np.max(least)), by_axis=by_axis)
    scales = np.array(whole, np.float32)
    if axis is not None:
        others = tuple(a for a in range(values.ndim) if a != axis)
        reach = np.maximum(np.abs(values.min(axis=others)), np.abs(values.max(axis=others)))
        steps = _INT8_MAX if zero == 0 else _UINT8_MAX
        ideal = np.maximum(reach.astype(np.float64) / steps, _LEAST_SCALE)
        ideal[reach == 0] = _constant_scale(schema, low, high, 0.0, by_axis=True)[0]
        scales = np.maximum(ideal, least).astype(np.float32)
    wide = _along(scales, axis, values.ndim)
    # -128 is used where zero is not in the middle; elsewhere it cannot occur but by rounding.
    least = -_INT8_MAX if zero == 0 and schema != ASYMMETRIC else -_INT8_MAX - 1
    integers = np.empty(values.shape, np.int8)
    for rows in _rows_of(values):
        scaled = np.rint(values[rows] / _part(wide, rows)) + zero
        integers[rows] = np.clip(scaled, least, _INT8_MAX)
    return QuantisedConstant(integers, scales, zero, axis)


def as_operand(values: npt.NDArray[np.float32], scale: ActivationScale) -> npt.NDArray[np.uint8]:
    """The integers of a constant that is held as an activation is."""
    integers = np.empty(values.shape, np.uint8)
    for rows in _rows_of(values):
        scaled = np.rint(values[rows].astype(np.float64) / scale.scale) + scale.zero
        integers[rows] = np.clip(scaled, 0, _UINT8_MAX)
    return integers


def _along(scales: Floats, axis: int | None, rank: int) -> npt.NDArray[np.float64]:
    """Scales in float64 of a shape that goes with a constant of that rank."""
    shape = [1] * rank if axis is None else [-1 if a == axis else 1 for a in range(rank)]
    return scales.astype(np.float64).reshape(shape)


def _rows_of(values: npt.NDArray[Any]) -> Iterator[Any]:
    """Indices of the first axis in pieces, so that float64 of a piece is all that memory holds."""
    if not values.ndim:
        yield ...
        return
    step = max(1, _PIECE // max(1, math.prod(values.shape[1:])))
    yield from (slice(start, start + step) for start in range(0, len(values), step))


def _part(scales: npt.NDArray[np.float64], rows: Any) -> npt.NDArray[np.float64]:
    return scales[rows] if scales.ndim and len(scales) > 1 else scales


def _constant_scale(
    schema: str, low: float, high: float, least: float, *, by_axis: bool
) -> tuple[float, int]:
    """The scale of a constant, not below `least`, and its zero."""

    def scale(reach: float) -> float:
        return float(np.float32(max(_float32(reach), least)))

    if schema == SYMMETRIC_WITH_UINT8 and low == 0.0 and high > 0.0:
        return scale(high / _UINT8_MAX), -_ZERO_OF_INT8
    if schema == ASYMMETRIC and not by_axis:
        found = scale((high - low) / _UINT8_MAX)
        return found, round(-_ZERO_OF_INT8 - low / found)
    return scale(max(-low, high) / _INT8_MAX), 0


def _float32(scale: float) -> float:
    """The scale as float32 holds it; 1 for a range of nothing but zero."""
    return float(np.float32(max(scale, _LEAST_SCALE))) if scale > 0 else 1.0
