"""Types of the compiled module. Private: use `qaic`, `qaickit.session` and the command lines."""

from collections.abc import Mapping, Sequence
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

def qaic_library() -> QaicLibraryDict: ...
def qaic_device_ids() -> list[int]: ...
def qaic_device(id: int) -> QaicDeviceDict: ...
def qaic_reset_device(id: int) -> None: ...
def backends() -> list[BackendDict]: ...
def workload_kinds() -> list[str]: ...
def loadgen_version() -> str: ...

class Qpc:
    """An opened QPC: mapped, and checked as qaickit/qpc.h says."""

    def __init__(self, path: str) -> None: ...
    @property
    def path(self) -> str: ...
    @property
    def program(self) -> ProgramDict: ...
    @property
    def manifest(self) -> ManifestDict | None: ...
    def verify(self) -> None:
        """Raises DataLossError unless every digest is right, those of the weights too."""

    def describe(self) -> QpcDict: ...
    def segment(self, name: str) -> bytes: ...

def read_qpc(path: str) -> QpcDict: ...
def qpc_segment(path: str, name: str) -> bytes: ...
def write_qpc(
    path: str,
    program: Mapping[str, Any],
    manifest: Mapping[str, Any],
    model: bytes,
    extra: Mapping[str, bytes | tuple[bytes, int]] = ...,
    weights: Sequence[npt.NDArray[Any]] = ...,
) -> None:
    """Writes a QPC. `weights`: see QpcContent in qaickit/qpc.h; not copied."""

class Session:
    """A QPC on its devices. Safe from many threads; every call that can wait releases the GIL."""

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
    def program(self) -> ProgramDict: ...
    @property
    def manifest(self) -> ManifestDict | None: ...
    @property
    def backend(self) -> str: ...
    @property
    def devices(self) -> list[DeviceDict]: ...
    @property
    def precision(self) -> str: ...
    def run(self, input_dict: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]: ...
    def benchmark(
        self, inferences: int, seconds: float, inputs: Mapping[str, npt.NDArray[Any]] | None = None
    ) -> tuple[int, float]: ...
    def metrics(self) -> MetricsDict:
        """Of `run` so far, with `metrics` or `profile_runs`; else FailedPreconditionError."""

    def profile(self) -> list[RunProfileDict]:
        """The first `profile_runs` runs, in order; as `metrics` otherwise."""

    def close(self) -> None: ...

class LoadgenTest:
    """One LoadGen test on a thread of its own; one at a time in a process.

    `options` has the fields of qaickit::LoadgenOptions (cpp/include/qaickit/loadgen.h) and of
    BatchPolicy by name; `scenario` and `mode` are lower-case words without separators
    ("singlestream", "findpeak"). Unknown names are refused.
    """

    def __init__(
        self,
        session: Session,
        workload: str,
        arrays: Sequence[npt.NDArray[Any]],
        options: Mapping[str, Any],
    ) -> None: ...
    def wait_ms(self, timeout_ms: int) -> bool: ...
    @property
    def samples_issued(self) -> int: ...
    @property
    def samples_done(self) -> int: ...
    def abort(self) -> None: ...
    def result(self) -> None:
        """Raises the first failure of a sample or of the harness, if any."""

    def stats(self) -> BatchStatsDict: ...
