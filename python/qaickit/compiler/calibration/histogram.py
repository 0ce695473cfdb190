"""Histograms of tensors whose range is not known beforehand, in one pass and bounded memory.

The bins of a histogram are `[i * 2**exponent, (i + 1) * 2**exponent)` for integers `i`. Zero is
always an edge and every width a power of two, so that a bin belongs to exactly one bin of a coarser
histogram: when the range grows, bins are merged and nothing is estimated. The result depends on the
values seen alone, not on their order nor on how they came in batches, and histograms of parts of
the data add up to the histogram of all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qaickit.errors import InvalidArgumentError

Array = npt.NDArray[np.generic]
Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# Multiplying by 2**120 stays within float32; anything smaller counts as zero's neighbour.
_MIN_EXPONENT = -120
# Values are binned in pieces that stay in the cache.
_PIECE = 1 << 16


@dataclass(frozen=True)
class Histogram:
    """Counts of the values of one tensor.

    `counts[j]` values lie in `[(first + j) * 2**exponent, (first + j + 1) * 2**exponent)`; the
    first and the last count are not 0. `low` and `high` are the least and greatest value seen.
    """

    counts: Counts
    first: int
    exponent: int
    low: float
    high: float

    @property
    def width(self) -> float:
        """Width of a bin."""
        return math.ldexp(1.0, self.exponent)

    @property
    def total(self) -> int:
        """Number of values."""
        return int(self.counts.sum())

    @property
    def edges(self) -> Floats:
        """Edges of the bins, float64 [bins + 1]."""
        edges: Floats = (self.first + np.arange(len(self.counts) + 1.0)) * np.float64(self.width)
        return edges

    @property
    def centres(self) -> Floats:
        """Middles of the bins, float64 [bins]."""
        centres: Floats = (self.first + np.arange(len(self.counts)) + 0.5) * np.float64(self.width)
        return centres

    def magnitudes(self) -> Counts:
        """Counts by |value|, int64 [bins]: entry i for `[i, i + 1)` times the width.

        Exact, since zero is an edge, but for values that lie on one: -1 counts with (-1, 0].
        """
        folded = np.zeros(max(self.first + len(self.counts), -self.first), np.int64)
        positive = self.counts[max(-self.first, 0) :]
        start = max(self.first, 0)
        folded[start : start + len(positive)] += positive
        if self.first < 0:
            # Bin -1 is the first below zero.
            negative = self.counts[: min(-self.first, len(self.counts))][::-1]
            start = -self.first - len(self.counts) if len(self.counts) < -self.first else 0
            folded[start : start + len(negative)] += negative
        return folded

    def coarser(self, exponent: int) -> Histogram:
        """The same with bins of width `2**exponent`, which is not less than now."""
        shift = exponent - self.exponent
        if shift == 0:
            return self
        bins = (self.first + np.arange(len(self.counts), dtype=np.int64)) >> min(shift, 62)
        first = int(bins[0])
        counts = np.zeros(int(bins[-1]) - first + 1, np.int64)
        np.add.at(counts, bins - first, self.counts)
        return Histogram(counts, first, exponent, self.low, self.high)

    def plus(self, other: Histogram, bins: int) -> Histogram:
        """The histogram of both lots of values, with `bins` as in `exponent_for`."""
        low, high = min(self.low, other.low), max(self.high, other.high)
        exponent = max(self.exponent, other.exponent, exponent_for(low, high, bins))
        parts = (self.coarser(exponent), other.coarser(exponent))
        first = min(part.first for part in parts)
        counts = np.zeros(max(part.first + len(part.counts) for part in parts) - first, np.int64)
        for part in parts:
            counts[part.first - first :][: len(part.counts)] += part.counts
        return Histogram(counts, first, exponent, low, high)


def exponent_for(low: float, high: float, bins: int) -> int:
    """The least exponent with which zero and `low..high` span at most `2 * bins` bins.

    Then they span at least `bins` of them. Zero counts because every quantised range holds it, so
    that finer bins would tell nothing.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        return _MIN_EXPONENT
    exponent = max(_MIN_EXPONENT, math.frexp((high - low) / (2 * bins))[1] - 1)
    while _bin(high, exponent) - _bin(low, exponent) >= 2 * bins:
        exponent += 1
    return exponent


def _bin(value: float, exponent: int) -> int:
    return math.floor(math.ldexp(value, -exponent))


def of_values(values: npt.NDArray[np.float32], bins: int) -> Histogram:
    """The histogram of float32 values of any shape, at least one; `bins` as in `exponent_for`.

    Error: InvalidArgumentError saying what is not finite.
    """
    flat = np.ascontiguousarray(values, np.float32).reshape(-1)
    low, high = float(flat.min()), float(flat.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InvalidArgumentError(_not_finite(flat))
    exponent = exponent_for(low, high, bins)
    scale = np.float32(math.ldexp(1.0, -exponent))
    first = _bin(low, exponent)
    size = _bin(high, exponent) - first + 1
    counts = np.zeros(size, np.int64)
    scaled = np.empty(min(_PIECE, flat.size), np.float32)
    for start in range(0, flat.size, _PIECE):
        piece = flat[start : start + _PIECE]
        # A power of two and small integers: every step is exact in float32, but for a negative
        # value so near zero that its product is none.
        out = np.floor(
            np.multiply(piece, scale, out=scaled[: piece.size]), out=scaled[: piece.size]
        )
        if low < 0:
            lost = (out == 0) & (piece < 0)
            if lost.any():
                out[lost] = -1
        out -= np.float32(first)
        counts += np.bincount(out.astype(np.intp), minlength=size)
    return Histogram(counts, first, exponent, low, high)


def _not_finite(flat: npt.NDArray[np.float32]) -> str:
    nans, infinite = int(np.isnan(flat).sum()), int(np.isinf(flat).sum())
    return f"{nans} NaN and {infinite} infinite of {flat.size} values"
