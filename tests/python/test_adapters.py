"""The QSL and SUT adapters: against a LoadGen of our own making, and the real one in a process."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from qaickit.errors import (
    CancelledError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)
from qaickit.loadgen import QSL, SUT, classification, raw, run_test
from qaickit.loadgen import qsl as qsl_module
from qaickit.loadgen import sut as sut_module
from qaickit.loadgen.accuracy import read_accuracy_log, top1
from qaickit.loadgen.results import performance, read_detail
from qaickit.loadgen.scenarios import Scenario

Array = npt.NDArray[Any]

TOTAL, CLASSES = 40, 10
TIMEOUT_S = 60.0


class FakeResponse:
    def __init__(self, sample: int, data: int, size: int) -> None:
        self.sample, self.data, self.size = sample, data, size


class FakeLoadgen:
    """The part of `mlperf_loadgen` that the adapters use; keeps what was answered."""

    QuerySampleResponse = FakeResponse

    def __init__(self) -> None:
        self.issue: Callable[[list[int], list[int]], None] | None = None
        self.flush: Callable[[], None] | None = None
        self.answers: dict[int, bytes] = {}
        self.calls: list[int] = []
        self.destroyed: list[str] = []
        self._answered = threading.Condition()

    def ConstructFastSUT(self, issue: Any, flush: Any) -> int:  # noqa: N802
        self.issue, self.flush = issue, flush
        return 1

    def ConstructQSL(self, *_: Any) -> int:  # noqa: N802
        return 2

    def DestroyFastSUT(self, _: int) -> None:  # noqa: N802
        self.destroyed.append("sut")

    def DestroyQSL(self, _: int) -> None:  # noqa: N802
        self.destroyed.append("qsl")

    def QuerySamplesComplete(self, responses: list[FakeResponse]) -> None:  # noqa: N802
        with self._answered:
            self.calls.append(len(responses))
            for response in responses:
                assert response.sample not in self.answers, "a sample was answered twice"
                self.answers[response.sample] = ctypes.string_at(response.data, response.size)
            self._answered.notify_all()

    def send(self, indices: list[int], first_id: int = 0) -> list[int]:
        ids = [1000 + first_id + n for n in range(len(indices))]
        assert self.issue is not None
        self.issue(ids, indices)
        return ids

    def wait(self, count: int) -> dict[int, bytes]:
        with self._answered:
            assert self._answered.wait_for(lambda: len(self.answers) >= count, TIMEOUT_S)
        return self.answers


class FakeSession:
    """Scores are one-hot of the sample's own number, modulo 10."""

    def __init__(self, wait: Callable[[], object] = lambda: None, fail_on: int = -1) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.wait = wait
        self.fail_on = fail_on

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self.wait()
        numbers = inputs["x"].reshape(-1, 3)[:, 0].astype(int)
        self.shapes.append(inputs["x"].shape)
        if self.fail_on in numbers:
            raise RuntimeError(f"cannot compute {self.fail_on}")
        return {"scores": np.eye(CLASSES, dtype=np.float32)[numbers % CLASSES]}


@pytest.fixture
def loadgen(monkeypatch: pytest.MonkeyPatch) -> FakeLoadgen:
    fake = FakeLoadgen()
    monkeypatch.setattr(qsl_module, "loadgen_module", lambda: fake)
    monkeypatch.setattr(sut_module, "loadgen_module", lambda: fake)
    return fake


def samples() -> dict[str, Array]:
    return {"x": np.repeat(np.arange(TOTAL, dtype=np.float32)[:, None], 3, axis=1)}


@pytest.fixture
def qsl(loadgen: FakeLoadgen) -> Iterator[QSL]:
    with QSL(samples()) as library:
        library.load(list(range(TOTAL - 1, -1, -1)))
        yield library


def labels(answers: Mapping[int, bytes]) -> dict[int, float]:
    return {sample: float(np.frombuffer(data, "<f4")[0]) for sample, data in answers.items()}


def leave(sut: SUT, error: Exception | None = None) -> None:
    """End a `with` block on `sut`, in which `error` was raised."""
    with sut:
        if error is not None:
            raise error


# QSL.


def test_qsl_gathers_views_of_what_lies_side_by_side(qsl: QSL) -> None:
    first = qsl.gather([39, 38, 37], 3)["x"]
    again = qsl.gather([39, 38, 37], 3)["x"]
    assert np.shares_memory(first, again)
    assert first[:, 0].tolist() == [39, 38, 37]
    assert not np.shares_memory(qsl.gather([3, 4], 2)["x"], again)


def test_qsl_pads_a_batch_with_its_last_sample(qsl: QSL) -> None:
    assert qsl.gather([5, 9], 4)["x"][:, 0].tolist() == [5, 9, 9, 9]


def test_qsl_takes_a_set_with_padding_twice_in_it(qsl: QSL) -> None:
    qsl.unload(list(range(TOTAL)))
    qsl.load([7, 8, 9, 7])
    assert qsl.gather([7, 8, 9], 3)["x"][:, 0].tolist() == [7, 8, 9]


def test_qsl_knows_what_is_loaded(qsl: QSL) -> None:
    qsl.unload([3])
    with pytest.raises(FailedPreconditionError, match="sample 3 is not loaded"):
        qsl.gather([4, 3], 2)


def test_qsl_refuses_what_it_cannot_serve(loadgen: FakeLoadgen) -> None:
    with pytest.raises(InvalidArgumentError, match="equally many samples"):
        QSL({"a": np.zeros(3), "b": np.zeros(4)})
    with pytest.raises(InvalidArgumentError, match="equally many samples"):
        QSL({})
    with pytest.raises(InvalidArgumentError, match="expected 1 to 3, got 4"):
        QSL({"a": np.zeros(3)}, performance_count=4)


def test_handles_go_back_once(loadgen: FakeLoadgen) -> None:
    with QSL(samples()) as qsl, SUT(FakeSession(), qsl) as sut:
        assert (sut.handle, qsl.handle) == (1, 2)
    sut.close()
    qsl.close()
    assert loadgen.destroyed == ["sut", "qsl"]
    with pytest.raises(FailedPreconditionError, match="closed"):
        _ = sut.handle
    with pytest.raises(FailedPreconditionError, match="closed"):
        _ = qsl.handle


# SUT.


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_every_sample_is_answered_once(
    loadgen: FakeLoadgen, qsl: QSL, workers: int, batch_size: int
) -> None:
    indices = [(7 * n) % TOTAL for n in range(101)]
    with SUT(FakeSession(), qsl, batch_size=batch_size, workers=workers) as sut:
        ids = loadgen.send(indices)
        answers = loadgen.wait(len(indices))
    assert labels(answers) == dict(zip(ids, [float(n % CLASSES) for n in indices], strict=True))
    stats = sut.stats()
    assert (stats["samples_ok"], stats["samples_failed"]) == (101, 0)
    assert sum(n * count for n, count in enumerate(stats["batch_sizes"])) == 101
    assert stats["caller_batches"] == (0 if workers else stats["batches"])
    assert sum(stats["activation_batches"]) == stats["batches"] == len(loadgen.calls)
    assert (sut.samples_issued, sut.samples_done) == (101, 101)


def test_issue_does_not_wait_for_the_session(loadgen: FakeLoadgen, qsl: QSL) -> None:
    go = threading.Event()
    with SUT(FakeSession(lambda: go.wait(TIMEOUT_S)), qsl) as sut:
        loadgen.send([1, 2, 3])
        assert sut.samples_done == 0
        go.set()
        loadgen.wait(3)


def test_single_samples_are_batched_while_they_wait(loadgen: FakeLoadgen, qsl: QSL) -> None:
    running, go = threading.Event(), threading.Event()

    def wait() -> None:
        running.set()
        assert go.wait(TIMEOUT_S)

    with SUT(FakeSession(wait), qsl, batch_size=8) as sut:
        for n in range(9):
            loadgen.send([n], first_id=n)
            assert running.wait(TIMEOUT_S)
        go.set()
        loadgen.wait(9)
    assert loadgen.calls == [1, 8]
    assert sut.stats()["batch_sizes"][8] == 1


def test_a_batch_waits_for_more_but_not_for_ever(loadgen: FakeLoadgen, qsl: QSL) -> None:
    with SUT(FakeSession(), qsl, batch_size=4, max_wait_us=int(2e6 * TIMEOUT_S)):
        loadgen.send([1])
        loadgen.send([2, 3, 4], first_id=1)
        loadgen.wait(4)  # full: it does not wait
    assert loadgen.calls == [4]
    with SUT(FakeSession(), qsl, batch_size=4, max_wait_us=200_000):
        started = time.monotonic()
        loadgen.send([5], first_id=4)
        loadgen.wait(5)
        assert time.monotonic() - started > 0.15
    assert loadgen.calls == [4, 1]


def test_flush_ends_the_wait(loadgen: FakeLoadgen, qsl: QSL) -> None:
    with SUT(FakeSession(), qsl, batch_size=4, max_wait_us=int(2e6 * TIMEOUT_S)):
        loadgen.send([1])
        assert loadgen.flush is not None
        loadgen.flush()
        loadgen.wait(1)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_failing_sample_is_answered_and_raised(
    loadgen: FakeLoadgen, qsl: QSL, workers: int
) -> None:
    sut = SUT(FakeSession(fail_on=5), qsl, workers=workers)
    ids = loadgen.send([4, 5, 6])
    answers = loadgen.wait(3)
    with pytest.raises(RuntimeError, match="cannot compute 5"):
        leave(sut)
    assert answers[ids[1]] == b""
    assert labels({ids[0]: answers[ids[0]], ids[2]: answers[ids[2]]}) == {ids[0]: 4, ids[2]: 6}
    assert (sut.stats()["samples_ok"], sut.stats()["samples_failed"]) == (2, 1)
    with pytest.raises(RuntimeError, match="cannot compute 5"):
        sut.result()


def test_a_responder_that_gives_too_few_rows_is_an_error(loadgen: FakeLoadgen, qsl: QSL) -> None:
    def short(outputs: Mapping[str, Array], batch_size: int) -> Array:
        return classification(outputs, batch_size)[:1]

    sut = SUT(FakeSession(), qsl, batch_size=2, respond=short)
    loadgen.send([1, 2])
    assert loadgen.wait(2)[1000] == b""
    with pytest.raises(InvalidArgumentError, match="expected 2 rows, one a sample, got 1"):
        leave(sut)


def test_an_error_in_the_block_is_not_hidden(loadgen: FakeLoadgen, qsl: QSL) -> None:
    sut = SUT(FakeSession(fail_on=1), qsl)
    loadgen.send([1])
    loadgen.wait(1)
    with pytest.raises(KeyError, match="mine"):
        leave(sut, KeyError("mine"))


def test_abandon_answers_everything_at_once(loadgen: FakeLoadgen, qsl: QSL) -> None:
    session = FakeSession()
    sut = SUT(session, qsl)
    sut.abandon()
    loadgen.send([1, 2, 3])
    loadgen.wait(3)
    with pytest.raises(CancelledError):
        leave(sut)
    assert session.shapes == []
    assert set(loadgen.answers.values()) == {b""}


def test_inputs_are_reshaped_on_request(loadgen: FakeLoadgen, qsl: QSL) -> None:
    session = FakeSession()
    with SUT(session, qsl, batch_size=2, workers=0, input_shapes={"x": (6,)}):
        loadgen.send([1, 2, 3])
    assert session.shapes == [(6,), (6,)]


def test_raw_responds_with_the_rows_of_all_outputs() -> None:
    outputs: dict[str, Array] = {
        "a": np.array([[1, 2], [3, 4]], dtype=np.int16),
        "b": np.array([5, 6], dtype=np.uint8),
    }
    assert raw(outputs, 2).tolist() == [[1, 0, 2, 0, 5], [3, 0, 4, 0, 6]]


@pytest.mark.parametrize("fields", [{"batch_size": 0}, {"workers": -1}, {"max_wait_us": -1}])
def test_bad_numbers_are_refused(loadgen: FakeLoadgen, qsl: QSL, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match="expected batch_size of at least 1"):
        SUT(FakeSession(), qsl, **fields)


def test_no_thread_is_left_after_close(loadgen: FakeLoadgen, qsl: QSL) -> None:
    with SUT(FakeSession(), qsl, workers=3):
        assert sum(thread.name.startswith("qaickit-sut") for thread in threading.enumerate()) == 3
    assert not any(thread.name.startswith("qaickit-sut") for thread in threading.enumerate())


def test_run_test_checks_the_directories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loadgen: FakeLoadgen, qsl: QSL
) -> None:
    monkeypatch.chdir(tmp_path)
    with SUT(FakeSession(), qsl) as sut:
        with pytest.raises(NotFoundError, match="no such directory"):
            run_test(sut, qsl, None, tmp_path / "none")
        (tmp_path / "audit.config").touch()
        with pytest.raises(FailedPreconditionError, match=r"audit\.config"):
            run_test(sut, qsl, None, tmp_path)


# The real LoadGen, once in a process.

REAL_RUN = """
import json, sys
import mlperf_loadgen
import numpy as np
from qaickit.loadgen import QSL, SUT, run_test

scenario, mode, out = sys.argv[1:4]
batch_size, workers, fail_on = map(int, sys.argv[4:7])

class Session:
    def run(self, inputs):
        numbers = inputs["x"][:, 0].astype(int)
        assert len(numbers) == batch_size
        if fail_on in numbers:
            raise RuntimeError(f"cannot compute {fail_on}")
        return {"scores": np.eye(10, dtype=np.float32)[numbers % 10]}

settings = mlperf_loadgen.TestSettings()
settings.scenario = getattr(mlperf_loadgen.TestScenario, scenario)
settings.mode = getattr(mlperf_loadgen.TestMode, mode)
settings.min_duration_ms = 300
settings.min_query_count = 700
settings.offline_expected_qps = 200_000
settings.server_target_qps = 3000
settings.single_stream_expected_latency_ns = settings.multi_stream_expected_latency_ns = 2000
images = np.repeat(np.arange(40, dtype=np.float32)[:, None], 3, axis=1)
failure = ""
with QSL({"x": images}, 16) as qsl:
    sut = SUT(Session(), qsl, batch_size=batch_size, workers=workers)
    try:
        run_test(sut, qsl, settings, out)
    except RuntimeError as error:
        failure = str(error)
    sut.close()
print(json.dumps({"stats": sut.stats(), "failure": failure}))
"""


def run_real(
    out: Path, scenario: str, mode: str, batch_size: int, workers: int, fail_on: int = -1
) -> dict[str, Any]:
    arguments = [scenario, mode, out, batch_size, workers, fail_on]
    done = subprocess.run(
        [sys.executable, "-c", REAL_RUN, *map(str, arguments)],
        check=True, capture_output=True, text=True, timeout=120, cwd=out,
    )  # fmt: skip
    content: dict[str, Any] = json.loads(done.stdout)
    return content


@pytest.mark.parametrize(
    ("scenario", "batch_size", "workers"),
    [
        ("Offline", 1, 1),
        ("Offline", 8, 2),
        ("SingleStream", 1, 0),
        ("SingleStream", 4, 1),
        ("MultiStream", 8, 1),
        ("MultiStream", 3, 2),
        ("Server", 1, 1),
        ("Server", 4, 2),
    ],
)
def test_real_performance(tmp_path: Path, scenario: str, batch_size: int, workers: int) -> None:
    pytest.importorskip("mlperf_loadgen")
    done = run_real(tmp_path, scenario, "PerformanceOnly", batch_size, workers)
    log = read_detail(tmp_path)
    result = performance(log, Scenario(scenario))
    assert log.errors == ()
    assert result.metric is not None
    per_query = log.values["effective_samples_per_query"]
    assert done["stats"]["samples_ok"] == result.query_count * per_query
    assert done["stats"]["samples_failed"] == 0
    assert (tmp_path / "mlperf_log_trace.json").stat().st_size == 0


@pytest.mark.parametrize("scenario", [scenario.value for scenario in Scenario])
def test_real_accuracy_has_the_right_answer_to_every_sample(tmp_path: Path, scenario: str) -> None:
    pytest.importorskip("mlperf_loadgen")
    run_real(tmp_path, scenario, "AccuracyOnly", batch_size=4, workers=2)
    assert top1(read_accuracy_log(tmp_path)) == {n: n % 10 for n in range(40)}


def test_real_failure_is_answered_and_raised(tmp_path: Path) -> None:
    pytest.importorskip("mlperf_loadgen")
    done = run_real(tmp_path, "Offline", "AccuracyOnly", batch_size=1, workers=2, fail_on=5)
    assert done["failure"] == "cannot compute 5"
    assert done["stats"]["samples_failed"] == 1
    empty = [e["qsl_idx"] for e in read_accuracy_log(tmp_path) if not e["data"]]
    assert empty == [5]
