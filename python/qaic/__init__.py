"""Qualcomm Cloud AI 100's high-level Python API, on any device that qaickit drives.

    import qaic
    sess = qaic.Session("qpc/programqpc.bin")   # or a .onnx file, which is compiled first
    outputs = sess.run({"input": array})

See `qaickit.session.Session` for arguments, methods and errors.
"""

from __future__ import annotations

from qaickit import Session, __version__

__all__ = ["Session", "__version__"]
