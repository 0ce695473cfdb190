"""A GPU under qaickit, onnxruntime and PyTorch: ResNet-50 and BERT-large shaped nets.

    pip install "qaickit[gpu,plot]"
    pip install torch torchvision transformers   # if PyTorch is to be a peer
    python bench/gpu.py                  # everything, about two hours; --quick: a quarter of one
    python bench/gpu.py --soak           # the same, then ten minutes of watching the memory
    python bench/gpu.py --dry-run        # tiny nets, without a GPU: shows that all of this works

The weights are random: this measures speed and memory only. Writes results.json, table.txt and
offline.svg into --output-dir, after every measurement, so that Ctrl-C keeps what is done. Ours is
the native LoadGen harness, whose numbers are LoadGen's own. The peers run the very graph that the
GPU runs of the QPC, in plain loops. onnxruntime: with IO binding, everything bound once, inputs and
outputs copied each time, with or without a CUDA graph, whichever is faster. "device only": the same
without copies and without waiting, which is as much as the GPU can give. PyTorch: its own nets of
that shape, eager and compiled. The share of time that the GPU is busy is NVML's.

Exit codes: 0 all bounds hold or a dry run, 1 one does not, 2 no GPU to run on, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import onnxruntime
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import qaickit
from gpu_cases import NETS, Case, Net, least_program, prepare
from gpu_verdicts import (
    DEVICE,
    LOOP,
    OFFLINE,
    OURS,
    SERVER,
    SINGLE,
    Findings,
    Row,
    plot,
    show,
    verdicts,
)
from gpu_watch import Gpu, Sample, Watch, busy_share
from qaickit._files import write_file
from qaickit.doctor import examine

WORKER = Path(__file__).with_name("gpu_worker.py")
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
QUICK_BATCHES = (1, 8, 64)
DRY_BATCHES = (1, 2)
# Shares of the Offline rate at which Server is tried, until LoadGen calls one valid.
SERVER_SHARES = (0.9, 0.8, 0.7, 0.6, 0.5)
NO_GPU, INTERRUPTED = 2, 130


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


def call(command: list[str]) -> str:
    """Runs a measurement; its standard output. Error: NoNumberError, with what it said last."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return done.stdout
    said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()
    raise NoNumberError(f"exit code {done.returncode}: {said[-1][:200]}")


def work(what: str, **order: Any) -> dict[str, Any]:
    """A measurement by bench/gpu_worker.py. Error: NoNumberError, also where it was skipped."""
    lines = call([sys.executable, str(WORKER), json.dumps({"what": what, **order})]).splitlines()
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
    """One measurement: the rows that it adds a value to, and how to take it.

    `measure` gives a value for each row, and the precision that was computed in, if it knows.
    """

    rows: tuple[Row, ...]
    measure: Callable[[], tuple[list[float], str]]


def steps(plan: Plan, case: Case) -> Iterator[Step]:
    """The measurements of a case, the peers in turn; PyTorch, to which no bound is, once."""

    def row(scenario: str, peer: str, unit: str = "samples/s") -> Row:
        return Row(case.net.model, case.net.precision, scenario, case.batch, peer, unit)

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
    single = (row(SINGLE, OURS, "us"),)
    peer_rows = {
        peer: (row(OFFLINE, peer), *((row(SINGLE, peer, "us"),) if case.batch == 1 else ()))
        for peer in (LOOP, "torch", "torch compiled")
    }
    for _ in range(plan.rounds):
        yield Step(ours, one(partial(offline, plan, case)))
        yield Step(peer_rows[LOOP], loop(partial(onnxruntime_loop, plan, case, copies=True)))
        yield Step(alone, loop(partial(onnxruntime_loop, plan, case, copies=False)))
        if case.batch == 1:
            yield Step(single, one(partial(single_stream, plan, case)))
    for peer, compiled in (("torch", False), ("torch compiled", True)):
        yield Step(peer_rows[peer], loop(partial(pytorch, plan, case, compiled=compiled)))
    rate = ours[0].value
    if rate:
        yield Step((row(SERVER, OURS),), one(partial(server, plan, case, rate)))


def steps_of_a_case(plan: Plan, batch: int) -> int:
    return plan.rounds * (4 if batch == 1 else 3) + 3


def take(step: Step, gpu: Gpu, found: Findings) -> None:
    """Takes one measurement into its rows; a failure becomes their note."""
    for row in step.rows:
        if row not in found.rows:
            found.rows.append(row)
    with Watch(gpu) as watch:
        try:
            values, ran = step.measure()
        except NoNumberError as error:
            for row in step.rows:
                row.note = str(error)
            return
    for row, value in zip(step.rows, values, strict=False):
        row.values.append(value)
        row.ran = ran or row.ran
        _note_gpu(row, watch.samples)


def _note_gpu(row: Row, samples: list[Sample]) -> None:
    busy = busy_share(samples)
    if busy is not None:
        row.busy.append(busy)
    if samples:
        row.used_mib = max(row.used_mib or 0, *(sample.used_mib for sample in samples))


def run_all(
    plan: Plan, nets: tuple[Net, ...], gpu: Gpu, found: Findings, save: Callable[[], None]
) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with (
        tempfile.TemporaryDirectory(prefix="gpu-bench-") as name,
        Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as progress,
    ):
        directory = Path(name)
        total = len(nets) * sum(steps_of_a_case(plan, batch) for batch in plan.batches)
        task = progress.add_task("compiling", total=total)
        for net in nets:
            for batch in plan.batches:
                progress.update(task, description=f"{net.label}, batch {batch}: compiling")
                case = prepare(net, batch, directory, small=plan.small)
                for step in steps(plan, case):
                    described = f"{net.label}, batch {batch}: {step.rows[0].peer}"
                    progress.update(task, description=described)
                    take(step, gpu, found)
                    progress.advance(task)
                    save()
                shutil.rmtree(case.directory)  # 1.3 GB twice, for BERT
        progress.update(task, description="host overhead")
        _measure_host(plan, least_program(directory), found)
        save()


def _measure_host(plan: Plan, qpc: Path, found: Findings) -> None:
    try:
        found.host_us = work(
            "least", qpc=str(qpc), backend=plan.backend, device_id=plan.device_id,
            settings={}, seconds=plan.seconds,
        )["batch_us"]  # fmt: skip
    except NoNumberError as error:
        found.notes.append(f"host overhead: {error}")


def run_soak(plan: Plan, seconds: float, gpu: Gpu, found: Findings) -> None:
    """ResNet-50 in fp16 for a long time, and what memory it takes meanwhile."""
    batch = plan.batches[-1] if plan.small else 32
    net = next(net for net in NETS if net.label == "resnet50 fp16")
    with tempfile.TemporaryDirectory(prefix="gpu-bench-") as name:
        case = prepare(net, batch, Path(name), small=plan.small)
        Console(stderr=True).print(f"soak: {seconds:g} s of {net.label}, batch {batch}")
        with Watch(gpu) as watch:
            try:
                result = work(
                    "soak", qpc=str(case.qpc), backend=plan.backend, device_id=plan.device_id,
                    settings=plan.settings, seconds=seconds,
                )  # fmt: skip
            except NoNumberError as error:
                found.notes.append(f"soak: {error}")
                return
    used = [sample.used_mib for sample in watch.samples if sample.busy > 0]
    found.soak = {**result, "seconds": seconds, "used_mib": used}


def find_device(backend: str) -> tuple[str, str]:
    """The first device of a backend, and else why there is none, as doctor says it."""
    examined = examine()
    if examined.core_error:
        return "", examined.core_error
    for listed in examined.backends:
        if listed.name == backend:
            return (listed.devices[0], "") if listed.is_usable else ("", listed.error)
    return "", f"this build of qaickit has no backend '{backend}'"


def mark_of(backend: str, device: str) -> str:
    """What stands in for a GPU: empty for a real one."""
    if backend != "cuda":
        return backend
    return "fake" if "fake" in device.lower() else ""


def make_plan(args: argparse.Namespace, backend: str, mark: str) -> Plan:
    batches, seconds, rounds = BATCHES, 5.0, 3
    if args.quick:
        batches, seconds, rounds = QUICK_BATCHES, 2.0, 1
    if args.dry_run:
        batches, seconds, rounds = DRY_BATCHES, 0.2, 1
    return Plan(
        backend=backend,
        provider=args.provider,
        peers_provider="cpu" if mark else args.provider,
        device_id=args.device_id,
        batches=tuple(args.batches) if args.batches else batches,
        seconds=args.seconds or seconds,
        rounds=args.rounds or rounds,
        small=args.dry_run,
    )


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer batch sizes, one short round")
    parser.add_argument("--dry-run", action="store_true", help="tiny nets, a CPU or fake libraries")
    parser.add_argument("--provider", choices=["cuda", "tensorrt"], default="cuda")
    parser.add_argument("--device-id", type=int, default=0)
    parser.add_argument("--batches", type=int, nargs="+", metavar="N", help="batch sizes")
    parser.add_argument("--nets", nargs="+", choices=[net.label for net in NETS], metavar="NET",
                        help=f"of {', '.join(repr(net.label) for net in NETS)}")  # fmt: skip
    parser.add_argument("--seconds", type=float, help="length of one measurement")
    parser.add_argument("--rounds", type=int, help="rounds of the peers in turn")
    parser.add_argument("--soak", type=float, nargs="?", const=600.0, metavar="S",
                        help="watch the memory for S seconds more (600)")  # fmt: skip
    parser.add_argument("--output-dir", type=Path, default=Path("gpu-results"))
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    # NVML's order, so that both mean the same GPU by a number.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    device, why_not = find_device("cuda")
    backend = "cuda"
    if not device and args.dry_run:
        backend = "cpu"
        device, why_not = find_device(backend)
    if not device:
        print(f"gpu.py: no GPU to measure: {why_not}", file=sys.stderr)
        return NO_GPU
    mark, gpu = mark_of(backend, device), Gpu(args.device_id)
    plan = make_plan(args, backend, mark)
    nets = tuple(net for net in NETS if not args.nets or net.label in args.nets)
    found = Findings(device, mark, notes=[gpu.missing] if gpu.missing else [])
    about = {
        "taken": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "qaickit": qaickit.__version__,
        "onnxruntime": onnxruntime.__version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
        "provider": plan.provider,
        "weights": "random: speed only",
    }
    args.output_dir.mkdir(parents=True, exist_ok=True)

    def save() -> None:
        text = json.dumps({**found.as_json(about), "complete": complete}, indent=1)
        write_file(args.output_dir / "results.json", text.encode(), "the results")

    complete = False
    code = 0
    try:
        run_all(plan, nets, gpu, found, save)
        if args.soak:
            run_soak(plan, args.soak, gpu, found)
        complete = True
    except KeyboardInterrupt:
        found.notes.append("interrupted: what was measured until then")
        code = INTERRUPTED
    note = plot(found, args.output_dir / "offline.svg")
    if note:
        found.notes.append(note)
    save()
    show(found, Console(width=None if sys.stdout.isatty() else 160))
    with open(args.output_dir / "table.txt", "w", encoding="utf-8") as table:
        show(found, Console(file=table, width=160))
    print(f"written: {args.output_dir}/results.json, table.txt, offline.svg")
    return code or int(any(verdict.holds is False for verdict in verdicts(found)))


if __name__ == "__main__":
    sys.exit(main())
