"""Metrics and profiles of a session: native measurements in the vendor's layouts."""

from __future__ import annotations

import ast
import re
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qaic
from qaickit.errors import FailedPreconditionError, InvalidArgumentError

KEYS = [
    "num_of_inferences", "min_latency", "max_latency", "P25", "P50", "P75", "P90", "P99", "P999",
    "total_inference_time", "avg_latency",
]  # fmt: skip
LATENCY = 0.02
STAGES = ["run", "wait", "gather", "device", "scatter"]


@pytest.fixture
def x() -> dict[str, np.ndarray[Any, Any]]:
    return {"x": np.ones((1, 16), np.float32)}


@pytest.fixture
def qpc(linear_onnx: Path, tmp_path: Path) -> Path:
    qaic.Session(linear_onnx, onnx_define_symbol={"batch": 1}, output_dir=tmp_path / "qpc").close()
    return tmp_path / "qpc" / "programqpc.bin"


def slow(qpc: Path, **options: Any) -> qaic.Session:
    """A session whose runs take LATENCY seconds."""
    return qaic.Session(
        qpc, backend="null", device_settings={"latency_us": int(LATENCY * 1e6)}, **options
    )


@pytest.mark.parametrize("option", ["enable_metrics", "enable_profiling"])
def test_latencies_are_those_of_the_runs(qpc: Path, x: Any, option: str) -> None:
    with slow(qpc, **{option: True}) as session:
        began = time.perf_counter()
        for _ in range(6):
            session.run(x)
        elapsed = time.perf_counter() - began
        metrics = session.get_metrics()
    assert list(metrics) == KEYS
    assert metrics["num_of_inferences"] == 5  # the first one warms up
    assert all(type(metrics[key]) is float for key in KEYS[1:])
    ordered = ["min_latency", "P25", "P50", "P75", "P90", "P99", "P999", "max_latency"]
    values = [metrics[key] for key in ordered]
    assert values == sorted(values)
    assert metrics["min_latency"] >= LATENCY
    assert metrics["max_latency"] < elapsed
    assert metrics["total_inference_time"] <= elapsed
    assert metrics["avg_latency"] == pytest.approx(metrics["total_inference_time"] / 5)


def test_nothing_is_measured_at_first(qpc: Path, x: Any) -> None:
    with qaic.Session(qpc, enable_metrics=True) as session:
        assert session.get_metrics() == dict.fromkeys(KEYS, 0)
        session.run(x)
        assert session.get_metrics()["num_of_inferences"] == 0
        session.run(x)
        assert session.get_metrics()["num_of_inferences"] == 1


def test_a_benchmark_is_no_run(qpc: Path, x: Any) -> None:
    with qaic.Session(qpc, enable_metrics=True) as session:
        session.run_benchmark(num_inferences=20)
        assert session.get_metrics()["num_of_inferences"] == 0


def test_runs_of_all_threads_count(qpc: Path, x: Any) -> None:
    with qaic.Session(qpc, enable_metrics=True, num_activations=2) as session:
        threads = [
            threading.Thread(target=lambda: [session.run(x) for _ in range(100)]) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert session.get_metrics()["num_of_inferences"] == 799


def test_kept_after_reset_and_close_until_the_next_runs(qpc: Path, x: Any) -> None:
    session = qaic.Session(qpc, enable_profiling=True)
    for _ in range(4):
        session.run(x)
    before, profile = session.get_metrics(), session.profiling_results
    assert (before["num_of_inferences"], len(profile)) == (3, 4)
    session.reset()
    assert (session.get_metrics(), session.profiling_results) == (before, profile)
    session.run(x)
    assert (session.get_metrics()["num_of_inferences"], len(session.profiling_results)) == (0, 1)
    session.close()
    assert (session.get_metrics()["num_of_inferences"], len(session.profiling_results)) == (0, 1)


def test_failed_runs_do_not_count(qpc: Path, x: Any) -> None:
    with qaic.Session(qpc, enable_metrics=True) as session:
        for _ in range(3):
            with pytest.raises(InvalidArgumentError):
                session.run({"x": np.ones((1, 3), np.float32)})
        session.run(x)
        assert session.get_metrics()["num_of_inferences"] == 0


def test_what_was_not_asked_for_is_not_measured(qpc: Path) -> None:
    session = qaic.Session(qpc)
    for call in (session.get_metrics, session.print_metrics):
        with pytest.raises(FailedPreconditionError, match=r"enable_metrics=True or enable_prof"):
            call()
    with pytest.raises(FailedPreconditionError, match=r"make it with enable_profiling=True"):
        qaic.Session(qpc, enable_metrics=True).print_profile_data(n=5)
    with pytest.raises(InvalidArgumentError, match="exclude each other"):
        qaic.Session(qpc, enable_metrics=True, enable_profiling=True)


def test_metrics_are_printed_as_documented(
    qpc: Path, x: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with qaic.Session(qpc, enable_metrics=True) as session:
        for _ in range(10):
            session.run(x)
        capsys.readouterr()
        session.print_metrics()
        lines = capsys.readouterr().out.splitlines()
        metrics = session.get_metrics()
    shapes = [
        ("Number of inferences utilized for calculation are {}", "num_of_inferences"),
        ("Minimum latency observed {} s", "min_latency"),
        ("Maximum latency observed {} s", "max_latency"),
        ("Average latency / inference time observed is {} s", "avg_latency"),
        ("P25 / 25% of inferences observed latency less than {} s", "P25"),
        ("P50 / 50% of inferences observed latency less than {} s", "P50"),
        ("P75 / 75% of inferences observed latency less than {} s", "P75"),
        ("P90 / 90% of inferences observed latency less than {} s", "P90"),
        ("P99 / 99% of inferences observed latency less than {} s", "P99"),
        ("Sum of all the inference times {} s", "total_inference_time"),
        ("Average latency / inference time observed is {} s", "avg_latency"),
    ]
    assert lines == [shape.format(metrics[key]) for shape, key in shapes]


def test_profiles_have_the_native_stages(
    qpc: Path, x: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with slow(qpc, enable_profiling=True) as session:
        for _ in range(4):
            session.run(x)
        capsys.readouterr()
        session.print_profile_data(n=3)
        text = capsys.readouterr().out
        results = session.profiling_results
    heading = "|  File-Line-Function  | |  num calls  | |  func time  | |  tot time  |"
    assert text.count(heading) == 3
    assert len(results) == 4
    rows = re.findall(r"^(\(.*\)) (\d+) (\S+) (\S+)$", text, flags=re.MULTILINE)
    assert len(rows) == 3 * len(STAGES)
    for at, (function, calls, own, total) in enumerate(rows):
        file, line, name = ast.literal_eval(function)
        assert (file, line, calls) == ("~", 0, "1")
        assert STAGES[at % len(STAGES)] in name
        assert float(own) <= float(total)
        if STAGES[at % len(STAGES)] in ("run", "device"):
            assert float(total) >= LATENCY


def test_waiting_for_an_activation_is_a_stage(qpc: Path, x: Any) -> None:
    """Eight threads want one activation: they wait most of the time, and compute one by one."""
    with slow(qpc, enable_profiling=True) as session:
        session.setup()
        together = threading.Barrier(9)

        def run() -> None:
            together.wait()
            for _ in range(4):
                session.run(x)

        threads = [threading.Thread(target=run) for _ in range(8)]
        for thread in threads:
            thread.start()
        began = time.perf_counter()
        together.wait()
        for thread in threads:
            thread.join()
        elapsed = time.perf_counter() - began
        stages = [[total for _, _, total in run.values()] for run in session.profiling_results]
    _, wait, _, device, _ = (sum(times) for times in zip(*stages, strict=True))
    assert len(stages) == 32
    assert 32 * LATENCY <= device <= elapsed < wait


@pytest.mark.parametrize("n", [0, -1, "five", None])
def test_bad_numbers_of_profiles(qpc: Path, n: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="n: expected"):
        qaic.Session(qpc, enable_profiling=True).print_profile_data(n)
