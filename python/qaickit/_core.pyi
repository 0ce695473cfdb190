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

class ProgramDict(TypedDict):
    name: str
    num_cores: int
    batch_size: int
    inputs: list[TensorDict]
    outputs: list[TensorDict]

class ManifestDict(TypedDict):
    format_version: int
    producer: str
    precision: str
    options: dict[str, str]
    random_weights: bool

class SegmentDict(TypedDict):
    name: str
    bytes: int
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

def backends() -> list[BackendDict]: ...
def workload_kinds() -> list[str]: ...
def loadgen_version() -> str: ...
def read_qpc(path: str) -> QpcDict: ...
def qpc_segment(path: str, name: str) -> bytes: ...
def write_qpc(
    path: str,
    program: Mapping[str, Any],
    manifest: Mapping[str, Any],
    model: bytes,
    extra: Mapping[str, bytes] = ...,
) -> None: ...

class Session:
    """A QPC on its devices. Safe from many threads; every call that can wait releases the GIL."""

    def __init__(
        self,
        path: str,
        *,
        backend: str = "",
        device_ids: Sequence[int] = (),
        num_activations: int = 1,
        set_size: int = 10,
        threads_per_activation: int = 1,
        device_settings: Mapping[str, str] = ...,
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
