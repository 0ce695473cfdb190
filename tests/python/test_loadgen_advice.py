"""What the LoadGen command line says is to be changed: it must help when it is followed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from qaickit.loadgen.advice import advice
from qaickit.loadgen.results import DetailLog, LogMessage, parse_detail, performance
from qaickit.loadgen.scenarios import Mode, Scenario
from qaickit.loadgen.settings import SHORTEST_DURATION_MS, Settings

Entries = dict[str, Any]

OFFLINE: Entries = {"result_min_duration_met": False, "result_samples_per_second": 50_000}
FEW: Entries = {
    "early_stopping_met": False,
    "result_query_count": 29,
    "early_stopping_result": " * Only processed 29 queries.  * Need to process at least 64 queries",
}
RAN_OUT: Entries = {"result_min_duration_met": False, "result_mean_latency_ns": 2e6}
SLOW: Entries = {
    "result_perf_constraints_met": False,
    "early_stopping_met": False,
    "effective_target_latency_percentile": 0.99,
    "effective_target_latency_ns": 1e7,
    "effective_target_qps": 500,
    "result_99.00_percentile_latency_ns": 2e7,
}
MORE: Entries = {
    "early_stopping_met": False,
    "effective_target_latency_ns": 1e7,
    "result_query_count": 12,
    "early_stopping_result": " * Would need to run at least 447 more queries,\n with the run",
}
CUT: Entries = {
    "result_min_queries_met": False,
    "effective_max_query_count": 10,
    "result_query_count": 10,
}


def told(scenario: Scenario, entries: Entries, *errors: str, **chosen: Any) -> tuple[str, ...]:
    log = DetailLog(entries, tuple(LogMessage("error_runtime", text) for text in errors))
    settings = Settings(scenario, Mode.PERFORMANCE, **chosen)
    return advice(log, performance(log, scenario), settings)


def test_a_valid_test_needs_none() -> None:
    assert told(Scenario.OFFLINE, {"result_min_duration_met": True}) == ()


@pytest.mark.parametrize(
    ("scenario", "entries", "chosen", "words"),
    [
        (Scenario.OFFLINE, OFFLINE | {"effective_min_duration_ms": 600_000}, {},
         "less than 600.000 s: LoadGen makes as many as --target-qps says, so give --target-qps "
         "60000 or more"),
        (Scenario.OFFLINE, OFFLINE | {"effective_min_duration_ms": 1},
         {"min_duration_ms": SHORTEST_DURATION_MS, "min_query_count": 5},
         "--count 5 took less than 1 ms, which is the shortest test that LoadGen knows: give "
         "--count 250 or more, or leave it out"),
        (Scenario.SINGLE_STREAM, FEW, {"sources": {"min_query_count": "flag"}},
         "29 queries are too few to tell a percentile by: give --count 64 or more, or leave it"),
        (Scenario.MULTI_STREAM, FEW, {}, "give --count 64 or more"),
        (Scenario.SINGLE_STREAM, RAN_OUT, {}, "give --target-latency 1.4 or less"),
        (Scenario.SERVER, SLOW, {},
         "p99 is 20.000 ms, the bound 10.000 ms: give a lower --target-qps than 500, or a longer"),
        (Scenario.SERVER, MORE, {}, "give --count 560 or more, or a longer --min-duration"),
    ],
)  # fmt: skip
def test_one_line_says_what_to_change(
    scenario: Scenario, entries: Entries, chosen: dict[str, Any], words: str
) -> None:
    (line,) = told(scenario, entries, **chosen)
    assert words in line


@pytest.mark.parametrize("scenario", Scenario)
def test_a_limit_of_a_conf_file_is_named(scenario: Scenario) -> None:
    early = "IssueQueryThread 0 Ending early: Max query count reached. query_count 10"
    assert told(scenario, CUT, early) == (
        "max_query_count = 10 ended the test early: give a higher one, or none",
    )
    early = "IssueQueryThread 0 Ending early: Max test duration reached. duration_ns 3"
    entries = {"result_min_queries_met": False, "effective_max_duration_ms": 300}
    assert told(scenario, entries, early) == (
        "max_duration = 300 ended the test early: give a longer one, or none",
    )


def test_a_latency_that_loadgen_cannot_tell_is_not_zero() -> None:
    lines = [
        f':::MLLOG {{"key": "{key}", "value": {json.dumps(value)}, "metadata": {{}}}}'
        for key, value in (("early_stopping_latency_ss", 0), ("result_validity", "INVALID"))
    ]
    assert performance(parse_detail(lines), Scenario.SINGLE_STREAM).metric is None


# Whole runs.


def loadgen(cwd: Path, *flags: object) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "qaickit.loadgen", "--quiet", "--overwrite", "--output-dir", "out",
         "--json", "-", *map(str, flags)],
        capture_output=True, text=True, timeout=120, cwd=cwd, check=False,
    )  # fmt: skip
    content: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (0 if content["good"] else 1), done.stderr
    return content


@pytest.mark.parametrize("scenario", ["SingleStream", "MultiStream"])
def test_who_follows_it_gets_a_valid_test(tmp_path: Path, scenario: str) -> None:
    """Of a device that takes its time, so that it is sure how many queries there are."""
    flags = (
        "--scenario", scenario, "--backend", "null", "--max-batchsize", 8,
        "--device-setting", "latency_us=2000",
    )  # fmt: skip
    first = loadgen(tmp_path, *flags, "--count", 2)
    (line,) = first["advice"]
    assert first["performance"]["validity"] == "INVALID"
    assert first["performance"]["metric"] is None
    match = re.search(r"--count (\d+) or more", line)
    assert match, line
    assert loadgen(tmp_path, *flags, "--count", match[1])["advice"] == []


def test_a_rate_that_would_do(tmp_path: Path) -> None:
    result = loadgen(tmp_path, "--backend", "null", "--target-qps", 1, "--min-duration", 30)
    (line,) = result["advice"]
    match = re.search(r"give --target-qps (\d+) or more", line)
    assert match, line
    assert int(match[1]) >= result["performance"]["metric"]["value"]


def test_plot(tmp_path: Path) -> None:
    flags = ("--scenario", "Server", "--backend", "null", "--target-qps", 2000, "--count", 700)
    loadgen(tmp_path, *flags, "--plot", "run.svg")
    text = (tmp_path / "run.svg").read_text()
    for words in ("p99.9", "bound 100 ms", "samples in a batch", "digits on null", "Server"):
        assert f"<!-- {words}" in text, words


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--plot", "run.svg", "--mode", "accuracy"), "has no latencies to draw"),
        (("--plot", "run.gif"), "ends in .png, .svg, .pdf"),
        (("--plot", "none/run.svg"), "cannot write there: No such file"),
    ],
)
def test_a_plot_that_cannot_be(tmp_path: Path, flags: tuple[str, ...], message: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "qaickit.loadgen", *flags],
        capture_output=True, text=True, timeout=120, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []
