"""An ONNX file with its external data: read, identified by digest, parsed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from qaickit._core import __version__
from qaickit._files import error_from_os, hash_file, read_file
from qaickit.compiler.weight_files import FilePart, WeightFiles
from qaickit.errors import DataLossError, InvalidArgumentError, NotFoundError, UnsupportedError

if TYPE_CHECKING:
    import onnx

# What protobuf can serialise in one message.
MAX_MODEL_BYTES = 2**31 - 1

# To be raised when the same model and options give another QPC than before.
_FORMAT = "qaickit-qpc-4"


# Initializers smaller than this are read even where the large ones are left in their files.
_SMALL_BYTES = 1 << 10


@dataclass(frozen=True)
class OnnxSource:
    """The bytes of an ONNX file. `model` is parsed, with external data inlined, when first used.

    Where that would be more than protobuf holds, initializers stay in their files, and `files`
    says where.

    A compilation changes `model` in place, so a source serves one compilation. Digests are of the
    files.
    """

    path: str
    data: bytes
    _files: WeightFiles = field(default_factory=WeightFiles, init=False, repr=False)

    @staticmethod
    def read(model_path: str | os.PathLike[str]) -> OnnxSource:
        """Reads the file. Errors: NotFoundError, PermissionDeniedError, DataLossError (empty)."""
        if not isinstance(model_path, (str, os.PathLike)):
            raise InvalidArgumentError(
                f"the ONNX model: expected a path, got {type(model_path).__name__}"
            )
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
        self._update_by_files(state)
        return state.hexdigest()

    def content_digest(self) -> str:
        """Hex SHA-256 of the model and its external data alone, for files that belong to it.

        It is of the files, so it may be asked for at any time of a compilation. Errors as `model`.
        """
        state = hashlib.sha256(self.data)
        self._update_by_files(state)
        return state.hexdigest()

    def _update_by_files(self, state: Any) -> None:
        # Every external tensor has an entry with this key; without one there is no need to parse.
        if b"location" not in self.data or not self.model.HasField("graph"):
            return
        for path in _external_files(self.data, self.path):
            hash_file(state, path, "the external data")

    @property
    def stem(self) -> str:
        """The file's name without directory and suffix."""
        return os.path.splitext(os.path.basename(self.path))[0]

    @property
    def directory(self) -> str:
        """Where the file and its external data are."""
        return os.path.dirname(os.path.abspath(self.path))

    @property
    def files(self) -> WeightFiles:
        """Initializers that stay in files: name -> where. Errors as `model`."""
        return self._files if self.model.HasField("graph") else WeightFiles()

    @cached_property
    def model(self) -> onnx.ModelProto:
        """The model with all weights inside, but for those in `files`.

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
        for name in _names(model.graph):
            # What is no UTF-8 protobuf hands out as bytes, which nothing after this expects.
            if isinstance(name, bytes):
                raise DataLossError(
                    f"not an ONNX model, or damaged: the name {name!r} is not UTF-8"
                )
        self._inline_external_data(model)
        return model

    def _inline_external_data(self, model: onnx.ModelProto) -> None:
        import onnx
        from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data

        directory = os.path.dirname(self.path) or "."
        inlined = [
            (tensor, _external_part(tensor, directory))
            for tensor in tensors_of(model)
            if uses_external_data(tensor)
        ]
        if len(self.data) + sum(part.length for _, part in inlined) > MAX_MODEL_BYTES:
            kept = {tensor.name for tensor in model.graph.initializer if _stays(tensor)}
            self._files.update(
                {tensor.name: part for tensor, part in inlined if tensor.name in kept}
            )
            inlined = [(tensor, part) for tensor, part in inlined if tensor.name not in kept]
        total = len(self.data) + sum(part.length for _, part in inlined)
        if total > MAX_MODEL_BYTES:
            raise UnsupportedError(
                f"it has {total} bytes besides initializers of types that a QPC maps; over 2 GB "
                "cannot be compiled"
            )
        for tensor, _ in inlined:
            try:
                load_external_data_for_tensor(tensor, directory)
                # Which onnx itself does from some version on.
                tensor.data_location = onnx.TensorProto.DEFAULT
                del tensor.external_data[:]
            except OSError as error:
                doing = f"cannot read the external data of '{tensor.name}'"
                raise error_from_os(error, doing) from error
            except Exception as error:  # onnx raises classes of its own, which vary by version
                raise InvalidArgumentError(
                    f"cannot read the external data of '{tensor.name}': {error}"
                ) from error


def _names(graph: onnx.GraphProto) -> Iterator[str | bytes]:
    for info in (*graph.input, *graph.output, *graph.value_info):
        yield info.name
        yield from (dim.dim_param for dim in info.type.tensor_type.shape.dim)
    yield from (tensor.name for tensor in graph.initializer)
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        for attribute in node.attribute:
            yield attribute.name
            for inner in (attribute.g, *attribute.graphs):
                yield from _names(inner)


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


def _stays(tensor: onnx.TensorProto) -> bool:
    """True for an initializer that a QPC can map, and that is large enough to."""
    from qaickit.compiler.graph import tensor_bytes
    from qaickit.compiler.shapes import DTYPES

    is_external = len(tensor.external_data) > 0
    return is_external and tensor.data_type in DTYPES and tensor_bytes(tensor) >= _SMALL_BYTES


def _external_part(tensor: onnx.TensorProto, directory: str) -> FilePart:
    """Where a tensor lies, checked against the file before anything is read."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    path = os.path.join(directory, location)
    where = f"external data of '{tensor.name}'"
    root = os.path.realpath(directory)
    if os.path.isabs(location) or os.path.commonpath([root, os.path.realpath(path)]) != root:
        raise InvalidArgumentError(
            f"{where}: '{location}' is not in the model's directory, where it belongs"
        )
    try:
        offset = int(entries.get("offset", "0"))
        size = os.path.getsize(path)
        length = int(entries.get("length", str(max(size - offset, 0))))
    except FileNotFoundError as error:
        raise NotFoundError(f"{where}: no file '{path}'; it belongs beside the model") from error
    except OSError as error:
        raise error_from_os(error, f"{where}: cannot open '{path}'") from error
    except ValueError as error:
        raise DataLossError(f"{where}: offset or length is not a number") from error
    if offset < 0 or length < 0 or offset + length > size:
        raise DataLossError(
            f"{where}: expected {length} bytes at offset {offset} of '{path}', which has {size}"
        )
    return FilePart(path, offset, length)


def tensors_of(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """All weights and constants of a model, in the file's order."""
    yield from _graph_tensors(model.graph)
    for function in model.functions:
        yield from _node_tensors(function.node)


def _graph_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _node_tensors(graph.node)


def _node_tensors(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for attribute in (attribute for node in nodes for attribute in node.attribute):
        if attribute.HasField("t"):
            yield attribute.t
        if attribute.HasField("sparse_tensor"):
            yield from (attribute.sparse_tensor.values, attribute.sparse_tensor.indices)
        yield from attribute.tensors
        if attribute.HasField("g"):
            yield from _graph_tensors(attribute.g)
        for graph in attribute.graphs:
            yield from _graph_tensors(graph)
