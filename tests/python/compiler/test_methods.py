"""Calibration methods against brute force, onnxruntime and known distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnxruntime.quantization.calibrate import HistogramCollector

from qaickit.compiler.calibration import histogram, methods
from qaickit.compiler.calibration.histogram import Histogram
from qaickit.compiler.calibration.methods import SIGNED, UNSIGNED, Grid

GRIDS = (SIGNED, UNSIGNED)
ALL_METHODS = ("None", "KLMinimization", "KLMinimizationV2", "Percentile", "MSE", "SQNR")


def sample(kind: str, seed: int, size: int = 5000) -> np.ndarray:
    """Values as layers have them: both signs, none negative, heavy tails, a few outliers."""
    random = np.random.default_rng(seed)
    values = {
        "normal": lambda: random.standard_normal(size),
        "relu": lambda: np.maximum(random.standard_normal(size), 0),
        "heavy": lambda: random.standard_t(2.5, size),
        "outliers": lambda: np.append(random.uniform(-1, 1, size), [9.0, -7.0]),
        "one side": lambda: -random.exponential(1.0, size),
        "shifted": lambda: random.standard_normal(size) + 3,
    }[kind]()
    return values.astype(np.float32)


KINDS = ("normal", "relu", "heavy", "outliers", "one side", "shifted")


def made(kind: str, seed: int = 0, bins: int = 512) -> Histogram:
    return histogram.of_values(sample(kind, seed), bins)


def plain_error(h: Histogram, grid: Grid, low: float, high: float, weight: float) -> float:
    """The definition of the noise of `mse` and `sqnr`, value by value."""
    step = (high - low) / grid.steps
    least = round(low / step)
    total = 0.0
    for value, count in zip(h.centres, h.counts, strict=True):
        value = min(max(value, h.low), h.high)
        level = min(max(round(value / step), least), least + grid.steps)
        outside = value < low or value > high
        total += count * (level * step - value) ** 2 * (weight if outside else 1.0)
    return total


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(("name", "weight"), [("MSE", 1.0), ("SQNR", 3.0)])
def test_mse_and_sqnr_are_what_brute_force_finds(
    kind: str, grid: Grid, name: str, weight: float
) -> None:
    h = made(kind, bins=40)
    found = methods.METHODS[name](h, grid)
    ranges = methods.candidates(h, grid)
    errors = [plain_error(h, grid, low, high, weight) for low, high in ranges]
    # Sums in another order differ in the last digits, so among equals any may win.
    assert errors[ranges.index(found)] <= min(errors) * (1 + 1e-9)
    assert found in [
        r for r, e in zip(ranges, errors, strict=True) if e <= min(errors) * (1 + 1e-9)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_candidates_are_all_edges_or_all_steps(kind: str) -> None:
    h = made(kind, bins=40)
    signed = methods.candidates(h, SIGNED)
    reach = max(abs(h.low), abs(h.high))
    assert [high for _, high in signed[1:]] == [
        edge * h.width for edge in range(math.ceil(reach / h.width) - 1, 0, -1)
    ]
    assert signed[0] == (-reach, reach)
    assert all(low == -high for low, high in signed)
    for low, high in methods.candidates(h, UNSIGNED):
        assert min(h.low, 0) <= low <= 0 <= high <= max(h.high, 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("bins", [128, 512])
def test_kl_agrees_with_onnxruntime_within_a_bin(kind: str, seed: int, bins: int) -> None:
    h = made(kind, seed, bins)
    half = max(h.first + len(h.counts), -h.first)
    counts = np.zeros(2 * half, np.int64)
    counts[half + h.first :][: len(h.counts)] = h.counts
    edges = ((np.arange(2 * half + 1) - half) * h.width).astype(np.float32)
    collector = HistogramCollector("entropy", True, bins, 128, 99.9, "same")
    ends = (np.float32(edges[0]), np.float32(edges[-1]))
    theirs = collector.get_entropy_threshold((counts, edges, *ends), 128)
    low, high = methods.kl_minimization(h, UNSIGNED)
    # Ours does not reach beyond the values, nor to a side where there are none.
    assert abs(low - max(float(theirs[0]), min(h.low, 0.0))) <= h.width * 1.001
    assert abs(high - min(float(theirs[1]), max(h.high, 0.0))) <= h.width * 1.001


def test_percentile_is_exact_on_a_uniform_distribution() -> None:
    # 1024 bins of 100 values each, from -8 to 8.
    h = Histogram(np.full(1024, 100, np.int64), -512, -6, -8.0, 8.0)
    for value in (90.0, 95.0, 99.0, 99.9, 99.998):
        part = value / 100
        assert methods.percentile(h, SIGNED, value) == pytest.approx((-8 * part, 8 * part))
        assert methods.percentile(h, UNSIGNED, value) == pytest.approx((-8 * part, 8 * part))
    positive = Histogram(np.full(512, 10, np.int64), 0, -6, 0.0, 8.0)
    assert methods.percentile(positive, UNSIGNED, 99.0) == pytest.approx((0.0, 7.92))
    negative = Histogram(np.full(512, 10, np.int64), -512, -6, -8.0, 0.0)
    assert methods.percentile(negative, UNSIGNED, 99.0) == pytest.approx((-7.92, 0.0))


def test_percentile_is_exact_on_a_discrete_distribution() -> None:
    # 990 values in bin 1, 9 in bin 100, 1 in bin 500.
    counts = np.zeros(501, np.int64)
    counts[[0, 1, 100, 500]] = [0, 990, 9, 1]
    h = Histogram(counts[1:], 1, 0, 1.5, 500.5)
    assert methods.percentile(h, UNSIGNED, 99.0) == (0.0, pytest.approx(2.0))
    assert methods.percentile(h, UNSIGNED, 99.9) == (0.0, pytest.approx(101.0))
    assert methods.percentile(h, UNSIGNED, 99.45) == (0.0, pytest.approx(100.5))
    assert methods.percentile(h, UNSIGNED, 100.0) == (0.0, 500.5)


@given(seed=st.integers(0, 10**6), kind=st.sampled_from(KINDS), value=st.floats(90, 100))
@settings(max_examples=40, deadline=None)
def test_percentile_against_numpy(seed: int, kind: str, value: float) -> None:
    values = sample(kind, seed, 2000)
    h = histogram.of_values(values, 512)
    low, high = methods.percentile(h, SIGNED, value)
    # The value that so many are below of, up to the bin it lies in.
    true = np.quantile(np.abs(values), value / 100, method="inverted_cdf")
    assert low == -high
    assert abs(high - true) <= h.width * 1.001


@pytest.mark.parametrize("name", ALL_METHODS)
@given(
    seed=st.integers(0, 10**6), kind=st.sampled_from(KINDS), scale=st.sampled_from([1e-12, 1, 1e12])
)
@settings(max_examples=10, deadline=None)
def test_ranges_hold_zero_and_stay_within_the_values(
    name: str, seed: int, kind: str, scale: float
) -> None:
    h = histogram.of_values(sample(kind, seed, 300) * np.float32(scale), 128)
    method = methods.choose_method(name, 99.0)
    reach = max(abs(h.low), abs(h.high))
    for grid in GRIDS:
        low, high = method(h, grid)
        assert -reach <= low <= 0 <= high <= reach
        assert high > low
        if not grid.symmetric:
            assert min(h.low, 0) <= low
            assert high <= max(h.high, 0)


@pytest.mark.parametrize("name", ALL_METHODS)
@pytest.mark.parametrize("value", [0.0, 5.0, -1e-30])
def test_constant_tensors(name: str, value: float) -> None:
    h = histogram.of_values(np.full(10, value, np.float32), 64)
    for grid in GRIDS:
        low, high = methods.choose_method(name, 99.9)(h, grid)
        assert math.isfinite(low)
        assert low <= 0 <= high
        assert max(-low, high) == pytest.approx(abs(value), rel=0.05)


def test_methods_clip_outliers_and_minmax_does_not() -> None:
    h = made("outliers")
    assert methods.min_max(h, UNSIGNED) == (-7.0, 9.0)
    for name in ("Percentile", "MSE", "KLMinimization"):
        _, high = methods.choose_method(name, 99.9)(h, SIGNED)
        assert high < 9.0
