"""The vendor's low-level runtime module, on any device that qaickit drives.

    import qaicrt
    context = qaicrt.Context(qaicrt.QIDList([0]))
    qpc = qaicrt.Qpc("directory-with-programqpc.bin")
    program = qaicrt.Program(context, 0, qpc, qaicrt.QAicProgramProperties())
    program.load(), program.activate()
    exec_obj = qaicrt.ExecObj(context, program)
    queue = qaicrt.Queue(context, 0)
    exec_obj.setData([qaicrt.QBuffer(array) for array in arrays])
    queue.enqueue(exec_obj), exec_obj.waitForCompletion()
    status, buffers = exec_obj.getData()

Names, arguments and results are those of the vendor's module as its public programs use them. The
device is the one that `qaic.Session` would take: `QAICKIT_BACKEND` in the environment names the
kind, else a card if one is there, else the CPU. Methods return a `QStatus` or a tuple that begins
with one; what went wrong is told on stderr, from the level that `Context.setLogLevel` sets. Only
constructors raise (RuntimeError), and `Program.activate` where a device is full.
"""

from __future__ import annotations

# First: it tells the native side where Python packages lie, and with them the vendors' libraries.
import qaickit._core  # noqa: F401
from qaickit._qaicrt import (
    BenchmarkProperties,
    BufferDataTypeEnum,
    BufferDimensionsVecRef,
    BufferIoTypeEnum,
    BufferMapping,
    Context,
    ExecObj,
    ExecObjInfo,
    InferenceBenchmarkSet,
    InferenceHandle,
    InferenceSet,
    InferenceSetProperties,
    InferenceVector,
    LiveReportingLevelEnum,
    ProfilingHandle,
    Program,
    ProgramGroup,
    ProgramProperties,
    QAicDeviceType,
    QAicOpStatsFormatEnum,
    QAicProfilingTypeEnum,
    QAicProgramGroupProperties,
    QAicProgramGroupPropertiesProtocol,
    QAicProgramProperties,
    QAicQueueProperties,
    QBuffer,
    QDevInfo,
    QDevStatus,
    QHostApiInfoDevData,
    QHostApiInfoNspData,
    QHostApiInfoNspVersion,
    QIDList,
    QLogLevel,
    Qpc,
    QPciExtInfo,
    QPciInfo,
    QPerformanceInfo,
    QResourceInfo,
    QStatus,
    Queue,
    SlicingSpecHandle,
    Util,
    vector_char,
)

__all__ = [
    "BenchmarkProperties",
    "BufferDataTypeEnum",
    "BufferDimensionsVecRef",
    "BufferIoTypeEnum",
    "BufferMapping",
    "Context",
    "ExecObj",
    "ExecObjInfo",
    "InferenceBenchmarkSet",
    "InferenceHandle",
    "InferenceSet",
    "InferenceSetProperties",
    "InferenceVector",
    "LiveReportingLevelEnum",
    "ProfilingHandle",
    "Program",
    "ProgramGroup",
    "ProgramProperties",
    "QAicDeviceType",
    "QAicOpStatsFormatEnum",
    "QAicProfilingTypeEnum",
    "QAicProgramGroupProperties",
    "QAicProgramGroupPropertiesProtocol",
    "QAicProgramProperties",
    "QAicQueueProperties",
    "QBuffer",
    "QDevInfo",
    "QDevStatus",
    "QHostApiInfoDevData",
    "QHostApiInfoNspData",
    "QHostApiInfoNspVersion",
    "QIDList",
    "QLogLevel",
    "QPciExtInfo",
    "QPciInfo",
    "QPerformanceInfo",
    "QResourceInfo",
    "QStatus",
    "Qpc",
    "Queue",
    "SlicingSpecHandle",
    "Util",
    "vector_char",
]
