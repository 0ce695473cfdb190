"""The graph of a model in fp16, for devices that compute in it.

Weights stay as they are and are cast in the graph, so that a QPC holds them once for both graphs;
ONNX Runtime folds those casts when it loads the graph. Which operators can be in fp16 is what the
schemas of ONNX say, and the list of ONNX Runtime's CUDA kernels (docs/OperatorKernels.md there).

onnxruntime.transformers.float16 does not serve here: where two nodes stay in fp32 and share an
input, it writes two nodes of one name, which is no valid graph; and it converts weights in place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, numpy_helper

from qaickit.compiler.graph import captured_names, names_of, tensor_bytes
from qaickit.compiler.quantise.plan import ROLES, Role
from qaickit.compiler.weight_files import FilePart
from qaickit.compiler.weights import map_weight

# The largest finite number of IEEE 754 binary16.
FP16_MAX = 65504.0

Wanted = Callable[[onnx.NodeProto], bool]

# Operators that take their input as it is computed: what they give does not depend on its type.
_TYPELESS = frozenset({"Cast", "Shape", "Size"})
_QDQ = frozenset({"QuantizeLinear", "DequantizeLinear"})
# Operators whose output has the type of the input where no attribute names another, or its size.
_LIKE = frozenset({"Bernoulli", "BitCast", "EyeLike", "RandomNormalLike", "RandomUniformLike"})
# ONNX defines these for fp16, but kernels are for fp32 only, up to this opset.
_EVERY = 1 << 31
_NO_KERNEL: Mapping[str, int] = {
    "Clip": 11,
    "GridSample": _EVERY,
    "MeanVarianceNormalization": _EVERY,
    "RoiAlign": _EVERY,
}
# Float constants smaller than this stay inside of a skeleton.
_SMALL_BYTES = 1 << 10


@dataclass(frozen=True)
class Fp16Graph:
    """What `convert` made.

    `model`: without initializers, which are those of the fp32 graph. `converted`: nodes now in
    fp16, by operator. `kept`: why nodes that were to be in fp16 are not -> these, by operator.
    """

    model: onnx.ModelProto
    converted: Mapping[str, int]
    kept: Mapping[str, Mapping[str, int]]


def convert(model: onnx.ModelProto, wanted: Wanted, unfit: Collection[str]) -> Fp16Graph:
    """`model` with the nodes for which `wanted` is true in fp16; inputs and outputs stay.

    `unfit`: constants that fp16 cannot hold (`unfit_constants`); their users stay in fp32. Nodes
    with a graph inside (If, Loop, Scan) stay too, as do nodes between integers, which devices fuse
    into integer kernels. `model` is not changed; its nodes are in topological order, as ONNX asks.
    """
    graph = _Graph.of(model)
    emitter = _Emitter(graph)
    converted: Counter[str] = Counter()
    kept: dict[str, Counter[str]] = {}
    for node in model.graph.node:
        reads_float = any(graph.is_float(name) for name in node.input)
        if node.op_type in _TYPELESS or not reads_float or not wanted(node):
            emitter.keep(node)
            continue
        reason = _obstacle(node, graph, unfit)
        if reason:
            kept.setdefault(reason, Counter())[node.op_type] += 1
            emitter.keep(node)
        else:
            converted[node.op_type] += 1
            emitter.convert(node)
    return Fp16Graph(_with_nodes(model, emitter.finish()), converted, kept)


def with_weights(fp16: onnx.ModelProto, model: onnx.ModelProto) -> onnx.ModelProto:
    """What `convert` made of `model`, with the initializers that `model` has now, in place."""
    fp16.graph.initializer.extend(model.graph.initializer)
    fp16.graph.sparse_initializer.extend(model.graph.sparse_initializer)
    return fp16


def skeleton(bare: onnx.ModelProto, model: onnx.ModelProto) -> onnx.ModelProto:
    """`bare`, which has no initializers, with those of `model`; large floats become inputs.

    It is small, and enough to infer types from and to load.
    """
    made = onnx.ModelProto()
    made.CopyFrom(bare)
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and tensor_bytes(tensor) >= _SMALL_BYTES:
            made.graph.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
        else:
            made.graph.initializer.append(tensor)
    made.graph.sparse_initializer.extend(model.graph.sparse_initializer)
    return made


def unfit_constants(model: onnx.ModelProto, files: Mapping[str, FilePart]) -> set[str]:
    """Names of the float32 constants that fp16 cannot hold.

    These have a finite number beyond 65504, which would become infinite, or nothing but numbers
    that would become 0, such as an epsilon of 1e-12, by which a graph then divides. `files`: where
    the initializers are that are not in the model. Errors: those of the file system.
    """
    tensors = list(model.graph.initializer)
    names = [tensor.name for tensor in tensors]
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.HasField("t"):
                tensors.append(attribute.t)
                names.append(node.output[0])
    return {
        name
        for name, tensor in zip(names, tensors, strict=True)
        if tensor.data_type == TensorProto.FLOAT and not _fits(_values(tensor, files))
    }


def _values(tensor: onnx.TensorProto, files: Mapping[str, FilePart]) -> npt.NDArray[np.float32]:
    part = files.get(tensor.name)
    if part is not None:
        return map_weight(tensor, part).view(np.float32)
    values: npt.NDArray[np.float32] = numpy_helper.to_array(tensor)
    return values


def _fits(values: npt.NDArray[np.float32]) -> bool:
    """In blocks, since a mapped weight may be larger than the memory."""
    flat = values.reshape(-1)
    has_numbers = survives = False
    for start in range(0, flat.size, 1 << 20):
        sizes = np.abs(flat[start : start + (1 << 20)])
        if np.any((sizes > FP16_MAX) & np.isfinite(sizes)):
            return False
        has_numbers = has_numbers or bool(np.any(sizes))
        survives = survives or bool(np.any(sizes.astype(np.float16)))
    return survives or not has_numbers


# --- which nodes ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Graph:
    """A model's main graph, indexed. `integers`: outputs of nodes between integers."""

    model: onnx.ModelProto
    types: Mapping[str, int]
    opsets: Mapping[str, int]
    integers: Collection[str]

    @staticmethod
    def of(model: onnx.ModelProto) -> _Graph:
        types = _types(model)
        opsets = {"" if o.domain == "ai.onnx" else o.domain: o.version for o in model.opset_import}
        return _Graph(model, types, opsets, _between_integers(model, types))

    def is_float(self, name: str) -> bool:
        return self.types.get(name) == TensorProto.FLOAT

    def schema(self, node: onnx.NodeProto) -> onnx.defs.OpSchema | None:
        domain = "" if node.domain == "ai.onnx" else node.domain
        try:
            return onnx.defs.get_schema(node.op_type, self.opsets.get(domain, 1), domain)
        except onnx.defs.SchemaError:
            return None


def _types(model: onnx.ModelProto) -> dict[str, int]:
    """Element types of the tensors of the main graph, as far as they can be inferred."""
    bare = skeleton(_with_nodes(model, model.graph.node), model)
    try:
        inferred = onnx.shape_inference.infer_shapes(bare, data_prop=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        inferred = bare
    infos = (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output)
    types = {info.name: info.type.tensor_type.elem_type for info in infos}
    types.update((tensor.name, tensor.data_type) for tensor in inferred.graph.initializer)
    sparse = (tensor.values for tensor in inferred.graph.sparse_initializer)
    types.update((values.name, values.data_type) for values in sparse)
    return {name: kind for name, kind in types.items() if kind}


def _obstacle(node: onnx.NodeProto, graph: _Graph, unfit: Collection[str]) -> str:
    """Why a node that reads floats cannot be in fp16; empty where it can."""
    schema = graph.schema(node)
    if schema is None:
        return "not operators of ONNX's own"
    if captured_names(node) or any(a.HasField("g") or a.graphs for a in node.attribute):
        return "they hold graphs"
    if node.op_type in _QDQ or node.output[0] in graph.integers:
        return "quantised"
    if any(name and name not in graph.types for name in (*node.input, *node.output)):
        return "their types are not known"
    if graph.opsets.get("", 0) <= _NO_KERNEL.get(node.op_type, 0):
        return "no kernel for fp16"
    switched = _switched(node, schema, graph)
    if not switched or node.op_type in _LIKE:
        return "not defined for fp16"
    if any(node.input[index] in unfit for index in switched):
        return "fp16 cannot hold their constants"
    if _has_free_output(node, schema, graph):
        return "no input tells the type of an output"
    return ""


def _has_free_output(node: onnx.NodeProto, schema: onnx.defs.OpSchema, graph: _Graph) -> bool:
    """Whether a float output could be fp16 or not: the input of its type is optional, and absent.

    ONNX Runtime then has a rule of its own for it, as for the state of LinearAttention.
    """
    told = {_type_param(schema.inputs, index) for index, name in enumerate(node.input) if name}
    return any(
        graph.is_float(name) and _type_param(schema.outputs, index) in _half_params(schema) - told
        for index, name in enumerate(node.output)
    )


def _switched(node: onnx.NodeProto, schema: onnx.defs.OpSchema, graph: _Graph) -> list[int]:
    """Positions of the float inputs that may be fp16."""
    able = _half_params(schema)
    return [
        index
        for index, name in enumerate(node.input)
        if graph.is_float(name) and _type_param(schema.inputs, index) in able
    ]


def _half_params(schema: onnx.defs.OpSchema) -> set[str]:
    """Type parameters of an operator that fp32 and fp16 may both stand for."""
    both = {"tensor(float)", "tensor(float16)"}
    return {
        constraint.type_param_str
        for constraint in schema.type_constraints
        if both <= set(constraint.allowed_type_strs)
    }


def _type_param(formals: Iterable[onnx.defs.OpSchema.FormalParameter], index: int) -> str:
    """What the schema says of the type of an input or output; the last may stand for many."""
    params = [formal.type_str for formal in formals]
    return str(params[min(index, len(params) - 1)]) if params else ""


def _between_integers(model: onnx.ModelProto, types: Mapping[str, int]) -> set[str]:
    """First outputs of nodes that compute on dequantised numbers what is quantised again.

    A product's result need not be, since its integer kernel can give floats.
    """
    takers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in dict.fromkeys([*node.input, *captured_names(node)]):
            takers.setdefault(name, []).append(node)
    outputs = {info.name for info in model.graph.output}
    requantised: set[str] = set()
    for node in reversed(model.graph.node):
        for name in node.output:
            users = takers.get(name, [])
            if users and name not in outputs and all(_requantises(u, requantised) for u in users):
                requantised.add(name)
    constants = {tensor.name for tensor in model.graph.initializer}
    integer = {n.output[0] for n in model.graph.node if n.op_type == "DequantizeLinear"}
    found: set[str] = set()
    for node in model.graph.node:
        data = [
            name
            for name in node.input
            if types.get(name) == TensorProto.FLOAT and name not in constants
        ]
        is_product = ROLES.get(node.op_type) is Role.ANCHOR
        if not data or not integer.issuperset(data):
            continue
        if is_product or (node.output and node.output[0] in requantised):
            found.add(node.output[0])
            # Behind it only a clamp is part of the same integer kernel.
            if node.output[0] in requantised:
                integer.add(node.output[0])
    return found


def _requantises(node: onnx.NodeProto, requantised: Collection[str]) -> bool:
    is_clamp = ROLES.get(node.op_type) is Role.CLAMP
    return node.op_type == "QuantizeLinear" or (is_clamp and node.output[0] in requantised)


# --- the graph -----------------------------------------------------------------------------------


@dataclass
class _Emitter:
    """Writes nodes one after the other, with casts where one in fp16 meets one in fp32.

    A value in fp32 has its name from the model, its twin in fp16 that name and a suffix, so that
    inputs, outputs and graphs inside find what they name. `half`: value -> its twin, where there is
    one. `missing`: values that so far are there in fp16 only.
    """

    graph: _Graph
    suffix: str = ".fp16"
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    half: dict[str, str] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        names = names_of(self.graph.model.graph)
        while any(name.endswith(self.suffix) for name in names):
            self.suffix += "_"

    def keep(self, node: onnx.NodeProto) -> None:
        """Adds a node that stays as it is."""
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        for index, name in enumerate(node.input):
            if node.op_type in _TYPELESS and name in self.missing:
                copy.input[index] = self.half[name]
            else:
                self._need_full(name)
        for name in captured_names(node):
            self._need_full(name)
        is_half = node.op_type == "Cast" and self.graph.types.get(node.input[0]) == _HALF
        if is_half and self.graph.is_float(node.output[0]):
            # It is what was in fp16 before.
            self.half[node.output[0]] = node.input[0]
        self.nodes.append(copy)

    def convert(self, node: onnx.NodeProto) -> None:
        """Adds a node that computes in fp16."""
        schema = self.graph.schema(node)
        if schema is None:
            raise AssertionError(f"{node.op_type} has no schema, so it has an obstacle")
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        switched = _switched(node, schema, self.graph)
        params = {_type_param(schema.inputs, index) for index in switched}
        for index, name in enumerate(node.input):
            if index in switched:
                copy.input[index] = self._as_half(name)
            else:
                self._need_full(name)
        for index, name in enumerate(node.output):
            if self.graph.is_float(name) and _type_param(schema.outputs, index) in params:
                copy.output[index] = self.half[name] = name + self.suffix
                self.missing.add(name)
        self.nodes.append(copy)

    def finish(self) -> list[onnx.NodeProto]:
        """All nodes, once the outputs of the graph are there as well."""
        for info in self.graph.model.graph.output:
            self._need_full(info.name)
        return self.nodes

    def _need_full(self, name: str) -> None:
        if name in self.missing:
            self.missing.remove(name)
            self._cast(self.half[name], name, TensorProto.FLOAT)

    def _as_half(self, name: str) -> str:
        if name not in self.half:
            self.half[name] = name + self.suffix
            self._cast(name, self.half[name], _HALF)
        return self.half[name]

    def _cast(self, source: str, target: str, elem_type: int) -> None:
        name = f"{target}.cast{self.suffix}"
        self.nodes.append(onnx.helper.make_node("Cast", [source], [target], name, to=elem_type))


_HALF = TensorProto.FLOAT16


def _with_nodes(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto]) -> onnx.ModelProto:
    """The model with other nodes and without initializers, so that no weight is copied."""
    graph = onnx.helper.make_graph(
        list(nodes), model.graph.name, model.graph.input, model.graph.output
    )
    made = onnx.helper.make_model(
        graph, opset_imports=model.opset_import, functions=model.functions
    )
    made.ir_version = model.ir_version
    made.producer_name = model.producer_name
    made.producer_version = model.producer_version
    made.metadata_props.extend(model.metadata_props)
    return made
