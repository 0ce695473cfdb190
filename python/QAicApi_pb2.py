"""The vendor's `aicapi` messages: what a program's buffers look like from the host.

    io_desc = QAicApi_pb2.IoDesc()
    io_desc.ParseFromString(bytes(qaicrt.Qpc(path).getIoDescriptor()[1]))
    for binding in io_desc.selected_set.bindings: ...

Messages, tags and constants are those of cpp/src/container/QAicApi.proto. They are made when the
module is imported, so that they fit whatever protobuf is installed; generated code would not.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.internal import enum_type_wrapper

_PACKAGE = "aicapi"
_FILE = "QAicApi.proto"
_DIRECTION = "bufferIoDirectionEnum"
_DATA_TYPE = "bufferIoDataTypeEnum"

_ENUMS: dict[str, dict[str, int]] = {
    _DIRECTION: {"BUFFER_IO_TYPE_INPUT": 0, "BUFFER_IO_TYPE_OUTPUT": 1},
    _DATA_TYPE: {
        "FLOAT_TYPE": 0,
        "FLOAT_16_TYPE": 1,
        "INT8_Q_TYPE": 2,
        "UINT8_Q_TYPE": 3,
        "INT16_Q_TYPE": 4,
        "INT32_Q_TYPE": 5,
        "INT32_I_TYPE": 6,
        "INT64_I_TYPE": 7,
        "INT8_TYPE": 8,
        "BFLOAT16_TYPE": 11,  # of newer SDKs; a guess that public programs share
        "TYPE_INVALID": 255,
    },
}

# Message -> (tag, name, type); a type ending in * is repeated.
_MESSAGES: dict[str, list[tuple[int, str, str]]] = {
    "DmaBufInfo": [
        (1, "dma_buf_index", "uint32"),
        (2, "dma_size", "uint32"),
        (3, "io_binding_offset", "uint32"),
        (4, "dma_offset", "uint32"),
    ],
    "DmaBuf": [(1, "index", "uint32"), (2, "size", "uint32"), (3, "dir", _DIRECTION)],
    "IoBinding": [
        (1, "name", "string"),
        (2, "index", "uint32"),
        (3, "type", _DATA_TYPE),
        (4, "dir", _DIRECTION),
        (5, "quant_scale", "float"),
        (6, "quant_offset", "int32"),
        (7, "dims", "int32*"),
        (8, "size", "uint32"),
        (9, "dma_buf_info", "DmaBufInfo*"),
        (10, "is_partial_buf_allowed", "bool"),
        (20, "is_valid", "bool"),
    ],
    "IoSet": [(1, "name", "string"), (2, "bindings", "IoBinding*")],
    "TensorShape": [(1, "type", _DATA_TYPE), (2, "dims", "int32*")],
    "IoShapes": [(1, "shapes", "TensorShape*")],
    "RuntimeConstants": [(1, "name", "string"), (2, "size", "uint32"), (3, "offset", "uint32")],
    "IoDesc": [
        (1, "io_sets", "IoSet*"),
        (2, "selected_set", "IoSet"),
        (3, "program_name", "string"),
        (4, "dma_buf", "DmaBuf*"),
        (5, "runtime_constants", "RuntimeConstants*"),
        (6, "pre_process_skip_stages", "IoSet*"),
        (7, "post_process_skip_stages", "IoSet*"),
        (8, "allowed_shapes", "IoShapes*"),
    ],
}

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "bool": _Field.TYPE_BOOL,
    "float": _Field.TYPE_FLOAT,
    "int32": _Field.TYPE_INT32,
    "string": _Field.TYPE_STRING,
    "uint32": _Field.TYPE_UINT32,
}


def _add_field(message: Any, tag: int, name: str, kind: str) -> None:
    base = kind.rstrip("*")
    field = message.field.add(name=name, number=tag)
    field.label = _Field.LABEL_REPEATED if kind.endswith("*") else _Field.LABEL_OPTIONAL
    if base in _SCALARS:
        field.type = _SCALARS[base]
        return
    field.type = _Field.TYPE_ENUM if base in _ENUMS else _Field.TYPE_MESSAGE
    field.type_name = f".{_PACKAGE}.{base}"


def _describe() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name=_FILE, package=_PACKAGE, syntax="proto3")
    for name, values in _ENUMS.items():
        enum = file.enum_type.add(name=name)
        for value_name, number in values.items():
            enum.value.add(name=value_name, number=number)
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for tag, field_name, kind in fields:
            _add_field(message, tag, field_name, kind)
    # A pool of its own: the vendor's module may be loaded beside this one.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool.FindFileByName(_FILE)


DESCRIPTOR = _describe()
for _name, _descriptor in DESCRIPTOR.message_types_by_name.items():
    globals()[_name] = message_factory.GetMessageClass(_descriptor)
for _name, _descriptor in DESCRIPTOR.enum_types_by_name.items():
    globals()[_name] = enum_type_wrapper.EnumTypeWrapper(_descriptor)
    globals().update({value.name: value.number for value in _descriptor.values})
