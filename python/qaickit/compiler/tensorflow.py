"""TensorFlow's frozen graphs and SavedModels, by tf2onnx where it is installed.

Tried with tensorflow-cpu 2.21.0 and tf2onnx 1.17.0.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from qaickit._text import did_you_mean
from qaickit.compiler.weight_files import temporary_directory
from qaickit.errors import InvalidArgumentError, QaicKitError, UnsupportedError
from qaickit.options import Options

SUFFIXES = (".pb", ".pbtxt")
_SAVED_MODEL = "saved_model.pb"
_NEEDED = ("tf2onnx", "tensorflow")
_INSTALL = "pip install 'qaickit[tensorflow]' (tried: tensorflow-cpu 2.21.0 with tf2onnx 1.17.0)"
# What ONNX Runtime has taken for years.
_OPSET = 17
# tf2onnx reads binary graphs only.
_TEXT_TO_BINARY = """
import sys
from google.protobuf import text_format
from tensorflow.core.framework import graph_pb2
with open(sys.argv[1]) as source, open(sys.argv[2], "wb") as target:
    target.write(text_format.Parse(source.read(), graph_pb2.GraphDef()).SerializeToString())
"""


@contextmanager
def as_onnx(model_path: str, options: Options) -> Iterator[str]:
    """The path of an ONNX model: the one given, or one made of TensorFlow's, for the while.

    A frozen graph (.pb, .pbtxt) needs `output_node_names` and `model_inputs`, by node. A SavedModel
    (its directory) is taken by its serving signature; there the options choose among the outputs
    and give shapes to inputs, by the signature's names. `batchsize` goes before the first dim of
    `model_inputs`. Errors: UnsupportedError without tf2onnx, InvalidArgumentError for missing
    options or names that are not there, QaicKitError with what tf2onnx printed.
    """
    saved = _saved_model(model_path)
    if not saved and not model_path.endswith(SUFFIXES):
        yield model_path
        return
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UnsupportedError(
            f"'{model_path}' is TensorFlow's, which takes {' and '.join(missing)} to read: "
            f"{_INSTALL}; or convert it elsewhere with 'python -m tf2onnx.convert' and pass the "
            ".onnx file"
        )
    with temporary_directory() as directory:
        stem = os.path.splitext(os.path.basename(saved or model_path))[0]
        target = os.path.join(directory, f"{stem}.onnx")
        if saved:
            _convert(model_path, ["--saved-model", saved], target)
            _choose(model_path, target, options)
        else:
            _convert(model_path, _of_graph(model_path, options, directory), target)
        yield target


def _saved_model(model_path: str) -> str:
    """The directory of a SavedModel; empty for anything else."""
    if os.path.basename(model_path) == _SAVED_MODEL:
        return os.path.dirname(model_path) or "."
    is_saved = os.path.isfile(os.path.join(model_path, _SAVED_MODEL))
    return os.path.normpath(model_path) if is_saved else ""


def _of_graph(model_path: str, options: Options, directory: str) -> list[str]:
    """tf2onnx's arguments for a frozen graph."""
    inputs = [
        f"{_tensor(entry['input_name'])}{_listed(_dims(entry, options))}"
        for entry in options["model_inputs"] or ()
    ]
    outputs = [_tensor(name) for name in options["output_node_names"] or ()]
    if not inputs or not outputs:
        raise InvalidArgumentError(
            f"'{model_path}' is a TensorFlow graph; name its inputs and outputs, as "
            "-model-input=input_tensor,float,[1,224,224,3] -output-node-name=ArgMax"
        )
    path = model_path
    if model_path.endswith(".pbtxt"):
        path = os.path.join(directory, "graph.pb")
        _run(model_path, [sys.executable, "-c", _TEXT_TO_BINARY, model_path, path], path)
    return ["--graphdef", path, "--inputs", ",".join(inputs), "--outputs", ",".join(outputs)]


def _convert(model_path: str, arguments: Sequence[str], target: str) -> None:
    command = [sys.executable, "-m", "tf2onnx.convert", *arguments, "--output", target]
    _run(model_path, [*command, "--opset", str(_OPSET)], target)


def _run(model_path: str, command: Sequence[str], target: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode != 0 or not os.path.isfile(target):
        lines = done.stderr.strip().splitlines()
        raise QaicKitError(
            f"'{model_path}': tf2onnx failed with status {done.returncode}: "
            f"{lines[-1] if lines else 'it printed nothing'}"
        )


def _choose(model_path: str, target: str, options: Options) -> None:
    """Keeps the outputs that are named, and gives the named inputs their shapes."""
    import onnx

    model = onnx.load(target)
    inputs = {info.name: info for info in model.graph.input}
    outputs = {info.name: info for info in model.graph.output}
    for entry in options["model_inputs"] or ():
        info = _found(entry["input_name"], inputs, f"'{model_path}': input")
        shape = info.type.tensor_type.shape
        dims = _dims(entry, options)
        if len(dims) != len(shape.dim):
            raise InvalidArgumentError(
                f"'{model_path}': input '{info.name}': expected {len(shape.dim)} dims, got "
                f"{list(dims)}"
            )
        for dim, size in zip(shape.dim, dims, strict=True):
            dim.dim_value = size
    names = options["output_node_names"]
    if names:
        kept = [_found(name, outputs, f"'{model_path}': output") for name in names]
        del model.graph.output[:]
        model.graph.output.extend(kept)
    onnx.save(model, target)


def _found(name: str, known: dict[str, Any], where: str) -> Any:
    if name not in known:
        raise InvalidArgumentError(
            f"{where} '{name}' is not in its signature{did_you_mean(name, known)}; those it has: "
            f"{', '.join(known)}"
        )
    return known[name]


def _dims(entry: dict[str, Any], options: Options) -> list[int]:
    dims = [int(size) for size in entry["input_shape"]]
    batch = options["batchsize"]
    return dims if batch is None or not dims else [batch, *dims[1:]]


def _listed(dims: Sequence[int]) -> str:
    """As tf2onnx takes a shape behind a name."""
    return f"[{','.join(map(str, dims))}]" if dims else ""


def _tensor(name: str) -> str:
    """TensorFlow's name of a node's first output."""
    return name if ":" in name else f"{name}:0"
