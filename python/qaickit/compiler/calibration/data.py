"""Where calibration samples come from: arrays, files, lists of raw files, datasets, noise.

    data = open_data("digits")                  # a dataset of qaickit.datasets, .npy, .npz, ...
    data = open_data([{"image": array}, ...])   # any iterable of dicts
    data = RawFileList("inputs.txt")            # as the vendor's -input-list-file

Importing this module loads neither onnx nor onnxruntime.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from qaickit._files import error_from_os, hash_file, read_file
from qaickit.datasets import Dataset, load_dataset, open_samples
from qaickit.errors import DataLossError, InvalidArgumentError

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

Array = npt.NDArray[Any]
Feed = dict[str, Array]

DEFAULT_RANDOM_SAMPLES = 32


class ModelInput(NamedTuple):
    """An input of a model with fixed shapes: `dims` with the batch axis, if it has one."""

    name: str
    dtype: np.dtype[Any]
    dims: tuple[int, ...]


# The inputs of a model in each of the sets of shapes that it may run with.
ShapeSets = Sequence[Sequence[ModelInput]]


class Entry(NamedTuple):
    """What a source gives at a time: `where` names it for errors; some samples of each input."""

    where: str
    arrays: Mapping[str, Array]


class Source(Protocol):
    """Calibration data. `text` says what it is; `random`: noise, which fits no real range."""

    @property
    def text(self) -> str:
        """Where the data comes from, for people."""

    @property
    def random(self) -> bool:
        """True for noise."""

    @property
    def once(self) -> bool:
        """True where `entries` can be read only once; `digest` is then of what has been read."""

    def digest(self) -> str:
        """Hex digest of the content, for the key of a cache."""

    def entries(self, sets: ShapeSets) -> Iterator[Entry]:
        """The samples from the start, in order. Each fits one of `sets`, of which there may be one.

        What does not fit, `calibration.feeds` refuses.
        """


def open_data(data: object) -> Source:
    """The source that `data` means, which is one of

    - a text or path: a dataset as `qaickit.datasets.load_dataset` takes it ('digits', 'random', a
      `.npy` or `.npz` file, a directory of `.npy` files);
    - a `Dataset`;
    - a mapping of input names to arrays [samples, ...];
    - an iterable of such mappings, each with one or several samples.

    Error: InvalidArgumentError for anything else.
    """
    if isinstance(data, (str, os.PathLike)):
        return NamedDataset(os.fspath(data))
    if isinstance(data, Dataset):
        return Arrays([data.inputs], text=f"{data.name} ({len(data)} samples)", random=data.random)
    if isinstance(data, Mapping):
        return Arrays([data], text="arrays of the caller")
    if isinstance(data, Iterable):
        return Arrays(data, text="arrays of the caller")
    raise InvalidArgumentError(
        "calibration data: expected the name or path of a dataset, a dict of arrays, or an "
        f"iterable of such dicts, got {type(data).__name__}"
    )


@dataclass(frozen=True)
class NamedDataset:
    """A dataset that `qaickit.datasets.load_dataset` knows by name or finds at a path."""

    name: str

    @property
    def text(self) -> str:
        return f"dataset '{self.name}'"

    @property
    def once(self) -> bool:
        return False

    @property
    def random(self) -> bool:
        return self.name == "random"

    def digest(self) -> str:
        path = Path(self.name)
        files = sorted(path.glob("*.npy")) if path.is_dir() else [path] if path.is_file() else []
        return _digest_of(["dataset", path.name], files)

    def entries(self, sets: ShapeSets) -> Iterator[Entry]:
        for inputs in sets if self.random else [self._fitting(sets)]:
            batch = batch_of(inputs)
            step = batch or 1
            samples = open_samples(self.name, _specs(inputs))
            for number, part in enumerate(samples.parts(step)):
                if batch is None:
                    part = {name: array[0] for name, array in part.items()}
                yield Entry(f"{self.text}, sample {number * step}", part)

    def _fitting(self, sets: ShapeSets) -> Sequence[ModelInput]:
        """The first set that the dataset fits. Error: what it says to the last, where none is."""
        for inputs in sets[:-1]:
            with contextlib.suppress(InvalidArgumentError):
                open_samples(self.name, _specs(inputs))
                return inputs
        return sets[-1]


@dataclass(frozen=True)
class RandomNoise:
    """Seeded noise, as the vendor's compiler profiles when it is given no data.

    Floats are uniform in 0..1 or of a normal distribution ("gaussian"), integers 0 or 1 (see
    `load_dataset`). Where several sets of shapes are allowed, each gets `samples` of them.
    """

    distribution: str = "uniform"
    samples: int = DEFAULT_RANDOM_SAMPLES

    @property
    def text(self) -> str:
        return f"random values, {self.distribution}"

    @property
    def once(self) -> bool:
        return False

    @property
    def random(self) -> bool:
        return True

    def digest(self) -> str:
        return _digest_of(["random", self.distribution, self.samples], [])

    def entries(self, sets: ShapeSets) -> Iterator[Entry]:
        generator = np.random.default_rng(0)
        for inputs in sets:
            batch = batch_of(inputs) or 1
            specs = [(i.name, i.dtype, i.dims) for i in inputs]
            for index in range(-(-self.samples // batch)):
                part = load_dataset("random", specs, count=1, seed=index).inputs
                arrays = {i.name: np.asarray(part[i.name][0]) for i in inputs}
                if self.distribution == "gaussian":
                    for i in inputs:
                        if i.dtype.kind == "f":
                            arrays[i.name] = generator.standard_normal(i.dims).astype(i.dtype)
                yield Entry(f"{self.text}, batch {index}", arrays)


class Arrays:
    """Arrays of the caller: an iterable of dicts of one or several samples for each input.

    An iterator, which can be read but once, is hashed as it is read.
    """

    def __init__(
        self, items: Iterable[Mapping[str, Array]], *, text: str, random: bool = False
    ) -> None:
        self._items = items
        self._hash = hashlib.sha256(b"arrays")
        self._is_read = False
        self.text = text
        self.random = random
        self.once = iter(items) is items

    def digest(self) -> str:
        if self.once:
            return self._hash.hexdigest()
        state = hashlib.sha256(b"arrays")
        for entry in self._checked():
            _hash_arrays(state, entry)
        return state.hexdigest()

    def entries(self, sets: ShapeSets) -> Iterator[Entry]:
        if self._is_read and self.once:
            raise InvalidArgumentError(
                "calibration data: an iterator can be read only once, and it has been; pass a new "
                "one, or a list"
            )
        self._is_read = True
        for entry in self._checked():
            if self.once:
                _hash_arrays(self._hash, entry)
            yield entry

    def _checked(self) -> Iterator[Entry]:
        for index, item in enumerate(self._items):
            where = f"calibration data, item {index}"
            if not isinstance(item, Mapping):
                raise InvalidArgumentError(
                    f"{where}: expected a dict of arrays by input name, got {type(item).__name__}"
                )
            for name, array in item.items():
                if not isinstance(name, str):
                    raise InvalidArgumentError(
                        f"{where}: expected names of inputs, got {name!r} ({type(name).__name__})"
                    )
                if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
                    kind = getattr(array, "dtype", type(array).__name__)
                    raise InvalidArgumentError(
                        f"{where}: input {name!r}: expected a numpy array of numbers, got {kind}"
                    )
            yield Entry(where, item)


def _hash_arrays(state: Hash, entry: Entry) -> None:
    for name in sorted(entry.arrays):
        array = np.ascontiguousarray(entry.arrays[name])
        state.update(json.dumps([name, str(array.dtype), array.shape]).encode())
        state.update(array.data)


@dataclass(frozen=True)
class RawFileList:
    """A text file that names raw files, as the vendor's `-input-list-file`.

    One inference a line: the files of all inputs, in the model's order, with commas between them. A
    file holds the values of its input in C order, little-endian, without a header: one or several
    samples. A relative path counts from the directory of the list, or where there is no such file
    from the working directory. Empty lines do not count.
    """

    path: str

    @property
    def text(self) -> str:
        return f"raw files of '{self.path}'"

    @property
    def once(self) -> bool:
        return False

    @property
    def random(self) -> bool:
        return False

    def digest(self) -> str:
        return _digest_of(["raw files"], [file for _, files in self._lines() for file in files])

    def entries(self, sets: ShapeSets) -> Iterator[Entry]:
        for where, files in self._lines():
            if len(files) != len(sets[0]):
                names = ", ".join(repr(i.name) for i in sets[0])
                raise InvalidArgumentError(
                    f"{where}: expected {len(sets[0])} files, for {names}, with commas between, "
                    f"got {len(files)}"
                )
            inputs = _set_by_size(files, sets)
            batched = batch_of(inputs) is not None
            pairs = zip(inputs, files, strict=True)
            yield Entry(where, {i.name: _read_raw(where, i, file, batched) for i, file in pairs})

    def _lines(self) -> Iterator[tuple[str, list[Path]]]:
        data = read_file(self.path, "the list of input files")
        try:
            lines = data.decode().splitlines()
        except UnicodeDecodeError as error:
            raise DataLossError(
                f"'{self.path}': expected a text file that names raw files, got binary data"
            ) from error
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            where = f"'{self.path}', line {number}"
            try:
                files = [self._locate(part.strip()) for part in line.split(",")]
            except OSError as error:  # a name that is too long
                raise error_from_os(error, where) from error
            yield where, files

    def _locate(self, name: str) -> Path:
        beside = Path(self.path).parent / name
        return beside if beside.exists() or not Path(name).exists() else Path(name)


@dataclass(frozen=True)
class FirstSamples:
    """The first `count` samples of another source."""

    source: Source
    count: int

    @property
    def text(self) -> str:
        return f"the first {self.count} of {self.source.text}"

    @property
    def once(self) -> bool:
        return self.source.once

    @property
    def random(self) -> bool:
        return self.source.random

    def digest(self) -> str:
        return _digest_of(["first", self.count, self.source.digest()], [])

    def entries(self, sets: ShapeSets) -> Iterator[Entry]:
        left = self.count
        for entry in self.source.entries(sets):
            samples = _samples_of(entry, sets[0])
            if samples <= left:
                yield entry
            else:
                yield Entry(entry.where, {name: a[:left] for name, a in entry.arrays.items()})
            left -= samples
            if left <= 0:
                return


def _samples_of(entry: Entry, inputs: Sequence[ModelInput]) -> int:
    """How many samples an entry has, one where its arrays have no batch axis of their own."""
    ranks = {model_input.name: len(model_input.dims) for model_input in inputs}
    counts = {
        len(array)
        for name, array in entry.arrays.items()
        if np.ndim(array) and np.ndim(array) == ranks.get(name)
    }
    return counts.pop() if len(counts) == 1 and batch_of(inputs) is not None else 1


def batch_of(inputs: Sequence[ModelInput]) -> int | None:
    """The first dim that all inputs share, which then counts samples; None where they do not.

    Nor does a dim of 0 count any.
    """
    first = {i.dims[0] if i.dims else None for i in inputs}
    return first.pop() or None if len(first) == 1 else None


def sets_of(program: Mapping[str, Any]) -> ShapeSets:
    """The inputs of a program, as `qaickit._core.read_qpc` has it, in each allowed shape."""
    inputs = program["inputs"]
    fixed = [[tensor["dims"] for tensor in inputs]]
    return [
        [
            ModelInput(tensor["name"], np.dtype(tensor["dtype"]), tuple(dims))
            for tensor, dims in zip(inputs, one_set, strict=False)
        ]
        for one_set in (program["allowed_shapes"] or fixed)
    ]


def _specs(inputs: Sequence[ModelInput]) -> list[tuple[str, np.dtype[Any], tuple[int, ...]]]:
    """What `load_dataset` is told: the dims of one sample."""
    is_batched = batch_of(inputs) is not None
    return [(i.name, i.dtype, i.dims[1:] if is_batched else i.dims) for i in inputs]


def _set_by_size(files: Sequence[Path], sets: ShapeSets) -> Sequence[ModelInput]:
    """The set whose whole inputs have the files' sizes; else where they are so many samples."""
    with contextlib.suppress(OSError):
        sizes = [file.stat().st_size for file in files]
        for fits in (_is_whole, _is_samples):
            for inputs in sets:
                if all(fits(i, size, inputs) for i, size in zip(inputs, sizes, strict=True)):
                    return inputs
    return sets[-1]


def _is_whole(model_input: ModelInput, size: int, _inputs: Sequence[ModelInput]) -> bool:
    return size == math.prod(model_input.dims) * model_input.dtype.itemsize


def _is_samples(model_input: ModelInput, size: int, inputs: Sequence[ModelInput]) -> bool:
    each = math.prod(model_input.dims[1:]) * model_input.dtype.itemsize
    return batch_of(inputs) is not None and size > 0 and each > 0 and size % each == 0


def _read_raw(where: str, model_input: ModelInput, file: Path, batched: bool) -> Array:
    name, dtype, dims = model_input
    sample = dims[1:] if batched else dims
    bytes_each = int(np.prod(sample, dtype=np.int64)) * dtype.itemsize
    try:
        size = file.stat().st_size
        if size == 0 or size % bytes_each or (not batched and size != bytes_each):
            multiple = "a multiple of " if batched else ""
            raise InvalidArgumentError(
                f"{where}: '{file}' for input '{name}': expected {multiple}{bytes_each} bytes "
                f"({dtype} {list(sample)}), got {size}"
            )
        values = np.fromfile(file, dtype.newbyteorder("<"))
    except OSError as error:
        raise error_from_os(error, f"{where}: cannot read '{file}' for input '{name}'") from error
    return values.astype(dtype, copy=False).reshape((-1, *sample) if batched else sample)


def _digest_of(header: list[Any], files: Iterable[Path]) -> str:
    state = hashlib.sha256(json.dumps(header).encode())
    for path in files:
        hash_file(state, path, "the calibration data")
        state.update(b"\0")
    return state.hexdigest()
