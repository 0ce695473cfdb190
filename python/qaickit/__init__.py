"""Inference for programs written for Qualcomm Cloud AI 100, on a card, a CPU or a GPU.

`Session` runs a model (also importable as `qaic.Session`); the exceptions below are all that the
package raises, and each also derives from the built-in class that a caller would expect. The
compiler, the MLPerf harness and the tools are submodules and are imported only when asked for.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from qaickit.errors import (
    CancelledError,
    ClosedError,
    DataLossError,
    DeviceError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    QaicKitError,
    ResourceExhaustedError,
    TimedOutError,
    UnavailableError,
    UnsupportedError,
)

# ONNX Runtime 1.29 and later send usage data to their maker, from a thread of their own that also
# makes a forked child hang when it exits. It must be off before the library starts; a user who set
# the variable has decided already.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from qaickit._core import __version__
    from qaickit.session import Session

__all__ = [
    "CancelledError",
    "ClosedError",
    "DataLossError",
    "DeviceError",
    "FailedPreconditionError",
    "InvalidArgumentError",
    "NotFoundError",
    "PermissionDeniedError",
    "QaicKitError",
    "ResourceExhaustedError",
    "Session",
    "TimedOutError",
    "UnavailableError",
    "UnsupportedError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Loads what needs the compiled module when it is asked for, so that `doctor` runs without."""
    if name == "Session":
        from qaickit.session import Session

        return Session
    if name == "__version__":
        from qaickit._core import __version__

        return __version__
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
