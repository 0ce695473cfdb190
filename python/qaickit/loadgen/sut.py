"""A LoadGen system under test over anything that has `run(dict) -> dict`, for harnesses in Python.

`qaickit.loadgen` has an example. Going through Python costs microseconds a sample, which
`python -m qaickit.loadgen` does not.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Protocol, TypedDict

import numpy as np

from qaickit.errors import (
    CancelledError,
    ClosedError,
    FailedPreconditionError,
    InvalidArgumentError,
    TimedOutError,
)
from qaickit.loadgen.qsl import QSL, Array, loadgen_module

__all__ = ["RESPONDERS", "SUT", "Responder", "Runs", "Stats", "classification", "raw"]

CLOSE_TIMEOUT_S = 10.0


class Runs(Protocol):
    """All that is needed of a session. With several workers it is called from several threads."""

    def run(self, inputs: dict[str, Array], /) -> Mapping[str, Array]:
        """Compute one batch."""


Responder = Callable[[Mapping[str, Array], int], Array]
"""Turns the outputs of one batch into an array with one row for each of its samples (the second
argument says how many, padding included). The bytes of a row are that sample's response."""


def classification(outputs: Mapping[str, Array], batch_size: int) -> Array:
    """Respond with the class as float32: the index of the largest element of the first output.

    An output with one element a sample is a class already, as a graph has it that ends in ArgMax.
    """
    scores = next(iter(outputs.values())).reshape(batch_size, -1)
    classes = scores.argmax(axis=1) if scores.shape[1] > 1 else scores[:, 0].clip(min=0)
    labels: Array = classes.astype(np.float32)
    return labels


def raw(outputs: Mapping[str, Array], batch_size: int) -> Array:
    """Respond with the bytes of the sample's rows of all outputs, one after the other."""
    rows = [
        np.ascontiguousarray(output).reshape(batch_size, -1).view(np.uint8)
        for output in outputs.values()
    ]
    return np.concatenate(rows, axis=1)


RESPONDERS: Mapping[str, Responder] = {"classification": classification, "raw": raw}


class Stats(TypedDict):
    """Counters of a SUT. `batch_sizes[n]` counts the batches of n samples.

    `lost_activations` are those whose device has gone, which the native harness alone can tell.
    """

    samples_ok: int
    samples_failed: int
    batches: int
    caller_batches: int
    batch_sizes: list[int]
    activation_batches: list[int]
    lost_activations: int


class SUT:
    """Feeds LoadGen's queries to a session and answers every sample exactly once.

    Samples wait in one queue; each worker takes as many as fit a batch, and waits for more only
    until `max_wait_us` after it found the first. The answers of a batch go back in one call, and
    their memory is held until that call returns. A sample that fails is answered with no data, so
    that LoadGen does not wait for ever; the first failure is kept and raised by `result` and at the
    end of a `with` block.
    """

    def __init__(
        self,
        session: Runs,
        qsl: QSL,
        *,
        respond: Responder = classification,
        batch_size: int = 1,
        workers: int = 1,
        max_wait_us: int = 0,
        input_shapes: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        """Args:
            session: computes the batches.
            qsl: where the samples are.
            respond: makes the responses; see `Responder`.
            batch_size: samples in one call of `session.run`.
            workers: threads that run batches. 0 runs them on LoadGen's own thread: fastest for
                SingleStream, but IssueQuery then lasts as long as the model.
            max_wait_us: how long a batch that is not full waits for more samples.
            input_shapes: what to reshape the batch of each input to; default
                [batch_size, *dims of a sample].

        Raises:
            InvalidArgumentError: a number out of range.
            UnavailableError: LoadGen's Python module is not installed.
        """
        if batch_size < 1 or workers < 0 or max_wait_us < 0:
            raise InvalidArgumentError(
                "SUT: expected batch_size of at least 1, workers and max_wait_us of at least 0, "
                f"got {batch_size}, {workers} and {max_wait_us}"
            )
        self._session = session
        self._qsl = qsl
        self._respond = respond
        self._batch_size = batch_size
        self._max_wait_s = max_wait_us / 1e6
        self._shapes = {name: tuple(dims) for name, dims in (input_shapes or {}).items()}
        self._loadgen = loadgen_module()

        # Guards all below. Workers wait on it for samples.
        self._changed = threading.Condition()
        self._ids: deque[int] = deque()
        self._indices: deque[int] = deque()
        self._flushing = False
        self._closing = False
        self._abandoned = False
        self._failure: BaseException | None = None
        self._issued = 0
        self._ok = 0
        self._failed = 0
        self._batch_sizes = [0] * (batch_size + 1)
        self._worker_batches = [0] * max(workers, 1)

        self._threads = [
            threading.Thread(target=self._work, args=(n,), name=f"qaickit-sut-{n}", daemon=True)
            for n in range(workers)
        ]
        issue = self._issue if workers else self._run_here
        self._handle: int | None = self._loadgen.ConstructFastSUT(issue, self._flush)
        for thread in self._threads:
            thread.start()

    @property
    def handle(self) -> int:
        """LoadGen's handle of this system, for `mlperf_loadgen.StartTest`."""
        if self._handle is None:
            raise FailedPreconditionError("SUT: it is closed")
        return self._handle

    @property
    def samples_issued(self) -> int:
        """Samples that LoadGen has asked for."""
        return self._issued

    @property
    def samples_done(self) -> int:
        """Samples that were answered, failed ones included."""
        return self._ok + self._failed

    def stats(self) -> Stats:
        """Return what happened so far."""
        with self._changed:
            batches = sum(self._batch_sizes)
            return Stats(
                samples_ok=self._ok,
                samples_failed=self._failed,
                batches=batches,
                caller_batches=0 if self._threads else batches,
                batch_sizes=list(self._batch_sizes),
                activation_batches=list(self._worker_batches),
                lost_activations=0,
            )

    def result(self) -> None:
        """Raise the first failure of a sample, if any."""
        if self._failure is not None:
            raise self._failure

    def abandon(self) -> None:
        """Answer all samples from now on at once, with no data. The way out of a test.

        LoadGen's Python module cannot end a test; one whose samples need no time ends sooner.
        """
        with self._changed:
            self._abandoned = True
            self._failure = self._failure or CancelledError("the test was abandoned")
            self._changed.notify_all()

    def close(self) -> None:
        """End the workers and give LoadGen's handle back. Not while a test runs. Idempotent.

        Raises:
            TimedOutError: a worker is still in the session after 10 s; it was left behind.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        deadline = time.monotonic() + CLOSE_TIMEOUT_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if self._handle is not None:
            self._loadgen.DestroyFastSUT(self._handle)
            self._handle = None
        if any(thread.is_alive() for thread in self._threads):
            raise TimedOutError(f"SUT: a worker did not end in {CLOSE_TIMEOUT_S:g} s")

    def __enter__(self) -> SUT:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        if error is None:
            self.result()

    # LoadGen's callbacks. An exception that leaves one of them ends the process.

    def _issue(self, ids: list[int], indices: list[int]) -> None:
        with self._changed:
            self._ids.extend(ids)
            self._indices.extend(indices)
            self._issued += len(ids)
            self._flushing = False
            if len(ids) > self._batch_size:
                self._changed.notify_all()
            else:
                self._changed.notify()

    def _run_here(self, ids: list[int], indices: list[int]) -> None:
        self._issued += len(ids)
        for start in range(0, len(ids), self._batch_size):
            end = start + self._batch_size
            self._run_batch(0, ids[start:end], indices[start:end])

    def _flush(self) -> None:
        with self._changed:
            self._flushing = True
            self._changed.notify_all()

    # Workers.

    def _work(self, number: int) -> None:
        while (batch := self._take()) is not None:
            self._run_batch(number, *batch)

    def _take(self) -> tuple[list[int], list[int]] | None:
        """Wait for samples and return a batch of them; None when closing and none are left."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._ids or self._closing)
                if not self._ids:
                    return None
                if self._max_wait_s:
                    self._changed.wait_for(self._should_go, self._max_wait_s)
                # Another worker may have taken them while this one waited.
                if self._ids:
                    count = min(self._batch_size, len(self._ids))
                    return (
                        [self._ids.popleft() for _ in range(count)],
                        [self._indices.popleft() for _ in range(count)],
                    )

    def _should_go(self) -> bool:
        waiting = len(self._ids)
        full = waiting == 0 or waiting >= self._batch_size
        return full or self._flushing or self._closing or self._abandoned

    def _run_batch(self, number: int, ids: list[int], indices: list[int]) -> None:
        rows: Array | None = None
        failure: BaseException | None = None
        try:
            if not self._abandoned and not self._closing:
                rows = self._compute(indices)
        except BaseException as error:  # KeyboardInterrupt too: it must not leave a callback.
            failure = error
        if failure is None and rows is None:
            failure = ClosedError("the SUT was closed before the sample ran")
        self._answer(ids, rows)
        with self._changed:
            self._batch_sizes[len(ids)] += 1
            self._worker_batches[number] += 1
            if rows is not None:
                self._ok += len(ids)
                return
            self._failed += len(ids)
            self._failure = self._failure or failure
            self._abandoned = self._abandoned or isinstance(failure, KeyboardInterrupt)

    def _compute(self, indices: list[int]) -> Array:
        inputs = self._qsl.gather(indices, self._batch_size)
        for name, dims in self._shapes.items():
            inputs[name] = inputs[name].reshape(dims)
        rows = np.ascontiguousarray(self._respond(self._session.run(inputs), self._batch_size))
        if len(rows) < len(indices):
            raise InvalidArgumentError(
                f"SUT: respond: expected {self._batch_size} rows, one a sample, got {len(rows)}"
            )
        return rows

    def _answer(self, ids: list[int], rows: Array | None) -> None:
        response = self._loadgen.QuerySampleResponse
        if rows is None:
            answers = [response(sample, 0, 0) for sample in ids]
        else:
            address, step = rows.ctypes.data, rows.strides[0]
            answers = [response(sample, address + n * step, step) for n, sample in enumerate(ids)]
        # `rows` lives until LoadGen has copied what it wants.
        self._loadgen.QuerySamplesComplete(answers)
