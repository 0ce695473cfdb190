"""The result of a test, for people (a table) and for programs (JSON)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console

from qaickit._table import print_line, print_rows
from qaickit.loadgen.accuracy import Accuracy
from qaickit.loadgen.advice import format_time
from qaickit.loadgen.results import LogMessage, Metric, Performance
from qaickit.loadgen.settings import Settings
from qaickit.loadgen.sut import Stats

__all__ = ["Report", "Subject", "as_json", "latency_label", "print_report", "summary_line"]

_MESSAGES_SHOWN = 3


@dataclass(frozen=True)
class Subject:
    """What was measured, in words."""

    model: str
    qpc_path: str
    backend: str
    devices: tuple[str, ...]
    precision: str
    batch_size: int
    activations: int
    threads_per_activation: int
    set_size: int  # used by asynchronous devices
    workload: str
    dataset: str
    samples: int
    harness: str
    speed_only: str = ""


@dataclass(frozen=True)
class Report:
    """All about one test.

    Attributes:
        failure: what went wrong beside LoadGen's own errors; empty where nothing did.
        interrupted: the user ended the test.
        advice: what to change where the result is INVALID.
    """

    subject: Subject
    settings: Settings
    stats: Stats
    performance: Performance | None = None
    accuracy: Accuracy | None = None
    error_count: int = 0
    errors: tuple[LogMessage, ...] = ()
    failure: str = ""
    interrupted: bool = False
    advice: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        """True where the test ended, is valid where that applies, and nothing failed."""
        performed = self.performance is None or self.performance.is_valid
        clean = not (self.error_count or self.failure or self.stats["samples_failed"])
        return performed and clean and not self.interrupted


def latency_label(name: str) -> str:
    """Return what a latency is called: 'mean' as it is, '99.90' as 'p99.9'."""
    return name if name.isalpha() else f"p{float(name):g}"


def _metric(metric: Metric) -> str:
    if metric.unit == "ns":
        return format_time(metric.value)
    digits = 1 if metric.value >= 100 else 3
    return f"{metric.value:,.{digits}f} {metric.unit}"


def _verdict(performance: Performance) -> str:
    if performance.is_valid:
        return "VALID"
    if not performance.validity:
        return "none: LoadGen's log ends before its result"
    reasons = (
        f"{check.name} not met{f' ({check.reason})' if check.reason else ''}"
        for check in performance.failed
    )
    return f"{performance.validity}: {'; '.join(reasons) or 'LoadGen does not say why'}"


def _histogram(batch_sizes: Sequence[int]) -> str:
    filled = [(size, count) for size, count in enumerate(batch_sizes) if count]
    return ", ".join(f"{count:,} of {size}" for size, count in filled) or "none"


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _subject_rows(report: Report) -> Iterable[tuple[str, str]]:
    subject = report.subject
    yield "model", f"{subject.model}, batch size {subject.batch_size}, {subject.workload}"
    yield "samples", f"{subject.dataset}, {subject.samples:,}"
    yield "device", f"{subject.backend}: {', '.join(subject.devices)}"
    yield "precision", subject.precision
    yield (
        "activations",
        f"{subject.activations}, each of {_plural(subject.threads_per_activation, 'thread')}",
    )
    yield "harness", subject.harness


def _performance_rows(performance: Performance) -> Iterable[tuple[str, str]]:
    yield "result", _verdict(performance)
    metrics = [performance.metric] if performance.metric else []
    for metric in (*metrics, *performance.others):
        yield metric.name, _metric(metric)
    if performance.target_latency_ns:
        yield "bound on latency", format_time(performance.target_latency_ns)
    if performance.query_count is not None:
        yield "queries", f"{performance.query_count:,}"
    for name, value in performance.latencies_ns.items():
        yield f"latency {latency_label(name)}", format_time(value)


def _run_rows(report: Report) -> Iterable[tuple[str, str]]:
    stats = report.stats
    if not report.interrupted:  # else most of them are those that were answered without a run
        yield "batches", _histogram(stats["batch_sizes"])
        yield (
            "on the caller's thread",
            f"{stats['caller_batches']:,} of {stats['batches']:,} batches",
        )
    if stats["samples_failed"] and not report.interrupted:
        yield "failed", _plural(stats["samples_failed"], "sample")
    if stats["lost_activations"]:
        yield "lost", _loss(report)
    yield "LoadGen errors", f"{report.error_count}"
    for message in report.errors[:_MESSAGES_SHOWN]:
        yield "", str(message)
    if report.failure:
        yield "failure", report.failure
    yield "logs", report.settings.output_dir


def _loss(report: Report) -> str:
    lost = report.stats["lost_activations"]
    return f"{lost} of {_plural(report.subject.activations, 'activation')}, with their device"


def _rows(report: Report) -> Iterable[tuple[str, str]]:
    yield "scenario", report.settings.scenario.value
    yield "mode", report.settings.mode.value
    if report.settings.audit_config:
        yield "audit", f"{report.settings.audit_config}, over all other settings"
    if report.interrupted:
        yield "interrupted", f"after {_plural(report.stats['samples_ok'], 'sample')}"
    if report.performance is not None:
        first, *others = _performance_rows(report.performance)
        yield first
        for text in report.advice:
            yield "what to do", text
        yield from others
    if report.accuracy is not None:
        yield "accuracy", f"{report.accuracy.percent:.3f} %"
    yield from _subject_rows(report)
    yield from _run_rows(report)


def print_report(report: Report, console: Console) -> None:
    """Print the result as a table, or as plain lines where the console is no terminal."""
    print_rows(console, _rows(report))
    for line in _closing_lines(report):
        print_line(console, line)


def _closing_lines(report: Report) -> Iterable[str]:
    if report.accuracy is not None:
        yield str(report.accuracy)
    if report.subject.speed_only:
        yield f"speed only: {report.subject.speed_only}; the answers mean nothing"


def summary_line(report: Report) -> str:
    """Return the result in one line."""
    parts = [report.settings.scenario.value]
    if report.interrupted:
        parts.append(f"interrupted after {_plural(report.stats['samples_ok'], 'sample')}")
    if report.performance is not None:
        parts.append(_verdict(report.performance))
        parts.extend(report.advice)
        if report.performance.metric:
            parts.append(_metric(report.performance.metric))
    if report.error_count:
        parts.append(_plural(report.error_count, "LoadGen error"))
    if report.stats["samples_failed"] and not report.interrupted:
        parts.append(f"{_plural(report.stats['samples_failed'], 'sample')} failed")
    if report.stats["lost_activations"]:
        parts.append(f"lost: {_loss(report)}")
    if report.failure:
        parts.append(report.failure)
    parts.extend(_closing_lines(report))
    return "; ".join(parts)


def _metric_json(metric: Metric) -> dict[str, Any]:
    return {"name": metric.name, "value": metric.value, "unit": metric.unit}


def _performance_json(performance: Performance) -> dict[str, Any]:
    return {
        "validity": performance.validity,
        "failed": [asdict(check) for check in performance.failed],
        "metric": _metric_json(performance.metric) if performance.metric else None,
        "others": [_metric_json(metric) for metric in performance.others],
        "latencies_ns": dict(performance.latencies_ns),
        "query_count": performance.query_count,
        "target_latency_ns": performance.target_latency_ns,
    }


def as_json(report: Report) -> str:
    """Return the result as JSON text."""
    accuracy = report.accuracy
    content = {
        "scenario": report.settings.scenario.value,
        "mode": report.settings.mode.value,
        "good": report.is_good,
        "interrupted": report.interrupted,
        "performance": _performance_json(report.performance) if report.performance else None,
        "accuracy": (
            {"percent": accuracy.percent, "good": accuracy.good, "total": accuracy.total}
            if accuracy
            else None
        ),
        "subject": asdict(report.subject),
        "stats": dict(report.stats),
        "errors": {"count": report.error_count, "messages": [str(e) for e in report.errors]},
        "failure": report.failure,
        "advice": list(report.advice),
        "settings": report.settings.options() | {"sources": dict(report.settings.sources)},
    }
    return json.dumps(content, indent=2) + "\n"
