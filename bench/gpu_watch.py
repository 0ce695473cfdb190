"""How busy a GPU is and how much of its memory is taken, from NVML, while something else runs."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

PERIOD_S = 0.2
EDGE_S = 1.0


@dataclass(frozen=True)
class Sample:
    """`busy`: the share of the last sampling period of NVML (1/6 to 1 s) in which a kernel ran."""

    at: float
    busy: float
    used_mib: float


@dataclass
class Watch:
    """Samples every 0.2 s on a thread of its own, as a context manager."""

    gpu: Gpu
    samples: list[Sample] = field(default_factory=list)

    def __enter__(self) -> Watch:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="nvml", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(PERIOD_S):
            sample = self.gpu.sample()
            if sample is not None:
                self.samples.append(sample)


class Gpu:
    """A GPU as NVML sees it; `missing` says why it does not."""

    def __init__(self, device_id: int) -> None:
        self.missing = ""
        self._handle: Any = None
        try:
            import pynvml
        except ImportError:
            self.missing = "no share of busy time: pip install nvidia-ml-py"
            return
        self._nvml = pynvml
        try:
            pynvml.nvmlInit()
            self._handle = pynvml.nvmlDeviceGetHandleByIndex(nvml_index(device_id))
        except pynvml.NVMLError as error:
            self.missing = f"no share of busy time: NVML says '{error}'"

    def sample(self) -> Sample | None:
        if self._handle is None:
            return None
        try:
            rates = self._nvml.nvmlDeviceGetUtilizationRates(self._handle)
            memory = self._nvml.nvmlDeviceGetMemoryInfo(self._handle)
        except self._nvml.NVMLError:
            return None  # some GPUs, MIG parts for one, do not tell
        return Sample(time.monotonic(), rates.gpu / 100, memory.used / 2**20)


def nvml_index(device_id: int) -> int:
    """NVML numbers all GPUs by PCI bus; CUDA, asked for the same order, those that are visible."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = [name.strip() for name in visible.split(",") if name.strip()]
    if device_id < len(names) and names[device_id].isdigit():
        return int(names[device_id])
    return device_id


def busy_share(samples: list[Sample]) -> float | None:
    """Mean from the first sample with a kernel to the last, without a second at either end.

    What runs loads its program first and cleans up afterwards, and neither runs kernels for long.
    None where that leaves nothing.
    """
    at = [sample.at for sample in samples if sample.busy > 0]
    inside = [s.busy for s in samples if at and at[0] + EDGE_S <= s.at <= at[-1] - EDGE_S]
    return sum(inside) / len(inside) if inside else None
