"""Runs inferences, and tells of each where it ran, where its time went, and its outputs."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from qaickit.runner.inputs import Array, Feeds
from qaickit.session import Session

_TICK_SECONDS = 0.025


# Of the time of an inference, in their order.
STAGES = ("wait", "gather", "device", "scatter")


@dataclass(frozen=True, slots=True)
class Place:
    """An inference: its number of all, its activation, and its number among that one's."""

    index: int
    activation: int
    number: int


@dataclass(frozen=True, slots=True)
class Record:
    """Where the time of one inference went; all in seconds, `start` since the run began."""

    place: Place
    lane: int
    start: float
    wait: float
    gather: float
    device: float
    scatter: float
    before: int  # inferences of its activation that were in flight when it was submitted

    @property
    def total(self) -> float:
        """From the call to its return."""
        return self.wait + self.gather + self.device + self.scatter


@dataclass(frozen=True)
class Length:
    """So many inferences, or for so many seconds."""

    inferences: int
    seconds: float | None = None


@dataclass(frozen=True)
class Run:
    """How many inferences ended, in how many seconds."""

    inferences: int
    seconds: float


# Called after each inference, with its outputs, on the thread that ran it.
Look = Callable[[Record, dict[str, Array]], None]
# Called many times a second with the number of inferences that have ended, on the main thread;
# False ends the run.
Tick = Callable[[int], bool]


def run_natively(session: Session, feeds: Feeds, length: Length, tick: Tick) -> Run:
    """All inferences with the first feed, and no Python between them."""
    arguments = (
        {"num_inferences": length.inferences}
        if length.seconds is None
        else {"inf_time": length.seconds}
    )
    done, _, elapsed, _ = session.run_benchmark(input_dict=feeds[0].inputs, tick=tick, **arguments)
    return Run(done, elapsed)


class Observed:
    """The same with a thread for each set of buffers.

    Activation a of A runs the inferences a, a + A, a + 2A and so on, so that it does not depend on
    chance which inputs it gets; inference i has feed i, and round again. The first error ends the
    run and is raised.
    """

    def __init__(
        self, session: Session, feeds: Feeds, activations: int, set_size: int, look: Look
    ) -> None:
        self._session = session
        self._feeds = feeds
        self._activations = activations
        self._set_size = set_size
        self._look = look
        self._numbers = [itertools.count() for _ in range(activations)]
        self._in_flight = [0] * activations
        self._lock = threading.Lock()
        self._errors: list[BaseException] = []
        self._done = 0
        self._last_end = 0.0
        self._ending = False

    def run(self, length: Length, tick: Tick) -> Run:
        """Runs until the length is reached, or `tick` says so."""
        self._session.setup()
        self._length = length
        self._start = time.monotonic()
        threads = [
            threading.Thread(target=self._lane, args=(activation, lane), daemon=True)
            for lane in range(self._set_size)
            for activation in range(self._activations)
            # More lanes than there are inferences would be idle.
            if length.seconds is not None
            or lane * self._activations + activation < length.inferences
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(_TICK_SECONDS)
                if not self._ending and not tick(self._done):
                    self._ending = True
        if self._errors:
            raise self._errors[0]
        return Run(self._done, self._last_end)

    def _lane(self, activation: int, lane: int) -> None:
        try:
            while (place := self._next(activation)) is not None:
                self._infer(place, lane)
        except BaseException as error:
            self._errors.append(error)
            self._ending = True

    def _next(self, activation: int) -> Place | None:
        seconds = self._length.seconds
        if self._ending or (seconds is not None and time.monotonic() >= self._start + seconds):
            return None
        with self._lock:
            number = next(self._numbers[activation])
        place = Place(number * self._activations + activation, activation, number)
        return None if seconds is None and place.index >= self._length.inferences else place

    def _infer(self, place: Place, lane: int) -> None:
        feed = self._feeds[place.index % len(self._feeds)]
        with self._lock:
            before = self._in_flight[place.activation]
            self._in_flight[place.activation] += 1
        try:
            outputs, stages = self._session.run_on(place.activation, feed.inputs)
        finally:
            with self._lock:
                self._in_flight[place.activation] -= 1
        record = Record(
            place, lane, stages["start"] - self._start, stages["wait"], stages["gather"],
            stages["device"], stages["scatter"], before,
        )  # fmt: skip
        self._look(record, outputs)
        with self._lock:
            self._done += 1
            self._last_end = max(self._last_end, record.start + record.total)
