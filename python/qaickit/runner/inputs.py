"""What `qaic-runner` feeds a program with: files in the vendor's three arrangements, or noise."""

from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qaickit import _core
from qaickit._documents import parse_json
from qaickit._files import error_from_os, read_file
from qaickit.errors import InvalidArgumentError
from qaickit.session import Session, ShapeDict, random_inputs

Array = npt.NDArray[Any]
_RANDOM_SEED = 0
_PROBLEMS_TOLD = 10
# Cycle counts of the card's own, which are nobody's to expect.
_CYCLE_COUNTS = "aiccyclecounts"


@dataclass(frozen=True)
class Buffer:
    """A raw file for one tensor (C order, little-endian); `shape` where it is told."""

    name: str
    path: str
    shape: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Sample:
    """The files of one inference: inputs, and expected outputs (which may be none).

    `must_match`: the outputs were named to be compared with; else files that are not there yet are
    no error, since public scripts list in their JSON what is yet to be written.
    """

    inputs: tuple[Buffer, ...]
    expected: tuple[Buffer, ...] = ()
    must_match: bool = False


@dataclass(frozen=True)
class Feed:
    """Arrays of one inference, by name, as `Session.run` takes them."""

    inputs: dict[str, Array]
    expected: dict[str, Array]


@dataclass(frozen=True)
class _Tensor:
    """Where a tensor comes from: one file, or one for each sample of a batch, in order."""

    name: str
    paths: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize

    def problem(self, side: str) -> str | None:
        """What is wrong with its files, whose sizes must add up."""
        wanted = self.nbytes // len(self.paths)
        what = "" if len(self.paths) == 1 else f", one sample of {len(self.paths)}"
        for path in dict.fromkeys(self.paths):
            try:
                size = os.path.getsize(path)
            except OSError as error:
                return f"cannot read '{path}': {error.strerror}"
            if os.path.isdir(path):
                return f"'{path}' for {side} '{self.name}': expected a file, got a directory"
            if size != wanted:
                return (
                    f"'{path}' for {side} '{self.name}': expected {wanted} bytes, {self.dtype} "
                    f"{list(self.shape)}{what}, got {size}"
                )
        return None

    def array(self, *, mapped: bool) -> Array:
        """Its values: of single files they are mapped, if wanted, and so need no memory."""
        pieces = [self._piece(path, mapped=mapped) for path in self.paths]
        try:
            return (pieces[0] if len(pieces) == 1 else np.concatenate(pieces)).reshape(self.shape)
        except ValueError as error:
            raise InvalidArgumentError(
                f"'{self.paths[0]}' for '{self.name}': the file has changed in the meantime"
            ) from error

    def _piece(self, path: str, *, mapped: bool) -> Array:
        try:
            if mapped and self.nbytes > 0:
                return np.asarray(np.memmap(path, self.dtype, mode="r"))
            return np.fromfile(path, self.dtype)
        except OSError as error:
            raise error_from_os(error, f"cannot read '{path}'") from error


@dataclass(frozen=True)
class _Row:
    """The tensors of one inference."""

    inputs: tuple[_Tensor, ...]
    expected: tuple[_Tensor, ...] = ()

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in (*self.inputs, *self.expected))

    def feed(self, *, mapped: bool) -> Feed:
        return Feed(
            {tensor.name: tensor.array(mapped=mapped) for tensor in self.inputs},
            {tensor.name: tensor.array(mapped=mapped) for tensor in self.expected},
        )


class Feeds:
    """What inferences are fed with: loaded as far as memory allows, the rest when it is used."""

    def __init__(self, loaded: Sequence[Feed], rest: Sequence[_Row] = ()) -> None:
        self._loaded = loaded
        self._rest = rest

    def __len__(self) -> int:
        return len(self._loaded) + len(self._rest)

    def __getitem__(self, index: int) -> Feed:
        if index < len(self._loaded):
            return self._loaded[index]
        return self._rest[index - len(self._loaded)].feed(mapped=True)

    @property
    def in_memory(self) -> int:
        """How many are loaded."""
        return len(self._loaded)

    @property
    def has_expected(self) -> bool:
        """True when there is anything to compare outputs with."""
        return any(feed.expected for feed in self._loaded) or any(
            row.expected for row in self._rest
        )


def read_samples(args: argparse.Namespace, session: Session) -> list[Sample]:
    """The samples that the arguments name; empty where the inputs are to be random.

    Errors: InvalidArgumentError and those of the file system, naming file and entry.
    """
    inputs, outputs = session.model_input_shape_dict, session.model_output_shape_dict
    if args.batch_json is not None:
        return _from_json(args.batch_json)
    if args.batch_directory is not None:
        files = _files_in(args.batch_directory)
        return [Sample(_in_order([path], inputs, "--aic-batch-input-directory")) for path in files]
    if args.batch_list is not None:
        return [
            Sample(_in_order([path.strip() for path in row.split(",")], inputs, args.batch_list))
            for row in _rows_of(args.batch_list)
        ]
    if args.input_file:
        comparable = ShapeDict({k: v for k, v in outputs.items() if k != _CYCLE_COUNTS})
        expected = _in_order(args.output_file, comparable, "-o") if args.output_file else ()
        return [Sample(_in_order(args.input_file, inputs, "-i"), expected, bool(expected))]
    return []


def _rows_of(path: str) -> list[str]:
    """The lines of a list of files that hold anything; errors name the list."""
    text = os.fsdecode(read_file(path, "the list of input files"))
    rows = [row for row in text.splitlines() if row.strip()]
    if not rows or "\0" in text:
        found = "nothing" if not rows else "binary data"
        raise InvalidArgumentError(
            f"'{path}': expected a line with the comma-separated files of each inference, got "
            f"{found}"
        )
    return rows


def load_feeds(
    samples: Sequence[Sample], session: Session, *, stack: bool, max_bytes: int
) -> Feeds:
    """The samples as arrays. With `stack`, those of batch size 1 are put together to batches.

    The last batch is filled up with its last sample. Where the program has several sets of shapes,
    nothing is stacked: a sample is of the set that its files fit. At most `max_bytes` are loaded;
    the others are read from their files whenever they are used. Error: InvalidArgumentError, which
    lists what is wrong with the files (the first ten).
    """
    inputs, outputs = session.model_input_shape_dict, session.model_output_shape_dict
    batch = session.batch_size
    sets = _shape_sets(session)
    if stack and batch > 1 and not sets and samples and _is_single(samples[0], inputs, batch):
        if any(sample.must_match for sample in samples):
            raise InvalidArgumentError(
                f"-o: the inputs are for one sample and are stacked to a batch of {batch}, which "
                "one sample's outputs cannot be compared with; give -i files of a whole batch"
            )
        rows = [
            _Row(tuple(_stacked(name, group, spec, batch) for name, spec in inputs.items()))
            for group in (samples[at : at + batch] for at in range(0, len(samples), batch))
        ]
    else:
        rows = [_row(sample, _fitting(sample, inputs, sets), inputs, outputs) for sample in samples]
    _refuse_problems(rows)
    loaded: list[Feed] = []
    for row in rows:
        max_bytes -= row.nbytes
        if max_bytes < 0:
            break
        loaded.append(row.feed(mapped=False))
    return Feeds(loaded, rows[len(loaded) :])


def _refuse_problems(rows: Sequence[_Row]) -> None:
    found = (
        problem
        for row in rows
        for side, tensors in (("input", row.inputs), ("output", row.expected))
        for tensor in tensors
        if (problem := tensor.problem(side)) is not None
    )
    problems = list(itertools.islice(dict.fromkeys(found), _PROBLEMS_TOLD))
    if problems:
        raise InvalidArgumentError("\n  ".join(problems))


def random_feed(session: Session, *, any_bytes: bool) -> Feed:
    """Random inputs, always the same: in a sensible range, or any bytes that the type can be."""
    shapes = session.model_input_shape_dict
    if not any_bytes:
        return Feed(random_inputs(shapes), {})
    generator = np.random.default_rng(_RANDOM_SEED)
    arrays: dict[str, Array] = {}
    for name, (shape, dtype) in shapes.items():
        data = generator.bytes(prod(shape) * dtype.itemsize)
        # A truth value of another byte than 0 or 1 is no value at all.
        arrays[name] = (
            (np.frombuffer(data, np.uint8) & 1).astype(bool).reshape(shape)
            if dtype == np.bool_
            else np.frombuffer(data, dtype).reshape(shape)
        )
    return Feed(arrays, {})


def _in_order(paths: Sequence[str], shapes: ShapeDict, where: str) -> tuple[Buffer, ...]:
    if len(paths) != len(shapes):
        raise InvalidArgumentError(
            f"{where}: expected {len(shapes)} file{'s' * (len(shapes) != 1)}, in the order "
            f"{', '.join(shapes)}; got {len(paths)}"
        )
    return tuple(Buffer(name, path) for name, path in zip(shapes, paths, strict=True))


def _files_in(directory: str) -> list[str]:
    try:
        files = sorted(entry.path for entry in os.scandir(directory) if entry.is_file())
    except OSError as error:
        raise error_from_os(error, f"cannot list the inputs in '{directory}'") from error
    if not files:
        raise InvalidArgumentError(f"'{directory}' holds no input files")
    return files


def _from_json(path: str) -> list[Sample]:
    """{"IO-files": [[{"path", "io-direction", "map-to", ...}, ...], ...]}, a list an inference."""
    data = read_file(path, "the list of buffers")
    try:
        rows = parse_json(data)["IO-files"]
        samples = [
            Sample(
                tuple(_buffer(entry, path) for entry in row if entry["io-direction"] == "in"),
                tuple(_buffer(entry, path) for entry in row if entry["io-direction"] == "out"),
            )
            for row in rows
        ]
    except (ValueError, KeyError, TypeError, OverflowError, OSError) as error:
        raise InvalidArgumentError(
            f"'{path}': expected {{\"IO-files\": [[{{path, io-direction: in or out, map-to, and "
            f"dims if need be}}, ...], ...]}}: {type(error).__name__}: {error}"
        ) from error
    if not samples:
        raise InvalidArgumentError(f"'{path}' lists no inference")
    return samples


def _buffer(entry: dict[str, Any], json_path: str) -> Buffer:
    if entry["io-direction"] not in ("in", "out"):
        raise ValueError(f"io-direction {entry['io-direction']!r}")
    if "\0" in entry["path"]:
        raise ValueError(f"path {entry['path']!r}")
    dims = entry.get("dims")
    # Relative to the JSON file, or, as public scripts also have it, to where the tool runs.
    beside = Path(json_path).parent / entry["path"]
    path = beside if beside.exists() else Path(entry["path"])
    shape = None if dims is None else tuple(int(dim) for dim in dims)
    if shape is not None and any(dim < 0 for dim in shape):
        raise ValueError(f"dims {dims!r}")
    return Buffer(str(entry["map-to"]), str(path), shape)


def _spec(buffer: Buffer, shapes: ShapeDict, side: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    if buffer.name not in shapes:
        raise InvalidArgumentError(
            f"'{buffer.path}' is for {side} '{buffer.name}', which the program does not have; it "
            f"has {', '.join(shapes)}"
        )
    return shapes[buffer.name]


_Shapes = Mapping[str, tuple[int, ...]]  # of a set, by tensor


def _shape_sets(session: Session) -> list[_Shapes]:
    """The sets of shapes that the program allows; none: only its own."""
    program = _core.read_qpc(session.qpc_path)["program"]
    names = [tensor["name"] for tensor in (*program["inputs"], *program["outputs"])]
    return [dict(zip(names, map(tuple, dims), strict=True)) for dims in program["allowed_shapes"]]


def _fitting(sample: Sample, inputs: ShapeDict, sets: Sequence[_Shapes]) -> _Shapes:
    """The first set that the files fit; nothing where none does."""

    def fits(buffer: Buffer, shapes: _Shapes) -> bool:
        if buffer.name not in inputs:
            return False
        shape, dtype = shapes[buffer.name], inputs[buffer.name][1]
        if buffer.shape is not None:
            return buffer.shape == shape
        path = Path(buffer.path)
        return path.exists() and path.stat().st_size == prod(shape) * dtype.itemsize

    found = (set for set in sets if all(fits(buffer, set) for buffer in sample.inputs))
    return next(found, {})


def _row(sample: Sample, chosen: _Shapes, inputs: ShapeDict, outputs: ShapeDict) -> _Row:
    def tensor(buffer: Buffer, shapes: ShapeDict, side: str) -> _Tensor:
        shape, dtype = _spec(buffer, shapes, side)
        shape = chosen.get(buffer.name, shape) if buffer.shape is None else buffer.shape
        return _Tensor(buffer.name, (buffer.path,), shape, dtype)

    return _Row(
        tuple(tensor(buffer, inputs, "input") for buffer in sample.inputs),
        tuple(
            tensor(buffer, outputs, "output")
            for buffer in sample.expected
            if sample.must_match or os.path.exists(buffer.path)
        ),
    )


def _is_single(sample: Sample, shapes: ShapeDict, batch: int) -> bool:
    """True when the files are for one sample of a batch."""
    specs = [(buffer, _spec(buffer, shapes, "input")) for buffer in sample.inputs]
    return bool(specs) and all(
        os.path.exists(buffer.path)
        and os.path.getsize(buffer.path) * batch == prod(shape) * dtype.itemsize
        for buffer, (shape, dtype) in specs
    )


def _stacked(
    name: str, group: Sequence[Sample], spec: tuple[tuple[int, ...], np.dtype[Any]], batch: int
) -> _Tensor:
    paths = []
    for sample in group:
        buffer = next((buffer for buffer in sample.inputs if buffer.name == name), None)
        if buffer is None:
            raise InvalidArgumentError(f"input '{name}': an inference has no file for it")
        paths.append(buffer.path)
    paths += [paths[-1]] * (batch - len(paths))
    return _Tensor(name, tuple(paths), *spec)
