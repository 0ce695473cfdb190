"""From flags and configuration files to the settings of one LoadGen test.

Precedence: command-line flags, then user.conf, then mlperf.conf (LoadGen's built-in one or the file
given), then quick defaults of our own. The quick defaults make a VALID test of about five seconds;
they hold only where no configuration file is given. The one exception: the target rate of Offline
and Server and the expected latency of the streams are placeholders in mlperf.conf, so where neither
a flag nor user.conf has them they are measured on the model itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from qaickit.errors import InvalidArgumentError
from qaickit.loadgen.scenarios import Mode, Scenario
from qaickit.loadgen.user_conf import Conf

__all__ = ["Flags", "Rate", "Settings", "needs_rate", "resolve"]

QUICK_MIN_DURATION_MS = 5_000
FIND_PEAK_MIN_DURATION_MS = 1_000  # LoadGen runs it some twenty times
# Queries that LoadGen's early stopping wants at the least: one miss allowed at p90 and at p99.
QUICK_MIN_QUERIES: Mapping[Scenario, int] = {
    Scenario.OFFLINE: 1,
    Scenario.SINGLE_STREAM: 64,
    Scenario.MULTI_STREAM: 662,
    Scenario.SERVER: 662,
}
# LoadGen makes all queries before the first one and twice as many as it expects in the streams.
# Quick tests of very fast models are shortened to what that takes a second and a few 100 MB for.
QUICK_MAX_QUERIES: Mapping[Scenario, int] = {
    Scenario.OFFLINE: 2_000_000,
    Scenario.SINGLE_STREAM: 500_000,
    Scenario.MULTI_STREAM: 100_000,
    Scenario.SERVER: 500_000,
}
# Offline: an estimate too low makes the query, and with it the test, too short.
OFFLINE_HEADROOM = 1.6
OFFLINE_SLACK = 1.1  # LoadGen's own, on top
FASTEST_SAMPLES_PER_SECOND = 5e7  # of LoadGen itself, several times over
# Streams: an estimate too high makes LoadGen run out of queries.
STREAM_HEADROOM = 0.7
FASTEST_QUERY_NS = 500.0  # LoadGen itself takes more than that from one query to the next
SERVER_LOAD = 0.5
QUICK_MAX_SERVER_QPS = 10_000.0
SERVER_BOUND_NS = 100_000_000  # LoadGen's own default
SERVER_BOUND_RUNS = 10  # slower models: this many inferences
SAMPLES_PER_MULTI_STREAM_QUERY = 8
# With --count the query count alone decides; LoadGen cannot be told to take no time at all.
SHORTEST_DURATION_MS = 1
FAST_EXPECTED_LATENCY_NS = 100


@dataclass(frozen=True)
class Flags:
    """What the command line says; None where it says nothing."""

    scenario: Scenario = Scenario.OFFLINE
    mode: Mode = Mode.PERFORMANCE
    target_qps: float | None = None
    target_latency_ms: float | None = None
    count: int | None = None
    min_duration_s: float | None = None
    performance_sample_count: int | None = None
    max_batch: int | None = None
    max_wait_us: int | None = None
    user_conf: Path | None = None
    mlperf_conf: Path | None = None
    audit_config: Path | None = None
    built_in_conf: bool = False
    conf_model: str = "*"

    @property
    def has_conf(self) -> bool:
        """True where MLPerf's limits apply, not the quick defaults."""
        return self.built_in_conf or self.user_conf is not None or self.mlperf_conf is not None


@dataclass(frozen=True)
class Rate:
    """What the model does here, measured without LoadGen.

    Attributes:
        inferences_per_second: of all activations together, each of the program's batch size.
        batch_size: samples in one inference.
        activations: inferences that run side by side.
        best_inferences_per_second: while nothing else took the machine; 0: the same.
    """

    inferences_per_second: float
    batch_size: int = 1
    activations: int = 1
    best_inferences_per_second: float = 0.0

    @property
    def samples_per_second(self) -> float:
        """Samples a second with every batch full."""
        return self.inferences_per_second * self.batch_size

    @property
    def inference_ns(self) -> float:
        """Time of one inference, in ns."""
        return 1e9 * self.activations / self.inferences_per_second

    @property
    def best(self) -> Rate:
        """The same at its best, for what must not be estimated too slow."""
        best = max(self.inferences_per_second, self.best_inferences_per_second)
        return replace(self, inferences_per_second=best)

    def query_ns(self, samples: int) -> float:
        """Time of one query of `samples` samples on its own, in ns."""
        batches = -(-samples // self.batch_size)
        return -(-batches // self.activations) * self.inference_ns


@dataclass(frozen=True)
class Settings:
    """Fields of the C++ `LoadgenOptions`. 0 leaves what the files or LoadGen say."""

    scenario: Scenario
    mode: Mode
    model_name: str = ""
    mlperf_conf: str = ""
    user_conf: str = ""
    audit_config: str = ""
    built_in_conf: bool = False
    target_qps: float = 0
    target_latency_ns: int = 0
    min_duration_ms: int = 0
    min_query_count: int = 0
    performance_sample_count: int = 0
    max_batch: int = 0
    max_delay_ns: int = 0
    output_dir: str = ""
    sources: Mapping[str, str] = field(default_factory=dict)

    def options(self) -> dict[str, Any]:
        """Return the mapping that `_core.LoadgenTest` takes."""
        options: dict[str, Any] = {
            name: getattr(self, name) for name in self.__dataclass_fields__ if name != "sources"
        }
        options["scenario"] = self.scenario.option
        options["mode"] = self.mode.value
        # LoadGen's thread waits for the answer, so a hop to a worker would only add to it.
        is_single = self.scenario is Scenario.SINGLE_STREAM
        options["caller_runs"] = "if_idle" if is_single else "auto"
        return options


class _Chosen:
    """Settings by name, each with where it comes from. The first to put one wins."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self.sources: dict[str, str] = {}

    def put(self, name: str, value: float, source: str) -> None:
        if name not in self.values:
            self.values[name] = value
            self.sources[name] = source


def check_flags(flags: Flags) -> None:
    """Refuse flags that say nothing for this scenario or mode.

    Raises:
        InvalidArgumentError: naming the flag and the one to use instead.
    """
    name = flags.scenario.value
    if flags.target_qps is not None and not flags.scenario.takes_target_qps:
        raise InvalidArgumentError(
            f"--target-qps: {name} sends the next query when the last is answered and has no rate; "
            "give --target-latency, the latency you expect, or neither"
        )
    if flags.target_latency_ms is not None and flags.scenario is Scenario.OFFLINE:
        raise InvalidArgumentError(
            "--target-latency: Offline has no bound on latency; give --target-qps or neither"
        )
    if flags.mode is Mode.FIND_PEAK and flags.scenario is not Scenario.SERVER:
        raise InvalidArgumentError(
            f"--mode findpeak: LoadGen has it for the Server scenario only, not for {name}"
        )
    if flags.mode is Mode.ACCURACY:
        unused = {
            "--count": flags.count,
            "--min-duration": flags.min_duration_s,
        }
        for flag, value in unused.items():
            if value is not None:
                raise InvalidArgumentError(
                    f"{flag}: not for --mode accuracy, which runs every sample of the dataset once"
                )


def _target_key(scenario: Scenario) -> str:
    return "target_qps" if scenario.takes_target_qps else "target_latency"


def _has_target(flags: Flags, conf: Conf | None) -> bool:
    scenario = flags.scenario
    by_flag = flags.target_qps if scenario.takes_target_qps else flags.target_latency_ms
    if by_flag is not None:
        return True
    if conf is None:
        return False
    return conf.find(flags.conf_model, scenario.value, _target_key(scenario)) is not None


def _counts_only(flags: Flags) -> bool:
    return flags.count is not None and flags.min_duration_s is None and not flags.has_conf


def needs_rate(flags: Flags, conf: Conf | None) -> bool:
    """True where the model must be measured before the test; see `resolve`."""
    if _has_target(flags, conf):
        return False
    if flags.scenario is Scenario.SERVER:
        return True
    return flags.mode.has_performance and not _counts_only(flags)


def resolve(flags: Flags, conf: Conf | None, rate: Rate | None, total_samples: int) -> Settings:
    """Return the settings of the test.

    Args:
        flags: the command line's.
        conf: the user.conf, read; None where there is none.
        rate: what the model does here; wanted where `needs_rate` says so.
        total_samples: samples in the dataset.

    Raises:
        InvalidArgumentError: a flag that does not fit the scenario, the mode or the dataset.
    """
    check_flags(flags)
    _check_sample_count(flags, total_samples)
    chosen = _Chosen()
    _put_flags(chosen, flags)
    if rate is not None and not _has_target(flags, conf):
        _put_measured(chosen, flags.scenario, rate)
    if not flags.has_conf:
        _put_quick(chosen, flags, rate)
    values = chosen.values
    return Settings(
        scenario=flags.scenario,
        mode=flags.mode,
        model_name=flags.conf_model,
        mlperf_conf=str(flags.mlperf_conf or ""),
        user_conf=str(flags.user_conf or ""),
        audit_config=str(flags.audit_config or ""),
        # Under a file of the user's too: LoadGen takes its seeds from nowhere else.
        built_in_conf=flags.has_conf,
        target_qps=float(values.get("target_qps", 0)),
        target_latency_ns=round(values.get("target_latency_ns", 0)),
        min_duration_ms=round(values.get("min_duration_ms", 0)),
        min_query_count=round(values.get("min_query_count", 0)),
        performance_sample_count=flags.performance_sample_count or 0,
        max_batch=flags.max_batch or 0,
        max_delay_ns=(flags.max_wait_us or 0) * 1_000,
        sources=chosen.sources,
    )


def _check_sample_count(flags: Flags, total_samples: int) -> None:
    wanted = flags.performance_sample_count
    if wanted is not None and wanted > total_samples:
        raise InvalidArgumentError(
            f"--performance-sample-count: the dataset has {total_samples} samples, got {wanted}; "
            "give fewer or leave it out for all of them"
        )


def _put_flags(chosen: _Chosen, flags: Flags) -> None:
    if flags.target_qps is not None:
        chosen.put("target_qps", flags.target_qps, "flag")
    if flags.target_latency_ms is not None:
        chosen.put("target_latency_ns", max(1, flags.target_latency_ms * 1e6), "flag")
    if flags.min_duration_s is not None:
        chosen.put("min_duration_ms", max(1, flags.min_duration_s * 1e3), "flag")
    if flags.count is not None:
        chosen.put("min_query_count", flags.count, "flag")


def _put_measured(chosen: _Chosen, scenario: Scenario, rate: Rate) -> None:
    if scenario is Scenario.OFFLINE:
        qps = min(rate.best.samples_per_second, FASTEST_SAMPLES_PER_SECOND) * OFFLINE_HEADROOM
        chosen.put("target_qps", qps, "measured")
    elif scenario is Scenario.SERVER:
        # Single samples: how full the batches get is not known yet.
        qps = min(rate.samples_per_second * SERVER_LOAD, QUICK_MAX_SERVER_QPS)
        chosen.put("target_qps", qps, "measured")
    else:
        samples = SAMPLES_PER_MULTI_STREAM_QUERY if scenario is Scenario.MULTI_STREAM else 1
        expected = max(FASTEST_QUERY_NS, rate.best.query_ns(samples)) * STREAM_HEADROOM
        chosen.put("target_latency_ns", expected, "measured")


def _put_quick(chosen: _Chosen, flags: Flags, rate: Rate | None) -> None:
    scenario = flags.scenario
    if scenario is Scenario.SERVER:
        bound = SERVER_BOUND_NS
        if rate is not None:
            bound = max(bound, round(SERVER_BOUND_RUNS * rate.inference_ns))
        chosen.put("target_latency_ns", bound, "default")
    if not flags.mode.has_performance:
        return
    if _counts_only(flags):
        chosen.put("min_duration_ms", SHORTEST_DURATION_MS, "default")
        if scenario.is_stream:
            chosen.put("target_latency_ns", FAST_EXPECTED_LATENCY_NS, "default")
        return
    chosen.put("min_duration_ms", _quick_duration_ms(flags, chosen.values), "default")
    chosen.put("min_query_count", QUICK_MIN_QUERIES[scenario], "default")


def _quick_duration_ms(flags: Flags, values: Mapping[str, float]) -> float:
    longest = FIND_PEAK_MIN_DURATION_MS if flags.mode is Mode.FIND_PEAK else QUICK_MIN_DURATION_MS
    queries_per_ms = 0.0
    if flags.scenario.takes_target_qps:
        queries_per_ms = values.get("target_qps", 0) / 1e3
    elif values.get("target_latency_ns"):
        queries_per_ms = 1e6 / values["target_latency_ns"]
    if queries_per_ms * longest > QUICK_MAX_QUERIES[flags.scenario]:
        return max(1.0, QUICK_MAX_QUERIES[flags.scenario] / queries_per_ms)
    return longest
