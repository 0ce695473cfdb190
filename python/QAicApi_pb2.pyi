"""Types of the vendor's `aicapi` messages; see QAicApi_pb2.py."""

from collections.abc import MutableSequence, Sequence
from typing import Any, Protocol

class _Message:
    def ParseFromString(self, serialized: bytes) -> int:
        """Replaces the content. Error: google.protobuf.message.DecodeError."""

    def SerializeToString(self, *, deterministic: bool = ...) -> bytes:
        """The message on the wire."""

    def CopyFrom(self, other_msg: Any) -> None:
        """Makes it equal to a message of the same type."""

    def Clear(self) -> None:
        """All fields to their defaults."""

    def ByteSize(self) -> int:
        """Bytes on the wire."""

class _Enum(Protocol):
    def Name(self, number: int) -> str: ...
    def Value(self, name: str) -> int: ...
    def keys(self) -> Sequence[str]: ...
    def values(self) -> Sequence[int]: ...
    def items(self) -> Sequence[tuple[str, int]]: ...

DESCRIPTOR: Any
bufferIoDirectionEnum: _Enum
bufferIoDataTypeEnum: _Enum

BUFFER_IO_TYPE_INPUT: int
BUFFER_IO_TYPE_OUTPUT: int
FLOAT_TYPE: int
FLOAT_16_TYPE: int
INT8_Q_TYPE: int
UINT8_Q_TYPE: int
INT16_Q_TYPE: int
INT32_Q_TYPE: int
INT32_I_TYPE: int
INT64_I_TYPE: int
INT8_TYPE: int
BFLOAT16_TYPE: int
TYPE_INVALID: int

class DmaBufInfo(_Message):
    """Where a binding lies in a DMA buffer."""

    dma_buf_index: int
    dma_size: int
    io_binding_offset: int
    dma_offset: int

class DmaBuf(_Message):
    """A DMA buffer of the device's."""

    index: int
    size: int
    dir: int

class IoBinding(_Message):
    """One input or output: its place among the buffers, dims, type and size in bytes."""

    name: str
    index: int
    type: int
    dir: int
    quant_scale: float
    quant_offset: int
    dims: MutableSequence[int]
    size: int
    dma_buf_info: MutableSequence[DmaBufInfo]
    is_partial_buf_allowed: bool
    is_valid: bool

class IoSet(_Message):
    """All bindings, inputs first, at one stage between the user's buffers and the device's."""

    name: str
    bindings: MutableSequence[IoBinding]

class TensorShape(_Message):
    """Type and dims of one binding."""

    type: int
    dims: MutableSequence[int]

class IoShapes(_Message):
    """One legal combination of shapes: all inputs, then all outputs."""

    shapes: MutableSequence[TensorShape]

class RuntimeConstants(_Message):
    """A constant that is given at run time."""

    name: str
    size: int
    offset: int

class IoDesc(_Message):
    """What a program's buffers look like from the host."""

    io_sets: MutableSequence[IoSet]
    selected_set: IoSet
    program_name: str
    dma_buf: MutableSequence[DmaBuf]
    runtime_constants: MutableSequence[RuntimeConstants]
    pre_process_skip_stages: MutableSequence[IoSet]
    post_process_skip_stages: MutableSequence[IoSet]
    allowed_shapes: MutableSequence[IoShapes]
