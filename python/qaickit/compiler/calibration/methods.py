"""Calibration methods: which range of a tensor's values the integers shall cover.

Each method is a pure function of a histogram and of the grid of integers that the range will be
given. A range that is narrower than the values seen clips some of them and rounds the others finer.

What the card's compiler computes under these names is not public. Each docstring gives the formula
used here and its source.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from qaickit.compiler.calibration.histogram import Counts, Floats, Histogram

# Levels of the quantised distribution in KLMinimization; onnxruntime's and TensorRT's choice.
KL_LEVELS = 128
# Probability put where a distribution has none, so that its logarithm exists.
_SMOOTHING = 1e-4
# How much worse a clipped value is than one rounded by as much, in SQNR.
SQNR_CLIPPING_WEIGHT = 3.0
# Candidates for a range with two free ends.
_SHRINK_STEPS = 512
# Cells of the table of candidates by bins that is held at once.
_TABLE_CELLS = 1 << 20


@dataclass(frozen=True)
class Grid:
    """The integers that a range is mapped to.

    `symmetric`: the range is `-t..t`, else `low..high` with 0 inside. `steps`: how many steps the
    whole range has: 254 for -127..127, 255 for 0..255.
    """

    symmetric: bool
    steps: int


SIGNED = Grid(symmetric=True, steps=254)
UNSIGNED = Grid(symmetric=False, steps=255)

Range = tuple[float, float]
Method = Callable[[Histogram, Grid], Range]


def with_zero(low: float, high: float) -> Range:
    """The range extended to hold zero, which every quantised tensor represents exactly."""
    return min(low, 0.0), max(high, 0.0)


def min_max(histogram: Histogram, grid: Grid) -> Range:
    """All values: `low..high`, or `-t..t` with t the greatest magnitude. Clips nothing."""
    low, high = with_zero(histogram.low, histogram.high)
    return _symmetric(max(-low, high)) if grid.symmetric else (low, high)


def percentile(histogram: Histogram, grid: Grid, value: float) -> Range:
    """The range that holds `value` percent of the values.

    A symmetric range clips the greatest magnitudes; any other clips half of the rest at each end,
    or all of it at the one end that values lie on. Inside a bin values count as spread evenly, so
    a quantile is found by linear interpolation of the cumulated counts (Hyndman and Fan, "Sample
    quantiles in statistical packages", 1996, type 4, on the binned sample). 100 is `min_max`.
    """
    low, high = min_max(histogram, grid)
    width = histogram.width
    if grid.symmetric:
        return _symmetric(min(_quantile(histogram.magnitudes(), value) * width, high))
    kept = value if low == 0.0 or high == 0.0 else 50 + value / 2
    counts, first = histogram.counts, histogram.first
    if high > 0:
        high = min(max((first + _quantile(counts, kept)) * width, 0.0), high)
    if low < 0:
        mirrored = _quantile(counts[::-1], kept) - first - len(counts)
        low = max(min(-mirrored * width, 0.0), low)
    return low, high


def kl_minimization(histogram: Histogram, grid: Grid) -> Range:
    """The range whose distribution loses least information when given 128 levels.

    Formula: Migacz, "8-bit inference with TensorRT" (GTC 2017), in onnxruntime's form (its entropy
    calibrator): on a histogram with as many bins on both sides of zero, for each half width of i
    bins, P is the middle `2i + 1` bins with the outliers added to its end bins, Q the same bins
    without them merged into 128 levels and spread again over the bins that P has values in; the i
    with the least KL divergence D(P || Q), both smoothed, is taken. The range is cut to the values
    seen.
    """
    counts = _both_sides(histogram)
    half, least = len(counts) // 2, KL_LEVELS // 2
    if half < least:
        return min_max(histogram, grid)
    best, best_divergence = half, math.inf
    below = np.concatenate([[0], np.cumsum(counts)])
    for i in range(least, half + 1):
        start, end = half - i, min(half + i + 1, len(counts))
        middle = counts[start:end]
        reference = middle.copy()
        reference[0] += below[start]
        reference[-1] += below[-1] - below[end]
        divergence = _divergence(reference, _merged(middle, reference != 0, KL_LEVELS))
        if divergence < best_divergence:
            best, best_divergence = i, divergence
    return _cut(histogram, grid, best * histogram.width)


def kl_minimization_v2(histogram: Histogram, grid: Grid) -> Range:
    """The range whose distribution changes least by really quantising it.

    The card's second version is not public. This one mends what is known of the first: it counts
    magnitudes, so that a tensor without negative values does not give half of the levels away; it
    uses the levels that the tensor will have; Q is made from the clipped distribution, so that
    clipping itself counts; and the first bin counts as the second does, since zero is held exactly
    by every range and the many zeros behind a Relu would else decide (as NVIDIA's
    pytorch-quantization does). For each threshold t of i bins, Q spreads what falls to each level
    evenly over its bins with values; values beyond t fall to the last level. The i with the least
    D(P || Q) over all bins of the histogram is taken, both smoothed.
    """
    counts = histogram.magnitudes()
    levels = max(grid.steps // 2, 1) if _two_sided(histogram, grid) else grid.steps
    if len(counts) <= levels:
        return min_max(histogram, grid)
    counts[0] = counts[1]
    best, best_divergence = len(counts), math.inf
    used = counts != 0
    for i in range(levels, len(counts) + 1):
        level = np.minimum(np.arange(len(counts)) * levels // i, levels - 1)
        mass = np.bincount(level, counts, levels)
        room = np.bincount(level, used, levels)
        spread = (mass / np.maximum(room, 1))[level] * used
        # Clipped values land on the last bin inside, none is left outside.
        clipped = spread.copy()
        clipped[i:] = 0
        clipped[i - 1] += spread[i:].sum()
        divergence = _divergence(counts, clipped)
        if divergence < best_divergence:
            best, best_divergence = i, divergence
    return _cut(histogram, grid, best * histogram.width)


def mse(histogram: Histogram, grid: Grid) -> Range:
    """The range with the least mean squared error of quantising the bins' middles.

    For a candidate range with step s the error of a value x is `x - s * round(clip(x) / s)`; the
    candidates are those of `candidates`, the widest of equally good ones wins.
    """
    return _least_error(histogram, grid, clipping_weight=1.0)


def sqnr(histogram: Histogram, grid: Grid) -> Range:
    """The range with the greatest signal to quantisation noise ratio, clipping weighed threefold.

    Ratio: `sum(x**2) / (rounding + 3 * clipping)`, with the squared error of values inside the
    range as rounding and of those outside as clipping. Unweighted it would be `mse`, the signal
    being the same for all candidates. The weight is the default of AIMET's SQNR encoding analyser,
    by the maker of the card (https://quic.github.io/aimet-pages, `gamma`); whether the card's
    compiler has the same is not public.
    """
    return _least_error(histogram, grid, clipping_weight=SQNR_CLIPPING_WEIGHT)


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "None": min_max,
        "KLMinimization": kl_minimization,
        "KLMinimizationV2": kl_minimization_v2,
        "MSE": mse,
        "SQNR": sqnr,
    }
)


def choose_method(name: str, percentile_value: float) -> Method:
    """The method of that name of the option table; `percentile_value` is Percentile's, in %."""
    if name == "Percentile":
        return lambda histogram, grid: percentile(histogram, grid, percentile_value)
    return METHODS[name]


def candidates(histogram: Histogram, grid: Grid) -> list[Range]:
    """The ranges that `mse` and `sqnr` choose from, widest first.

    With one free end: the edge of every bin, and the greatest value itself. With two: `min_max`
    shrunk towards zero at both ends by the same factor, in 512 steps.
    """
    full_low, full_high = min_max(histogram, grid)
    if grid.symmetric or full_low == 0.0 or full_high == 0.0:
        reach = max(-full_low, full_high)
        bins = math.ceil(reach / histogram.width)
        ends = [reach, *(i * histogram.width for i in range(bins - 1, 0, -1))]
        return [(-end if full_low < 0 else 0.0, end if full_high > 0 else 0.0) for end in ends]
    return [
        (full_low * i / _SHRINK_STEPS, full_high * i / _SHRINK_STEPS)
        for i in range(_SHRINK_STEPS, 0, -1)
    ]


def noise(
    histogram: Histogram, grid: Grid, lows: Floats, highs: Floats, clipping_weight: float
) -> Floats:
    """Sum of squared errors for each range, float64 [ranges]; see `mse` and `sqnr`."""
    values, counts = _support(histogram)
    step = (highs - lows) / grid.steps
    scaled = values[None, :] / step[:, None]
    first = np.rint(lows / step)[:, None]
    rounded = np.clip(np.rint(scaled), first, first + grid.steps)
    error = (rounded * step[:, None] - values[None, :]) ** 2
    outside = (values[None, :] < lows[:, None]) | (values[None, :] > highs[:, None])
    error[outside] *= clipping_weight
    total: Floats = error @ counts.astype(np.float64)
    return total


def _least_error(histogram: Histogram, grid: Grid, clipping_weight: float) -> Range:
    if histogram.low == histogram.high == 0.0:
        return 0.0, 0.0
    ranges = candidates(histogram, grid)
    lows, highs = (np.array(ends) for ends in zip(*ranges, strict=True))
    rows = max(1, _TABLE_CELLS // len(histogram.counts))
    errors = np.concatenate(
        [
            noise(histogram, grid, lows[i : i + rows], highs[i : i + rows], clipping_weight)
            for i in range(0, len(ranges), rows)
        ]
    )
    return ranges[int(np.argmin(errors))]


def _support(histogram: Histogram) -> tuple[Floats, Counts]:
    """Middles and counts of the bins that are not empty; no middle lies beyond the values seen."""
    used = histogram.counts != 0
    values = np.clip(histogram.centres[used], histogram.low, histogram.high)
    return values, histogram.counts[used]


def _symmetric(reach: float) -> Range:
    return -reach, reach


def _two_sided(histogram: Histogram, grid: Grid) -> bool:
    return grid.symmetric or (histogram.low < 0 < histogram.high)


def _cut(histogram: Histogram, grid: Grid, reach: float) -> Range:
    """`-reach..reach`, as far as there are values."""
    low, high = min_max(histogram, grid)
    return max(low, -reach), min(high, reach)


def _quantile(counts: Counts, percent: float) -> float:
    """How many bins from the left hold `percent` of the counts; evenly spread inside a bin."""
    cumulated = np.cumsum(counts)
    # A hair less: 99.9 has no exact binary form, and the next value may be many bins away.
    target = percent * float(cumulated[-1]) / 100 * (1 - 1e-12)
    last = int(np.searchsorted(cumulated, target))
    return last + 1 - float(cumulated[last] - target) / float(counts[last])


def _both_sides(histogram: Histogram) -> Counts:
    """Counts of an even number of bins with zero at the edge in their middle."""
    half = max(histogram.first + len(histogram.counts), -histogram.first)
    counts = np.zeros(2 * half, np.int64)
    counts[half + histogram.first :][: len(histogram.counts)] = histogram.counts
    return counts


def _merged(counts: Counts, used: npt.NDArray[np.bool_], levels: int) -> Counts:
    """Counts merged into `levels` of equal width and spread over the used bins of each.

    As in onnxruntime: levels are whole bins wide, results are rounded down, and the bins beyond the
    last level, whose counts the last level has, stay empty.
    """
    width = len(counts) // levels
    covered = width * levels
    mass = counts[:covered].reshape(levels, width).sum(axis=1)
    mass[-1] += counts[covered:].sum()
    room = used[:covered].reshape(levels, width).sum(axis=1)
    spread = np.where(room > 0, mass // np.maximum(room, 1), 0)
    result = np.zeros_like(counts)
    result[:covered] = np.repeat(spread, width)
    return result


def _divergence(reference: npt.NDArray[Any], candidate: npt.NDArray[Any]) -> float:
    """D(reference || candidate) of two counts, both smoothed and normalised; inf for no counts."""
    if not reference.any() or not candidate.any():
        return math.inf
    p, q = _smooth(reference), _smooth(candidate)
    p, q = p / p.sum(), q / q.sum()
    return float((p * np.log(p / q)).sum())


def _smooth(counts: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Counts with a trace in empty bins, taken from the others alike (float32, as onnxruntime)."""
    empty = counts == 0
    given = _SMOOTHING * empty.sum() / (~empty).sum()
    return counts.astype(np.float32) + np.where(empty, _SMOOTHING, -given).astype(np.float32)
