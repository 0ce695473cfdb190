"""Pass that gives inputs and outputs the layout and precision of `custom_io_list_file`.

The first and last nodes of the graph then convert, so that a caller's buffers are taken as they
are on every device.
"""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from qaickit._files import write_file
from qaickit._text import did_you_mean
from qaickit.compiler import custom_io, graph, shapes
from qaickit.compiler.custom_io import TO_NCHW, TO_NHWC, CustomTensor
from qaickit.compiler.job import Job
from qaickit.compiler.runtime import default_opset
from qaickit.errors import InvalidArgumentError, UnsupportedError

# The first opset with QuantizeLinear and DequantizeLinear.
INTEGER_IO_OPSET = 10

_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
_ELEM_TYPES = {dtype: elem_type for elem_type, dtype in shapes.DTYPES.items()}


def set_custom_io(model: onnx.ModelProto, job: Job) -> list[str]:
    """Writes the template file if asked for, then converts inputs and outputs as the file says.

    Scale and offset of integers go into `job.outcome.io_scales`. Errors: those of
    `custom_io.read_custom_io`; InvalidArgumentError for a tensor that the model lacks, or whose
    rank or type does not go with what is asked for; UnsupportedError for integers in an old opset.
    """
    notes = _dump_template(model, job)
    path = job.options["custom_io_list_file"]
    if path is None:
        return notes
    inputs = {info.name: info for info in model.graph.input}
    outputs = {info.name: info for info in model.graph.output}
    known = [*inputs, *outputs]
    for item in custom_io.read_custom_io(path):
        info = inputs.get(item.name) or outputs.get(item.name)
        if info is None:
            raise InvalidArgumentError(
                f"the custom IO file '{path}' has '{item.name}', which is no input or output of "
                f"the model{did_you_mean(item.name, known)}; those it has: {', '.join(known)}"
            )
        tensor = shapes.read_type(info, f"'{item.name}'")
        _check(item, tensor, path)
        opset = default_opset(model)
        if item.is_integer and opset < INTEGER_IO_OPSET:
            raise UnsupportedError(
                f"the custom IO file '{path}', '{item.name}': Precision {item.dtype} takes opset "
                f"{INTEGER_IO_OPSET}, to which onnx cannot convert this model of opset {opset}; "
                "export it anew with a later opset"
            )
        if _changes_nothing(item, tensor):
            continue
        if item.layout == "NHWC":
            _move_axes(job.outcome.shape_sets, known.index(item.name))
        convert = _convert_input if item.name in inputs else _convert_output
        inner = convert(model, info, item, tensor)
        if item.name in outputs and item.name in job.outcome.node_precision:
            # The node that is meant now has this output; the buffer's is that of the conversion.
            job.outcome.node_precision[inner] = job.outcome.node_precision.pop(item.name)
        if item.is_integer:
            job.outcome.io_scales[item.name] = (item.scale, item.offset)
        notes.append(_note(item, info))
    return notes


def _dump_template(model: onnx.ModelProto, job: Job) -> list[str]:
    path = job.options["dump_custom_io_config_template_file"]
    if path is None:
        return []
    tensors = []
    for info in (*model.graph.input, *model.graph.output):
        tensor = shapes.read_type(info, info.name)
        tensors.append((info.name, len(tensor.dims or ()), shapes.DTYPES[tensor.elem_type]))
    write_file(path, custom_io.template(tensors).encode(), "the custom IO template")
    return [f"template written: {path}"]


def _check(item: CustomTensor, tensor: shapes.TensorType, path: str) -> None:
    where = f"the custom IO file '{path}', '{item.name}'"
    if item.layout and len(tensor.dims or ()) != 4:
        raise InvalidArgumentError(
            f"{where}: Layout {item.layout} is for tensors of rank 4, this one has rank "
            f"{len(tensor.dims or ())}; leave it out"
        )
    if item.dtype and tensor.elem_type not in _FLOATS:
        raise InvalidArgumentError(
            f"{where}: Precision is for tensors of floating point, the model's is "
            f"{shapes.DTYPES[tensor.elem_type]}; leave it out"
        )


def _changes_nothing(item: CustomTensor, tensor: shapes.TensorType) -> bool:
    same_type = item.dtype in ("", shapes.DTYPES[tensor.elem_type])
    return same_type and item.layout != "NHWC"


def _rename(names: MutableSequence[str], old: str, new: str) -> None:
    for index, name in enumerate(names):
        if name == old:
            names[index] = new


def _convert_input(
    model: onnx.ModelProto,
    info: onnx.ValueInfoProto,
    item: CustomTensor,
    tensor: shapes.TensorType,
) -> str:
    """The buffer -> number of the model's type -> NCHW; the model's nodes read the result.

    Returns the name of that.
    """
    inner = graph.fresh_name(model, f"{info.name}.model")
    for node in graph.nodes_of(model.graph):
        _rename(node.input, info.name, inner)
    chain: list[onnx.NodeProto] = []
    last = info.name
    if item.dtype and item.dtype != shapes.DTYPES[tensor.elem_type]:
        last = _to_model_type(model, chain, item, tensor.elem_type, last)
    if item.layout == "NHWC":
        last = _append(model, chain, "Transpose", [last], perm=TO_NCHW)
    chain[-1].output[0] = inner
    for position, node in enumerate(chain):
        model.graph.node.insert(position, node)
    _set_buffer_type(info, item, tensor)
    _skip_requantising(model, chain, item)
    return inner


def _convert_output(
    model: onnx.ModelProto,
    info: onnx.ValueInfoProto,
    item: CustomTensor,
    tensor: shapes.TensorType,
) -> str:
    """The model's result -> layout of the buffer -> type of the buffer; returns its new name."""
    inner = graph.fresh_name(model, f"{info.name}.model")
    for node in graph.nodes_of(model.graph):
        _rename(node.input, info.name, inner)
        _rename(node.output, info.name, inner)
    for constant in model.graph.initializer:
        if constant.name == info.name:
            constant.name = inner
    chain: list[onnx.NodeProto] = []
    last = inner
    if item.layout == "NHWC":
        last = _append(model, chain, "Transpose", [last], perm=TO_NHWC)
    if item.dtype and item.dtype != shapes.DTYPES[tensor.elem_type]:
        _to_buffer_type(model, chain, item, tensor.elem_type, last)
    chain[-1].output[0] = info.name
    model.graph.node.extend(chain)
    _set_buffer_type(info, item, tensor)
    return inner


def _to_model_type(
    model: onnx.ModelProto,
    chain: list[onnx.NodeProto],
    item: CustomTensor,
    elem_type: int,
    last: str,
) -> str:
    if not item.is_integer:
        return _append(model, chain, "Cast", [last], to=elem_type)
    scale, offset = _quantisation(model, item)
    last = _append(model, chain, "DequantizeLinear", [last, scale, offset])
    if elem_type != onnx.TensorProto.FLOAT:
        last = _append(model, chain, "Cast", [last], to=elem_type)
    return last


def _to_buffer_type(
    model: onnx.ModelProto,
    chain: list[onnx.NodeProto],
    item: CustomTensor,
    elem_type: int,
    last: str,
) -> str:
    if not item.is_integer:
        return _append(model, chain, "Cast", [last], to=_ELEM_TYPES[item.dtype])
    if elem_type != onnx.TensorProto.FLOAT:
        last = _append(model, chain, "Cast", [last], to=onnx.TensorProto.FLOAT)
    scale, offset = _quantisation(model, item)
    return _append(model, chain, "QuantizeLinear", [last, scale, offset])


def _quantisation(model: onnx.ModelProto, item: CustomTensor) -> tuple[str, str]:
    """Names of two new constants: the scale and the offset in the type of the integers."""
    names = []
    for suffix, value in (
        ("scale", np.float32(item.scale)),
        ("offset", np.dtype(item.dtype).type(item.offset)),
    ):
        name = graph.fresh_name(model, f"{item.name}.{suffix}")
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        names.append(name)
    return names[0], names[1]


def _append(
    model: onnx.ModelProto,
    chain: list[onnx.NodeProto],
    operator: str,
    inputs: Sequence[str],
    **attributes: Any,
) -> str:
    output = graph.fresh_name(model, f"{inputs[0]}.{operator}", also=[n.output[0] for n in chain])
    chain.append(onnx.helper.make_node(operator, list(inputs), [output], output, **attributes))
    return output


def _set_buffer_type(
    info: onnx.ValueInfoProto, item: CustomTensor, tensor: shapes.TensorType
) -> None:
    dims = tensor.dims or ()
    if item.layout == "NHWC":
        dims = tuple(dims[axis] for axis in TO_NHWC)
    elem_type = _ELEM_TYPES[item.dtype] if item.dtype else tensor.elem_type
    shapes.write_type(info, shapes.TensorType(elem_type, dims))


def _move_axes(shape_sets: list[list[list[int]]], index: int) -> None:
    """Of several allowed shapes, too, it is the buffers' that the program tells."""
    for dims in shape_sets:
        dims[index] = [dims[index][axis] for axis in TO_NHWC]


def _skip_requantising(
    model: onnx.ModelProto, chain: list[onnx.NodeProto], item: CustomTensor
) -> None:
    """A quantised model whose first step makes the very integers that come takes them directly."""
    if len(chain) != 1 or not item.is_integer:
        return
    number = chain[0].output[0]
    users = [node for node in graph.nodes_of(model.graph) if number in node.input]
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    if not users or not all(_quantises_alike(node, number, item, constants) for node in users):
        return
    integers = {node.output[0] for node in users}
    if integers & {info.name for info in model.graph.output}:
        return
    for node in users:
        model.graph.node.remove(node)
    for node in graph.nodes_of(model.graph):
        for index, name in enumerate(node.input):
            if name in integers:
                node.input[index] = item.name
    model.graph.node.remove(chain[0])
    for name in chain[0].input[1:]:
        model.graph.initializer.remove(constants[name])


def _quantises_alike(
    node: onnx.NodeProto,
    number: str,
    item: CustomTensor,
    constants: dict[str, onnx.TensorProto],
) -> bool:
    if node.op_type != "QuantizeLinear" or node.input[0] != number or len(node.input) != 3:
        return False
    scale, offset = constants.get(node.input[1]), constants.get(node.input[2])
    if scale is None or offset is None or offset.data_type != _ELEM_TYPES[item.dtype]:
        return False
    scales, offsets = numpy_helper.to_array(scale), numpy_helper.to_array(offset)
    return bool(
        scales.size == 1
        and scales.flat[0] == np.float32(item.scale)
        and offsets.flat[0] == item.offset
    )


def _note(item: CustomTensor, info: onnx.ValueInfoProto) -> str:
    tensor = shapes.read_type(info, item.name)
    text = f"{item.name}: {shapes.DTYPES[tensor.elem_type]} {list(tensor.dims or ())}"
    return f"{text}, scale {item.scale:g}, offset {item.offset}" if item.is_integer else text
