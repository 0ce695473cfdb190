"""Types of the compiled module behind `qaicrt`. Import `qaicrt`."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import IntEnum
from typing import Any, overload

import numpy.typing as npt
from typing_extensions import Buffer

_Array = npt.NDArray[Any]

class QStatus(IntEnum):
    """What a call came to; the numbers of the vendor's public runtime header.

    QS_INVAL: an argument, or the moment, is wrong. QS_NODEV: no such device, or the library or
    package that drives it is missing. QS_NOSPC: the device holds no more. QS_TIMEDOUT: a bound on
    time is over. QS_DEV_ERROR: the device failed. The whole text is on stderr; see `QLogLevel`.
    """

    QS_SUCCESS = 0
    QS_PERM = 1
    QS_AGAIN = 2
    QS_NOMEM = 3
    QS_BUSY = 4
    QS_NODEV = 5
    QS_INVAL = 6
    QS_NOSPC = 7
    QS_BADFD = 8
    QS_TIMEDOUT = 9
    QS_PROTOCOL = 10
    QS_UNSUPPORTED = 11
    QS_DATA_CRC_ERROR = 12
    QS_DEV_ERROR = 300
    QS_ERROR = 500

class QLogLevel(IntEnum):
    """From which level on a context writes to stderr; at first QL_WARN.

    The numbers are those of the vendor's public runtime header.
    """

    QL_DEBUG = 0
    QL_INFO = 1
    QL_WARN = 2
    QL_ERROR = 3

class QDevStatus(IntEnum):
    """State of a device; the numbers of the vendor's public runtime header."""

    QDS_INITIALIZING = 0
    QDS_READY = 1
    QDS_ERROR = 2

class QAicDeviceType(IntEnum):
    """Kinds of devices to list; the vendor's page of `Util` names one, which is all of them."""

    QAIC_DEVICE_TYPE_DEFAULT = 1

class BufferIoTypeEnum(IntEnum):
    """Direction of a buffer, from the host's side.

    The numbers are those of the vendor's public runtime header, not those of `QAicApi_pb2`.
    """

    BUFFER_IO_TYPE_INVALID = 0
    BUFFER_IO_TYPE_INPUT = 1
    BUFFER_IO_TYPE_OUTPUT = 2

class BufferDataTypeEnum(IntEnum):
    """Type of a buffer's elements; the numbers of the vendor's public runtime header.

    FLOAT: numpy.float32. FLOAT16: float16. INT8Q, INT8: int8. UINT8Q: uint8. INT16Q: int16. INT32Q,
    INT32I: int32. INT64I: int64. A Q is quantised, an I an index. INVAL: none of these.
    """

    BUFFER_DATA_TYPE_FLOAT = 0
    BUFFER_DATA_TYPE_FLOAT16 = 1
    BUFFER_DATA_TYPE_INT8Q = 2
    BUFFER_DATA_TYPE_UINT8Q = 3
    BUFFER_DATA_TYPE_INT16Q = 4
    BUFFER_DATA_TYPE_INT32Q = 5
    BUFFER_DATA_TYPE_INT32I = 6
    BUFFER_DATA_TYPE_INT64I = 7
    BUFFER_DATA_TYPE_INT8 = 8
    BUFFER_DATA_TYPE_INVAL = 9

class LiveReportingLevelEnum(IntEnum):
    """How much a benchmark prints while it runs; the one level that the vendor documents."""

    LIVE_REPORTING_SUMMARY = 1

class QAicOpStatsFormatEnum(IntEnum):
    """Format of the statistics that `InferenceBenchmarkSet.enableOpStatsCallback` asks for."""

    QAIC_OPSTATS_FORMAT_ASCII = 0
    QAIC_OPSTATS_FORMAT_JSON = 1

class QAicProfilingTypeEnum(IntEnum):
    """Report of a `ProfilingHandle`. The vendor's names; its numbers are not public.

    LATENCY: a table of comma-separated values. TRACE: JSON for chrome://tracing or Perfetto.
    RAW_DEVICE_STATS and DEV_KPI come from a card's firmware, in layouts that are not public.
    """

    QAIC_PROFILING_INFERENCE_LATENCY_TYPE = 1
    QAIC_PROFILING_INFERENCE_TRACE_TYPE = 2
    QAIC_PROFILING_INFERENCE_RAW_DEVICE_STATS_TYPE = 3
    QAIC_PROFILING_INFERENCE_DEV_KPI_TYPE = 4

class BufferMapping:
    """One buffer of a program, as `Qpc.getBufferMappings` gives them."""

    @property
    def bufferName(self) -> str:
        """Name of the input or output."""

    @property
    def index(self) -> int:
        """Place among the bindings: inputs first, then outputs."""

    @property
    def ioType(self) -> BufferIoTypeEnum:
        """Direction."""

    @property
    def size(self) -> int:
        """Bytes, in the largest allowed shape."""

    @property
    def isPartialBufferAllowed(self) -> bool:
        """Whether a run may give fewer bytes, or skip it."""

    @property
    def dataType(self) -> BufferDataTypeEnum:
        """Type of the elements; of an output, before the card's last conversion."""

class QAicProgramProperties:
    """How a program is loaded and waited for, with the vendor's defaults."""

    SubmitNumRetries: int
    """How often a card is tried again that takes no more work (5). Other devices take all."""
    SubmitRetryTimeoutMs: int
    """Milliseconds to wait for a card to take work; 0 (the default): the driver's 5000."""
    dataPathTimeoutMs: int
    """Milliseconds that `ExecObj.waitForCompletion` waits; 0 (the default): without bound."""
    devMapping: str
    """Ids of several cards ("0:1"). What is no card runs the whole program on the first, and says
    so when it is loaded."""

    def __init__(self) -> None: ...

ProgramProperties = QAicProgramProperties

class QAicQueueProperties:
    """How a queue runs what is enqueued, with the vendor's defaults."""

    properties: int
    """1 (the default): several threads. 0: one. The vendor's public header names both."""
    numThreadsPerQueue: int
    """So many exec objects run side by side, 1 to 64 (4)."""

    def __init__(self) -> None: ...

class QIDList:
    """Device ids: a list of int with `append`, len(), indices and iteration.

    A Python list or tuple does where one is an argument. Error: TypeError for ids that are no int.
    """

    def __init__(self, ids: Sequence[int] = ...) -> None: ...
    def append(self, id: int) -> None:
        """Adds one at the end."""

    def __len__(self) -> int: ...
    def __getitem__(self, i: int) -> int: ...
    def __iter__(self) -> Iterator[int]: ...

class QBuffer:
    """Host memory of one binding: a copy of what it is made from (bytes, array), in C order.

    It has bytes, no shape and no dtype. `bytes(buffer)` and `numpy.frombuffer(buffer, dtype)` read
    it; the latter without a copy. Error: TypeError for what has no buffer, or holds objects.
    """

    def __init__(self, data: Buffer | _Array) -> None: ...
    @property
    def size(self) -> int:
        """Bytes."""

    def __len__(self) -> int: ...
    def __bytes__(self) -> bytes: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

class BufferDimensionsVecRef:
    """(Bytes of an element, dims) of each binding, in order; made from and read as a list of these.

    Dims [0] belong to a binding that is skipped. Errors: TypeError or RuntimeError for a row that
    is no such pair, IndexError for a place that there is not.
    """

    def __init__(self, rows: Iterable[tuple[int, Sequence[int]]] = ...) -> None: ...
    def __len__(self) -> int: ...
    def __getitem__(self, i: int) -> tuple[int, list[int]]: ...
    def __setitem__(self, i: int, row: tuple[int, Sequence[int]]) -> None: ...
    def append(self, row: tuple[int, Sequence[int]]) -> None:
        """Adds one at the end."""

    def __iter__(self) -> Iterator[tuple[int, list[int]]]: ...

class Context:
    """The kind of device that programs run on, and which of them: `qids`; none: any.

    `QAICKIT_BACKEND` in the environment names the kind, else it is a card if one is there, else the
    CPU. Error: RuntimeError where there is no such kind of device.

    After a fork, what was made with a context can only be dropped in the child: whatever would wait
    or compute there returns QS_INVAL, and says so on stderr.
    """

    def __init__(self, qids: QIDList | list[int] | tuple[int, ...] = ...) -> None: ...
    def setLogLevel(self, level: QLogLevel) -> QStatus:
        """From which level on to write to stderr. Always QS_SUCCESS."""

class Qpc:
    """An opened QPC; `path` is the directory with `programqpc.bin`, or the file.

    Error: RuntimeError, naming the file and what is wrong with it.
    """

    def __init__(self, path: str) -> None: ...
    def getIoDescriptor(self) -> tuple[QStatus, bytes]:
        """(Status, a serialised `QAicApi_pb2.IoDesc`): names, types and dims of the bindings.

        QS_ERROR: the QPC's network descriptor, from which it is made, is damaged.
        """

    def getBufferMappings(self) -> list[BufferMapping]:
        """Each binding's name, size in bytes, direction and type; inputs first.

        Error: RuntimeError for a damaged network descriptor.
        """

class SlicingSpecHandle:
    """Where bindings lie in larger arrays; `Program.createSlicingSpecHandle` makes it."""

class Program:
    """A QPC for one device. `devID` None: the first of the context's, or of the mapping.

    Making one does not touch the device yet. Error: RuntimeError for a `devMapping` that is none.
    """

    @overload
    def __init__(
        self,
        context: Context,
        devID: int | None,
        qpcObj: Qpc,
        properties: QAicProgramProperties = ...,
    ) -> None: ...
    @overload
    def __init__(
        self, context: Context, *, qpcObj: Qpc, properties: QAicProgramProperties = ...
    ) -> None: ...
    def load(self) -> QStatus:
        """Puts it on the device.

        QS_NODEV: there is no such device, or it is none of the context's. QS_UNSUPPORTED: the QPC
        lacks the half that the device needs. QS_NOSPC: the device is full.
        """

    def unload(self) -> QStatus:
        """Takes it off, deactivating it first. QS_INVAL: it was not loaded."""

    def activate(self) -> QStatus:
        """Makes it ready to run, loading it first; state that it keeps begins as zeros.

        Statuses as of `load`. Error: RuntimeError with QAIC_ERROR_NSP_ALLOC_FAILED, which public
        programs look for, when the device is full.
        """

    def deactivate(self) -> QStatus:
        """Takes it back; exec objects made before are of no use any more. QS_INVAL: not active.

        The device is free again when the runs in progress have ended.
        """

    def createSlicingSpecHandle(self, spec: str) -> tuple[QStatus, SlicingSpecHandle | None]:
        """Where bindings lie in larger arrays, for `ExecObj.setDataWithSlices`.

        `spec` is JSON: BufferSpecs, each with Name (a regular expression that a binding's name
        begins with), ElemSize (bytes) and DimSpecs, which have for each dim a start: a number or
        the name of an offset. QS_INVAL: it is not. The layout is that of public programs; the
        vendor documents none.
        """

    @staticmethod
    def initProperties(properties: QAicProgramProperties) -> None:
        """Sets the vendor's defaults."""

class ExecObj:
    """One set of buffers and one run at a time. Loads and activates the program if need be.

    An input that is skipped comes from what the program keeps: the output `X_RetainedState` of the
    run before feeds `X`. One that is only partial computes on zeros. Error: RuntimeError where the
    program is of another context, or cannot be loaded or activated (QAIC_ERROR_NSP_ALLOC_FAILED:
    the device is full).
    """

    def __init__(self, context: Context, program: Program) -> None: ...
    def getId(self) -> int:
        """Its number in this process."""

    @overload
    def setData(self, data: list[QBuffer], dims: BufferDimensionsVecRef | None = ...) -> QStatus:
        """A buffer for each binding, in its dtype and C order; dims pick one of the allowed shapes.

        Size 0 (and dims [0]) skips one. Dims that are no allowed shape fail the run, with "No
        matching dimension found" on stderr. QS_INVAL: wrong number of buffers or dims, elements of
        another size than the binding's, or a run goes on.
        """

    @overload
    def setData(self, data: list[tuple[int, _Array]]) -> QStatus:
        """Arrays by binding index, read and filled in place; others stay as they were.

        Their shape picks one of the allowed ones. Elements must be of the binding's size, or bytes,
        and in the machine's byte order; their dtype is taken for the binding's. Arrays must be
        C-contiguous, and outputs writeable (else QS_INVAL). Empty ones are skipped. Errors:
        TypeError for what is no (index, array).
        """

    def setDataWithSlices(
        self,
        data: list[tuple[int, _Array]],
        spec: SlicingSpecHandle,
        offsets: list[tuple[str, int]],
    ) -> tuple[QStatus, None]:
        """As `setData` with arrays, of which those that `spec` names are larger than the binding.

        The binding is the part of the array that begins at the spec's starts; an input is read
        from there, an output written there. That it lies inside is looked at by the run. QS_INVAL:
        an offset is missing, or the size of the elements differs.
        """

    def getData(self) -> tuple[QStatus, list[QBuffer]]:
        """(Status, buffers) after a run: for each binding as many bytes as its dims have.

        A binding that was skipped, or is a part of a larger array, has an empty one. The status is
        the run's; with another than QS_SUCCESS the list is empty. QS_INVAL: no run has ended.
        """

    def run(self, data: list[QBuffer]) -> QStatus:
        """`setData`, and a run on this thread. Statuses as of these and of `waitForCompletion`."""

    def waitForCompletion(self) -> QStatus:
        """Waits for the last run and returns its status.

        QS_TIMEDOUT: `dataPathTimeoutMs` is over, the run goes on. QS_INVAL: there was none, or its
        buffers fit no allowed shape. QS_DEV_ERROR: the device failed. Ctrl-C raises
        KeyboardInterrupt, here and wherever this module waits for runs; they go on.
        """

class Queue:
    """Threads that run exec objects on the device `qid`, in the order of their enqueueing.

    Errors: RuntimeError for a device that is not there or is none of the context's, and for
    properties that are none.
    """

    def __init__(
        self, context: Context, qid: int, properties: QAicQueueProperties | None = ...
    ) -> None: ...
    def enqueue(self, execObj: ExecObj) -> QStatus:
        """Starts a run and returns.

        QS_INVAL: a run of this exec object is in progress, or its program is of another context or
        device than the queue.
        """

    @staticmethod
    def initProperties(properties: QAicQueueProperties) -> None:
        """Sets the vendor's defaults."""

class QAicProgramGroupPropertiesProtocol(IntEnum):
    """How a card changes between the programs of a group, with the numbers that users report."""

    QAIC_PROGRAM_GROUP_PROTOCOL_CONTROL_PATH = 0
    QAIC_PROGRAM_GROUP_PROTOCOL_DATA_PATH = 1

class QAicProgramGroupProperties:
    """How a program group is made."""

    protocolSelect: QAicProgramGroupPropertiesProtocol
    """CONTROL_PATH (the default) or DATA_PATH; here programs change in one way."""

    def __init__(self) -> None: ...

class ProgramGroup:
    """Programs of one device that share its cores, as public programs use it.

    Where the device cannot hold all of them active, one that idles gives its cores up to the one
    that is to run; exec objects stay usable. One that keeps state does not give them up. Error:
    RuntimeError for a device that is not there or is none of the context's.
    """

    def __init__(
        self,
        context: Context,
        devID: int,
        name: str,
        properties: QAicProgramGroupProperties | None = ...,
    ) -> None: ...
    def addProgram(
        self, qpc: Qpc, properties: QAicProgramProperties = ...
    ) -> tuple[QStatus, Program | None]:
        """(Status, a program of the group); None with another status than QS_SUCCESS.

        A group that is enabled loads it at once; statuses as of `Program.load`.
        """

    def enable(self) -> QStatus:
        """Loads all programs and activates them. QS_NOSPC: one does not fit the device.

        Other statuses as of `Program.load`.
        """

    def disable(self, wait: bool = ..., timeoutUs: int = ...) -> QStatus:
        """Unloads them. The arguments are taken to mean what public calls of it suggest.

        `wait`: first until no run is in progress, so many microseconds (0: without bound). Without
        it, runs that have not begun fail. QS_TIMEDOUT: the time is up; the programs stay loaded.
        QS_INVAL: not enabled.
        """

    def enqueue(self, execObj: ExecObj) -> QStatus:
        """Starts a run of an exec object of one of its programs, and returns.

        QS_INVAL: it is of no such program, a run of it is in progress, or the group is not enabled.
        """

class InferenceVector:
    """Buffers of one inference, for each binding as long as its mapping's size; zeros at first.

    After a run, its outputs have the results of the last one that was submitted with them.

    Error: RuntimeError for a QPC with a damaged network descriptor.
    """

    @overload
    def __init__(self, bufferMappings: list[BufferMapping]) -> None: ...
    @overload
    def __init__(self, qpc: Qpc) -> None: ...
    def getVector(self) -> list[QBuffer]:
        """The list itself: what is put into it counts."""

    def setBuffers(self, buffers: list[QBuffer]) -> None:
        """Another list: of all bindings, or of the inputs."""

class InferenceSetProperties:
    """How the program and the queues of a set are made, and what the set is called."""

    programProperties: QAicProgramProperties
    """Of its program."""
    queueProperties: QAicQueueProperties
    """Threads for each activation; a card's driver gets the number, and the rest is its own."""
    name: str
    """Name of the set, in live reports and in the names of profile files."""
    id: int
    """The caller's own number of the set; it has no effect."""

    def __init__(self) -> None: ...

BenchmarkProperties = InferenceSetProperties

class InferenceHandle:
    """One exec object of a set, with outputs of its own, until it is submitted or put back.

    `InferenceSet.getAvailable` and `getCompleted` give it.
    """

    def setBuffers(self, buffers: list[QBuffer]) -> QStatus:
        """Buffers of all bindings, or of the inputs; outputs are made in those that are not empty.

        QS_INVAL: a run of it is in progress, or it was put back. Errors: ValueError for another
        number, TypeError for what is no QBuffer.
        """

    def getBuffers(self) -> list[QBuffer]:
        """Buffers of all bindings, after a run with its outputs; the next run uses them again."""

    def execObj(self) -> ExecObj:
        """The exec object, for `ExecObj.getData`."""

class InferenceSet:
    """`setSize` exec objects for each of `numActivations` activations, handed out and taken back.

    `devID` None: any of the context's. `enableProfiling`: `waitForCompletion` and the end of the
    set write a table of all latencies, as `ProfilingHandle` does, into the working directory; how
    the vendor's hands out its profile is not public. Error: RuntimeError where the program cannot
    be loaded and activated, and for properties that are none.
    """

    def __init__(
        self,
        context: Context,
        qpc: Qpc,
        devID: int | None = ...,
        setSize: int = ...,
        numActivations: int = ...,
        properties: InferenceSetProperties | None = ...,
        enableProfiling: bool = ...,
    ) -> None: ...
    @overload
    def submit(self, vector: InferenceVector, id: int = ...) -> QStatus:
        """Waits for a free handle and starts a run of these inputs.

        `id` is for `getCompletedId`. Error: ValueError for a vector of another number of buffers.
        """

    @overload
    def submit(self, handle: InferenceHandle, id: int = ...) -> QStatus:
        """Starts a run of a handle from `getAvailable`. QS_INVAL: it is not the caller's."""

    def getAvailable(
        self,
        timeoutUs: int = ...,
    ) -> tuple[QStatus, InferenceHandle | None]:
        """(Status, handle): waits for a free one, so many microseconds; 0: without bound.

        QS_TIMEDOUT: none came free.
        """

    def getCompleted(self) -> tuple[QStatus, InferenceHandle | None]:
        """(Status of the run, its handle): waits for the oldest run that ended.

        QS_AGAIN: nothing was submitted.
        """

    def getCompletedId(self, id: int) -> tuple[QStatus, InferenceHandle]:
        """(Status of the run, its handle): waits for the run of that id.

        Without bound, also where it is submitted later.
        """

    def putCompleted(self, handle: InferenceHandle) -> QStatus:
        """Gives a handle back, to be available again. QS_INVAL: it was, or is another set's."""

    def waitForCompletion(self) -> QStatus:
        """Waits until no run is in progress.

        QS_SUCCESS also where runs failed: each has its own status. Others: the profile's file
        cannot be written.
        """

class vector_char:
    """Characters: `str()` and `bytes()` of it, len(), and indices, which give one each."""

    def __len__(self) -> int: ...
    def __getitem__(self, i: int) -> str: ...
    def __bytes__(self) -> bytes: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

class ExecObjInfo:
    """Which exec object ended a run, and how."""

    @property
    def execObjIndex(self) -> int:
        """Number of the exec object in its activation."""

    @property
    def activationIndex(self) -> int:
        """Number of the activation."""

    @property
    def programId(self) -> int:
        """Number of the program in this process."""

    @property
    def programName(self) -> str:
        """Name of the program, from the QPC."""

    @property
    def status(self) -> QStatus:
        """How the run ended."""

class InferenceBenchmarkSet:
    """Runs a program natively, over and over, on all its activations.

    `dev` None: any of the context's. `setSize` exec objects are in flight for each of
    `numActivations` activations; on a device that computes on the calling thread, one, or as many
    as `properties.queueProperties` has threads. `inferenceDataVector`: the buffers of an inference,
    or vectors that are used by turns; empty: zeros. A completion callback may set other data on its
    exec object. Names and statuses are those of the vendor's page of the class. Error: ValueError
    for another number of buffers.
    """

    def __init__(
        self,
        context: Context,
        qpc: Qpc,
        dev: int | None = ...,
        setSize: int = ...,
        numActivations: int = ...,
        inferenceDataVector: list[QBuffer] | list[InferenceVector] = ...,
        properties: InferenceSetProperties | None = ...,
    ) -> None: ...
    def enable(self) -> QStatus:
        """Loads and activates. Statuses as of `Program.load`; QS_INVAL: sizes or properties."""

    def disable(self) -> QStatus:
        """Gives the device back. Always QS_SUCCESS."""

    def run(self, numInferencesToRun: int) -> QStatus:
        """So many inferences in all; returns when they are done.

        QS_INVAL: not enabled, another run is in progress, or the number is 0. Else the status of
        the first inference that failed, which ends its exec object's part.
        """

    def runForDuration(self, duration: float) -> QStatus:
        """For so many seconds (the vendor's page gives no unit). Statuses as of `run`."""

    def getInfCompleted(self) -> list[int]:
        """Inferences of each activation, so far or of the last run; batch not counted."""

    def getLastRunStats(self) -> tuple[int, float, int, int]:
        """(Inferences, inferences a second, microseconds, batch size) of all activations."""

    def setLiveReporting(
        self,
        level: LiveReportingLevelEnum = ...,
        reportingPeriodMs: int = ...,
    ) -> QStatus:
        """Prints a line on stdout after each period of a run, in milliseconds; 0: none.

        QS_ERROR: a level that is none.
        """

    def setLiveProfilingLevel(self, level: LiveReportingLevelEnum) -> QStatus:
        """Another level of live reporting, with the same period.

        QS_ERROR: live reporting is not on, or a level that is none; the vendor documents one.
        """

    def enableExecObjCompletionCallback(
        self, callback: Callable[[ExecObj, ExecObjInfo], object]
    ) -> None:
        """Calls it after each inference, on that inference's thread, which waits for it.

        What it raises is printed, and ends nothing.
        """

    def disableExecObjCompletionCallback(self) -> None:
        """No more calls."""

    def enableOpStatsCallback(
        self,
        callback: Callable[[vector_char, int, QAicOpStatsFormatEnum, int, ExecObjInfo], object],
        initialSampleIndex: int,
        numSamplesPerProgramInstance: int,
        format: QAicOpStatsFormatEnum,
    ) -> QStatus:
        """Calls it with statistics of so many inferences of each activation, from one on.

        It gets (statistics, their bytes, format, number of the inference in its activation, exec
        object); what it raises is printed. Statistics of single operators come from a card's
        firmware, in a layout that is not public. These are the stages of the inference on the host
        (wait, gather, device, scatter), as `ProfilingHandle` has them: as ASCII its table, as JSON
        its trace. The vendor's page does not name the callback's two numbers. QS_INVAL: a format
        that is none.
        """

    def disableOpStatsCallback(self) -> QStatus:
        """No more calls. Always QS_SUCCESS."""

    @staticmethod
    def initDefaultProperties(properties: InferenceSetProperties) -> None:
        """Sets the vendor's defaults."""

class ProfilingHandle:
    """Writes a report about the inferences of programs between `start` and `stop`.

    For each program that ran, "PREFIX-program-N-latency.txt" or "PREFIX-program-N-trace.json"; N is
    the program's number in this process (from 0). The table: four lines of text, headings, a
    row for each inference; times in microseconds, N/A what only a card's driver could tell.
    enqTimeUs: until a thread took it. preProcTimeUs: inputs bound or copied. execTotalUs: on the
    device, transfers included. postProcUs: outputs handed out. totalRoundtripTimeUs: all of it.
    queueDepth and numInfInQueue: the program's inferences in progress before and after it was
    enqueued. The columns and their order are those that public scripts read; the trace has the same
    stages: wait, gather, device, scatter.

    Times are those of the host on every device: the vendor's functions for the same are known by
    name from no public header. Names and arguments are those of public programs. Errors:
    RuntimeError for no programs, a directory that is not there, a prefix with "/".
    """

    def __init__(
        self,
        programs: list[Program],
        type: QAicProfilingTypeEnum = ...,
        fileNamePrefix: str = ...,
        outputDirectory: str | os.PathLike[str] = ...,
    ) -> None: ...
    def start(self) -> QStatus:
        """Records the inferences that are enqueued from now on, the first 1,048,576 of a program.

        QS_INVAL: it was started. QS_UNSUPPORTED: a report that a card's firmware makes.
        """

    def stop(self) -> QStatus:
        """Writes the reports, which appear whole; of a program without inferences there is none.

        `start` begins anew. QS_INVAL: it was not started. QS_PERM, QS_NOSPC, QS_ERROR: a file
        cannot be written.
        """

class QResourceInfo:
    """What a device has, and has free; the fields are those of the vendor's public header."""

    dramTotal: int
    """Memory, KiB."""
    dramFree: int
    """Free memory, KiB."""
    vcTotal: int
    """Virtual channels."""
    vcFree: int
    """Free virtual channels."""
    nspTotal: int
    """Cores (NSPs); of a CPU, its logical processors."""
    nspFree: int
    """Free cores."""
    mcidTotal: int
    """Multicast ids."""
    mcidFree: int
    """Free multicast ids."""
    semTotal: int
    """Semaphores."""
    semFree: int
    """Free semaphores."""
    pcTotal: int
    """Physical channels."""
    pcReserved: int
    """Reserved physical channels."""
    skuType: int
    """Kind of card, as the vendor's header numbers them."""

class QPerformanceInfo:
    """Clocks and rates; the fields are those of the vendor's public header."""

    nspFrequencyHz: int
    """Of the cores, Hz."""
    ddrFrequencyHz: int
    """Of the memory, Hz."""
    compFrequencyHz: int
    """Of the compute network, Hz."""
    memFrequencyHz: int
    """Of the memory network, Hz."""
    sysFrequencyHz: int
    """Of the system network, Hz."""
    peakCompute: float
    """As the driver gives it; the vendor documents no unit."""
    dramBw: float
    """Memory traffic of late, KB/s."""

class QPciExtInfo:
    """The link of a card; 0 for what is no card."""

    maxLinkSpeed: int
    """Fastest, as the driver numbers it."""
    maxLinkWidth: int
    """Most lanes."""
    currLinkSpeed: int
    """As of now."""
    currLinkWidth: int
    """Lanes in use."""

class QPciInfo:
    """Where a card sits; 0 and empty for what is no card."""

    domain: int
    """PCI domain."""
    bus: int
    """PCI bus."""
    device: int
    """PCI device."""
    function: int
    """PCI function."""
    classname: str
    """Name of the PCI class."""
    vendorname: str
    """Name of the vendor."""
    devicename: str
    """Name of the device, also of what is no card."""
    pciExtInfo: QPciExtInfo
    """Its link."""

class QHostApiInfoNspVersion:
    """Version and images of the cores' firmware."""

    major: int
    """First number of the version."""
    minor: int
    """Second."""
    patch: int
    """Third."""
    build: int
    """Fourth."""
    qc: str
    """The vendor's image."""
    oem: str
    """The manufacturer's image."""
    variant: str
    """Variant of the image."""

class QHostApiInfoNspData:
    """What the cores tell of themselves."""

    nspFwVersion: QHostApiInfoNspVersion
    """Their firmware."""

class QHostApiInfoDevData:
    """What a device that is ready tells of itself; 0 and empty what only a card has.

    The fields are those of the vendor's public header, but for a few whose names are known from
    programs that use them.
    """

    fwVersionMajor: int
    """First number of the firmware's version."""
    fwVersionMinor: int
    """Second."""
    fwVersionPatch: int
    """Third."""
    fwVersionBuild: int
    """Fourth."""
    fwQCImageVersionString: str
    """The vendor's firmware image."""
    fwOEMImageVersionString: str
    """The manufacturer's image."""
    fwImageVariantString: str
    """Variant of the image."""
    fwImageFeaturesString: str
    """Features of the image."""
    sblImageString: str
    """Boot loader."""
    pvsImageVersion: int
    """Version of the PVS image."""
    hwVersion: int
    """Four bytes, the major one highest."""
    serial: str
    """Serial number of the hardware."""
    fragmentationStatus: int
    """Fragmentation of the memory, hundredths of a percent."""
    metaVerMaj: int
    """Version of the metadata."""
    metaVerMin: int
    """Its second number."""
    nncCommandProtocolMajor: int
    """Version of the command protocol."""
    nncCommandProtocolMinor: int
    """Its second number."""
    nspPgMask: int
    """A bit for each defective core."""
    numLoadedConsts: int
    """Constants loaded."""
    numConstsInUse: int
    """Constants in use."""
    numLoadedNWs: int
    """Networks loaded."""
    numActiveNWs: int
    """Networks active."""
    resourceInfo: QResourceInfo
    """What it has, and has free."""
    performanceInfo: QPerformanceInfo
    """Its clocks and rates."""

class QDevInfo:
    """A device, as `Util.getDeviceInfo` describes it."""

    qid: int
    """Its id."""
    devStatus: QDevStatus
    """Its state; only a device that is QDS_READY runs programs."""
    name: str
    """Its name."""
    pciInfo: QPciInfo
    """Where it sits."""
    devData: QHostApiInfoDevData
    """What it tells of itself."""
    nspData: QHostApiInfoNspData
    """What its cores tell."""

class Util:
    """What devices there are, of the kind that `Context` would take.

    Of a device that is no card, the machine's CPUs count as NSPs, its memory as dram; the rest is
    0. Names and statuses are those of the vendor's page of the class.
    """

    def __init__(self) -> None: ...
    def checkLibraryVersion(self) -> QStatus:
        """Whether the library is of the version that this package is for.

        QS_UNSUPPORTED: it is of another major one. QS_NODEV: it is not there.
        """

    def getAicVersion(self) -> tuple[QStatus, int, int, str, str]:
        """(Status, major, minor, patch, variant) of the library. QS_NODEV: it is not there."""

    def getDeviceIds(
        self,
        deviceType: QAicDeviceType = ...,
    ) -> tuple[QStatus, QIDList]:
        """(Status, ids of the devices). QS_NODEV: there are none. QS_INVAL: no type of device."""

    def getDeviceInfo(self, devID: int) -> tuple[QStatus, QDevInfo | None]:
        """(Status, device or None). QS_NODEV: no such device."""

    def getPerformanceInfo(
        self,
        devID: int,
    ) -> tuple[QStatus, QPerformanceInfo | None]:
        """(Status, clocks and rates or None). QS_NODEV: no such device."""

    def getResourceInfo(
        self,
        devID: int,
    ) -> tuple[QStatus, QResourceInfo | None]:
        """(Status, resources or None). QS_NODEV: no such device."""

    def lockDevice(self, devID: int, lock: bool, block: bool) -> QStatus:
        """Takes (`lock`) or gives back a device, among the processes that ask; `block` waits.

        It hinders nobody who does not ask. QS_UNSUPPORTED: QAIC_SERIALIZE_DEVICE is not 1, or the
        device is no card. QS_BUSY: another process has it.
        """
