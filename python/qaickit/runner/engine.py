"""Runs inferences, and shows of each when it began, when it ended, and its outputs."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qaickit.runner.inputs import Array, Feed
from qaickit.session import Session


@dataclass(frozen=True)
class Record:
    """One inference: times in nanoseconds since the run began, and how many were in flight."""

    index: int
    lane: int
    start_ns: int
    end_ns: int
    in_flight: int


@dataclass(frozen=True)
class Run:
    """All of them. `records` is empty where nobody looked."""

    inferences: int
    seconds: float
    records: tuple[Record, ...] = ()


Look = Callable[[int, dict[str, Array]], None]


def run_natively(session: Session, feed: Feed, count: int, seconds: float | None) -> Run:
    """`count` inferences, or for `seconds`, with no Python between them."""
    arguments = {"num_inferences": count} if seconds is None else {"inf_time": seconds}
    done, _, elapsed, _ = session.run_benchmark(input_dict=feed.inputs, **arguments)
    return Run(done, elapsed)


def run_observed(
    session: Session,
    feeds: Sequence[Feed],
    count: int,
    seconds: float | None,
    lanes: int,
    look: Look,
) -> Run:
    """The same, `lanes` at a time; `look(index, outputs)` is called after each, on its thread.

    Inference i has the inputs of feed i, and round again. The first error ends the run.
    """
    indices = itertools.count() if seconds is not None else iter(range(count))
    lock = threading.Lock()
    records: list[Record] = []
    errors: list[BaseException] = []
    busy = 0
    session.setup()
    start = time.perf_counter_ns()
    deadline = None if seconds is None else start + int(seconds * 1e9)

    def lane(number: int) -> None:
        nonlocal busy
        while True:
            with lock:
                late = deadline is not None and time.perf_counter_ns() >= deadline
                index = None if late or errors else next(indices, None)
                if index is None:
                    return
                busy += 1
                in_flight = busy
            began = time.perf_counter_ns()
            try:
                outputs = session.run(feeds[index % len(feeds)].inputs)
                ended = time.perf_counter_ns()
                look(index, outputs)
            except BaseException as error:
                errors.append(error)
                return
            finally:
                with lock:
                    busy -= 1
            record = Record(index, number, began - start, ended - start, in_flight)
            records.append(record)

    threads = [threading.Thread(target=lane, args=(number,)) for number in range(lanes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    elapsed = max((record.end_ns for record in records), default=0) / 1e9
    return Run(len(records), elapsed, tuple(sorted(records, key=lambda record: record.index)))
