"""Samples to run a model on, and the labels to score its answers with.

    from qaickit.datasets import load_dataset
    dataset = load_dataset("digits", [("image", "float32", (1, 8, 8))])
    dataset.inputs["image"]       # float32 [360, 1, 8, 8], C-contiguous
    dataset.labels                # int64 [360]

Data from files is taken as it is: nothing is cast, reshaped or copied, since a value converted
without a word is an accuracy lost without a reason. What does not fit the model is refused by name.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qaickit import _npz
from qaickit._text import did_you_mean
from qaickit.errors import (
    DataLossError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
)

__all__ = [
    "DATASETS",
    "DEFAULT_RANDOM_COUNT",
    "Dataset",
    "InputSpec",
    "Samples",
    "load_dataset",
    "open_samples",
]

Array = npt.NDArray[Any]

DATASETS = ("digits", "random")
"""The names `load_dataset` knows, beside paths."""

DEFAULT_RANDOM_COUNT = 256
"""How many samples 'random' makes unless told."""

_LABELS = "labels"

_DIGITS_FILE = Path(__file__).with_name("models") / "digits" / "heldout.npz"
_DIGITS_PIXELS = 64
_DIGITS_PIXEL_MAX = 16


class InputSpec(NamedTuple):
    """What a model takes for one input: name, dtype, and the dims of one sample (no batch axis)."""

    name: str
    dtype: np.dtype[Any]
    dims: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples by input, checked on construction.

    Attributes:
        name: what it was loaded as.
        inputs: one array per model input, by name. The first axis is the sample and is equally
            long in all; every array is C-contiguous, so sample i of each is one run of memory.
            They may be read-only maps of a file (np.memmap).
        labels: one entry per sample, or None where there is nothing to score against.
        source: where the data came from, in words.
        random: True where the inputs are noise. Such data measures speed only, and whatever
            prints a result of it must say so.

    Raises:
        InvalidArgumentError: there are no inputs or no samples, an array is not C-contiguous, the
            numbers of samples differ, or the labels are neither numbers nor bools.
    """

    name: str
    inputs: dict[str, Array]
    labels: Array | None
    source: str
    random: bool = False

    def __post_init__(self) -> None:
        where = f"dataset '{self.name}'"
        if not self.inputs:
            raise InvalidArgumentError(f"{where}: expected at least one input, got none")
        counts: dict[str, int] = {}
        for name, array in self.inputs.items():
            if array.ndim == 0:
                raise InvalidArgumentError(
                    f"{where}: input '{name}': expected the first axis to be the sample, "
                    "got a single value"
                )
            if not array.flags.c_contiguous:
                got = f"strides {list(array.strides)} for shape {list(array.shape)}"
                raise _not_contiguous(where, name, got)
            counts[f"input '{name}'"] = len(array)
        if self.labels is not None:
            _check_labels(where, self.labels.dtype, self.labels.shape)
            counts[_LABELS] = len(self.labels)
        _check_counts(where, counts)

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(next(iter(self.inputs.values())))


def load_dataset(
    name: str | Path,
    spec_inputs: Iterable[tuple[str, npt.DTypeLike, Sequence[int]]],
    *,
    count: int | None = None,
    seed: int = 0,
) -> Dataset:
    """Load the samples called `name`, made or checked to fit a model's inputs.

    `name` is one of

    - 'digits': the 360 held-out samples of the `digits` model, with labels, for a model with one
      float32 input of 64 values per sample, in any shape; values are scaled to 0..1.
    - 'random': seeded noise for any inputs: floats uniform in 0..1; int8 and uint8 over their whole
      range; wider integers 0 or 1, which serve alike as token ids, masks and segment ids. Measures
      speed only; no labels.
    - the path of a `.npz` file with one array per input under the input's name, of a `.npy` file
      for a model with one input, or of a directory of `<input name>.npy` files; `.npz` and
      directory may hold `labels` too. `.npy` files are mapped, not read. Write './digits' for a
      directory of that name.

    Args:
        name: as above.
        spec_inputs: for each input of the model (name, dtype, dims of one sample), as tuples or
            `InputSpec`; dims without the batch axis.
        count: how many samples 'random' makes (default `DEFAULT_RANDOM_COUNT`); of the others, how
            many to keep, from the first (default: all).
        seed: seed of 'random'; the others do not use it.

    Raises:
        InvalidArgumentError: `name` is unknown; names, dtypes, shapes or numbers of samples do not
            fit; an argument is out of range. A ValueError.
        DataLossError: a file cannot be read as what its suffix says, or holds Python objects. A
            ValueError.
        NotFoundError: `name` is a path and nothing is there. A FileNotFoundError.
        PermissionDeniedError: a file may not be read. A PermissionError.
        ResourceExhaustedError: a `.npz` file, or what 'random' shall make, does not fit in memory.
            A MemoryError.
    """
    specs = _checked_specs(spec_inputs)
    if count is not None and count < 1:
        raise InvalidArgumentError(
            f"dataset '{name}': count: expected 1 or more samples, got {count}"
        )
    if name == "random":
        return _random(specs, DEFAULT_RANDOM_COUNT if count is None else count, seed)
    dataset = _digits(specs) if name == "digits" else _from_path(name, specs)
    return dataset if count is None else _first(dataset, count)


class Samples:
    """Samples of a dataset to be read in order, without holding all of them in memory."""

    def __init__(self, count: int, parts: Callable[[int], Iterator[dict[str, Array]]]) -> None:
        self._count = count
        self._parts = parts

    def __len__(self) -> int:
        """Return the number of samples."""
        return self._count

    def parts(self, step: int) -> Iterator[dict[str, Array]]:
        """Yield the samples from the start, `step` at a time, by input; the last may be fewer.

        Raises:
            DataLossError: a file turns out damaged.
        """
        return self._parts(step)


def open_samples(
    name: str | Path, spec_inputs: Iterable[tuple[str, npt.DTypeLike, Sequence[int]]]
) -> Samples:
    """Check the samples called `name`, as `load_dataset` does, without reading them all.

    Of a `.npz` file only the headers are read here, and in `Samples.parts` some samples at a time,
    whether stored or deflated. A checksum that is wrong comes out at the end of its array.

    Args:
        name: as of `load_dataset`.
        spec_inputs: as of `load_dataset`.

    Raises:
        QaicKitError: what `load_dataset` raises.
    """
    specs = _checked_specs(spec_inputs)
    path = Path(name)
    if name not in DATASETS and path.suffix == ".npz" and path.is_file():
        return _npz_samples(path, specs)
    dataset = load_dataset(name, specs)

    def slices(step: int) -> Iterator[dict[str, Array]]:
        for start in range(0, len(dataset), step):
            yield {key: array[start : start + step] for key, array in dataset.inputs.items()}

    return Samples(len(dataset), slices)


def _npz_samples(path: Path, specs: list[InputSpec]) -> Samples:
    with _reading(path, "it as a .npz archive"):
        names = _npz.array_names(path)
    _check_names(path, names, specs)
    where = f"dataset '{path}'"
    inputs = [spec.name for spec in specs]
    counts: dict[str, int] = {}
    for name in dict.fromkeys([*inputs, *names]):
        with _reading(path, f"array {name!r}"):
            header = _npz.read_header(path, name)
        if name in inputs:
            spec = specs[inputs.index(name)]
            _check_array(path, spec, header.dtype, header.shape)
            if header.fortran_order:
                raise _not_contiguous(where, name, "Fortran order")
            counts[f"input '{name}'"] = header.shape[0]
        else:
            _check_labels(where, header.dtype, header.shape)
            counts[_LABELS] = header.shape[0]
    _check_counts(where, counts)

    def parts(step: int) -> Iterator[dict[str, Array]]:
        with _reading(path, "its arrays"):
            yield from _npz.read_samples(path, inputs, step)

    return Samples(next(iter(counts.values())), parts)


def _not_contiguous(where: str, name: str, got: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"{where}: input '{name}': expected a C-contiguous array, got {got}; "
        "store numpy.ascontiguousarray(...) of it"
    )


def _check_labels(where: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    if not shape or dtype.kind not in "biuf":
        raise InvalidArgumentError(
            f"{where}: labels: expected an array of numbers, one entry per sample, "
            f"got {_describe(dtype, shape)}"
        )


def _check_counts(where: str, counts: Mapping[str, int]) -> None:
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{key} {count}" for key, count in counts.items())
        raise InvalidArgumentError(f"{where}: expected equally many samples in all, got {listed}")
    if not all(counts.values()):
        raise InvalidArgumentError(f"{where}: expected at least one sample, got none")


def _checked_specs(
    spec_inputs: Iterable[tuple[str, npt.DTypeLike, Sequence[int]]],
) -> list[InputSpec]:
    specs: list[InputSpec] = []
    for name, dtype, dims in spec_inputs:
        for axis, dim in enumerate(dims):
            if not isinstance(dim, (int, np.integer)) or dim < 1:
                raise InvalidArgumentError(
                    f"input '{name}': expected fixed sample dims of 1 or more, "
                    f"got {dim!r} for axis {axis} of {list(dims)}; choose a size for it"
                )
        if any(name == spec.name for spec in specs):
            raise InvalidArgumentError(f"input '{name}': expected each name once, got it twice")
        try:
            checked = np.dtype(dtype)
        except TypeError as error:
            raise InvalidArgumentError(
                f"input '{name}': expected a numpy dtype, got {dtype!r}"
            ) from error
        specs.append(InputSpec(name, checked, tuple(int(dim) for dim in dims)))
    if not specs:
        raise InvalidArgumentError("spec_inputs: expected the model's inputs, got none")
    return specs


def _describe(dtype: np.dtype[Any], shape: Iterable[int | str]) -> str:
    return f"{dtype} [{', '.join(str(dim) for dim in shape)}]"


def _first(dataset: Dataset, count: int) -> Dataset:
    if count > len(dataset):
        raise InvalidArgumentError(
            f"dataset '{dataset.name}': expected count of at most its {len(dataset)} samples, "
            f"got {count}"
        )
    return Dataset(
        name=dataset.name,
        inputs={name: array[:count] for name, array in dataset.inputs.items()},
        labels=None if dataset.labels is None else dataset.labels[:count],
        source=dataset.source,
        random=dataset.random,
    )


def _digits(specs: list[InputSpec]) -> Dataset:
    spec = specs[0]
    if len(specs) != 1 or spec.dtype != np.float32 or math.prod(spec.dims) != _DIGITS_PIXELS:
        got = ", ".join(f"'{s.name}' {_describe(s.dtype, s.dims)}" for s in specs)
        raise InvalidArgumentError(
            f"dataset 'digits': expected a model with one float32 input of {_DIGITS_PIXELS} values "
            f"per sample, such as [1, 8, 8], got {got}; use the model 'digits', or another dataset"
        )
    with np.load(_DIGITS_FILE, allow_pickle=False) as arrays:
        pixels, labels = arrays["images"], arrays[_LABELS]
    scaled = pixels.astype(np.float32) / np.float32(_DIGITS_PIXEL_MAX)
    return Dataset(
        name="digits",
        inputs={spec.name: scaled.reshape(len(scaled), *spec.dims)},
        labels=labels,
        source="UCI Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, 1998, "
        "doi:10.24432/C50P49, CC BY 4.0; the samples that training the model 'digits' left out",
    )


def _random(specs: list[InputSpec], count: int, seed: int) -> Dataset:
    if seed < 0:
        raise InvalidArgumentError(f"dataset 'random': seed: expected 0 or more, got {seed}")
    rng = np.random.default_rng(seed)
    inputs: dict[str, Array] = {}
    for spec in specs:
        shape = (count, *spec.dims)
        try:
            # NumPy calls what cannot even be addressed a ValueError, not a lack of memory.
            if math.prod(shape) * spec.dtype.itemsize > sys.maxsize:
                raise MemoryError("larger than the address space")
            inputs[spec.name] = _random_array(rng, spec, shape)
        except MemoryError as error:
            raise ResourceExhaustedError(
                f"dataset 'random': input '{spec.name}': no memory for "
                f"{_describe(spec.dtype, shape)}: {error}; give a smaller count"
            ) from error
    return Dataset(
        name="random",
        inputs=inputs,
        labels=None,
        source=f"random values, seed {seed}: measures speed only",
        random=True,
    )


def _random_array(rng: np.random.Generator, spec: InputSpec, shape: tuple[int, ...]) -> Array:
    dtype = spec.dtype
    if dtype in (np.dtype(np.float32), np.dtype(np.float64)):
        return rng.random(shape, dtype=dtype.type)
    if dtype.kind == "f":
        return rng.random(shape, dtype=np.float32).astype(dtype)
    if dtype.kind in "iu" and dtype.itemsize == 1:
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max, shape, dtype=dtype.type, endpoint=True)
    if dtype.kind in "iub":
        return rng.integers(0, 2, shape, dtype=np.uint8).astype(dtype)
    raise InvalidArgumentError(
        f"dataset 'random': input '{spec.name}': expected a float, integer or bool dtype, "
        f"got {dtype}; give the samples as a file"
    )


def _from_path(name: str | Path, specs: list[InputSpec]) -> Dataset:
    path = Path(name)
    if name == "":  # else the working directory
        raise _not_found(name)
    if path.is_dir():
        arrays = _map_directory(path, specs)
    elif not path.exists():
        raise _not_found(name)
    elif path.suffix == ".npz":
        arrays = _read_npz(path, specs)
    elif path.suffix == ".npy":
        if len(specs) != 1:
            raise InvalidArgumentError(
                f"dataset '{path}': a .npy file holds one input, the model has {len(specs)} "
                f"({_listed(spec.name for spec in specs)}); give a .npz file or a directory"
            )
        arrays = {specs[0].name: _map_npy(path)}
    else:
        raise InvalidArgumentError(
            f"dataset '{path}': expected a .npz or .npy file or a directory of .npy files, "
            f"got a file with suffix '{path.suffix}'"
        )
    for spec in specs:
        _check_array(path, spec, arrays[spec.name].dtype, arrays[spec.name].shape)
    # A model may have an input called 'labels'; then it is an input.
    inputs = {spec.name: arrays.pop(spec.name) for spec in specs}
    return Dataset(
        name=str(path), inputs=inputs, labels=arrays.get(_LABELS), source=str(path.resolve())
    )


def _not_found(name: str | Path) -> Exception:
    known = ", ".join(DATASETS)
    looks_like_path = isinstance(name, Path) or len(Path(name).parts) > 1 or Path(name).suffix
    if looks_like_path:
        return NotFoundError(
            f"dataset '{name}': expected a .npz or .npy file or a directory there, found nothing"
        )
    return InvalidArgumentError(
        f"dataset '{name}': not known; expected one of {known}, or the path of a .npz or .npy "
        f"file or of a directory of .npy files{did_you_mean(str(name), DATASETS)}"
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names) or "none"


@contextmanager
def _reading(path: Path, what: str) -> Iterator[None]:
    """Turn what goes wrong while `what` is read from `path` into an error that says so."""
    try:
        yield
    except PermissionError as error:
        raise PermissionDeniedError(f"dataset '{path}': cannot read {what}: {error}") from error
    except MemoryError as error:
        raise ResourceExhaustedError(
            f"dataset '{path}': cannot read {what}: {error}; "
            "save a directory of .npy files, which are mapped and not read"
        ) from error
    except Exception as error:
        # On bytes that are not what they say, NumPy and zipfile let through whatever their parts
        # raise, down to tokenize.TokenError and an OSError of a seek; no list of it is documented.
        raise DataLossError(
            f"dataset '{path}': cannot read {what}: {error}; expected plain numeric arrays as "
            "numpy.save or numpy.savez write them (arrays of Python objects are refused, since "
            "loading those can run code)"
        ) from error


def _read_npz(path: Path, specs: list[InputSpec]) -> dict[str, Array]:
    # Listed with zipfile and not by np.load, which goes by content and would take a pickle or a
    # .npy file for what it is.
    with _reading(path, "it as a .npz archive"):
        names = _npz.array_names(path)
    _check_names(path, names, specs)
    with _reading(path, "it as a .npz archive"):
        loaded = np.load(path, allow_pickle=False)
    arrays: dict[str, Array] = {}
    with loaded:
        for name in names:
            with _reading(path, f"array {name!r}"):
                array = loaded[name]
                if not isinstance(array, np.ndarray):  # bytes, of a member in no .npy format
                    raise ValueError("not in the .npy format")
                arrays[name] = array
    return arrays


def _map_npy(path: Path) -> Array:
    # Not np.load, which goes by content and would take a pickle or a .npz file for what it is.
    with _reading(path, "it as a .npy file"):
        return np.lib.format.open_memmap(path, mode="r")


def _map_directory(path: Path, specs: list[InputSpec]) -> dict[str, Array]:
    files = {file.stem: file for file in sorted(path.glob("*.npy"))}
    _check_names(path, files, specs)
    return {name: _map_npy(file) for name, file in files.items()}


def _check_names(path: Path, names: Iterable[str], specs: list[InputSpec]) -> None:
    """Refuse arrays that are missing and ones that the model has no use for."""
    names = list(names)
    wanted = [spec.name for spec in specs]
    missing = [name for name in wanted if name not in names]
    unknown = [name for name in names if name not in (*wanted, _LABELS)]
    if not missing and not unknown:
        return
    advice = "name each array as the model names its input" if missing else "take the others out"
    raise InvalidArgumentError(
        f"dataset '{path}': expected arrays {_listed(wanted)} and at most '{_LABELS}' beside, "
        f"got {_listed(names)}; missing {_listed(missing)}, unknown {_listed(unknown)}; {advice}"
    )


def _check_array(path: Path, spec: InputSpec, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """Refuse an array that is not [samples, *dims] of the model's dtype."""
    if dtype == spec.dtype and shape and shape[1:] == spec.dims:
        return
    advice = "the dims of one sample must be the model's"
    if dtype != spec.dtype:
        advice = f"cast with .astype('{spec.dtype}') and save again"
    raise InvalidArgumentError(
        f"dataset '{path}': input '{spec.name}': expected "
        f"{_describe(spec.dtype, ('samples', *spec.dims))}, "
        f"got {_describe(dtype, shape)}; {advice}"
    )
