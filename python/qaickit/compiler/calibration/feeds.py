"""Samples of a source as whole inputs of a model, checked, in batches of the model's size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from qaickit.compiler.calibration.data import (
    Array,
    Entry,
    Feed,
    ModelInput,
    ShapeSets,
    Source,
    batch_of,
)
from qaickit.errors import InvalidArgumentError

Whole = tuple[str, Feed, int]


def feeds(source: Source, sets: ShapeSets) -> Iterator[Whole]:
    """The samples as whole inputs of the model: (what they are, arrays by name, how many samples).

    `sets`: the model's inputs in each set of shapes that it may run with; all sets have the same
    names and dtypes. An entry of the source belongs to the set whose dims it has, else to the one
    of greatest batch that its samples fit. Samples are put together to the set's batch size; the
    last batch is filled with the first samples. Each array is C-contiguous and has exactly the dims
    and dtype of its input.

    Errors: InvalidArgumentError (names, dtypes, shapes, NaN or infinity, no samples at all) and
    those of the source; each names the sample and the input.
    """
    batchers = [_Batcher(inputs) for inputs in sets]
    found_any = False
    for entry in source.entries(sets):
        _check_names(entry, sets[0])
        index = _set_of(entry, sets)
        count = _checked(entry, sets[index])
        found_any = True
        yield from batchers[index].add(entry, count)
    if not found_any:
        raise InvalidArgumentError(f"{source.text}: expected at least one sample, got none")
    for batcher in batchers:
        yield from batcher.rest()


class _Batcher:
    """Puts the samples of one set of shapes together to its batch size."""

    def __init__(self, inputs: Sequence[ModelInput]) -> None:
        self._inputs = inputs
        self._batch = batch_of(inputs)
        self._pending: list[Feed] = []
        self._held = 0
        self._where = ""
        self._first: Feed | None = None

    def add(self, entry: Entry, count: int) -> Iterator[Whole]:
        """The batches that are full with this entry of `count` samples."""
        self._where = self._where or entry.where
        # Copies: what is held back must not change where the caller fills its arrays anew.
        plain = {i.name: np.array(entry.arrays[i.name], order="C") for i in self._inputs}
        if self._batch is None or (count == self._batch and not self._pending):
            self._first = self._first or plain
            yield entry.where, plain, count
            self._where = ""
            return
        self._pending.append(plain)
        self._held += count
        while self._held >= self._batch:
            joined = _joined(self._pending)
            feed = {name: np.ascontiguousarray(a[: self._batch]) for name, a in joined.items()}
            self._first = self._first or feed
            yield self._where, feed, self._batch
            self._held -= self._batch
            left = {name: a[self._batch :] for name, a in joined.items()}
            self._pending = [left] if self._held else []
            self._where = entry.where if self._held else ""

    def rest(self) -> Iterator[Whole]:
        """The last batch, filled with the first samples, where there is one."""
        if not self._held or self._batch is None:
            return
        joined = _joined(self._pending)
        fill = self._first or joined
        rows = np.arange(self._batch - self._held)
        feed = {n: np.concatenate([a, fill[n][rows % len(fill[n])]]) for n, a in joined.items()}
        yield self._where, feed, self._held


def _joined(parts: list[Feed]) -> Feed:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _check_names(entry: Entry, inputs: Sequence[ModelInput]) -> None:
    unknown = sorted(set(entry.arrays) - {i.name for i in inputs})
    missing = [i.name for i in inputs if i.name not in entry.arrays]
    if unknown or missing:
        raise InvalidArgumentError(
            f"{entry.where}: expected arrays {[i.name for i in inputs]}, got "
            f"{sorted(entry.arrays)}; missing {missing}, unknown {unknown}"
        )


def _set_of(entry: Entry, sets: ShapeSets) -> int:
    """The index of the set that an entry belongs to. Error: InvalidArgumentError for none."""
    if len(sets) == 1:
        return 0
    arrays = entry.arrays
    whole = [
        k for k, inputs in enumerate(sets) if all(arrays[i.name].shape == i.dims for i in inputs)
    ]
    if whole:
        return whole[0]
    fitting = [
        k
        for k, inputs in enumerate(sets)
        if batch_of(inputs) is not None and all(_fits(arrays[i.name], i, True) for i in inputs)
    ]
    if not fitting:
        allowed = " or ".join(_shown({i.name: i.dims for i in inputs}) for inputs in sets)
        shapes = {name: array.shape for name, array in arrays.items()}
        raise InvalidArgumentError(
            f"{entry.where}: expected one of the allowed shapes, {allowed}; got {_shown(shapes)}"
        )
    return max(fitting, key=lambda k: batch_of(sets[k]) or 0)


def _shown(dims: Mapping[str, tuple[int, ...]]) -> str:
    return "(" + ", ".join(f"'{name}' {list(shape)}" for name, shape in dims.items()) + ")"


def _checked(entry: Entry, inputs: Sequence[ModelInput]) -> int:
    """The number of samples of an entry that fits the inputs."""
    batch = batch_of(inputs)
    counts = {i.name: _check_array(entry, i, batch is not None) for i in inputs}
    if len(set(counts.values())) != 1:
        raise InvalidArgumentError(
            f"{entry.where}: expected equally many samples for all inputs, got {counts}"
        )
    return next(iter(counts.values()))


def _check_array(entry: Entry, model_input: ModelInput, batched: bool) -> int:
    name, dtype, dims = model_input
    array = entry.arrays[name]
    if array.dtype != dtype or not _fits(array, model_input, batched):
        wanted = ["samples", *dims[1:]] if batched else list(dims)
        raise InvalidArgumentError(
            f"{entry.where}: input '{name}': expected {dtype} [{', '.join(map(str, wanted))}], "
            f"got {array.dtype} {list(array.shape)}; cast or reshape it"
        )
    if dtype.kind == "f" and not np.isfinite(array).all():
        nans = int(np.isnan(array).sum())
        raise InvalidArgumentError(
            f"{entry.where}: input '{name}': expected finite values, got {nans} NaN and "
            f"{int((~np.isfinite(array)).sum()) - nans} infinite ones of {array.size}"
        )
    return len(array) if batched else 1


def _fits(array: Array, model_input: ModelInput, batched: bool) -> bool:
    dims = model_input.dims
    if not batched:
        return array.shape == dims
    return array.ndim == len(dims) and array.shape[1:] == dims[1:] and len(array) > 0
