"""What quantising costs, layer by layer, told from the profile and the weights alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qaickit.compiler.calibration.histogram import Histogram
from qaickit.compiler.calibration.profile import FixedRange
from qaickit.compiler.quantise.emit import Weights
from qaickit.compiler.quantise.plan import Step
from qaickit.compiler.quantise.schema import ActivationScale


@dataclass(frozen=True)
class Layer:
    """One node in integers.

    `node`: its first output; `result`: the tensor it gives once clamps are folded in. `low`,
    `high`, `scale`, `zero`: how the result is held, in the host's uint8; None where it stays in
    floating point. `clipped`: share of the calibration values beyond the range.
    `result_sqnr`, `weights_sqnr`: signal to quantisation noise in dB; None where there is no noise
    at all, or nothing to tell it from. That of the result is an estimate from the histogram's bins,
    and holds for this tensor alone: noise of layers before is not in it.
    """

    node: str
    operator: str
    result: str
    low: float | None
    high: float | None
    scale: float | None
    zero: int | None
    clipped: float | None
    result_sqnr: float | None
    weights_sqnr: float | None


def describe_layers(
    steps: Sequence[Step],
    scales: Mapping[str, ActivationScale],
    profile: Mapping[str, Histogram | FixedRange],
    weights: Mapping[str, Weights],
) -> tuple[Layer, ...]:
    """The numbers of all steps, in the graph's order."""
    return tuple(_layer(step, scales, profile, weights) for step in steps)


def _layer(
    step: Step,
    scales: Mapping[str, ActivationScale],
    profile: Mapping[str, Histogram | FixedRange],
    weights: Mapping[str, Weights],
) -> Layer:
    name = step.node.output[0]
    scale = scales.get(step.result) if step.quantised else None
    seen = profile.get(step.result)
    clipped = noise = None
    if scale is not None and isinstance(seen, Histogram):
        clipped, noise = _result_numbers(seen, scale)
    return Layer(
        node=name,
        operator=step.node.op_type,
        result=step.result,
        low=None if scale is None else scale.low,
        high=None if scale is None else scale.high,
        scale=None if scale is None else scale.scale,
        zero=None if scale is None else scale.zero,
        clipped=clipped,
        result_sqnr=noise,
        weights_sqnr=_decibels(weights[name].signal, weights[name].noise)
        if name in weights
        else None,
    )


def _result_numbers(seen: Histogram, scale: ActivationScale) -> tuple[float, float | None]:
    values = np.clip(seen.centres, seen.low, seen.high)
    held = (np.clip(np.rint(values / scale.scale) + scale.zero, 0, 255) - scale.zero) * scale.scale
    outside = (values < scale.low - scale.scale / 2) | (values > scale.high + scale.scale / 2)
    counts = seen.counts.astype(np.float64)
    return (
        float(counts[outside].sum() / counts.sum()),
        _decibels(float(counts @ values**2), float(counts @ (held - values) ** 2)),
    )


def _decibels(signal: float, noise: float) -> float | None:
    return 10 * math.log10(signal / noise) if signal > 0 and noise > 0 else None
