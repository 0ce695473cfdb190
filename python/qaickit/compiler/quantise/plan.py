"""Which nodes of a graph are computed with integers on a host, and which tensors that takes.

An anchor is worth it by itself: a convolution or a matrix product. A follower (an addition, a
pooling, ...) is so only between others, where its neighbours would otherwise have to change to
floating point and back; a passing node (a reshape, ...) likewise, and it keeps its input's scale. A
clamp (Relu, Clip) behind a node is folded into the limits of the integers. The rest stays as it is:
normalisations, softmax and the like have no integer kernels that pay.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

import onnx
from onnx import TensorProto

from qaickit.compiler.graph import captured_names


class Role(Enum):
    """Why a node is computed with integers; see the module."""

    ANCHOR = "anchor"
    FOLLOWER = "follower"
    PASSING = "passing"
    CLAMP = "clamp"


ROLES: Mapping[str, Role] = {
    "Conv": Role.ANCHOR,
    "Gemm": Role.ANCHOR,
    "MatMul": Role.ANCHOR,
    "Add": Role.FOLLOWER,
    "AveragePool": Role.FOLLOWER,
    "Concat": Role.FOLLOWER,
    "GlobalAveragePool": Role.FOLLOWER,
    "LeakyRelu": Role.FOLLOWER,
    "Mul": Role.FOLLOWER,
    "Sigmoid": Role.FOLLOWER,
    "DepthToSpace": Role.PASSING,
    "Expand": Role.PASSING,
    "Flatten": Role.PASSING,
    "Gather": Role.PASSING,
    "MaxPool": Role.PASSING,
    "Reshape": Role.PASSING,
    "Resize": Role.PASSING,
    "Slice": Role.PASSING,
    "Split": Role.PASSING,
    "Squeeze": Role.PASSING,
    "Tile": Role.PASSING,
    "Transpose": Role.PASSING,
    "Unsqueeze": Role.PASSING,
    "Clip": Role.CLAMP,
    "Relu": Role.CLAMP,
}
# Inputs that hold data; the others are weights, biases, shapes.
_ALL_DATA = frozenset({"Add", "Concat", "Mul"})
# Operators whose integer kernel gives integers; that of a matrix product can give floats.
_ALWAYS_QUANTISED = frozenset({"Conv"})


@dataclass(frozen=True)
class Graph:
    """A model's main graph, indexed."""

    model: onnx.ModelProto
    constants: Mapping[str, TensorProto]
    producers: Mapping[str, onnx.NodeProto]
    consumers: Mapping[str, list[onnx.NodeProto]]
    floats: Collection[str]
    outputs: Collection[str]

    @staticmethod
    def of(model: onnx.ModelProto) -> Graph:
        """Indexes a model; which tensors are float32 is inferred."""
        graph = model.graph
        consumers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in dict.fromkeys([*node.input, *captured_names(node)]):
                consumers.setdefault(name, []).append(node)
        return Graph(
            model=model,
            constants={tensor.name: tensor for tensor in graph.initializer},
            producers={name: node for node in graph.node for name in node.output if name},
            consumers=consumers,
            floats=_floats(model),
            outputs={info.name for info in graph.output},
        )


@dataclass(frozen=True)
class Step:
    """A node to be computed with integers.

    `data`: its inputs that are tensors of the run, in order. `result`: the tensor that it gives
    once the clamps in `clamps` are folded in. `quantised`: False where the result stays in float,
    because nobody takes it as integers.
    """

    node: onnx.NodeProto
    role: Role
    data: tuple[str, ...]
    result: str
    clamps: tuple[onnx.NodeProto, ...] = ()
    quantised: bool = True

    @property
    def results(self) -> tuple[str, ...]:
        """`result`; of a passing node all that it gives, since a Split gives several."""
        return tuple(self.node.output) if self.role is Role.PASSING else (self.result,)


@dataclass(frozen=True)
class Plan:
    """`steps` in the graph's order, `kept`: nodes that could be but are to stay, by operator."""

    steps: tuple[Step, ...]
    kept: Mapping[str, int] = field(default_factory=dict)

    @property
    def tensors(self) -> list[str]:
        """The tensors whose values have to be known, each once, in the graph's order."""
        names: dict[str, None] = {}
        for step in self.steps:
            names.update(dict.fromkeys(step.data))
            if step.quantised and step.role is not Role.PASSING:
                names[step.result] = None
        passing = [step for step in self.steps if step.role is Role.PASSING]
        same = {name for step in passing for name in step.results}
        return [name for name in names if name not in same]


def make_plan(graph: Graph, keep: Callable[[onnx.NodeProto], bool] = lambda node: False) -> Plan:
    """The plan for a graph; nodes for which `keep` is true stay as they are."""
    able = [node for node in graph.model.graph.node if _able(node, graph)]
    kept: dict[str, int] = {}
    for node in able:
        if keep(node):
            kept[node.op_type] = kept.get(node.op_type, 0) + 1
    chosen = {node.output[0]: node for node in able if not keep(node)}
    while dropped := [name for name, node in chosen.items() if not _belongs(node, chosen, graph)]:
        for name in dropped:
            del chosen[name]
    return Plan(tuple(_steps(chosen, graph)), kept)


def _able(node: onnx.NodeProto, graph: Graph) -> bool:
    """True where there is an integer kernel for such a node, whatever is around it."""
    if node.domain or node.op_type not in ROLES or not node.input or node.input[0] == "":
        return False
    # All of these operators have one type for data and weights.
    is_float = node.output[0] in graph.floats or any(
        _float_constant(name, graph) for name in node.input
    )
    if node.op_type not in _ALL_DATA and node.input[0] in graph.constants:
        return False
    check = _CHECKS.get(node.op_type)
    return is_float and (check is None or check(node, graph))


def _belongs(node: onnx.NodeProto, chosen: Mapping[str, onnx.NodeProto], graph: Graph) -> bool:
    """True where the node's neighbours make it worth computing with integers."""
    if ROLES[node.op_type] is Role.ANCHOR:
        return True
    wanted = _is_taken(node.output, chosen, graph)
    if ROLES[node.op_type] is Role.CLAMP and not wanted:
        source = graph.producers.get(node.input[0])
        wanted = source is not None and source.op_type in _ALWAYS_QUANTISED
    makers = [graph.producers.get(name) for name in data_inputs(node, graph)]
    return wanted and all(maker is not None and maker.output[0] in chosen for maker in makers)


def _is_taken(names: Iterable[str], chosen: Mapping[str, onnx.NodeProto], graph: Graph) -> bool:
    """True where one of the tensors goes to a node that is chosen."""
    takers = (taker for name in names for taker in graph.consumers.get(name, []))
    return any(taker.output[0] in chosen for taker in takers)


def data_inputs(node: onnx.NodeProto, graph: Graph) -> list[str]:
    """The inputs that are tensors of the run and get a scale."""
    if node.op_type in _ALL_DATA:
        return [name for name in node.input if name not in graph.constants]
    if node.op_type == "MatMul" and node.input[1] not in graph.constants:
        return list(node.input)
    return [node.input[0]]


def _steps(chosen: Mapping[str, onnx.NodeProto], graph: Graph) -> list[Step]:
    steps = []
    folded: set[str] = set()
    for name, node in chosen.items():
        if name in folded:
            continue
        clamps = _clamps_behind(node, chosen, graph)
        folded |= {clamp.output[0] for clamp in clamps}
        result = clamps[-1].output[0] if clamps else name
        gives = node.output if ROLES[node.op_type] is Role.PASSING else [result]
        taken = _is_taken(gives, chosen, graph)
        steps.append(
            Step(
                node=node,
                role=ROLES[node.op_type],
                data=tuple(data_inputs(node, graph)),
                result=result,
                clamps=tuple(clamps),
                quantised=taken or node.op_type in _ALWAYS_QUANTISED,
            )
        )
    return steps


def _clamps_behind(
    node: onnx.NodeProto, chosen: Mapping[str, onnx.NodeProto], graph: Graph
) -> list[onnx.NodeProto]:
    """The clamps that alone take what the node gives, one behind the other."""
    if ROLES[node.op_type] not in (Role.ANCHOR, Role.FOLLOWER):
        return []
    clamps: list[onnx.NodeProto] = []
    name = node.output[0]
    while name not in graph.outputs and len(takers := graph.consumers.get(name, [])) == 1:
        clamp = takers[0]
        if ROLES.get(clamp.op_type) is not Role.CLAMP or clamp.output[0] not in chosen:
            break
        clamps.append(clamp)
        name = clamp.output[0]
    return clamps


# --- what each operator needs --------------------------------------------------------------------


def _float_constant(name: str, graph: Graph) -> bool:
    tensor = graph.constants.get(name)
    return tensor is not None and tensor.data_type == TensorProto.FLOAT and 0 not in tensor.dims


def _has_weights(node: onnx.NodeProto, graph: Graph) -> bool:
    """The weights are float constants, and so is the bias, if there is one."""
    bias = node.input[2] if len(node.input) > 2 else ""
    return _float_constant(node.input[1], graph) and (not bias or _float_constant(bias, graph))


def _plain_gemm(node: onnx.NodeProto, graph: Graph) -> bool:
    """x * B + c with one bias a column, which is what the integer kernel computes."""
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    scaled = attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0
    if scaled or attributes.get("transA", 0) or not _has_weights(node, graph):
        return False
    columns = graph.constants[node.input[1]].dims[0 if attributes.get("transB", 0) else 1]
    if len(node.input) < 3 or not node.input[2]:
        return True
    dims = list(graph.constants[node.input[2]].dims)
    return dims in ([columns], [1, columns])


def _matrix_product(node: onnx.NodeProto, graph: Graph) -> bool:
    """Weights are a constant matrix; or both sides are tensors of the run."""
    second = node.input[1]
    if second in graph.constants:
        return _float_constant(second, graph) and len(graph.constants[second].dims) >= 2
    return second in graph.floats


def _binary(node: onnx.NodeProto, graph: Graph) -> bool:
    """At least one input is a tensor of the run, and constants are float."""
    constants = [name for name in node.input if name in graph.constants]
    return len(constants) < len(node.input) and all(
        _float_constant(name, graph) for name in constants
    )


def _constant_limits(node: onnx.NodeProto, graph: Graph) -> bool:
    return all(_float_constant(name, graph) for name in node.input[1:] if name)


def _nearest(node: onnx.NodeProto, _graph: Graph) -> bool:
    """Other ways of resizing compute new values."""
    return all(a.s in (b"", b"nearest") for a in node.attribute if a.name == "mode")


def _one_output(node: onnx.NodeProto, _graph: Graph) -> bool:
    return sum(map(bool, node.output)) == 1


_CHECKS: Mapping[str, Callable[[onnx.NodeProto, Graph], bool]] = {
    "Conv": _has_weights,
    "Gemm": _plain_gemm,
    "MatMul": _matrix_product,
    "Add": _binary,
    "Concat": _binary,
    "Mul": _binary,
    "Clip": _constant_limits,
    "MaxPool": _one_output,
    "Resize": _nearest,
}


def _floats(model: onnx.ModelProto) -> set[str]:
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        inferred = model
    infos = (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output)
    return {i.name for i in infos if i.type.tensor_type.elem_type == TensorProto.FLOAT}
