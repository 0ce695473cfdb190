"""What to change where LoadGen says INVALID, in words of our flags, with the run's numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping

from qaickit.loadgen.results import DetailLog, Performance
from qaickit.loadgen.scenarios import Scenario
from qaickit.loadgen.settings import SHORTEST_DURATION_MS, STREAM_HEADROOM, Settings

__all__ = ["advice", "format_time"]

_SCALES = ((1e9, "s"), (1e6, "ms"), (1e3, "us"))
# Above what just would do, since no two runs are alike.
_MARGIN = 1.2
# Of a run so short that most of its time was spent on beginning.
_SHORT_RUN_MARGIN = 5.0
_LEAST_QUERIES = re.compile(r"at least (\d+) queries")
_MORE_QUERIES = re.compile(r"at least (\d+) more queries")


def format_time(ns: float) -> str:
    """Return a time in ns with the unit that suits it."""
    for scale, unit in _SCALES:
        if ns >= scale:
            return f"{ns / scale:,.3f} {unit}"
    return f"{ns:.0f} ns"


def advice(log: DetailLog, performance: Performance, settings: Settings) -> tuple[str, ...]:
    """Return what to change, a line for each thing; nothing for a VALID test."""
    failed = {check.name for check in performance.failed}
    if not failed:
        return ()
    ended = tuple(_ended_early(log, performance))
    return ended or tuple(_ADVICE[performance.scenario](failed, log, performance, settings))


def _ended_early(log: DetailLog, performance: Performance) -> Iterator[str]:
    """Limits of a conf file that are reached before what the test needs."""
    if not any("Ending early" in error.text for error in log.errors):
        return
    most = log.number("effective_max_query_count")
    if most and (performance.query_count or 0) >= most:
        yield f"max_query_count = {most:.0f} ended the test early: give a higher one, or none"
    longest = log.number("effective_max_duration_ms")
    if longest and any("duration" in error.text.lower() for error in log.errors):
        yield f"max_duration = {longest:.0f} ended the test early: give a longer one, or none"


def _offline(
    failed: set[str], log: DetailLog, performance: Performance, settings: Settings
) -> Iterator[str]:
    if "min duration" not in failed or performance.metric is None:
        return
    rate = performance.metric.value
    least_ms = log.number("effective_min_duration_ms") or 0
    if settings.min_duration_ms == SHORTEST_DURATION_MS:
        count = _rounded_up(_SHORT_RUN_MARGIN * rate * least_ms / 1e3)
        yield (
            f"--count {settings.min_query_count} took less than {least_ms:g} ms, which is the "
            f"shortest test that LoadGen knows: give --count {count} or more, or leave it out"
        )
        return
    yield (
        f"all samples were done in less than {format_time(least_ms * 1e6)}: LoadGen makes as many "
        f"as --target-qps says, so give --target-qps {_rounded_up(_MARGIN * rate)} or more"
    )


def _stream(
    failed: set[str], log: DetailLog, performance: Performance, settings: Settings
) -> Iterator[str]:
    if failed & {"min duration", "min queries"}:
        mean_ns = performance.latencies_ns.get("mean", 0)
        yield (
            "LoadGen ran out of the queries that it had made, since they took less than was "
            f"expected: give --target-latency {STREAM_HEADROOM * mean_ns / 1e6:.3g} or less"
        )
        return
    least = _number(_LEAST_QUERIES, log)
    if least is not None:
        yield (
            f"{performance.query_count} queries are too few to tell a percentile by: give --count "
            f"{least} or more{_or_leave_out(settings)}"
        )


def _server(
    failed: set[str], log: DetailLog, performance: Performance, settings: Settings
) -> Iterator[str]:
    percent = 100 * (log.number("effective_target_latency_percentile") or 0.99)
    latency = performance.latencies_ns.get(f"{percent:.2f}", 0)
    bound = performance.target_latency_ns
    if "latency bound" in failed or latency > bound:
        qps = log.number("effective_target_qps") or 0
        yield (
            f"p{percent:g} is {format_time(latency)}, the bound {format_time(bound)}: give a lower "
            f"--target-qps than {qps:g}, or a longer --target-latency (--mode findpeak finds the "
            "highest rate)"
        )
        return
    more = _number(_MORE_QUERIES, log)
    if more is not None:
        count = _rounded_up(_MARGIN * ((performance.query_count or 0) + more))
        yield (
            f"{performance.query_count} queries are too few to tell a percentile by: give --count "
            f"{count} or more, or a longer --min-duration{_or_leave_out(settings)}"
        )


_Advise = Callable[[set[str], DetailLog, Performance, Settings], Iterator[str]]
_ADVICE: Mapping[Scenario, _Advise] = {
    Scenario.OFFLINE: _offline,
    Scenario.SINGLE_STREAM: _stream,
    Scenario.MULTI_STREAM: _stream,
    Scenario.SERVER: _server,
}


def _or_leave_out(settings: Settings) -> str:
    return ", or leave it out" if settings.sources.get("min_query_count") == "flag" else ""


def _number(pattern: re.Pattern[str], log: DetailLog) -> int | None:
    found = pattern.search(" ".join(str(log.values.get("early_stopping_result", "")).split()))
    return int(found[1]) if found else None


def _rounded_up(value: float) -> int:
    """Two digits, the rest zeros: more would look as if it were known."""
    step: int = 10 ** max(0, math.floor(math.log10(max(value, 1))) - 1)
    return math.ceil(value / step) * step
