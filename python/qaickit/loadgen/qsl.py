"""A LoadGen query sample library over arrays, for harnesses in Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from qaickit.errors import FailedPreconditionError, InvalidArgumentError, UnavailableError

__all__ = ["QSL", "Array", "loadgen_module"]

Array = npt.NDArray[Any]

_NOT_LOADED = -1


def loadgen_module() -> Any:
    """Return the `mlperf_loadgen` module.

    Raises:
        UnavailableError: it is not installed.
    """
    try:
        return import_module("mlperf_loadgen")
    except ImportError as error:
        raise UnavailableError(
            f"LoadGen's Python module cannot be imported ({error}); pip install mlcommons-loadgen"
        ) from error


class QSL:
    """Samples in memory, handed to LoadGen as a query sample library.

    What LoadGen asks to load is copied into one contiguous array an input, in the order asked for,
    so that a run of samples becomes a batch without another copy. `handle` is what
    `mlperf_loadgen.StartTest` takes; it is valid until `close`.
    """

    def __init__(self, inputs: Mapping[str, Array], performance_count: int | None = None) -> None:
        """Args:
            inputs: one array an input, by name; the first axis is the sample.
            performance_count: samples that LoadGen may load at once; default all.

        Raises:
            InvalidArgumentError: no inputs, numbers of samples that differ, a bad count.
            UnavailableError: LoadGen's Python module is not installed.
        """
        counts = {name: len(array) for name, array in inputs.items()}
        if not counts or 0 in counts.values() or len(set(counts.values())) != 1:
            raise InvalidArgumentError(
                f"QSL: expected arrays with equally many samples, at least one, got {counts}"
            )
        self.total = next(iter(counts.values()))
        self.performance_count = self.total if performance_count is None else performance_count
        if not 1 <= self.performance_count <= self.total:
            raise InvalidArgumentError(
                f"QSL: performance_count: expected 1 to {self.total}, got {performance_count}"
            )
        self._source = dict(inputs)
        self._rows: dict[str, Array] = {}
        self._position = [_NOT_LOADED] * self.total
        self._loadgen = loadgen_module()
        self._handle: int | None = self._loadgen.ConstructQSL(
            self.total, self.performance_count, self.load, self.unload
        )

    @property
    def handle(self) -> int:
        """LoadGen's handle of this library."""
        if self._handle is None:
            raise FailedPreconditionError("QSL: it is closed")
        return self._handle

    def load(self, indices: Sequence[int]) -> None:
        """Copy these samples into memory, in this order. LoadGen calls it; untimed."""
        order = np.asarray(indices, dtype=np.intp)
        self._rows = {
            name: np.ascontiguousarray(array[order]) for name, array in self._source.items()
        }
        # Backwards, so that of a sample that is there twice (padding) the first counts.
        for position in range(len(indices) - 1, -1, -1):
            self._position[indices[position]] = position

    def unload(self, indices: Sequence[int]) -> None:
        """Drop what `load` copied. LoadGen calls it after the last answer."""
        self._rows = {}
        for index in indices:
            self._position[index] = _NOT_LOADED

    def gather(self, indices: Sequence[int], batch_size: int) -> dict[str, Array]:
        """Return these loaded samples as one batch for each input.

        A view where they lie side by side and fill the batch, else a copy; a batch that is not
        full ends with copies of its last sample.

        Raises:
            FailedPreconditionError: a sample is not loaded.
        """
        positions = [self._position[index] for index in indices]
        if min(positions) == _NOT_LOADED:
            missing = indices[positions.index(_NOT_LOADED)]
            raise FailedPreconditionError(f"QSL: sample {missing} is not loaded")
        first, count = positions[0], len(positions)
        if count == batch_size and positions == list(range(first, first + count)):
            return {name: rows[first : first + count] for name, rows in self._rows.items()}
        padded = positions + positions[-1:] * (batch_size - count)
        return {name: rows[padded] for name, rows in self._rows.items()}

    def close(self) -> None:
        """Give LoadGen's handle back. Not while a test runs. Idempotent."""
        if self._handle is not None:
            self._loadgen.DestroyQSL(self._handle)
            self._handle = None

    def __enter__(self) -> QSL:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
