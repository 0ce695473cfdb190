"""What bench/gpu.py measures of a case, each peer in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gpu_cases import Case
from gpu_verdicts import DEVICE, LOOP, OFFLINE, OURS, SERVER, SINGLE, Findings, Row

WORKER = Path(__file__).with_name("gpu_worker.py")
# Shares of the Offline rate at which Server is tried, until LoadGen calls one valid.
SERVER_SHARES = (0.9, 0.8, 0.7, 0.6, 0.5)
# The samples of a batch lie apart, and each activation has a thread that gathers them: one alone
# may be slower than a fast GPU reads.
GATHERERS, SET_SIZE = 4, 3
# A measurement that takes longer is given up: it hangs, or compiles for too long to wait for.
MOST_S = 900.0
MOST_SAID = 300  # characters of an error


@dataclass(frozen=True)
class Plan:
    """What to measure, and for how long.

    `provider`: of ours; `peers_provider`: of onnxruntime's loop, which has fakes of no kind.
    """

    backend: str
    provider: str
    peers_provider: str
    device_id: int
    batches: tuple[int, ...]
    seconds: float
    rounds: int
    small: bool

    @property
    def settings(self) -> dict[str, str]:
        is_on_gpu = self.backend == "cuda" and self.provider == "tensorrt"
        return {"provider": "tensorrt"} if is_on_gpu else {}

    @property
    def torch_device(self) -> str:
        return "cpu" if self.peers_provider == "cpu" else f"cuda:{self.device_id}"


class NoNumberError(Exception):
    """A measurement that gave no number; the text is for its row."""


def call(command: list[str], most_s: float = MOST_S) -> str:
    """Runs a measurement; its standard output. Error: NoNumberError, with what it said last."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=most_s)
    except subprocess.TimeoutExpired as error:
        raise NoNumberError(f"given up after {most_s:g} s") from error
    if done.returncode == 0:
        return done.stdout
    said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()
    last = said[-1]
    if len(last) > MOST_SAID:  # onnxruntime begins with where it was, and ends with why
        last = f"{last[: MOST_SAID // 2]} ... {last[-MOST_SAID // 2 :]}"
    raise NoNumberError(f"exit code {done.returncode}: {last}")


def work(what: str, **order: Any) -> dict[str, Any]:
    """A measurement by bench/gpu_worker.py. Error: NoNumberError, also where it was skipped."""
    command = [sys.executable, str(WORKER), json.dumps({"what": what, **order})]
    lines = call(command, MOST_S + order.get("seconds", 0)).splitlines()
    result: dict[str, Any] = json.loads(lines[-1])
    if "skipped" in result:
        raise NoNumberError(f"skipped: {result['skipped']}")
    return result


def harness(plan: Plan, case: Case, scenario: str, **flags: float) -> dict[str, Any]:
    """LoadGen's result of a run of ours."""
    with tempfile.TemporaryDirectory() as out:
        result = Path(out) / "result.json"
        command = [sys.executable, "-m", "qaickit.loadgen", "--scenario", scenario, "--quiet"]
        command += ["--model", str(case.qpc), "--backend", plan.backend, "--dataset", "random"]
        command += ["--device-id", str(plan.device_id), "--performance-sample-count", "64"]
        command += ["--output-dir", str(Path(out) / "logs"), "--json", str(result)]
        command += ["--min-duration", str(plan.seconds), "--workload", "raw"]
        if plan.backend == "cuda" and scenario != SINGLE:
            command += ["--activations", str(GATHERERS), "--set-size", str(SET_SIZE)]
        for name, value in plan.settings.items():
            command += ["--device-setting", f"{name}={value}"]
        for name, number in flags.items():
            command += [f"--{name.replace('_', '-')}", str(number)]
        try:
            call(command)
        except NoNumberError:
            # A run that LoadGen calls invalid has numbers as well.
            if not result.exists():
                raise
        found: dict[str, Any] = json.loads(result.read_text())
    return found


def offline(plan: Plan, case: Case) -> tuple[float, str]:
    found = harness(plan, case, OFFLINE)
    return found["performance"]["metric"]["value"], found["subject"]["precision"]


def single_stream(plan: Plan, case: Case) -> tuple[float, str]:
    """The median latency in us."""
    found = harness(plan, case, SINGLE)
    return found["performance"]["latencies_ns"]["50.00"] / 1e3, found["subject"]["precision"]


def server(plan: Plan, case: Case, offline_rate: float) -> tuple[float, str]:
    """The highest rate tried at which the 99th percentile keeps MLPerf's bound."""
    for share in SERVER_SHARES:
        qps = share * offline_rate
        found = harness(plan, case, SERVER, target_qps=qps, target_latency=case.net.server_ms)
        if found["performance"]["validity"] == "VALID":
            return qps, found["subject"]["precision"]
    least = SERVER_SHARES[-1] * offline_rate
    raise NoNumberError(f"p99 over {case.net.server_ms:g} ms still at {least:,.0f}/s")


def onnxruntime_loop(plan: Plan, case: Case, *, copies: bool) -> dict[str, Any]:
    return work(
        "onnxruntime", graph=str(case.graph), provider=plan.peers_provider,
        device_id=plan.device_id, batch=case.batch, seconds=plan.seconds, copies=copies,
    )  # fmt: skip


def pytorch(plan: Plan, case: Case, *, compiled: bool) -> dict[str, Any]:
    if case.net.precision == "int8":
        raise NoNumberError("skipped: PyTorch has no int8 for this on a GPU")
    return work(
        "torch", model=case.net.model, precision=case.net.precision, device=plan.torch_device,
        batch=case.batch, seconds=plan.seconds, compiled=compiled, small=plan.small,
    )  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One measurement: the rows that it adds a value to, which turn it is, and how to take it.

    `measure` gives a value for each row, and the precision that was computed in, if it knows.
    """

    rows: tuple[Row, ...]
    turn: int
    measure: Callable[[], tuple[list[float], str]]

    @property
    def is_done(self) -> bool:
        return all(row.turns > self.turn for row in self.rows)


def steps(plan: Plan, case: Case, found: Findings) -> Iterator[Step]:
    """The measurements of a case, the peers in turn; PyTorch, to which no bound is, once."""

    def row(scenario: str, peer: str, unit: str = "samples/s") -> Row:
        return found.row(Row(case.net.model, case.net.precision, scenario, case.batch, peer, unit))

    def one(take: Callable[[], tuple[float, str]]) -> Callable[[], tuple[list[float], str]]:
        def measure() -> tuple[list[float], str]:
            value, ran = take()
            return [value], ran

        return measure

    def loop(take: Callable[[], dict[str, Any]]) -> Callable[[], tuple[list[float], str]]:
        def measure() -> tuple[list[float], str]:
            result = take()
            return [result["rate"], result["latency_us"]], ""

        return measure

    ours, alone = (row(OFFLINE, OURS),), (row(OFFLINE, DEVICE),)
    single = (row(SINGLE, OURS, "us"),) if case.batch == 1 else ()
    peer_rows = {
        peer: (row(OFFLINE, peer), *((row(SINGLE, peer, "us"),) if case.batch == 1 else ()))
        for peer in (LOOP, "torch", "torch compiled")
    }
    for turn in range(plan.rounds):
        yield Step(ours, turn, one(partial(offline, plan, case)))
        yield Step(peer_rows[LOOP], turn, loop(partial(onnxruntime_loop, plan, case, copies=True)))
        yield Step(alone, turn, loop(partial(onnxruntime_loop, plan, case, copies=False)))
        if case.batch == 1:
            yield Step(single, turn, one(partial(single_stream, plan, case)))
    for peer, compiled in (("torch", False), ("torch compiled", True)):
        yield Step(peer_rows[peer], 0, loop(partial(pytorch, plan, case, compiled=compiled)))
    rate = ours[0].value
    if rate:
        yield Step((row(SERVER, OURS),), 0, one(partial(server, plan, case, rate)))


def steps_of_a_case(plan: Plan, batch: int) -> int:
    return plan.rounds * (4 if batch == 1 else 3) + 3
