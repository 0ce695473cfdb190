"""TensorFlow frozen graphs, by tf2onnx where it is installed."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from qaickit.errors import InvalidArgumentError, QaicKitError, UnsupportedError
from qaickit.options import Options

SUFFIXES = (".pb", ".pbtxt")
_NEEDED = ("tf2onnx", "tensorflow")
# What ONNX Runtime has taken for years.
_OPSET = 17


@contextmanager
def as_onnx(model_path: str, options: Options) -> Iterator[str]:
    """The path of an ONNX model: the one given, or one made of a frozen graph, for the while.

    A frozen graph needs `output_node_names` and `model_inputs`. Errors: UnsupportedError without
    tf2onnx, InvalidArgumentError for missing options, QaicKitError with what tf2onnx printed.
    """
    if not model_path.endswith(SUFFIXES):
        yield model_path
        return
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UnsupportedError(
            f"'{model_path}' is a TensorFlow graph, which takes {' and '.join(missing)} to read: "
            f"pip install {' '.join(missing)}; or convert it elsewhere with 'python -m "
            "tf2onnx.convert' and pass the .onnx file"
        )
    inputs = [_tensor(entry["input_name"]) for entry in options["model_inputs"] or ()]
    outputs = [_tensor(name) for name in options["output_node_names"] or ()]
    if not inputs or not outputs:
        raise InvalidArgumentError(
            f"'{model_path}' is a TensorFlow graph; name its inputs and outputs, as "
            "-model-input=input_tensor,float,[1,224,224,3] -output-node-name=ArgMax"
        )
    with tempfile.TemporaryDirectory(prefix="qaickit-tf-") as directory:
        stem = os.path.splitext(os.path.basename(model_path))[0]
        target = os.path.join(directory, f"{stem}.onnx")
        command = [
            sys.executable, "-m", "tf2onnx.convert", "--graphdef", model_path, "--output", target,
            "--inputs", ",".join(inputs), "--outputs", ",".join(outputs), "--opset", str(_OPSET),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if done.returncode != 0 or not os.path.isfile(target):
            lines = done.stderr.strip().splitlines()
            raise QaicKitError(
                f"'{model_path}': tf2onnx failed with status {done.returncode}: "
                f"{lines[-1] if lines else 'it printed nothing'}"
            )
        yield target


def _tensor(name: str) -> str:
    """TensorFlow's name of a node's first output."""
    return name if ":" in name else f"{name}:0"
