"""Latencies and stages that the native session measures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import qaic
from qaickit import _core
from qaickit.errors import FailedPreconditionError

KEYS = [
    "num_of_inferences", "min_latency", "max_latency", "P25", "P50", "P75", "P90", "P99", "P999",
    "total_inference_time", "avg_latency",
]  # fmt: skip


@pytest.fixture
def qpc(linear_onnx: Path, tmp_path: Path) -> _core.Qpc:
    with qaic.Session(
        str(linear_onnx), onnx_define_symbol={"batch": 1}, output_dir=tmp_path / "qpc"
    ) as session:
        return _core.Qpc(session.qpc_path)


def test_metrics_have_the_vendors_keys_and_fit_together(qpc: _core.Qpc) -> None:
    session = _core.Session(qpc, backend="cpu", metrics=True)
    assert list(session.metrics()) == KEYS
    assert all(value == 0 for value in session.metrics().values())
    for _ in range(21):
        session.run({"x": np.zeros((1, 16), np.float32)})
    metrics = session.metrics()
    assert metrics["num_of_inferences"] == 20  # the first one warms up
    rising = [metrics[key] for key in ("min_latency", *KEYS[3:9], "max_latency")]  # type: ignore[literal-required]
    assert rising == sorted(rising)
    assert rising[0] > 0
    assert metrics["avg_latency"] == pytest.approx(metrics["total_inference_time"] / 20)
    assert session.profile() == []


def test_profile_keeps_the_first_runs(qpc: _core.Qpc) -> None:
    session = _core.Session(qpc, backend="cpu", profile_runs=2)
    for _ in range(5):
        session.run({"x": np.zeros((1, 16), np.float32)})
    assert session.metrics()["num_of_inferences"] == 4
    runs = session.profile()
    assert [list(run) for run in runs] == [["wait", "gather", "device", "scatter"]] * 2
    assert all(run["device"] > 0 for run in runs)


def test_what_was_not_asked_for_is_refused(qpc: _core.Qpc) -> None:
    session = _core.Session(qpc, backend="cpu")
    with pytest.raises(FailedPreconditionError, match="metrics"):
        session.metrics()
    with pytest.raises(FailedPreconditionError, match="profile_runs"):
        session.profile()
