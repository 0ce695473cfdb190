"""Writes a plan into the graph, as QuantizeLinear and DequantizeLinear around the nodes (QDQ).

QDQ rather than the operators with integers in their name: every runtime understands it, and ONNX
Runtime makes the same kernels of it when it opens the model.

Written here and not by onnxruntime.quantization, which knows neither the card's schemata nor an
int8 bias, folds no clamp into a scale whose zero is in the middle, and whose results change from
version to version.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from qaickit.compiler.graph import captured_names, names_of
from qaickit.compiler.quantise import schema
from qaickit.compiler.quantise.plan import Graph, Plan, Role, Step
from qaickit.compiler.quantise.schema import ActivationScale
from qaickit.compiler.weight_files import WeightFiles
from qaickit.compiler.weights import values_of
from qaickit.errors import InvalidArgumentError

_INT32_MAX = 2**31 - 1
# What a bias may take of int32, so that the products that it is added to have room.
_BIAS_MAX = 2**30
_UINT8_MAX = 255


@dataclass(frozen=True)
class Rules:
    """How constants are quantised: the options of the group, as far as they are about them."""

    constants: str = schema.SYMMETRIC_WITH_UINT8
    bias: str = "Int32"
    channelwise: bool = False
    rowwise: bool = False


@dataclass(frozen=True)
class Weights:
    """What became of the constant that a node has as weights.

    `name`: of what the integers stand for; `scales`: float32, one, or one for each channel;
    `signal`, `noise`: sums of squares of the values, and of what the integers are off by.
    """

    name: str
    scales: npt.NDArray[np.float32]
    signal: float
    noise: float


@dataclass
class Emitted:
    """What was written.

    `weights`: by the node's first output; `scales`: of all tensors in integers, those that passing
    nodes keep among them; `notes`: what was not exact, in words.
    """

    scales: dict[str, ActivationScale] = field(default_factory=dict)
    weights: dict[str, Weights] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def emit(
    graph: Graph,
    plan: Plan,
    scales: Mapping[str, ActivationScale],
    rules: Rules,
    files: WeightFiles,
) -> Emitted:
    """Changes the graph's model in place. `scales`: for each of `plan.tensors`.

    `files`: where constants are that are not in the model, and where their integers go.
    """
    return _Emitter(graph, plan, scales, rules, files).run()


class _Emitter:
    def __init__(
        self,
        graph: Graph,
        plan: Plan,
        scales: Mapping[str, ActivationScale],
        rules: Rules,
        files: WeightFiles,
    ) -> None:
        self._graph = graph
        self._plan = plan
        self._rules = rules
        self._files = files
        self._weights_made: dict[tuple[str, int | None, bytes], Weights] = {}
        self._emitted = Emitted(scales=dict(scales))
        self._scales = self._emitted.scales
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []
        self._made: dict[tuple[str, str], str] = {}
        self._taken = names_of(graph.model.graph)

    def run(self) -> Emitted:
        steps = {step.node.output[0]: step for step in self._plan.steps}
        folded = {clamp.output[0] for step in self._plan.steps for clamp in step.clamps}
        for node in self._graph.model.graph.node:
            name = node.output[0] if node.output else ""
            if name in steps:
                self._emit_step(steps[name])
            elif name not in folded:
                self._nodes.append(node)
        self._write()
        return self._emitted

    def _emit_step(self, step: Step) -> None:
        node = onnx.NodeProto()
        node.CopyFrom(step.node)
        if step.role is Role.PASSING:
            same = self._scales[step.data[0]]
            self._scales.update(dict.fromkeys(step.results, same))
        weights = _weights_input(step)
        for index, name in enumerate(step.node.input):
            if name in step.data:
                signed = node.op_type == "MatMul" and index == 1
                node.input[index] = self._dequantised(name, signed=signed)
            elif weights is not None and index == 1:
                node.input[1] = self._weights(step, name)
            elif weights is None and self._is_float_constant(name) and step.role is Role.FOLLOWER:
                node.input[index] = self._operand(name)
        if weights is not None and len(node.input) > 2 and node.input[2]:
            node.input[2] = self._bias(step, node.input[2])
        results = step.results if step.quantised else ()
        for index, result in enumerate(results):
            # Whoever takes the result by its name is to see what the integers stand for.
            node.output[index] = self._fresh(f"{result}.float")
        self._nodes.append(node)
        for produced, result in zip(node.output, results, strict=False):
            self._requantise(step, produced, result)

    def _requantise(self, step: Step, produced: str, result: str) -> None:
        """A result of a step as integers, and from them under its own name."""
        scale = self._scales[result]
        current = self._quantise(produced, result, scale, signed=False)
        low, high = self._limits(step, scale)
        if (low, high) != (0, _UINT8_MAX):
            limits = [
                self._constant(f"{result}.{side}", np.array(value, np.uint8))
                for side, value in (("least", low), ("greatest", high))
            ]
            clipped = self._fresh(f"{result}.clipped")
            self._add("Clip", [current, *limits], clipped)
            current = clipped
        self._made[result, "uint8"] = result
        self._add("DequantizeLinear", [current, *self._scale_names(scale, False)], result)

    def _limits(self, step: Step, scale: ActivationScale) -> tuple[int, int]:
        """What folded clamps leave of 0..255. Rounding is monotone, so this is exact."""
        low, high = 0, _UINT8_MAX
        for clamp in step.clamps:
            least, greatest = self._clamp_range(clamp)
            low, high = max(low, scale.quantise(least)), min(high, scale.quantise(greatest))
        return low, high

    def _clamp_range(self, clamp: onnx.NodeProto) -> tuple[float, float]:
        if clamp.op_type == "Relu":
            return 0.0, float("inf")
        ends = [float("-inf"), float("inf")]
        for index, name in enumerate(clamp.input[1:3]):
            if name:
                ends[index] = float(self._values(name).reshape(()))
        return ends[0], ends[1]

    def _dequantised(self, name: str, *, signed: bool) -> str:
        """The name of what the integers of a tensor stand for, for a node that takes integers.

        `signed`: as int8, which is what the right side of a product has its fast kernels for.
        """
        key = (name, "int8" if signed else "uint8")
        if key not in self._made:
            scale = self._scales[name]
            stem = f"{name}.{key[1]}"
            current = self._quantise(name, stem, scale, signed=signed)
            self._made[key] = self._fresh(f"{stem}.real")
            self._add(
                "DequantizeLinear", [current, *self._scale_names(scale, signed)], self._made[key]
            )
        return self._made[key]

    def _quantise(self, source: str, stem: str, scale: ActivationScale, *, signed: bool) -> str:
        quantised = self._fresh(f"{stem}.q")
        self._add("QuantizeLinear", [source, *self._scale_names(scale, signed)], quantised)
        return quantised

    def _scale_names(self, scale: ActivationScale, signed: bool) -> list[str]:
        zero = np.array(scale.zero - 128, np.int8) if signed else np.array(scale.zero, np.uint8)
        return [
            self._shared(f"scale.{scale.scale.hex()}", np.array(scale.scale, np.float32)),
            self._shared(f"zero.{zero.dtype}.{zero}", zero),
        ]

    # --- constants

    def _weights(self, step: Step, name: str) -> str:
        axis = self._axis(step.node, len(self._graph.constants[name].dims))
        made = self._weights_of(name, axis, np.zeros(1))
        least = self._least_scales(step, axis)
        if np.any(made.scales < least):
            self._emitted.notes.append(
                f"{name}: of wider scale than its values ask for, or the bias "
                f"'{step.node.input[2]}' would not fit into int32"
            )
            made = self._weights_of(name, axis, least)
        self._emitted.weights[step.node.output[0]] = made
        return made.name

    def _least_scales(self, step: Step, axis: int | None) -> npt.NDArray[np.float64]:
        """What the weights' scales have to be at least for the bias to fit into int32.

        Weights that are so small beside the bias add nothing to it that a result in 8 bits tells.
        """
        name = step.node.input[2] if len(step.node.input) > 2 else ""
        if not name:
            return np.zeros(1)
        reach = np.abs(self._finite(name).astype(np.float64).reshape(-1))
        least = reach / (self._scales[step.data[0]].scale * _BIAS_MAX)
        limited: npt.NDArray[np.float64] = np.minimum(least, np.finfo(np.float32).max)
        return limited if axis is not None else np.array([limited.max(initial=0.0)])

    def _weights_of(self, name: str, axis: int | None, least: npt.NDArray[np.float64]) -> Weights:
        key = (name, axis, least.tobytes() if least.any() else b"")
        if key not in self._weights_made:
            self._weights_made[key] = self._quantised_weights(name, axis, least)
        return self._weights_made[key]

    def _quantised_weights(
        self, name: str, axis: int | None, least: npt.NDArray[np.float64]
    ) -> Weights:
        if axis is not None and self._rules.constants == schema.ASYMMETRIC:
            self._emitted.notes.append(
                f"{name}: symmetric by channel, since kernels have one zero for all channels"
            )
        real = self._finite(name)
        quantised = schema.quantise_constant(real, self._rules.constants, axis, least)
        signal, noise = quantised.noise(real)
        zeros = np.full(quantised.scales.shape, quantised.zero, np.int8)
        stored = name in self._files
        made = self._integers(name, quantised.values, quantised.scales, zeros, axis, stored=stored)
        return Weights(made, quantised.scales, signal, noise)

    def _axis(self, node: onnx.NodeProto, rank: int) -> int | None:
        """The axis of output channels where each is to have a scale of its own."""
        if node.op_type == "Conv":
            return 0 if self._rules.channelwise else None
        if not self._rules.rowwise:
            return None
        if node.op_type == "Gemm":
            return 0 if _attribute(node, "transB", 0) else 1
        # The kernel takes scales by column of one matrix, not of a stack of them.
        return 1 if rank == 2 else None

    def _bias(self, step: Step, name: str) -> str:
        """An int32 bias on the scale of the products that it is added to.

        An Int8 bias is rounded to int8 first. Its own scale is no multiple of the products', so
        the int32 that stands for it is off by up to half a step of theirs.
        """
        real = self._finite(name).astype(np.float64).reshape(-1)
        if self._rules.bias == "Int8":
            rounded = schema.quantise_constant(real.astype(np.float32), schema.SYMMETRIC, None)
            real = rounded.dequantised()
        weights = self._emitted.weights[step.node.output[0]]
        scales = np.float32(self._scales[step.data[0]].scale) * weights.scales.astype(np.float32)
        integers = np.rint(real / scales.astype(np.float64))
        if np.abs(integers).max(initial=0) > _INT32_MAX:
            self._emitted.notes.append(
                f"{name}: greater than int32 holds beside weights so small; clipped"
            )
        values = np.clip(integers, -_INT32_MAX, _INT32_MAX).astype(np.int32)
        stem = f"{name}.{step.node.output[0]}"
        axis = 0 if scales.ndim else None
        return self._integers(stem, values, scales, np.zeros(scales.shape, np.int32), axis)

    def _operand(self, name: str) -> str:
        """A constant that an addition or the like takes as if it were an activation."""
        key = (name, "operand")
        if key not in self._made:
            real = self._finite(name)
            low, high = min(float(real.min()), 0.0), max(float(real.max()), 0.0)
            grid = schema.grid_of(self._rules.constants, float(real.min()))
            scale = schema.activation_scale(self._rules.constants, grid, low, high)
            self._made[key] = self._integers(
                f"{name}.operand",
                schema.as_operand(real, scale),
                np.array(scale.scale, np.float32),
                np.array(scale.zero, np.uint8),
                None,
                stored=name in self._files,
            )
        return self._made[key]

    def _integers(
        self,
        stem: str,
        values: npt.NDArray[np.generic],
        scales: npt.NDArray[np.float32],
        zeros: npt.NDArray[np.generic],
        axis: int | None,
        *,
        stored: bool = False,
    ) -> str:
        """Adds a constant of integers and its DequantizeLinear; returns the name of the reals.

        `stored`: the integers go to the files, as what they were made of was in files.
        """
        inputs = [
            self._stored(f"{stem}.q", values) if stored else self._constant(f"{stem}.q", values),
            self._constant(f"{stem}.scale", scales),
            self._constant(f"{stem}.zero", zeros),
        ]
        real = self._fresh(f"{stem}.real")
        self._add("DequantizeLinear", inputs, real, **({} if axis is None else {"axis": axis}))
        return real

    # --- the graph

    def _values(self, name: str) -> npt.NDArray[np.float32]:
        return values_of(self._graph.constants[name], self._files)

    def _finite(self, name: str) -> npt.NDArray[np.float32]:
        """The values of a constant that becomes integers. Error: InvalidArgumentError."""
        values = self._values(name)
        # The least and the greatest tell of NaN too, and need no array as large as the weights.
        if not (np.isfinite(values.min()) and np.isfinite(values.max())):
            raise InvalidArgumentError(
                f"initializer '{name}': expected finite values, got NaN or infinite ones, which no "
                "integer stands for; mend the model, or name the operator in "
                "keep_original_precision_for_nodes"
            )
        return values

    def _is_float_constant(self, name: str) -> bool:
        tensor = self._graph.constants.get(name)
        return tensor is not None and tensor.data_type == onnx.TensorProto.FLOAT

    def _shared(self, stem: str, values: npt.NDArray[np.generic]) -> str:
        key = (stem, "shared")
        if key not in self._made:
            self._made[key] = self._constant(f"quantise.{stem}", values)
        return self._made[key]

    def _constant(self, stem: str, values: npt.NDArray[np.generic]) -> str:
        name = self._fresh(stem)
        self._initializers.append(numpy_helper.from_array(values, name))
        return name

    def _stored(self, stem: str, values: npt.NDArray[np.generic]) -> str:
        name = self._fresh(stem)
        self._files.write(name, [values])
        kind = helper.np_dtype_to_tensor_dtype(values.dtype)
        tensor = onnx.TensorProto(name=name, data_type=kind, dims=values.shape)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        self._initializers.append(tensor)
        return name

    def _fresh(self, stem: str) -> str:
        name, number = stem, 1
        while name in self._taken:
            number += 1
            name = f"{stem}.{number}"
        self._taken.add(name)
        return name

    def _add(self, op: str, inputs: list[str], output: str, **attributes: Any) -> None:
        name = self._fresh(f"{output}.{op}")
        self._nodes.append(helper.make_node(op, inputs, [output], name=name, **attributes))

    def _write(self) -> None:
        graph = self._graph.model.graph
        del graph.node[:]
        graph.node.extend(self._nodes)
        used = {name for node in graph.node for name in _names_used(node)}
        used |= {info.name for info in graph.output}
        kept = [tensor for tensor in graph.initializer if tensor.name in used]
        del graph.initializer[:]
        graph.initializer.extend([*kept, *self._initializers])
        del graph.value_info[:]


def _weights_input(step: Step) -> str | None:
    """The name of the constant that an anchor multiplies with."""
    if step.role is not Role.ANCHOR or step.node.input[1] in step.data:
        return None
    return str(step.node.input[1])


def _attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    found = [int(a.i) for a in node.attribute if a.name == name]
    return found[0] if found else default


def _names_used(node: onnx.NodeProto) -> list[str]:
    return [*node.input, *captured_names(node)]
