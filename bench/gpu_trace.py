"""What CUPTI saw of a program's copies and kernels, out of a trace of PyTorch's profiler."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

# As CUPTI numbers the legacy default stream of a context.
DEFAULT_STREAM = 7
# Calls of CUDA that copy and only come back when the copy has ended, as the trace names them.
WAITING_CALLS = ("cudaMemcpy", "cudaMemcpy2D", "cudaMemcpyToSymbol", "cudaMemcpyFromSymbol")


def trace(run: Callable[[], object]) -> list[dict[str, Any]]:
    """The events of what `run` does on GPUs, in any thread and any library of this process."""
    from torch.profiler import ProfilerActivity, profile

    with TemporaryDirectory(prefix="gpu-bench-") as directory:
        path = Path(directory) / "trace.json"
        with profile(activities=[ProfilerActivity.CUDA]) as profiler:
            run()
        profiler.export_chrome_trace(str(path))
        events: list[dict[str, Any]] = json.loads(path.read_text())["traceEvents"]
    return events


def copies_of(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts of the copies, and of them those that hold others up.

    `on_default_stream`: in the order of all that is on no stream of its own; `pageable`: from or to
    memory that is not page-locked, for which the caller waits; `waiting_calls`: of WAITING_CALLS.
    `busy`: the share of the time from the first kernel's begin to the last one's end in which a
    kernel ran; None where none did.
    """
    copies = [event for event in events if event.get("cat") == "gpu_memcpy"]
    calls = [event["name"] for event in events if event.get("cat") == "cuda_runtime"]
    return {
        "copies": len(copies),
        "on_default_stream": sum(e["args"]["stream"] == DEFAULT_STREAM for e in copies),
        "pageable": sum("Pageable" in event["name"] for event in copies),
        "waiting_calls": sum(call in WAITING_CALLS for call in calls),
        "busy": busy_share([event for event in events if event.get("cat") == "kernel"]),
    }


def busy_share(kernels: list[dict[str, Any]]) -> float | None:
    """Of kernels with begin `ts` and duration `dur` in us, which may overlap."""
    if not kernels:
        return None
    begin = end = min(kernel["ts"] for kernel in kernels)
    busy = 0.0
    for kernel in sorted(kernels, key=lambda kernel: kernel["ts"]):
        ended = kernel["ts"] + kernel["dur"]
        busy += max(0.0, ended - max(end, kernel["ts"]))
        end = max(end, ended)
    return busy / (end - begin) if end > begin else None
