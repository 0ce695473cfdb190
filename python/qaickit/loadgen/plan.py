"""How long a test will be, and how much of the machine LoadGen needs to hold it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from qaickit.errors import InvalidArgumentError
from qaickit.loadgen.scenarios import Scenario
from qaickit.loadgen.settings import OFFLINE_SLACK, SAMPLES_PER_MULTI_STREAM_QUERY, Settings
from qaickit.loadgen.user_conf import Conf

__all__ = ["Plan", "check_memory", "make_plan", "memory_bytes"]

# LoadGen makes all queries before the first one. Measured, per query; Offline: per sample.
BYTES_PER_QUERY: Mapping[Scenario, int] = {
    Scenario.OFFLINE: 110,
    Scenario.SINGLE_STREAM: 350,
    Scenario.MULTI_STREAM: 1_200,
    Scenario.SERVER: 350,
}
_READABLE = 1e15  # digits beyond are noise
STREAM_SLACK = 2  # LoadGen makes twice the queries that it expects
# What holds where no flag and no user.conf says anything: MLPerf's limits, and LoadGen's own.
BUILT_IN_MIN_DURATION_MS = 600_000.0
MIN_DURATION_MS = 10_000.0
TARGET: Mapping[Scenario, float] = {
    Scenario.OFFLINE: 1.0,
    Scenario.SERVER: 1.0,
    Scenario.SINGLE_STREAM: 1e6,
    Scenario.MULTI_STREAM: 8e6,
}


@dataclass(frozen=True)
class Plan:
    """`queries` that LoadGen makes (Offline: samples of its one query), and about how long.

    `samples_per_query`: of MultiStream.
    """

    queries: int
    seconds: float
    samples_per_query: int = SAMPLES_PER_MULTI_STREAM_QUERY


def make_plan(settings: Settings, conf: Conf | None) -> Plan:
    """Return what LoadGen will do with these settings in a performance test."""

    def find(key: str, otherwise: float) -> float:
        text = conf.find(settings.model_name, settings.scenario.value, key) if conf else None
        if text is None:
            return otherwise
        return float(int(text, 0)) if "x" in text.lower() else float(text)

    built_in = BUILT_IN_MIN_DURATION_MS if settings.built_in_conf else MIN_DURATION_MS
    seconds = (settings.min_duration_ms or find("min_duration", built_in)) / 1e3
    count = settings.min_query_count or find("min_query_count", 1)
    otherwise = TARGET[settings.scenario]
    if settings.scenario.is_stream:
        latency_ms = settings.target_latency_ns / 1e6
        query_s = (latency_ms or find("target_latency", otherwise / 1e6)) / 1e3
        queries = max(count, STREAM_SLACK * seconds / query_s)
        samples = find("samples_per_query", SAMPLES_PER_MULTI_STREAM_QUERY)
        return Plan(round(queries), max(seconds, count * query_s), int(samples))
    qps = settings.target_qps or find("target_qps", otherwise)
    slack = OFFLINE_SLACK if settings.scenario is Scenario.OFFLINE else 1.0
    queries = max(count, slack * seconds * qps)
    return Plan(round(queries), queries / qps)


def memory_bytes() -> int:
    """Return the memory of this machine; 0 where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 0


def check_memory(plan: Plan, scenario: Scenario, available_bytes: int) -> None:
    """Refuse a test whose queries do not fit: the system would kill it without a word.

    Raises:
        InvalidArgumentError: with the numbers, and what to change.
    """
    needed: float = plan.queries * BYTES_PER_QUERY[scenario]
    if scenario is Scenario.MULTI_STREAM:
        needed *= max(1, plan.samples_per_query / SAMPLES_PER_MULTI_STREAM_QUERY)
    if not available_bytes or needed <= available_bytes:
        return
    noun = "samples" if scenario is Scenario.OFFLINE else "queries"
    change = "give a longer --target-latency" if scenario.is_stream else "give a lower --target-qps"
    raise InvalidArgumentError(
        f"LoadGen would make {_number(plan.queries)} {noun} before it starts, about "
        f"{_number(needed / 2**30)} GiB, and this machine has {available_bytes / 2**30:,.0f} GiB; "
        f"{change}, a lower --count or a shorter --min-duration"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value < _READABLE else f"{value:.3g}"
