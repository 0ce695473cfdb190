"""Types of the compiled module behind `qaicrt`. Import `qaicrt`."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import IntEnum
from typing import Any, overload

import numpy.typing as npt
from typing_extensions import Buffer

_Array = npt.NDArray[Any]

class QStatus(IntEnum):
    """What a call came to; the vendor's numbers."""

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
    """From which level on a context writes to stderr; at first QL_WARN."""

    QL_DEBUG = 0
    QL_INFO = 1
    QL_WARN = 2
    QL_ERROR = 3

class QDevStatus(IntEnum):
    """State of a device."""

    QDS_INITIALIZING = 0
    QDS_READY = 1
    QDS_ERROR = 2

class QAicDeviceType(IntEnum):
    """Kinds of devices to list."""

    QAIC_DEVICE_TYPE_DEFAULT = 1

class BufferIoTypeEnum(IntEnum):
    """Direction of a buffer; not the numbers of QAicApi_pb2."""

    BUFFER_IO_TYPE_INVALID = 0
    BUFFER_IO_TYPE_INPUT = 1
    BUFFER_IO_TYPE_OUTPUT = 2

class BufferDataTypeEnum(IntEnum):
    """Type of a buffer's elements."""

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
    """How much a benchmark prints while it runs."""

    LIVE_REPORTING_SUMMARY = 1

class QAicOpStatsFormatEnum(IntEnum):
    """Format of operator statistics."""

    QAIC_OPSTATS_FORMAT_ASCII = 0
    QAIC_OPSTATS_FORMAT_JSON = 1

class BufferMapping:
    """One buffer of a program: name, place among the bindings, size in bytes."""

    @property
    def bufferName(self) -> str: ...
    @property
    def index(self) -> int: ...
    @property
    def ioType(self) -> BufferIoTypeEnum: ...
    @property
    def size(self) -> int: ...
    @property
    def isPartialBufferAllowed(self) -> bool: ...
    @property
    def dataType(self) -> BufferDataTypeEnum: ...

class QAicProgramProperties:
    """How a program is loaded and waited for.

    `dataPathTimeoutMs` bounds `ExecObj.waitForCompletion` (0: without bound). `devMapping` ("0:1")
    names several cards; a device that is no card runs the whole program on the first.
    """

    SubmitNumRetries: int
    SubmitRetryTimeoutMs: int
    dataPathTimeoutMs: int
    devMapping: str

    def __init__(self) -> None: ...

ProgramProperties = QAicProgramProperties

class QAicQueueProperties:
    """Threads of a queue: so many exec objects run side by side."""

    properties: int
    numThreadsPerQueue: int

    def __init__(self) -> None: ...

class QIDList:
    """Device ids."""

    def __init__(self, ids: Sequence[int] = ...) -> None: ...
    def append(self, id: int) -> None:
        """Adds one at the end."""

    def __len__(self) -> int: ...
    def __getitem__(self, i: int) -> int: ...
    def __iter__(self) -> Iterator[int]: ...

class QBuffer:
    """Host memory of one binding: a copy of what it is made from, in C order.

    `bytes(buffer)` and `numpy.frombuffer(buffer, dtype)` read it; the latter without a copy.
    Error: TypeError for what has no buffer.
    """

    def __init__(self, data: Buffer | _Array) -> None: ...
    @property
    def size(self) -> int: ...
    def __len__(self) -> int: ...
    def __bytes__(self) -> bytes: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

class BufferDimensionsVecRef:
    """(Bytes of an element, dims) of each binding, in order. Dims [0] belong to a skipped one."""

    def __init__(self, rows: Iterable[tuple[int, Sequence[int]]] = ...) -> None: ...
    def __len__(self) -> int: ...
    def __getitem__(self, i: int) -> tuple[int, list[int]]: ...
    def __setitem__(self, i: int, row: tuple[int, Sequence[int]]) -> None: ...
    def append(self, row: tuple[int, Sequence[int]]) -> None:
        """Adds one at the end."""

    def __iter__(self) -> Iterator[tuple[int, list[int]]]: ...

class Context:
    """The kind of device that programs run on, and which of them; no ids: any.

    Error: RuntimeError when there is no such kind of device (`QAICKIT_BACKEND`).
    """

    def __init__(self, qids: QIDList | list[int] = ...) -> None: ...
    def setLogLevel(self, level: QLogLevel) -> QStatus:
        """From which level on to write to stderr."""

class Qpc:
    """An opened QPC: the directory with `programqpc.bin`, or the file.

    Error: RuntimeError, naming the file and what is wrong with it.
    """

    def __init__(self, path: str) -> None: ...
    def getIoDescriptor(self) -> tuple[QStatus, bytes]:
        """A serialised `QAicApi_pb2.IoDesc`."""

    def getBufferMappings(self) -> list[BufferMapping]:
        """Of each binding, inputs first. Error: RuntimeError for a damaged descriptor."""

class SlicingSpecHandle:
    """See `Program.createSlicingSpecHandle`."""

class Program:
    """A QPC for one device. `devID` None: the first of the context's, or of the mapping.

    Error: RuntimeError for a `devMapping` that is none.
    """

    def __init__(
        self,
        context: Context,
        devID: int | None,
        qpc: Qpc,
        properties: QAicProgramProperties = ...,
    ) -> None: ...
    def load(self) -> QStatus:
        """Puts it on the device."""

    def unload(self) -> QStatus:
        """Takes it off, deactivating it first. QS_INVAL: it was not loaded."""

    def activate(self) -> QStatus:
        """Makes it ready to run, loading it first; state that it keeps begins as zeros.

        Error: RuntimeError with QAIC_ERROR_NSP_ALLOC_FAILED when the device is full.
        """

    def deactivate(self) -> QStatus:
        """The opposite; exec objects made before it are of no use any more."""

    def createSlicingSpecHandle(self, spec: str) -> tuple[QStatus, SlicingSpecHandle | None]:
        """Where bindings lie in larger arrays, for `ExecObj.setDataWithSlices`.

        `spec` is JSON: BufferSpecs, each with Name (a regular expression that a binding's name
        begins with), ElemSize (bytes) and DimSpecs, which have for each dim a start: a number or
        the name of an offset. QS_INVAL: it is not. The layout is that of public programs; the
        vendor documents none.
        """

    @staticmethod
    def initProperties(properties: QAicProgramProperties) -> None:
        """Sets the defaults."""

class ExecObj:
    """One set of buffers and one run at a time. Loads and activates the program if need be.

    An input that is skipped comes from what the program keeps: the output `X_RetainedState` of the
    run before feeds `X`. One that is only partial computes on zeros. Error: RuntimeError.
    """

    def __init__(self, context: Context, program: Program) -> None: ...
    @overload
    def setData(self, data: list[QBuffer], dims: BufferDimensionsVecRef | None = ...) -> QStatus:
        """A buffer for each binding; dims pick one of the allowed shapes.

        Size 0 (and dims [0]) skips one. Dims that are no allowed shape fail the run, with "No
        matching dimension found" on stderr. QS_INVAL: wrong number of buffers, or a run goes on.
        """

    @overload
    def setData(self, data: list[tuple[int, _Array]]) -> QStatus:
        """Arrays by binding index, read and filled in place; others stay as they were.

        They must be C-contiguous, and outputs writeable (else QS_INVAL). Empty ones are skipped.
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
        """After a run: a buffer for each binding, as long as its dims; empty where skipped."""

    def run(self, data: list[QBuffer]) -> QStatus:
        """`setData`, and a run on this thread."""

    def waitForCompletion(self) -> QStatus:
        """Of the last run. QS_TIMEDOUT: `dataPathTimeoutMs` is over; QS_INVAL: there was none."""

class Queue:
    """Threads that run exec objects."""

    def __init__(
        self, context: Context, qid: int, properties: QAicQueueProperties | None = ...
    ) -> None: ...
    def enqueue(self, execObj: ExecObj) -> QStatus:
        """Starts a run and returns. QS_INVAL: one is in progress."""

    @staticmethod
    def initProperties(properties: QAicQueueProperties) -> None:
        """Sets the defaults."""

class InferenceVector:
    """Buffers of one inference, zeros at first."""

    @overload
    def __init__(self, bufferMappings: list[BufferMapping]) -> None: ...
    @overload
    def __init__(self, qpc: Qpc) -> None: ...
    def getVector(self) -> list[QBuffer]:
        """The list itself: what is put into it counts."""

    def setBuffers(self, buffers: list[QBuffer]) -> None:
        """Another list."""

class InferenceSetProperties:
    """How the programs and queues of a set are made."""

    programProperties: QAicProgramProperties
    queueProperties: QAicQueueProperties
    name: str
    id: int

    def __init__(self) -> None: ...

BenchmarkProperties = InferenceSetProperties

class InferenceHandle:
    """One exec object of a set, with outputs of its own, until it is submitted or put back."""

    def setBuffers(self, buffers: list[QBuffer]) -> QStatus:
        """Of all bindings or of the inputs. Error: ValueError for another number."""

    def getBuffers(self) -> list[QBuffer]:
        """Of all bindings, after a run with its outputs; they are used again by the next."""

    def execObj(self) -> ExecObj:
        """The exec object."""

class InferenceSet:
    """`setSize` exec objects for each of `numActivations` activations, handed out and taken back.

    Error: RuntimeError where the program cannot be loaded and activated.
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
        """Waits for a free handle and starts a run of these inputs."""

    @overload
    def submit(self, handle: InferenceHandle, id: int = ...) -> QStatus:
        """Starts a run of a handle from `getAvailable`."""

    def getAvailable(
        self,
        timeoutUs: int = ...,
    ) -> tuple[QStatus, InferenceHandle | None]:
        """Waits for a free handle; 0: without bound, else QS_TIMEDOUT."""

    def getCompleted(self) -> tuple[QStatus, InferenceHandle | None]:
        """Waits for the oldest run that ended, with its status. QS_AGAIN: there is none."""

    def getCompletedId(self, id: int) -> tuple[QStatus, InferenceHandle]:
        """Waits for the run of that id, without bound, also where it is submitted later."""

    def putCompleted(self, handle: InferenceHandle) -> QStatus:
        """Gives a handle back. QS_INVAL: it was."""

    def waitForCompletion(self) -> QStatus:
        """Until no run is in progress."""

class ExecObjInfo:
    """Which exec object ended a run, and how."""

    @property
    def execObjIndex(self) -> int: ...
    @property
    def activationIndex(self) -> int: ...
    @property
    def programId(self) -> int: ...
    @property
    def programName(self) -> str: ...
    @property
    def status(self) -> QStatus: ...

class InferenceBenchmarkSet:
    """Runs a program natively, over and over, on all its activations.

    `inferenceDataVector`: inputs, used by turns; empty: zeros. See the vendor's page of the class.
    """

    def __init__(
        self,
        context: Context,
        qpc: Qpc,
        dev: int | None = ...,
        setSize: int = ...,
        numActivations: int = ...,
        inferenceDataVector: list[InferenceVector] = ...,
        properties: InferenceSetProperties | None = ...,
    ) -> None: ...
    def enable(self) -> QStatus:
        """Loads and activates."""

    def disable(self) -> QStatus:
        """Gives the device back."""

    def run(self, numInferencesToRun: int) -> QStatus:
        """So many inferences in all; returns when they are done. QS_INVAL: not enabled."""

    def runForDuration(self, duration: float) -> QStatus:
        """For so many seconds (the vendor's unit is not documented)."""

    def getInfCompleted(self) -> list[int]:
        """Inferences of each activation, so far or of the last run; batch not counted."""

    def getLastRunStats(self) -> tuple[int, float, int, int]:
        """(Inferences, inferences a second, microseconds, batch size) of all activations."""

    def setLiveReporting(
        self,
        level: LiveReportingLevelEnum = ...,
        reportingPeriodMs: int = ...,
    ) -> QStatus:
        """Prints a line on stdout after each period of a run; 0: none."""

    def setLiveProfilingLevel(self, level: Any) -> QStatus:
        """QS_UNSUPPORTED: the levels are not documented."""

    def enableExecObjCompletionCallback(
        self, callback: Callable[[ExecObj, ExecObjInfo], object]
    ) -> None:
        """Calls it after each inference, on that inference's thread."""

    def disableExecObjCompletionCallback(self) -> None:
        """No more calls."""

    def enableOpStatsCallback(self, *args: Any) -> QStatus:
        """QS_UNSUPPORTED: statistics of operators come from a card's own firmware."""

    def disableOpStatsCallback(self) -> QStatus:
        """Nothing to do."""

    @staticmethod
    def initDefaultProperties(properties: InferenceSetProperties) -> None:
        """Sets the defaults."""

class QResourceInfo:
    """What a device has, and has free; dram in KiB."""

    dramTotal: int
    dramFree: int
    vcTotal: int
    vcFree: int
    nspTotal: int
    nspFree: int
    mcidTotal: int
    mcidFree: int
    semTotal: int
    semFree: int
    pcTotal: int
    pcReserved: int
    skuType: int

class QPerformanceInfo:
    """Clocks in Hz, and rates."""

    nspFrequencyHz: int
    ddrFrequencyHz: int
    compFrequencyHz: int
    memFrequencyHz: int
    sysFrequencyHz: int
    peakCompute: float
    dramBw: float

class QPciInfo:
    """Where a card sits."""

    domain: int
    bus: int
    device: int
    function: int
    classname: str
    vendorname: str
    devicename: str

class QHostApiInfoDevData:
    """What a device that is ready tells of itself."""

    resourceInfo: QResourceInfo
    performanceInfo: QPerformanceInfo
    hwVersion: int
    serial: str

class QDevInfo:
    """A device."""

    qid: int
    devStatus: QDevStatus
    name: str
    pciInfo: QPciInfo
    devData: QHostApiInfoDevData

class Util:
    """What devices there are; see the vendor's page of the class.

    Of a device that is no card, its CPUs count as NSPs and the rest is 0.
    """

    def __init__(self) -> None: ...
    def checkLibraryVersion(self) -> QStatus:
        """QS_UNSUPPORTED: the vendor's library is of another major version."""

    def getAicVersion(self) -> tuple[QStatus, int, int, str, str]:
        """(Status, major, minor, patch, variant) of the library."""

    def getDeviceIds(
        self,
        deviceType: QAicDeviceType = ...,
    ) -> tuple[QStatus, QIDList]:
        """QS_NODEV: there are none."""

    def getDeviceInfo(self, devID: int) -> tuple[QStatus, QDevInfo | None]:
        """QS_NODEV: no such device."""

    def getPerformanceInfo(
        self,
        devID: int,
    ) -> tuple[QStatus, QPerformanceInfo | None]:
        """QS_NODEV: no such device."""

    def getResourceInfo(
        self,
        devID: int,
    ) -> tuple[QStatus, QResourceInfo | None]:
        """QS_NODEV: no such device."""

    def lockDevice(self, devID: int, lock: bool, block: bool) -> QStatus:
        """QS_UNSUPPORTED: the vendor's lock between processes is advisory and off by default."""
