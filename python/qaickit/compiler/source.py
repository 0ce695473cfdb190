"""An ONNX file with its external data: read, identified by digest, parsed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from qaickit._core import __version__
from qaickit._files import error_from_os, read_file
from qaickit.errors import DataLossError, InvalidArgumentError, NotFoundError, UnsupportedError

if TYPE_CHECKING:
    import onnx

# What protobuf can serialise in one message.
MAX_MODEL_BYTES = 2**31 - 1

# To be raised when the same model and options give another QPC than before.
_FORMAT = "qaickit-qpc-2"


@dataclass(frozen=True)
class OnnxSource:
    """The bytes of an ONNX file. `model` is parsed, with external data inlined, when first used.

    A compilation changes `model` in place, so a source serves one compilation, digest first.
    """

    path: str
    data: bytes

    @staticmethod
    def read(model_path: str | os.PathLike[str]) -> OnnxSource:
        """Reads the file. Errors: NotFoundError, PermissionDeniedError, DataLossError (empty)."""
        path = os.fspath(model_path)
        data = read_file(path, "the ONNX model")
        if not data:
            raise DataLossError(f"'{path}' is empty, not an ONNX model")
        return OnnxSource(path=path, data=data)

    def digest(self, settings: object) -> str:
        """Hex SHA-256 of the model, its external data, this version of qaickit and `settings`.

        `settings` is anything that JSON can hold.
        """
        header = json.dumps([_FORMAT, __version__, self.stem, settings], sort_keys=True)
        state = hashlib.sha256(header.encode())
        state.update(self.data)
        # Every external tensor has an entry with this key; without one there is no need to parse.
        if b"location" in self.data:
            for tensor in tensors_of(self.model):
                state.update(tensor.raw_data)
        return state.hexdigest()

    def content_digest(self) -> str:
        """Hex SHA-256 of the model and its external data alone, for files that belong to it.

        It is of the files, so it may be asked for at any time of a compilation. Errors as `model`.
        """
        state = hashlib.sha256(self.data)
        # Every external tensor has an entry with this key.
        if b"location" in self.data:
            for path in _external_files(self.data, self.path):
                state.update(read_file(path, "the external data"))
        return state.hexdigest()

    @property
    def stem(self) -> str:
        """The file's name without directory and suffix."""
        return os.path.splitext(os.path.basename(self.path))[0]

    @property
    def keeps_external_data(self) -> bool:
        """True when large weights stay in their files."""
        return False

    @cached_property
    def model(self) -> onnx.ModelProto:
        """The model with all weights inside.

        Errors: DataLossError (not an ONNX model, or truncated), NotFoundError (external data),
        InvalidArgumentError (external data outside the model's directory), UnsupportedError (over
        2 GB).
        """
        import onnx

        model = onnx.ModelProto()
        try:
            model.ParseFromString(self.data)
        except Exception as error:  # protobuf's, whose class is not part of onnx's interface
            raise DataLossError(f"not an ONNX model, or damaged: {error}") from error
        if not model.HasField("graph") or model.ir_version <= 0:
            raise DataLossError("not an ONNX model: it has no graph or no IR version")
        self._inline_external_data(model)
        return model

    def _inline_external_data(self, model: onnx.ModelProto) -> None:
        from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data

        directory = os.path.dirname(self.path) or "."
        total = len(self.data)
        external = [tensor for tensor in tensors_of(model) if uses_external_data(tensor)]
        for tensor in external:
            total += _external_bytes(tensor, directory)
        if total > MAX_MODEL_BYTES:
            raise UnsupportedError(
                f"with its external data it has {total} bytes; models over 2 GB cannot be "
                "compiled yet"
            )
        for tensor in external:
            try:
                load_external_data_for_tensor(tensor, directory)
            except OSError as error:
                doing = f"cannot read the external data of '{tensor.name}'"
                raise error_from_os(error, doing) from error
            except Exception as error:  # onnx raises classes of its own, which vary by version
                raise InvalidArgumentError(
                    f"cannot read the external data of '{tensor.name}': {error}"
                ) from error


def _external_files(data: bytes, path: str) -> list[str]:
    """The files that external tensors lie in, each once, in the model's order."""
    import onnx

    model = onnx.ModelProto()
    model.ParseFromString(data)
    locations = [
        entry.value
        for tensor in tensors_of(model)
        for entry in tensor.external_data
        if entry.key == "location"
    ]
    directory = os.path.dirname(path) or "."
    return [os.path.join(directory, location) for location in dict.fromkeys(locations)]


def _external_bytes(tensor: onnx.TensorProto, directory: str) -> int:
    """Size of a tensor in its file, checked against the file before anything is read."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    path = os.path.join(directory, location)
    where = f"external data of '{tensor.name}'"
    try:
        offset = int(entries.get("offset", "0"))
        available = os.path.getsize(path) - offset
        length = int(entries.get("length", str(available)))
    except FileNotFoundError as error:
        raise NotFoundError(f"{where}: no file '{path}'; it belongs beside the model") from error
    except OSError as error:
        raise error_from_os(error, f"{where}: cannot open '{path}'") from error
    except ValueError as error:
        raise DataLossError(f"{where}: offset or length is not a number") from error
    if offset < 0 or length < 0 or length > available:
        raise DataLossError(
            f"{where}: '{path}' is too short: it ends {length - available} bytes before the tensor"
        )
    return length


def tensors_of(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """All weights and constants of a model, in the file's order."""
    yield from _graph_tensors(model.graph)
    for function in model.functions:
        yield from _node_tensors(function.node)


def _graph_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    yield from _node_tensors(graph.node)


def _node_tensors(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for attribute in (attribute for node in nodes for attribute in node.attribute):
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        if attribute.HasField("g"):
            yield from _graph_tensors(attribute.g)
        for graph in attribute.graphs:
            yield from _graph_tensors(graph)
