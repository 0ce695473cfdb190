"""The network descriptor of a QPC (segment `networkdesc.bin`) as plain data, with every field.

The vendor's own tool unpacks it as JSON under the names of the protobuf fields, and public scripts
read that: `network_name`, `inputs[].name`, `inputs[].io_initial.dims`, `allowed_shapes[].shapes[]`.
The schema is the vendor's `AICNetworkDesc.proto` (package aicnwdesc, proto3), in a table here,
since generated code would be tied to one version of protobuf. Of its statistics, the list of
operator names is left out: nothing public says what its fields are called.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.message import DecodeError

from qaickit.errors import DataLossError

__all__ = ["decode"]

_PACKAGE = "aicnwdesc"
_ROOT = "networkDescriptor"
_SCALARS = {
    "bool": descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
    "float": descriptor_pb2.FieldDescriptorProto.TYPE_FLOAT,
    "i32": descriptor_pb2.FieldDescriptorProto.TYPE_INT32,
    "u32": descriptor_pb2.FieldDescriptorProto.TYPE_UINT32,
    "string": descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
}

# Enum -> the names of 0, 1, 2, ...
_ENUMS = {
    "dataType": "FloatTy Float16Ty Int8QTy UInt8QTy Int16QTy Int32QTy Int32ITy Int64ITy Int8Ty",
    "direction": "In Out",
    "transformKind": "ConvertTransform ConvertToD32Transform ConvertFromD32Transform "
    "DequantizeTransform TransposeTransform QuantizeTransform CopyDMABufferTransform",
    "networkDescLayout": "FlatNXYD D32Untiled D32UntiledWeights D32ChannelMajor8x8 "
    "D32ChannelMajor1x64 D32SpatialMajor8x8 D32SpatialMajor1x64 D4ChannelMajor8x8 "
    "D4SpatialMajor8x8 PackedD4ChannelMajor8x8 PackedD4SpatialMajor8x8",
    "CRCAlgorithm": "CRC_BASIC_ALGORITHM",
}

# Message -> its fields as "tag name type"; a star before the type means repeated.
_MESSAGES = {
    "IODescriptor": "1 type dataType, 2 qscale float, 3 qoffset i32, 4 dims *i32, "
    "5 layout networkDescLayout",
    "ConvertToD32": "1 padding_val i32, 2 x_pad_begin i32, 3 y_pad_begin i32, 4 x_pad_end i32, "
    "5 y_pad_end i32, 6 d_pad_end i32",
    "CopyDMABuffer": "1 dir direction, 2 offset u32, 3 buffer_num u32",
    "transform": "1 kind transformKind, 2 type dataType, 3 scale float, 4 offset i32, 5 dims *i32, "
    "6 layout networkDescLayout, 7 shuffle *i32, 8 convert_to_d32 ConvertToD32, "
    "9 copy_dma_buffer CopyDMABuffer",
    "IOBinding": "1 name string, 2 io_initial IODescriptor, 3 io_transformed IODescriptor, "
    "4 transformseq *transform, 5 is_partial_allowed bool, 6 align u32",
    "DMABuffer": "1 size u32, 2 dir direction",
    "tensorShape": "1 type dataType, 2 dims *i32",
    "IOShapes": "1 shapes *tensorShape",
    "CRCEntry": "1 dma_buffer_num u32, 2 offset u32, 3 size u32, 4 crc_entry_idx u32, "
    "5 begin_crc_block_size u32, 6 end_crc_block_size u32, 7 stride_interval u32, "
    "8 stride_size u32, 9 algorithm CRCAlgorithm",
    "CRCInfo": "1 buff_num u32, 2 entries *CRCEntry",
    "Stats": "1 buff_num u32, 2 print_stats bool, 3 stats_level i32, 4 stats_no_host_sync bool, "
    "5 print_op_stats bool, 6 op_stats_level i32, 7 batch_size i32, 8 count_ddr_bw bool, "
    "9 utimer_freq_ms i32, 10 pmu_events *i32, 11 ops_per_core *i32, 13 pmu_stats_level i32",
    _ROOT: "1 major_version u32, 2 minor_version u32, 3 network_name string, 4 inputs *IOBinding, "
    "5 outputs *IOBinding, 6 dma_buffers *DMABuffer, 7 num_cores u32, 8 num_threads u32, "
    "9 num_hvx_threads u32, 10 thread_groups *u32, 11 thread_group_issue_count u32, "
    "12 stats Stats, 13 thread_group_names *string, 14 batch_size i32, 16 crc_info CRCInfo, "
    "17 cluster_offsets *u32, 18 allowed_shapes *IOShapes",
}


def decode(data: bytes) -> dict[str, Any]:
    """The fields of a `networkdesc.bin` by name, unset ones with their defaults.

    Enums are their names, or numbers where newer than this table. Error: DataLossError.
    """
    message = _root_class()()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise DataLossError(f"networkdesc.bin is no network descriptor: {error}") from error
    fields: dict[str, Any] = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return fields


@cache
def _root_class() -> Any:
    # A pool of its own: the vendor's module, where it is installed, registers the same names.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_file())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{_ROOT}"))


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="qaickit/network_desc.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, values in _ENUMS.items():
        enum = file.enum_type.add(name=name)
        for number, value in enumerate(values.split()):
            enum.value.add(name=value, number=number)
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for text in fields.split(", "):
            _add_field(message, *text.split())
    return file


def _add_field(message: descriptor_pb2.DescriptorProto, tag: str, name: str, kind: str) -> None:
    field = message.field.add(name=name, number=int(tag))
    repeated = kind.startswith("*")
    kind = kind.removeprefix("*")
    field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
        return
    field.type = field.TYPE_ENUM if kind in _ENUMS else field.TYPE_MESSAGE
    field.type_name = f".{_PACKAGE}.{kind}"
