"""What both harnesses offer to the command line: a LoadGen test that runs in the background."""

from __future__ import annotations

from typing import Protocol

from qaickit.loadgen.sut import Stats

__all__ = ["RunningTest"]


class RunningTest(Protocol):
    """A LoadGen test that was started. `_core.LoadgenTest` is one."""

    def wait_ms(self, timeout_ms: int, /) -> bool:
        """Wait up to `timeout_ms` for the end; True when it has ended."""

    @property
    def samples_issued(self) -> int:
        """Samples that LoadGen has asked for."""

    @property
    def samples_done(self) -> int:
        """Samples that were answered."""

    def abort(self) -> None:
        """Ask the test to end now."""

    def result(self) -> None:
        """Raise the first failure of a sample or of the harness, if any."""

    def stats(self) -> Stats:
        """Return the counters of batches and samples."""
