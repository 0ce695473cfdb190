"""Reads what LoadGen itself wrote about a test.

The numbers that we print come from these files and from nowhere else: they are what a submission
checker reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qaickit._documents import parse_json
from qaickit.errors import DataLossError
from qaickit.loadgen.scenarios import Scenario

__all__ = [
    "ACCURACY_LOG",
    "DETAIL_LOG",
    "LOG_FILES",
    "SUMMARY_LOG",
    "DetailLog",
    "FailedCheck",
    "LogMessage",
    "Metric",
    "Performance",
    "parse_detail",
    "performance",
    "read_detail",
    "summary_error_count",
]

SUMMARY_LOG = "mlperf_log_summary.txt"
DETAIL_LOG = "mlperf_log_detail.txt"
ACCURACY_LOG = "mlperf_log_accuracy.json"
LOG_FILES = (SUMMARY_LOG, DETAIL_LOG, ACCURACY_LOG)

PERCENTILES = ("50.00", "90.00", "95.00", "97.00", "99.00", "99.90")

_PREFIX = ":::MLLOG "
# LoadGen prints numbers with std::ostream, whose inf and nan are not JSON.
_NOT_FINITE = re.compile(r'("value": )-?(inf|nan)(?=, )')
_SUMMARY_ERRORS = re.compile(r"^(No|\d+) errors? encountered", re.M | re.I)
# Not of this run: LoadGen was built from a checkout with changes. The checker lets it pass.
_IGNORED_ERRORS = frozenset({"error_uncommitted_loadgen_changes"})


@dataclass(frozen=True)
class LogMessage:
    """One error or warning of LoadGen's."""

    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.key}: {self.text}"


@dataclass(frozen=True)
class DetailLog:
    """The content of mlperf_log_detail.txt.

    Attributes:
        values: the last value of each key.
        errors: every error, but for one about how LoadGen was built.
        warnings: every warning.
        damaged_lines: lines that could not be read, as after a kill.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    errors: tuple[LogMessage, ...] = ()
    warnings: tuple[LogMessage, ...] = ()
    damaged_lines: int = 0

    def number(self, key: str) -> float | None:
        """Return the value of `key`; None where it is missing or no number."""
        value = self.values.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        return float(value)

    def count_errors(self, summary: str = "") -> int:
        """Return the errors of this run: those in the log, or as many as LoadGen counted if more.

        `summary` is the text of mlperf_log_summary.txt, the only place where LoadGen counts the
        errors of an accuracy run.
        """
        counted = max(int(self.number("num_errors") or 0), summary_error_count(summary) or 0)
        ignored = sum(key in self.values for key in _IGNORED_ERRORS)
        return max(len(self.errors), counted - ignored)


def parse_detail(lines: Iterable[str]) -> DetailLog:
    """Parse the lines of mlperf_log_detail.txt. Lines that cannot be read are counted only."""
    values: dict[str, Any] = {}
    errors: list[LogMessage] = []
    warnings: list[LogMessage] = []
    damaged = 0
    for line in lines:
        if not line.strip():
            continue
        entry = _parse_line(line)
        if entry is None:
            damaged += 1
            continue
        key, value = str(entry["key"]), entry["value"]
        values[key] = value
        about = entry.get("metadata")
        about = about if isinstance(about, dict) else {}
        if about.get("is_error") and key not in _IGNORED_ERRORS:
            errors.append(LogMessage(key, str(value)))
        elif about.get("is_warning"):
            warnings.append(LogMessage(key, str(value)))
    return DetailLog(values, tuple(errors), tuple(warnings), damaged)


def _parse_line(line: str) -> dict[str, Any] | None:
    if not line.startswith(_PREFIX):
        return None
    text = _NOT_FINITE.sub(r"\1null", line[len(_PREFIX) :])
    try:
        entry = parse_json(text)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and {"key", "value"} <= entry.keys() else None


def read_detail(output_dir: Path) -> DetailLog:
    """Read the detail log in `output_dir`.

    Raises:
        DataLossError: there is none, or nothing in it can be read.
    """
    path = output_dir / DETAIL_LOG
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            log = parse_detail(file)
    except OSError as error:
        raise DataLossError(f"{path}: cannot read LoadGen's log: {error.strerror}") from None
    if not log.values:
        raise DataLossError(f"{path}: expected lines that start with '{_PREFIX}', found none")
    return log


def summary_error_count(text: str) -> int | None:
    """Return the number of errors that mlperf_log_summary.txt ends with; None where it has none."""
    counts = _SUMMARY_ERRORS.findall(text)
    return int(counts[-1].lower().replace("no", "0")) if counts else None


@dataclass(frozen=True)
class FailedCheck:
    """A condition of a valid test that was not met, and LoadGen's reason or advice."""

    name: str
    reason: str


@dataclass(frozen=True)
class Metric:
    """One number of a result. Unit 'ns' or 'samples/s'."""

    name: str
    value: float
    unit: str


@dataclass(frozen=True)
class Performance:
    """What LoadGen measured.

    Attributes:
        validity: 'VALID', 'INVALID', or '' where the log ends before LoadGen said.
        failed: the checks that failed.
        metric: the scenario's own; None where the log lacks it.
        others: further numbers worth showing.
        latencies_ns: 'min', 'mean', 'max' and percentiles such as '99.90'; of queries in
            MultiStream, else of samples.
        query_count: queries issued.
        target_latency_ns: the bound, Server only; else 0.
    """

    scenario: Scenario
    validity: str
    failed: tuple[FailedCheck, ...] = ()
    metric: Metric | None = None
    others: tuple[Metric, ...] = ()
    latencies_ns: Mapping[str, float] = field(default_factory=dict)
    query_count: int | None = None
    target_latency_ns: float = 0

    @property
    def is_valid(self) -> bool:
        """True where LoadGen says VALID."""
        return self.validity == "VALID"


@dataclass(frozen=True)
class _MetricKey:
    key: str
    name: str
    unit: str


_SAMPLES = "samples/s"
_METRICS: Mapping[Scenario, tuple[_MetricKey, ...]] = {
    Scenario.OFFLINE: (_MetricKey("result_samples_per_second", "throughput", _SAMPLES),),
    Scenario.SINGLE_STREAM: (
        _MetricKey("early_stopping_latency_ss", "latency p{percentile} (early stopping)", "ns"),
        _MetricKey("result_qps_without_loadgen_overhead", "rate", "queries/s"),
    ),
    Scenario.MULTI_STREAM: (
        _MetricKey("early_stopping_latency_ms", "latency p{percentile} (early stopping)", "ns"),
    ),
    Scenario.SERVER: (
        _MetricKey("result_completed_samples_per_sec", "completed", _SAMPLES),
        _MetricKey("result_scheduled_samples_per_sec", "scheduled", _SAMPLES),
    ),
}

_CHECKS: Mapping[str, str] = {
    "result_min_duration_met": "min duration",
    "result_min_queries_met": "min queries",
    "result_perf_constraints_met": "latency bound",
    "early_stopping_met": "early stopping",
}

_REASON_OF_EARLY_STOPPING = "early_stopping_result"
_REASON_OF_OTHERS = "result_invalid_reason"


def performance(log: DetailLog, scenario: Scenario) -> Performance:
    """Return the measurement in a detail log, as far as it goes."""
    percentile = 100 * (log.number("effective_target_latency_percentile") or 0)
    metrics = [
        Metric(spec.name.format(percentile=f"{percentile:g}"), value, spec.unit)
        for spec in _METRICS[scenario]
        if (value := log.number(spec.key))  # LoadGen's word for one that it cannot tell is 0
    ]
    has_first = bool(log.number(_METRICS[scenario][0].key))
    queries = log.number("result_query_count")
    bound = log.number("effective_target_latency_ns") if scenario is Scenario.SERVER else 0
    return Performance(
        scenario=scenario,
        validity=str(log.values.get("result_validity", "")),
        failed=_failed_checks(log),
        metric=metrics[0] if has_first else None,
        others=tuple(metrics[1:] if has_first else metrics),
        latencies_ns=_latencies(log, scenario),
        query_count=None if queries is None else int(queries),
        target_latency_ns=bound or 0,
    )


def _failed_checks(log: DetailLog) -> tuple[FailedCheck, ...]:
    return tuple(
        FailedCheck(name, _reason(log, key))
        for key, name in _CHECKS.items()
        if log.values.get(key) is False
    )


def _reason(log: DetailLog, check: str) -> str:
    key = _REASON_OF_EARLY_STOPPING if check == "early_stopping_met" else _REASON_OF_OTHERS
    text = str(log.values.get(key, "")).replace(" * ", " ")
    return " ".join(text.split())


def _latencies(log: DetailLog, scenario: Scenario) -> dict[str, float]:
    is_query = scenario is Scenario.MULTI_STREAM
    middle = "query_latency_ns" if is_query else "latency_ns"
    suffix = "percentile_per_query_latency_ns" if is_query else "percentile_latency_ns"
    keys = {name: f"result_{name}_{middle}" for name in ("min", "mean")}
    keys |= {percentile: f"result_{percentile}_{suffix}" for percentile in PERCENTILES}
    keys["max"] = f"result_max_{middle}"
    return {name: value for name, key in keys.items() if (value := log.number(key)) is not None}
