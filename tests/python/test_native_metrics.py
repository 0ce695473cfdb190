"""Latencies and stages that the native session measures."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import numpy as np
import pytest

import qaic
from qaickit import _core
from qaickit.errors import FailedPreconditionError, InvalidArgumentError

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
    keys = ["start", "activation", "wait", "gather", "device", "scatter"]
    assert [list(run) for run in runs] == [keys] * 2
    assert all(run["device"] > 0 for run in runs)


def test_a_run_on_an_activation_tells_of_itself(qpc: _core.Qpc) -> None:
    session = _core.Session(qpc, backend="cpu", num_activations=2)
    x = np.ones((1, 16), np.float32)
    expected = session.run({"x": x})
    for activation in (1, 0, 1):
        before = time.monotonic()
        outputs, stages = session.run_on(activation, {"x": x})
        after = time.monotonic()
        assert stages["activation"] == activation
        parts = [stages["wait"], stages["gather"], stages["device"], stages["scatter"]]
        assert min(parts) >= 0
        assert stages["device"] > 0
        assert before <= stages["start"] <= stages["start"] + sum(parts) <= after
        for name, value in expected.items():
            np.testing.assert_array_equal(outputs[name], value)
    with pytest.raises(InvalidArgumentError, match="activation 2 does not exist; there are 2"):
        session.run_on(2, {"x": x})


def test_a_benchmark_tells_how_far_it_is_and_can_be_ended(qpc: _core.Qpc) -> None:
    session = _core.Session(qpc, backend="null", num_activations=2)
    told: list[int] = []

    def tick(inferences: int) -> bool:
        told.append(inferences)
        return inferences < 100

    done, _ = session.benchmark(1_000_000_000, 0, None, tick)
    assert told == sorted(told)
    assert 100 <= told[-1] <= done < 1_000_000_000
    assert session.benchmark(10, 0)[0] == 10

    def fail(inferences: int) -> bool:
        raise LookupError(inferences)

    with pytest.raises(LookupError):
        session.benchmark(0, 3600, None, fail)
    assert session.benchmark(10, 0, None, lambda _: True)[0] == 10


def test_ctrl_c_ends_a_benchmark(qpc: _core.Qpc) -> None:
    session = _core.Session(qpc, backend="null")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            session.benchmark(0, 3600, None, lambda _: signal.raise_signal(signal.SIGINT) is None)
    finally:
        signal.signal(signal.SIGINT, before)
    assert session.benchmark(10, 0)[0] == 10


def test_what_was_not_asked_for_is_refused(qpc: _core.Qpc) -> None:
    session = _core.Session(qpc, backend="cpu")
    with pytest.raises(FailedPreconditionError, match="metrics"):
        session.metrics()
    with pytest.raises(FailedPreconditionError, match="profile_runs"):
        session.profile()
