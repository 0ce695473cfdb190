"""Shows how far a test is, and waits for its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from qaickit.loadgen.harness import RunningTest

__all__ = ["Expected", "follow"]

POLL_MS = 100


@dataclass(frozen=True)
class Expected:
    """When a test will be done: after `samples`, or where that is 0, about `seconds`."""

    samples: int = 0
    seconds: float = 0.0

    def fraction(self, done: int, elapsed_s: float) -> float | None:
        """Return how much is done, 0 to 1; None where nothing is known."""
        if self.samples:
            return min(1.0, done / self.samples)
        return min(1.0, elapsed_s / self.seconds) if self.seconds else None


def follow(
    test: RunningTest,
    expected: Expected,
    console: Console | None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Wait until the test has ended, showing progress on `console` where it is a terminal.

    KeyboardInterrupt comes through; the test then still runs.
    """
    if console is None or not console.is_terminal:
        while not test.wait_ms(POLL_MS):
            pass
        return
    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("starting", total=None)
        started = clock()
        while not test.wait_ms(POLL_MS):
            _show(progress, bar, test, expected, clock() - started)


def _show(
    progress: Progress, bar: TaskID, test: RunningTest, expected: Expected, elapsed_s: float
) -> None:
    done, issued = test.samples_done, test.samples_issued
    fraction = expected.fraction(done, elapsed_s)
    progress.update(
        bar,
        total=None if fraction is None else 1.0,
        completed=fraction or 0.0,
        description=f"{done:,} of {issued:,} samples, {done / max(elapsed_s, 1e-9):,.0f}/s",
    )
