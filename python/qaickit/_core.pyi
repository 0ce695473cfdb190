"""Types of the compiled module. Private: use `qaic`, `qaickit.session` and the command lines."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

import numpy.typing as npt

__version__: str

class TensorDict(TypedDict):
    name: str
    dtype: str
    dims: list[int]
    scale: float
    offset: int
    bytes: int
    partial: bool  # a run may give a smaller first dim

class ProgramDict(TypedDict):
    name: str
    num_cores: int
    batch_size: int
    inputs: list[TensorDict]
    outputs: list[TensorDict]
    # Sets of dims of each input, then of each output. Empty: the dims of the tensors only.
    allowed_shapes: list[list[list[int]]]

class ManifestDict(TypedDict):
    format_version: int
    producer: str
    precision: str
    options: dict[str, str]
    random_weights: bool
    node_precision: dict[str, str]
    calibration: dict[str, str]

class SegmentDict(TypedDict):
    name: str
    bytes: int
    offset: int  # of constants.bin: bytes of its static part
    sha256: str

class QpcDict(TypedDict):
    path: str
    file_bytes: int
    program: ProgramDict
    segments: list[SegmentDict]
    has_host_half: bool
    has_card_half: bool
    manifest: ManifestDict | None

class DeviceDict(TypedDict):
    backend: str
    id: int
    name: str
    simulated: bool

class BackendDict(TypedDict):
    name: str
    summary: str
    devices: list[DeviceDict]
    error: str | None
    details: list[tuple[str, str]]

class BatchStatsDict(TypedDict):
    samples_ok: int
    samples_failed: int
    batches: int
    caller_batches: int
    batch_sizes: list[int]
    activation_batches: list[int]
    lost_activations: int

class MetricsDict(TypedDict):
    num_of_inferences: int  # ended well, the first of the session not counted
    min_latency: float  # seconds, as all below
    max_latency: float
    P25: float
    P50: float
    P75: float
    P90: float
    P99: float
    P999: float
    total_inference_time: float
    avg_latency: float

class RunProfileDict(TypedDict):
    start: float  # seconds by the monotonic clock, as time.monotonic()
    activation: int  # of those of all devices
    wait: float  # seconds, as all below: for an idle ExecObj
    gather: float  # inputs bound or copied
    device: float  # computing, transfers included
    scatter: float  # outputs copied, ExecObj given back

class QaicLibraryDict(TypedDict):
    path: str
    major: int
    minor: int
    patch: str
    variant: str
    simulated: bool

class QaicPciDict(TypedDict):
    domain: int
    bus: int
    device: int
    function: int
    class_name: str
    vendor_name: str
    device_name: str
    max_link_speed: int
    max_link_width: int
    curr_link_speed: int
    curr_link_width: int

class QaicFirmwareDict(TypedDict):
    version: list[int]
    qc_image: str
    oem_image: str
    variant: str

class QaicResourcesDict(TypedDict):
    dram_total_kib: int
    dram_free_kib: int
    vc_total: int
    vc_free: int
    pc_total: int
    pc_reserved: int
    nsp_total: int
    nsp_free: int
    mcid_total: int
    mcid_free: int
    sem_total: int
    sem_free: int
    sku_type: int

class QaicPerformanceDict(TypedDict):
    nsp_hz: int
    ddr_hz: int
    comp_hz: int
    mem_hz: int
    sys_hz: int
    peak_compute: float
    dram_bw: float

class QaicTelemetryDict(TypedDict):
    soc_celsius: int
    board_watts: int
    tdp_cap_watts: int

class QaicDeviceDict(TypedDict):
    id: int
    status: int  # 0 initializing, 1 ready, 2 error, 3 unknown
    name: str
    pci: QaicPciDict
    hw_version: int
    serial: str
    firmware: QaicFirmwareDict
    firmware_features: str
    nsp_firmware: QaicFirmwareDict
    sbl_image: str
    pvs_image_version: int
    fragmentation: int
    metadata_version: list[int]
    command_protocol: list[int]
    nsp_defect_mask: int
    constants_loaded: int
    constants_in_use: int
    networks_loaded: int
    networks_active: int
    resources: QaicResourcesDict
    performance: QaicPerformanceDict
    board_serial: str | None  # simulated cards only, and so is telemetry
    telemetry: QaicTelemetryDict | None

def qaic_library() -> QaicLibraryDict:
    """The vendor's library (or the simulator that `QAIC_LIB` names), loaded at the first call.

    Errors: UnavailableError, listing what was tried; UnsupportedError for another major version.
    """

def qaic_device_ids() -> list[int]:
    """Ids of the cards that `QAIC_VISIBLE_DEVICES` leaves. Errors as of `qaic_library`."""

def qaic_device(id: int) -> QaicDeviceDict:
    """What a card tells of itself; units are in the names of the fields.

    Errors: NotFoundError for an id that is none, and those of `qaic_library`.
    """

def qaic_reset_device(id: int) -> None:
    """Resets a simulated card. Errors: UnsupportedError for a real one, and as of `qaic_device`."""

def backends() -> list[BackendDict]:
    """Each kind of device, the most specific first, with its devices or why it has none."""

def workload_kinds() -> list[str]:
    """Names of the workloads that `LoadgenTest` takes."""

def loadgen_version() -> str:
    """Version of the LoadGen library that is compiled in."""

class Qpc:
    """An opened QPC: mapped, and checked as qaickit/qpc.h says.

    `check_weights=False` leaves large weights unchecked until a Session is made of it, which checks
    them while the device loads the program.

    Errors: NotFoundError, PermissionDeniedError, DataLossError (what is damaged, and where).
    """

    def __init__(self, path: str, *, check_weights: bool = True) -> None: ...
    @property
    def path(self) -> str:
        """The file's."""

    @property
    def program(self) -> ProgramDict:
        """Names, dtypes, dims and bytes of what goes in and out."""

    @property
    def manifest(self) -> ManifestDict | None:
        """How it was compiled; None where there is no host half."""

    def verify(self) -> None:
        """Raises DataLossError unless every digest is right, those of the weights too."""

    def describe(self) -> QpcDict:
        """What is in it: segments with their SHA-256, program, manifest."""

    def segment(self, name: str) -> bytes:
        """The bytes of one segment. NotFoundError lists the names that there are."""

def read_qpc(path: str) -> QpcDict:
    """What is in a QPC file: segments with their SHA-256, program, manifest. Errors as of `Qpc`."""

def qpc_segment(path: str, name: str) -> bytes:
    """The bytes of one segment. Errors as of `Qpc`; NotFoundError lists the known names."""

def write_qpc(
    path: str,
    program: Mapping[str, Any],
    manifest: Mapping[str, Any],
    model: bytes,
    extra: Mapping[str, bytes | tuple[bytes, int]] = ...,
    weights: Sequence[npt.NDArray[Any]] = ...,
    fp16_model: bytes = ...,
) -> None:
    """Writes a QPC, which appears whole or not at all.

    `extra`: segments by name, each alone or with the bytes of its static part. `weights`,
    `fp16_model`: see QpcContent in qaickit/qpc.h; C-contiguous, not copied. Errors:
    InvalidArgumentError for a program or manifest that is none, ValueError for weights that are not
    contiguous, PermissionDeniedError, ResourceExhaustedError (disk full).
    """

class Session:
    """A QPC on its devices. Safe from many threads; every call that can wait releases the GIL.

    `backend` empty: a card if one is there, else the CPU. `device_ids` empty: device 0.
    `num_activations` on each device, each with `set_size` ExecObjs where the device is
    asynchronous. `device_settings`: as docs/devices.md has them. Errors name the file, the
    backend and what to do: NotFoundError, UnavailableError, UnsupportedError (a missing half),
    ResourceExhaustedError (too few cores), InvalidArgumentError (a setting).
    """

    def __init__(
        self,
        qpc: Qpc,
        *,
        backend: str = "",
        device_ids: Sequence[int] = (),
        num_activations: int = 1,
        set_size: int = 10,
        threads_per_activation: int = 1,
        device_settings: Mapping[str, str] = ...,
        metrics: bool = False,
        profile_runs: int = 0,
    ) -> None: ...
    @property
    def program(self) -> ProgramDict:
        """What goes in and out: as the QPC says, unless the settings change it (skip_stage)."""

    @property
    def manifest(self) -> ManifestDict | None:
        """How it was compiled; None where there is no host half."""

    @property
    def backend(self) -> str:
        """Name of the kind of device."""

    @property
    def devices(self) -> list[DeviceDict]:
        """The devices that it runs on."""

    @property
    def precision(self) -> str:
        """What the arithmetic really is ("fp32"), whatever the manifest asks for."""

    def run(self, input_dict: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """One inference; waits for an idle activation.

        Inputs by name, of the program's dtypes and of one of its shapes; borrowed until it returns,
        copied where they are not C-contiguous. Returns new arrays. Errors: InvalidArgumentError (a
        name, dtype or shape), ClosedError, and what the device says.
        """

    def run_on(
        self, activation: int, input_dict: Mapping[str, npt.NDArray[Any]]
    ) -> tuple[dict[str, npt.NDArray[Any]], RunProfileDict]:
        """As `run`, on that activation of those of all devices; also tells where the time went.

        Errors as of `run`; InvalidArgumentError also for an activation that does not exist.
        """

    def benchmark(
        self,
        inferences: int,
        seconds: float,
        inputs: Mapping[str, npt.NDArray[Any]] | None = None,
        tick: Callable[[int], bool] | None = None,
    ) -> tuple[int, float]:
        """(Inferences, seconds) of a native loop on all activations.

        So many `inferences`, or for `seconds` where that is 0. An inference is a whole batch.
        `inputs` as of `run`; None: whatever the buffers hold. `tick(inferences)` is called some 40
        times a second and ends the loop by returning False; what it raises ends it too, as does a
        signal's exception (KeyboardInterrupt) on the main thread. Errors as of `run`.
        """

    def metrics(self) -> MetricsDict:
        """Of `run` so far, with `metrics` or `profile_runs`; else FailedPreconditionError."""

    def profile(self) -> list[RunProfileDict]:
        """The first `profile_runs` runs, in order; as `metrics` otherwise."""

    def close(self) -> None:
        """Waits for runs to end (10 s at most, then TimedOutError) and gives the devices back."""

class LoadgenTest:
    """One LoadGen test on a thread of its own; one at a time in a process.

    `options` has the fields of qaickit::LoadgenOptions (cpp/include/qaickit/loadgen.h) and of
    BatchPolicy by name; `scenario` and `mode` are lower-case words without separators
    ("singlestream", "findpeak"). `workload` is one of `workload_kinds`; `arrays` hold the samples,
    C-contiguous, borrowed while the test lives. Error: InvalidArgumentError for an unknown name or
    a value of the wrong kind, and where the model does not fit the workload.
    """

    def __init__(
        self,
        session: Session,
        workload: str,
        arrays: Sequence[npt.NDArray[Any]],
        options: Mapping[str, Any],
    ) -> None: ...
    def wait_ms(self, timeout_ms: int) -> bool:
        """Waits so many milliseconds at most; True: the test has ended."""

    @property
    def samples_issued(self) -> int:
        """Samples that LoadGen has asked for."""

    @property
    def samples_done(self) -> int:
        """Samples that were answered."""

    def abort(self) -> None:
        """Ends the test early; its samples are still answered."""

    def result(self) -> None:
        """Raises the first failure of a sample or of the harness, if any."""

    def stats(self) -> BatchStatsDict:
        """Samples and batches so far."""
