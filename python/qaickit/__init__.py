"""Inference for programs written for Qualcomm Cloud AI 100, on a card, a CPU or a GPU.

`Session` runs a model (also importable as `qaic.Session`); the exceptions below are all that the
package raises, and each also derives from the built-in class that a caller would expect. The
compiler, the MLPerf harness and the tools are submodules and are imported only when asked for.
"""

from __future__ import annotations

import os

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

# ONNX Runtime 1.29 and later send usage data to their maker, from a thread of their own that also
# makes a forked child hang when it exits. It must be off before the library starts; a user who set
# the variable has decided already.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

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
