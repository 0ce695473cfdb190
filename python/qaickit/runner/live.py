"""Lines on stdout while `qaic-runner` runs: how far it is, and how long inferences take."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from qaickit.runner.engine import Record


class Live:
    """Says something after each period, when told that time has passed."""

    def __init__(self, period: float, *, rate: bool, latencies: bool) -> None:
        self._period = period
        self._rate = rate
        self._latencies = latencies
        self._start = time.monotonic()
        self._next = self._start + period
        self._records: list[Record] = []  # of the period

    def add(self, record: Record) -> None:
        """An inference that has ended; from any thread."""
        if self._latencies:
            self._records.append(record)

    def tick(self, inferences: int) -> None:
        """How many have ended; prints where a period is over."""
        now = time.monotonic()
        if now < self._next:
            return
        # Where several periods were missed, the next line is not late again.
        self._next += self._period * (1 + (now - self._next) // self._period)
        if self._rate:
            seconds = now - self._start
            # In the words of qaicrt's live reporting; the rate has inferences, not samples.
            print(
                f"Inferences completed {inferences}, {inferences / seconds:.2f} inf/s, "
                f"{seconds:.1f} s",
                flush=True,
            )
        if self._latencies:
            records, self._records = self._records, []
            print(_latency_line(records), flush=True)


def _latency_line(records: Sequence[Record]) -> str:
    """Of the inferences that ended in the last period."""
    if not records:
        return "Latency: no inference has ended in this period"
    totals = sorted(record.total * 1e6 for record in records)
    device = statistics.fmean(record.device * 1e6 for record in records)
    middle, late = totals[len(totals) // 2], totals[len(totals) * 99 // 100]
    return (
        f"Latency of {len(totals)} inferences in us: avg {statistics.fmean(totals):.1f}, min "
        f"{totals[0]:.1f}, p50 {middle:.1f}, p99 {late:.1f}, max {totals[-1]:.1f}, on the device "
        f"avg {device:.1f}"
    )
