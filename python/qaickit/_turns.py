"""Sessions that share cores take turns: the runs of one, then the runs of another."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections import deque
from collections.abc import Iterator
from typing import Any


class Turns:
    """Who may use the cores that its members share. Any number of runs of one member at a time.

    First come, first served: a run of another member waits for those that are going on, and later
    runs wait behind it.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()
        self._holder: weakref.ref[Any] | None = None
        self._running = 0
        self._used: list[weakref.ref[Any]] = []  # the one used last comes last

    @contextlib.contextmanager
    def turn(self, sharer: object) -> Iterator[None]:
        """Waits until it is the turn of `sharer`, and holds it."""
        place = object()
        with self._changed:
            self._queue.append(place)
            try:
                while self._queue[0] is not place or not self._may_run(sharer):
                    self._changed.wait()
            finally:
                self._queue.remove(place)
                self._changed.notify_all()
            self._running += 1
            self._note(sharer)
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def others(self, sharer: object) -> list[Any]:
        """The other members that have had a turn, least recently used first."""
        with self._changed:
            found = [reference() for reference in self._used]
        return [other for other in found if other is not None and other is not sharer]

    def _may_run(self, sharer: object) -> bool:
        return self._running == 0 or (self._holder is not None and self._holder() is sharer)

    def _note(self, sharer: object) -> None:
        if self._holder is not None and self._holder() is sharer:
            return
        self._holder = weakref.ref(sharer)
        self._used = [reference for reference in self._used if reference() not in (None, sharer)]
        self._used.append(self._holder)


_by_name: dict[str, Turns] = {}
_lock = threading.Lock()


def turns_of(name: str) -> Turns:
    """The turns of the sessions of one name, in this process."""
    with _lock:
        return _by_name.setdefault(name, Turns())


def forget_after_fork() -> None:
    """In a child process: threads that held or awaited a turn are not here."""
    global _lock
    _lock = threading.Lock()
    _by_name.clear()
