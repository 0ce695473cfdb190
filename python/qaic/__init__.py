"""Qualcomm Cloud AI 100's high-level Python API, on any device that qaickit drives.

    import qaic
    sess = qaic.Session("qpc/programqpc.bin")   # or a .onnx file, which is compiled first
    outputs = sess.run({"input": array})
    status, device_ids = qaic.Util().getDeviceIds()

See `qaickit.session.Session` for arguments, methods and errors. `Util` and `InferenceBenchmarkSet`
are those of `qaicrt`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from qaickit import Session, __version__

if TYPE_CHECKING:
    from qaicrt import InferenceBenchmarkSet, Util

__all__ = ["InferenceBenchmarkSet", "Session", "Util", "__version__"]

# Imported when they are first asked for: a session does not need them.
_OF_QAICRT = ("InferenceBenchmarkSet", "Util")


def __getattr__(name: str) -> Any:
    if name in _OF_QAICRT:
        return getattr(importlib.import_module("qaicrt"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
