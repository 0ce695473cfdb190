"""Prints the path of the onnxruntime wheel's library, or nothing. Does not import onnxruntime."""

import importlib.util
from pathlib import Path

spec = importlib.util.find_spec("onnxruntime")
if spec and spec.origin:
    libraries = sorted((Path(spec.origin).parent / "capi").glob("libonnxruntime.so*"))
    if libraries:
        print(libraries[-1])
