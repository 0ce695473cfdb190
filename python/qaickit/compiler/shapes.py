"""Fixing the shapes of a model: symbols in its inputs, then what follows for its outputs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import onnx

from qaickit._text import did_you_mean
from qaickit.errors import InvalidArgumentError, UnsupportedError

# A dimension: its size, or the name to define it by.
Dim = int | str

# Element types that a QPC can hold, by ONNX's numbers, and what numpy calls them.
DTYPES: Mapping[int, str] = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.FLOAT16: "float16",
    onnx.TensorProto.INT8: "int8",
    onnx.TensorProto.UINT8: "uint8",
    onnx.TensorProto.INT16: "int16",
    onnx.TensorProto.INT32: "int32",
    onnx.TensorProto.INT64: "int64",
    onnx.TensorProto.BOOL: "bool",
}

# Dims are 32-bit in the network descriptor, and so is the size of a buffer in the vendor's IoDesc.
_MAX_DIM = _MAX_ELEMENTS = 2**31 - 1


@dataclass(frozen=True, slots=True)
class TensorType:
    """Element type (ONNX's number, 0: unknown) and dims (None: not even their number is known)."""

    elem_type: int
    dims: tuple[Dim, ...] | None

    @property
    def is_fixed(self) -> bool:
        """True when type and all dims are known."""
        return self.elem_type != 0 and self.dims is not None and not list(self.free_names())

    def free_names(self) -> Iterator[str]:
        """Names of the dimensions that have no size."""
        return (dim for dim in self.dims or () if isinstance(dim, str))


def read_type(info: onnx.ValueInfoProto, where: str) -> TensorType:
    """The type of an input or output; `where` ("input 'x'") is for the error.

    Error: UnsupportedError for a sequence, a map, an optional or a sparse tensor.
    """
    kind = info.type.WhichOneof("value")
    if kind is None:
        return TensorType(elem_type=0, dims=None)
    if kind != "tensor_type":
        raise UnsupportedError(
            f"{where} is of the kind {kind.removesuffix('_type').replace('_', ' ')}; the inputs "
            "and outputs of a QPC are dense tensors"
        )
    tensor = info.type.tensor_type
    if not tensor.HasField("shape"):
        return TensorType(elem_type=tensor.elem_type, dims=None)
    dims = tuple(_read_dim(dim, info.name, axis) for axis, dim in enumerate(tensor.shape.dim))
    return TensorType(elem_type=tensor.elem_type, dims=dims)


def write_type(info: onnx.ValueInfoProto, tensor: TensorType) -> None:
    """Makes `info` say exactly `tensor`, whose dims are known by size or by name."""
    info.type.Clear()
    info.type.tensor_type.elem_type = tensor.elem_type
    # An empty shape is a scalar, which is not the same as no shape.
    info.type.tensor_type.shape.SetInParent()
    for dim in tensor.dims or ():
        added = info.type.tensor_type.shape.dim.add()
        if isinstance(dim, str):
            added.dim_param = dim
        else:
            added.dim_value = dim


def define_symbols(model: onnx.ModelProto, symbols: Mapping[str, int]) -> list[str]:
    """Gives every input a fixed shape. Returns notes for the report.

    Errors: InvalidArgumentError for a symbol that the model does not have, and for symbols that
    are left; UnsupportedError for an input without a shape.
    """
    types = {info.name: read_type(info, f"input '{info.name}'") for info in model.graph.input}
    outputs = {info.name: read_type(info, f"output '{info.name}'") for info in model.graph.output}
    free = {name: list(tensor.free_names()) for name, tensor in types.items()}
    known = set(_flat(free.values())) | set(_flat(t.free_names() for t in outputs.values()))
    _refuse_unknown(symbols, known)
    _refuse_left_over(free, symbols)
    for info in model.graph.input:
        if types[info.name].dims is None:
            raise UnsupportedError(
                f"input '{info.name}' has no shape at all; give it one in the model"
            )
        write_type(info, _with_symbols(types[info.name], symbols))
    return [f"{name} = {size}" for name, size in sorted(symbols.items())]


def set_batch(model: onnx.ModelProto, batch: int) -> dict[str, int]:
    """Prepares the first dim of the inputs for `batch`: fixed ones are set, symbols returned.

    Where some inputs begin with a symbol, those are meant; where all are fixed they must agree.
    Error: InvalidArgumentError when they do not, or when no input has dims.
    """
    types = {info.name: read_type(info, f"input '{info.name}'") for info in model.graph.input}
    first = {name: tensor.dims[0] for name, tensor in types.items() if tensor.dims}
    symbols = {dim: batch for dim in first.values() if isinstance(dim, str)}
    if symbols:
        return symbols
    if len(set(first.values())) != 1:
        shown = ", ".join(f"{dim} of '{name}'" for name, dim in first.items()) or "none"
        raise InvalidArgumentError(
            f"batchsize={batch}: the inputs do not share a first dim: {shown}; export the model "
            "with a symbol there"
        )
    for info in model.graph.input:
        dims = types[info.name].dims
        if dims:
            write_type(info, TensorType(types[info.name].elem_type, (batch, *dims[1:])))
    return {}


def clear_output_shapes(
    model: onnx.ModelProto, symbols: Mapping[str, int]
) -> dict[str, TensorType]:
    """Removes what the model says of its outputs' shapes, and returns it by name.

    Exporters leave shapes there that fit only the inputs they traced, so inference must not start
    from them. Error: UnsupportedError for an output that is no tensor.
    """
    declared = {}
    for info in model.graph.output:
        tensor = read_type(info, f"output '{info.name}'")
        declared[info.name] = _with_symbols(tensor, symbols)
        if tensor.dims is not None:
            info.type.tensor_type.ClearField("shape")
    return declared


def fix_outputs(model: onnx.ModelProto, sources: Sequence[Mapping[str, TensorType]]) -> list[str]:
    """Gives every output a fixed type from the first source that knows it.

    `sources` are outputs by name, best source first; the last is what the model declared. Returns
    notes for the report. Error: UnsupportedError naming the output whose shape depends on the data.
    """
    notes = []
    for info in model.graph.output:
        declared = sources[-1][info.name]
        candidates = [source[info.name] for source in sources if info.name in source]
        fixed = next((tensor for tensor in candidates if tensor.is_fixed), None)
        if fixed is None:
            raise UnsupportedError(
                f"output '{info.name}' has no fixed shape: {_shown(candidates)}; it depends on the "
                "data, or on an operator whose shapes are not known. A QPC holds fixed shapes; "
                "end the graph before that output"
            )
        if declared.is_fixed and declared != fixed:
            notes.append(f"{info.name}: declared {_shown([declared])}, is {_shown([fixed])}")
        write_type(info, fixed)
    return notes


def check_types(model: onnx.ModelProto) -> None:
    """Error: UnsupportedError naming the first input or output that a QPC cannot hold."""
    for side, infos in (("input", model.graph.input), ("output", model.graph.output)):
        for info in infos:
            where = f"{side} '{info.name}'"
            tensor = read_type(info, where)
            if tensor.elem_type not in DTYPES:
                raise UnsupportedError(
                    f"{where} is {_type_name(tensor.elem_type)}, which a QPC cannot hold; "
                    f"cast it in the graph to one of {', '.join(DTYPES.values())}"
                )
            sizes = [dim for dim in tensor.dims or () if isinstance(dim, int)]
            if max(sizes, default=0) > _MAX_DIM or math.prod(sizes) > _MAX_ELEMENTS:
                raise UnsupportedError(
                    f"{where} has the shape {sizes}; a QPC holds dims of up to {_MAX_DIM} and "
                    f"{_MAX_ELEMENTS} elements in all"
                )


def _read_dim(dim: onnx.TensorShapeProto.Dimension, tensor: str, axis: int) -> Dim:
    if dim.HasField("dim_value") and dim.dim_value >= 0:
        return int(dim.dim_value)
    return dim.dim_param or f"{tensor}:{axis}"


def _with_symbols(tensor: TensorType, symbols: Mapping[str, int]) -> TensorType:
    if tensor.dims is None:
        return tensor
    dims = tuple(symbols.get(dim, dim) if isinstance(dim, str) else dim for dim in tensor.dims)
    return TensorType(elem_type=tensor.elem_type, dims=dims)


def _refuse_unknown(symbols: Mapping[str, int], known: set[str]) -> None:
    for name in symbols:
        if name in known:
            continue
        if not known:
            raise InvalidArgumentError(
                f"onnx_define_symbol defines '{name}', but all shapes of this model are fixed; "
                "leave the option out"
            )
        hint = did_you_mean(name, sorted(known)) or "."
        raise InvalidArgumentError(
            f"onnx_define_symbol defines '{name}', which this model does not have{hint} Its "
            f"symbols: {', '.join(sorted(known))}"
        )


def _refuse_left_over(free: Mapping[str, list[str]], symbols: Mapping[str, int]) -> None:
    left = {name: [dim for dim in dims if dim not in symbols] for name, dims in free.items()}
    names = sorted(set(_flat(left.values())))
    if not names:
        return
    places = ", ".join(
        f"{', '.join(map(repr, dims))} in input '{name}'" for name, dims in left.items() if dims
    )
    example = ", ".join(f"'{name}': 1" for name in names)
    flags = " ".join(f"-onnx-define-symbol={name},1" for name in names)
    raise InvalidArgumentError(
        f"shapes with symbols that have no size: {places}; define them, for instance "
        f"onnx_define_symbol={{{example}}}, on a command line {flags}"
    )


def _shown(candidates: Iterable[TensorType]) -> str:
    return " or ".join(
        "unknown" if tensor.dims is None else f"[{', '.join(map(str, tensor.dims))}]"
        for tensor in dict.fromkeys(candidates)
    )


def _type_name(elem_type: int) -> str:
    return str(onnx.TensorProto.DataType.Name(elem_type)).lower() if elem_type else "of no type"


def _flat(lists: Iterable[Iterable[str]]) -> Iterator[str]:
    return (item for entries in lists for item in entries)
