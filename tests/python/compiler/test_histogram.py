"""Histograms: exact, independent of order and batches, mergeable."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qaickit.compiler.calibration import histogram
from qaickit.compiler.calibration.histogram import Histogram
from qaickit.errors import InvalidArgumentError

FINITE = st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False)
VALUES = hnp.arrays(np.float32, st.integers(1, 200), elements=FINITE)
BINS = st.sampled_from([1, 2, 16, 512])


def same(one: Histogram, other: Histogram) -> bool:
    return (
        np.array_equal(one.counts, other.counts)
        and (one.first, one.exponent) == (other.first, other.exponent)
        and (one.low, one.high) == (other.low, other.high)
    )


@given(values=VALUES, bins=BINS)
def test_counts_are_those_of_a_plain_loop(values: np.ndarray, bins: int) -> None:
    found = histogram.of_values(values, bins)
    plain: dict[int, int] = {}
    for value in values.tolist():
        index = int(np.floor(value / found.width))
        plain[index] = plain.get(index, 0) + 1
    used = {found.first + i: int(n) for i, n in enumerate(found.counts) if n}
    assert used == plain
    assert (found.low, found.high) == (values.min(), values.max())
    assert found.counts[0] > 0 < found.counts[-1]


@given(values=VALUES, bins=BINS)
def test_number_of_bins(values: np.ndarray, bins: int) -> None:
    found = histogram.of_values(values, bins)
    low, high = min(found.low, 0.0), max(found.high, 0.0)
    span = np.floor(high / found.width) - np.floor(low / found.width) + 1
    assert span <= 2 * bins
    if high - low > 1e-30:
        assert (high - low) / found.width >= bins - 1


@given(values=VALUES, bins=BINS, seed=st.integers(0, 99), parts=st.integers(1, 5))
def test_batches_and_order_do_not_matter(
    values: np.ndarray, bins: int, seed: int, parts: int
) -> None:
    whole = histogram.of_values(values, bins)
    shuffled = np.random.default_rng(seed).permutation(values)
    pieces = [p for p in np.array_split(shuffled, parts) if p.size]
    merged = histogram.of_values(pieces[0], bins)
    for piece in pieces[1:]:
        merged = merged.plus(histogram.of_values(piece, bins), bins)
    assert same(merged, whole)


@given(values=VALUES, bins=BINS)
def test_magnitudes(values: np.ndarray, bins: int) -> None:
    # On an edge |value| and the value are counted on different sides; stay off it.
    found = histogram.of_values(values, bins)
    inside = values[np.floor(values / found.width) != values / found.width]
    if not inside.size:
        return
    found = histogram.of_values(inside, bins)
    off_edge = inside[np.floor(inside / found.width) != inside / found.width]
    if off_edge.size != inside.size:
        return
    plain = np.bincount(np.floor(np.abs(inside) / found.width).astype(int))
    folded = found.magnitudes()
    assert np.array_equal(np.trim_zeros(folded, "b"), np.trim_zeros(plain, "b"))


def test_all_zero_then_small_then_large() -> None:
    bins = 512
    parts = [np.zeros(5), np.full(3, 1e-20), np.array([-3.0, 7.0])]
    found = histogram.of_values(parts[0].astype(np.float32), bins)
    for part in parts[1:]:
        found = found.plus(histogram.of_values(part.astype(np.float32), bins), bins)
    assert found.total == 10
    assert found.width == 2.0**-6
    assert int(found.counts[-found.first]) == 8  # zeros and the tiny ones share the first bin


@pytest.mark.parametrize(
    ("bad", "text"), [(np.nan, "1 NaN and 0 infinite of 3"), (-np.inf, "0 NaN and 1 infinite of 3")]
)
def test_not_finite(bad: float, text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=text):
        histogram.of_values(np.array([1, bad, 2], np.float32), 8)
