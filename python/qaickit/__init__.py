"""Inference for programs written for Qualcomm Cloud AI 100, on a card, a CPU or a GPU.

`Session` runs a model (also importable as `qaic.Session`); the exceptions below are all that the
package raises, and each also derives from the built-in class that a caller would expect. The
compiler, the MLPerf harness and the tools are submodules and are imported only when asked for.
"""

from __future__ import annotations

from qaickit._core import __version__
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
