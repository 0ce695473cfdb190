"""The words of a test: scenarios and modes, as users write them and as LoadGen does."""

from __future__ import annotations

from enum import Enum

__all__ = ["Mode", "Scenario"]


class Scenario(Enum):
    """An MLPerf scenario. `value` is LoadGen's spelling."""

    OFFLINE = "Offline"
    SINGLE_STREAM = "SingleStream"
    MULTI_STREAM = "MultiStream"
    SERVER = "Server"

    @property
    def option(self) -> str:
        """The word that `_core.LoadgenTest` takes."""
        return self.value.lower()

    @property
    def is_stream(self) -> bool:
        """True where the next query waits for the answer to the last one."""
        return self in (Scenario.SINGLE_STREAM, Scenario.MULTI_STREAM)

    @property
    def takes_target_qps(self) -> bool:
        """True where the load is set by a rate and not by the answers."""
        return not self.is_stream


class Mode(Enum):
    """What LoadGen measures. `value` is the word on the command line and in `_core.LoadgenTest`."""

    PERFORMANCE = "performance"
    ACCURACY = "accuracy"
    SUBMISSION = "submission"
    FIND_PEAK = "findpeak"

    @property
    def loadgen_name(self) -> str:
        """LoadGen's own name of it."""
        return _LOADGEN_MODES[self]

    @property
    def has_accuracy(self) -> bool:
        """True where every sample is answered once and the answers are logged."""
        return self in (Mode.ACCURACY, Mode.SUBMISSION)

    @property
    def has_performance(self) -> bool:
        """True where LoadGen reports a measurement and its validity."""
        return self is not Mode.ACCURACY


_LOADGEN_MODES = {
    Mode.PERFORMANCE: "PerformanceOnly",
    Mode.ACCURACY: "AccuracyOnly",
    Mode.SUBMISSION: "SubmissionRun",
    Mode.FIND_PEAK: "FindPeakPerformance",
}
