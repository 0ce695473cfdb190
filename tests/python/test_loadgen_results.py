"""LoadGen's logs as we read them: synthetic lines, and real ones written by LoadGen itself."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qaickit.errors import DataLossError, InvalidArgumentError
from qaickit.loadgen.accuracy import (
    Accuracy,
    check_labels,
    read_accuracy_log,
    score,
    write_accuracy_file,
)
from qaickit.loadgen.report import Report, Subject, as_json, summary_line
from qaickit.loadgen.results import (
    ACCURACY_LOG,
    DETAIL_LOG,
    SUMMARY_LOG,
    DetailLog,
    parse_detail,
    performance,
    read_detail,
    summary_error_count,
)
from qaickit.loadgen.scenarios import Mode, Scenario
from qaickit.loadgen.settings import Settings
from qaickit.loadgen.sut import Stats

pytest.importorskip("mlperf_loadgen")

REAL_RUN = """
import sys, numpy as np, mlperf_loadgen as lg
scenario, mode, out, total, in_memory = sys.argv[1:6]
def issue(ids, indices):
    labels = np.asarray(indices, dtype=np.float32) % 10
    at = labels.ctypes.data
    lg.QuerySamplesComplete([lg.QuerySampleResponse(i, at + 4 * n, 4) for n, i in enumerate(ids)])
settings = lg.TestSettings()
settings.scenario = getattr(lg.TestScenario, scenario)
settings.mode = getattr(lg.TestMode, mode)
settings.min_duration_ms = 200
settings.min_query_count = 700
settings.server_target_qps = 5000
settings.offline_expected_qps = float(sys.argv[6])
expected_ns = int(sys.argv[7])
settings.single_stream_expected_latency_ns = expected_ns
settings.multi_stream_expected_latency_ns = expected_ns
logs = lg.LogSettings()
logs.enable_trace = False
output = lg.LogOutputSettings()
output.outdir = out
logs.log_output = output
sut = lg.ConstructFastSUT(issue, lambda: None)
qsl = lg.ConstructQSL(int(total), int(in_memory), lambda _: None, lambda _: None)
lg.StartTestWithLogSettings(sut, qsl, settings, logs, "")
"""


def run_loadgen(
    out: Path,
    scenario: str,
    mode: str = "PerformanceOnly",
    *,
    total: int = 50,
    in_memory: int = 50,
    offline_qps: float = 5e6,
    expected_latency_ns: int = 500,
) -> DetailLog:
    out.mkdir(exist_ok=True)
    arguments = [scenario, mode, out, total, in_memory, offline_qps, expected_latency_ns]
    subprocess.run(
        [sys.executable, "-c", REAL_RUN, *map(str, arguments)], check=True, timeout=120, cwd=out
    )
    return read_detail(out)


def line(key: str, value: Any, **about: bool) -> str:
    metadata = {"is_error": False, "is_warning": False, "file": "x.cc", "line_no": 1} | about
    entry = {"key": key, "value": value, "time_ms": 1.5, "namespace": "n", "metadata": metadata}
    return f":::MLLOG {json.dumps(entry)}\n"


# The detail log.


def test_parse_keeps_values_errors_and_warnings() -> None:
    log = parse_detail(
        [
            line("result_validity", "INVALID"),
            line("error_runtime", "too slow", is_error=True),
            line("warning_generic_message", "clock", is_warning=True),
            line("num_errors", 1),
        ]
    )
    assert log.values["result_validity"] == "INVALID"
    assert [str(error) for error in log.errors] == ["error_runtime: too slow"]
    assert [str(warning) for warning in log.warnings] == ["warning_generic_message: clock"]
    assert log.count_errors() == 1


def test_parse_survives_a_log_cut_off_anywhere() -> None:
    text = line("a", 1) + line("result_validity", "VALID") + line("num_errors", 0)
    for end in range(len(text)):
        log = parse_detail(text[:end].splitlines(keepends=True))
        assert len(log.values) <= 3
        assert log.damaged_lines <= 1


def test_parse_counts_lines_that_are_not_loadgens() -> None:
    log = parse_detail(["hello\n", ':::MLLOG {"key": 1}\n', ":::MLLOG []\n", line("a", 1), "\n"])
    assert (log.damaged_lines, log.values) == (3, {"a": 1})


def test_parse_reads_numbers_that_are_not_json() -> None:
    text = line("result_samples_per_second", 7).replace('"value": 7', '"value": inf')
    log = parse_detail([text, line("x", 7).replace('"value": 7', '"value": -nan')])
    assert log.damaged_lines == 0
    assert log.number("result_samples_per_second") is None
    assert log.number("x") is None


def test_errors_are_those_found_or_those_counted() -> None:
    assert parse_detail([line("num_errors", 3)]).count_errors() == 3
    assert parse_detail([line("a", 1)]).count_errors("2 ERRORS encountered. See log.\n") == 2
    uncommitted = line("error_uncommitted_loadgen_changes", "!", is_error=True)
    assert parse_detail([uncommitted, line("num_errors", 1)]).count_errors() == 0


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("\nNo warnings encountered during test.\n\nNo errors encountered during test.\n", 0),
        ("\n1 warning encountered. See detailed log.\n\n1 ERROR encountered. See log.\n", 1),
        ("\n12 ERRORS encountered. See detailed log.\n", 12),
        ("cut off", None),
    ],
)
def test_summary_error_count(text: str, count: int | None) -> None:
    assert summary_error_count(text) == count


def test_read_detail_says_when_there_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(DataLossError, match="cannot read LoadGen's log"):
        read_detail(tmp_path)
    (tmp_path / DETAIL_LOG).write_bytes(b"\xff\xfe\n")
    with pytest.raises(DataLossError, match="found none"):
        read_detail(tmp_path)


def test_each_failed_check_has_its_name_and_reason() -> None:
    log = parse_detail(
        [
            line("result_validity", "INVALID"),
            line("result_perf_constraints_met", False),
            line("result_min_duration_met", True),
            line("result_min_queries_met", False),
            line("early_stopping_met", False),
            line("result_invalid_reason", "Reduce target QPS to improve latency. "),
            line("early_stopping_result", " * Run unsuccessful.  * Processed 190 queries."),
        ]
    )
    result = performance(log, Scenario.SERVER)
    assert not result.is_valid
    assert {check.name: check.reason for check in result.failed} == {
        "min queries": "Reduce target QPS to improve latency.",
        "latency bound": "Reduce target QPS to improve latency.",
        "early stopping": "Run unsuccessful. Processed 190 queries.",
    }
    assert result.metric is None


def test_a_log_without_result_is_not_valid() -> None:
    result = performance(parse_detail([line("a", 1)]), Scenario.OFFLINE)
    assert (result.validity, result.is_valid, result.latencies_ns) == ("", False, {})


# Real logs.


def test_real_offline(tmp_path: Path) -> None:
    log = run_loadgen(tmp_path, "Offline")
    result = performance(log, Scenario.OFFLINE)
    assert result.validity in ("VALID", "INVALID")
    assert result.metric is not None
    assert (result.metric.name, result.metric.unit) == ("throughput", "samples/s")
    assert result.metric.value > 0
    assert list(result.latencies_ns) == [
        "min", "mean", "50.00", "90.00", "95.00", "97.00", "99.00", "99.90", "max",
    ]  # fmt: skip
    assert log.count_errors((tmp_path / SUMMARY_LOG).read_text()) == 0


def test_real_offline_that_is_too_short(tmp_path: Path) -> None:
    result = performance(run_loadgen(tmp_path, "Offline", offline_qps=1), Scenario.OFFLINE)
    assert result.validity == "INVALID"
    (failed,) = result.failed
    assert failed.name == "min duration"
    assert "Increase expected QPS" in failed.reason


def test_real_single_stream(tmp_path: Path) -> None:
    result = performance(run_loadgen(tmp_path, "SingleStream"), Scenario.SINGLE_STREAM)
    assert result.metric is not None
    assert (result.metric.name, result.metric.unit) == ("latency p90 (early stopping)", "ns")
    assert result.metric.value >= result.latencies_ns["90.00"]
    assert [metric.unit for metric in result.others] == ["queries/s"]


def test_real_multi_stream_has_latencies_of_queries(tmp_path: Path) -> None:
    log = run_loadgen(tmp_path, "MultiStream")
    result = performance(log, Scenario.MULTI_STREAM)
    assert result.metric is not None
    assert result.metric.name == "latency p99 (early stopping)"
    assert result.latencies_ns["mean"] == log.values["result_mean_query_latency_ns"]
    assert result.query_count is not None
    assert result.query_count >= 700


def test_real_multi_stream_that_runs_out_of_queries(tmp_path: Path) -> None:
    log = run_loadgen(tmp_path, "MultiStream", expected_latency_ns=10**9)
    assert log.count_errors((tmp_path / SUMMARY_LOG).read_text()) == 1
    assert "Ran out of generated queries" in log.errors[0].text
    assert [check.name for check in performance(log, Scenario.MULTI_STREAM).failed] == [
        "min duration"
    ]


def test_real_server(tmp_path: Path) -> None:
    result = performance(run_loadgen(tmp_path, "Server"), Scenario.SERVER)
    assert result.metric is not None
    assert result.metric.name == "completed"
    assert [metric.name for metric in result.others] == ["scheduled"]
    assert result.target_latency_ns == 100e6


# Accuracy.


def entry(index: int, label: float) -> dict[str, Any]:
    return {"seq_id": index, "qsl_idx": index, "data": struct.pack("<f", label).hex().upper()}


@pytest.mark.parametrize("scenario", ["Offline", "SingleStream", "Server"])
@pytest.mark.parametrize("in_memory", [50, 20])
def test_real_accuracy_log(tmp_path: Path, scenario: str, in_memory: int) -> None:
    run_loadgen(tmp_path, scenario, "AccuracyOnly", in_memory=in_memory)
    labels = np.arange(50) % 10
    labels[:5] += 1
    assert score(read_accuracy_log(tmp_path), labels) == Accuracy(good=45, total=50)


def test_real_accuracy_log_of_multi_stream_has_spare_entries(tmp_path: Path) -> None:
    run_loadgen(tmp_path, "MultiStream", "AccuracyOnly", in_memory=20)
    entries = read_accuracy_log(tmp_path)
    assert len(entries) == 64
    labels = np.arange(50) % 10
    assert score(entries, labels, spare_entries=3 * 7) == Accuracy(good=50, total=50)
    with pytest.raises(DataLossError, match="14 samples were answered twice"):
        score(entries, labels)


def test_real_submission_run_has_both(tmp_path: Path) -> None:
    log = run_loadgen(tmp_path, "SingleStream", "SubmissionRun")
    assert performance(log, Scenario.SINGLE_STREAM).metric is not None
    assert score(read_accuracy_log(tmp_path), np.arange(50) % 10).good == 50


def test_the_first_answer_of_a_sample_counts() -> None:
    entries = [entry(0, 1), entry(1, 2), entry(0, 9)]
    assert score(entries, np.array([1, 2]), spare_entries=1).good == 2


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([entry(0, 1)], "1 samples of a dataset of 2 have no answer: 1"),
        ([entry(0, 1), entry(1, 1), entry(7, 1)], "are not in the dataset: 7"),
        ([entry(0, 1), entry(1, 1), entry(1, 1)], "1 samples were answered twice"),
        ([entry(0, 1), {**entry(1, 1), "data": ""}], "sample 1: no answer in the log"),
        ([entry(0, 1), {**entry(1, 1), "data": "00"}], "sample 1: expected an answer of 4 bytes"),
        ([entry(0, 1), {**entry(1, 1), "data": "XYZW"}], "sample 1: .* not hexadecimal"),
        ([entry(0, 1), entry(1, float("nan"))], "sample 1: expected a label, got nan"),
    ],
)
def test_a_run_that_lacks_answers_has_no_score(entries: list[Any], message: str) -> None:
    with pytest.raises(DataLossError, match=message):
        score(entries, np.array([1, 1]))


@pytest.mark.parametrize("text", ["", "[\n{", '{"a": 1}', "[1]", '[{"qsl_idx": "0"}]'])
def test_a_damaged_accuracy_log_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / ACCURACY_LOG).write_text(text)
    with pytest.raises(DataLossError, match=ACCURACY_LOG):
        read_accuracy_log(tmp_path)


def test_accuracy_file_has_the_line_of_accuracy_imagenet(tmp_path: Path) -> None:
    path = write_accuracy_file(tmp_path, Accuracy(good=356, total=360))
    assert path.read_text() == "accuracy=98.889%, good=356, total=360\n"


def test_check_labels_says_why_there_is_no_accuracy() -> None:
    labels = np.arange(3)
    assert check_labels(labels, "classification", "d") is labels
    with pytest.raises(InvalidArgumentError, match="no accuracy is defined for the workload 'raw'"):
        check_labels(labels, "raw", "d")
    with pytest.raises(InvalidArgumentError, match="'random' has no labels"):
        check_labels(None, "classification", "random")
    with pytest.raises(InvalidArgumentError, match=r"labels of shape \[3, 1\]"):
        check_labels(labels.reshape(3, 1), "classification", "d")


# The report.


def report(log: DetailLog, scenario: Scenario = Scenario.OFFLINE, **fields: Any) -> Report:
    subject = Subject(
        model="m", qpc_path="m.bin", backend="cpu", devices=("0 CPU",), precision="fp32",
        batch_size=1, activations=1, threads_per_activation=1, set_size=10,
        workload="classification",
        dataset="d", samples=3, harness="native",
    )  # fmt: skip
    stats = Stats(
        samples_ok=3, samples_failed=0, batches=3, caller_batches=0, batch_sizes=[0, 3],
        activation_batches=[3], lost_activations=0,
    )  # fmt: skip
    values: dict[str, Any] = {"stats": stats, "performance": performance(log, scenario)}
    settings = Settings(scenario=scenario, mode=Mode.PERFORMANCE)
    return Report(subject=subject, settings=settings, **values | fields)


VALID = parse_detail([line("result_validity", "VALID"), line("result_samples_per_second", 12.5)])


def test_only_a_clean_valid_run_is_good() -> None:
    assert report(VALID).is_good
    assert not report(parse_detail([line("result_validity", "INVALID")])).is_good
    assert not report(parse_detail([])).is_good
    assert not report(VALID, error_count=1).is_good
    assert not report(VALID, failure="device fault").is_good
    assert not report(VALID, interrupted=True).is_good
    stats: Stats = {**report(VALID).stats, "samples_failed": 1}
    assert not report(VALID, stats=stats).is_good


def test_report_as_json_and_as_a_line() -> None:
    good = report(VALID)
    content = json.loads(as_json(good))
    assert content["performance"]["metric"] == {
        "name": "throughput", "value": 12.5, "unit": "samples/s",
    }  # fmt: skip
    assert content["good"] is True
    assert summary_line(good) == "Offline; VALID; 12.500 samples/s"
    bad = report(VALID, error_count=2, failure="device fault")
    assert summary_line(bad).endswith("2 LoadGen errors; device fault")
