"""Quantising: from a profile and the options to a graph that computes with integers.

`plan`: which nodes. `schema`: which integers. `emit`: the graph. `layers`: what it costs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import onnx

from qaickit.compiler.calibration.histogram import Histogram
from qaickit.compiler.calibration.methods import Grid, Method, Range, with_zero
from qaickit.compiler.calibration.profile import FixedRange
from qaickit.compiler.quantise import emit, schema
from qaickit.compiler.quantise.emit import Rules
from qaickit.compiler.quantise.layers import Layer, describe_layers
from qaickit.compiler.quantise.plan import Graph, Plan, make_plan
from qaickit.compiler.quantise.schema import ActivationScale
from qaickit.compiler.weight_files import WeightFiles

__all__ = ["Layer", "Quantised", "Rules", "Settings", "plan_for", "quantise"]

Tensors = Mapping[str, Histogram | FixedRange]
Keep = Callable[[onnx.NodeProto], bool]


@dataclass(frozen=True)
class Settings:
    """What the options say about quantising."""

    activations: str
    method: Method
    rules: Rules


@dataclass(frozen=True)
class Quantised:
    """What was done: numbers by layer, and notes for the report."""

    layers: tuple[Layer, ...]
    notes: tuple[str, ...]


def plan_for(model: onnx.ModelProto, keep: Keep) -> Plan:
    """Which nodes of `model` to compute with integers; those that `keep` is true for stay."""
    return make_plan(Graph.of(model), keep)


def quantise(
    model: onnx.ModelProto,
    profile: Tensors,
    settings: Settings,
    keep: Keep,
    files: WeightFiles | None = None,
) -> Quantised:
    """Changes `model`, whose shapes are fixed and whose opset is 13 or later, in place.

    `files`: where initializers are that are not in the model; what is made of those goes there too.
    Nodes of whose tensors the profile says nothing stay as they are.
    """
    files = WeightFiles() if files is None else files
    graph = Graph.of(model)
    plan, unknown = _plan_within(graph, keep, profile)
    scales = {
        name: _scale(profile[name], settings.activations, settings.method) for name in plan.tensors
    }
    before = Counter(node.op_type for node in model.graph.node)
    emitted = emit.emit(graph, plan, scales, settings.rules, files)
    layers = describe_layers(plan.steps, emitted.scales, profile, emitted.weights)
    notes = [*_counted(plan, before, unknown), *_exactness(settings, emitted.scales)]
    return Quantised(layers, (*notes, *emitted.notes))


def _plan_within(graph: Graph, keep: Keep, profile: Tensors) -> tuple[Plan, dict[str, None]]:
    """The plan without nodes that need a tensor that is not in the profile, and those tensors."""
    left: set[str] = set()
    unknown: dict[str, None] = {}

    def stays(node: onnx.NodeProto) -> bool:
        return keep(node) or node.output[0] in left

    while True:
        plan = make_plan(graph, stays)
        missing = [name for name in plan.tensors if name not in profile]
        if not missing:
            return plan, unknown
        unknown.update(dict.fromkeys(missing))
        left.update(
            node.output[0]
            for step in plan.steps
            if not {*step.data, step.result}.isdisjoint(missing)
            for node in (step.node, *step.clamps)
        )


def _scale(seen: Histogram | FixedRange, activations: str, method: Method) -> ActivationScale:
    grid = schema.grid_of(activations, seen.low)
    low, high = _range(seen, grid, method)
    return schema.activation_scale(activations, grid, low, high)


def _range(seen: Histogram | FixedRange, grid: Grid, method: Method) -> Range:
    if isinstance(seen, Histogram):
        return method(seen, grid)
    return with_zero(seen.low, seen.high)


def _counted(plan: Plan, before: Mapping[str, int], unknown: Collection[str]) -> list[str]:
    done = Counter(node.op_type for step in plan.steps for node in (step.node, *step.clamps))
    rest = {op: count - done[op] for op, count in sorted(before.items()) if count > done[op]}
    notes = [f"in integers: {_listed(done)}"]
    if rest:
        notes.append(f"left in floating point: {_listed(rest)}")
    if plan.kept:
        notes.append(f"of these by option: {_listed(plan.kept)}")
    if unknown:
        shown = ", ".join(list(unknown)[:3]) + (" ..." if len(unknown) > 3 else "")
        notes.append(f"not in the profile, so left in floating point: {len(unknown)}: {shown}")
    return notes


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {op}" for op, count in sorted(counts.items())) or "nothing"


def _exactness(settings: Settings, scales: Mapping[str, ActivationScale]) -> list[str]:
    """Where what a host computes with is not, integer for integer, what the card is told."""
    notes = []
    signed = sum(scale.zero == 128 for scale in scales.values())
    if settings.activations != schema.ASYMMETRIC and signed:
        notes.append(f"{signed} int8 activations as uint8 with 128 added: exact")
    if settings.rules.bias == "Int8":
        notes.append(
            "int8 biases as int32 on the scale of their sums: off by up to half a step of that"
        )
    return notes
