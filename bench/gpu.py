"""A GPU under qaickit, onnxruntime and PyTorch: ResNet-50 and BERT-large shaped nets.

    python bench/gpu.py                  # everything, about two hours; --quick: a quarter of one
    python bench/gpu.py --minutes 8      # a part of it; the same command again goes on
    python bench/gpu.py --soak           # everything, then ten minutes of watching the memory
    python bench/gpu.py --nets --soak    # no nets: host overhead, copies and the memory alone
    python bench/gpu.py --dry-run        # tiny nets, without a GPU: shows that all of this works

docs/gpu.md has the line that installs what it takes. The weights are random: this measures speed
and memory only. Writes results.json after every measurement, and table.txt and offline.svg at the
end, into --output-dir: whatever ends it, the same command takes over what was measured and goes on
from there; --fresh starts anew. Ours is the native LoadGen harness, whose numbers are LoadGen's
own. The peers run the very graph that the GPU runs of the QPC, in plain loops. onnxruntime: with IO
binding, everything bound once, inputs and outputs copied each time, with or without a CUDA graph,
whichever is faster. "device only": the same without copies and without waiting, which is as much as
the GPU can give. PyTorch: its own nets of that shape, eager and compiled. The share of time that
the GPU is busy is NVML's: in which at least one kernel ran. The copies are counted in the trace of
PyTorch's profiler, which is CUPTI's.

Exit codes: 0 all bounds hold or a dry run, 1 one does not, 2 no GPU to run on or results of another
run in --output-dir, 3 --minutes are over and there is more to measure, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import onnxruntime
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import qaickit
from gpu_cases import NETS, Net, case_of, least_program, prepare
from gpu_steps import NoNumberError, Plan, Step, steps, steps_of_a_case, work
from gpu_verdicts import Findings, Row, plot, show, verdicts
from gpu_watch import Gpu, Sample, Watch, busy_share
from qaickit._files import write_file
from qaickit.doctor import examine

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
QUICK_BATCHES = (1, 8, 64)
DRY_BATCHES = (1, 2)
NO_GPU, UNFINISHED, INTERRUPTED = 2, 3, 130


class OutOfTimeError(Exception):
    """The minutes that were given are over."""


@dataclass(frozen=True)
class Budget:
    """The time after which no more measurements are begun, by time.monotonic()."""

    end: float

    def check(self) -> None:
        """Error: OutOfTimeError."""
        if time.monotonic() >= self.end:
            raise OutOfTimeError


def take(step: Step, gpu: Gpu) -> None:
    """Takes one measurement into its rows; a failure becomes their note."""
    with Watch(gpu) as watch:
        try:
            values, ran = step.measure()
        except NoNumberError as error:
            for row in step.rows:
                row.note = str(error)
                row.turns = step.turn + 1
            return
    for row, value in zip(step.rows, values, strict=False):
        row.turns = step.turn + 1
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
    plan: Plan,
    nets: tuple[Net, ...],
    gpu: Gpu,
    found: Findings,
    save: Callable[[], None],
    budget: Budget,
) -> None:
    """All that is not in `found` yet. Error: OutOfTimeError."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with (
        tempfile.TemporaryDirectory(prefix="gpu-bench-") as name,
        Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as progress,
    ):
        directory = Path(name)
        total = len(nets) * sum(steps_of_a_case(plan, batch) for batch in plan.batches)
        task = progress.add_task("", total=total)
        for net in nets:
            for batch in plan.batches:
                case = case_of(net, batch, directory)
                for step in steps(plan, case, found):
                    if not step.is_done:
                        budget.check()
                        described = f"{net.label}, batch {batch}: "
                        if not case.directory.exists():
                            progress.update(task, description=described + "compiling")
                            prepare(case, directory, small=plan.small)
                        progress.update(task, description=described + step.rows[0].peer)
                        take(step, gpu)
                        save()
                    progress.advance(task)
                shutil.rmtree(case.directory, ignore_errors=True)  # 1.3 GB twice, for BERT
        budget.check()
        progress.update(task, description="host overhead, copies")
        _measure_host(plan, least_program(directory), found)
        save()


def _measure_host(plan: Plan, qpc: Path, found: Findings) -> None:
    """What is not known yet of the cost of a batch for the host, and of the copies of one."""
    order = {
        "qpc": str(qpc), "backend": plan.backend, "device_id": plan.device_id, "settings": {}
    }  # fmt: skip
    try:
        if found.host_us is None:
            found.host_us = work("least", **order, seconds=plan.seconds)["batch_us"]
    except NoNumberError as error:
        found.notes.append(f"host overhead: {error}")
    try:
        found.copies = found.copies or work("copies", **order)
    except NoNumberError as error:
        found.notes.append(f"copies: {error}")


def run_soak(plan: Plan, seconds: float, gpu: Gpu, found: Findings) -> None:
    """ResNet-50 in fp16 for a long time, and what memory it takes meanwhile."""
    batch = plan.batches[-1] if plan.small else 32
    net = next(net for net in NETS if net.label == "resnet50 fp16")
    with tempfile.TemporaryDirectory(prefix="gpu-bench-") as name:
        case = case_of(net, batch, Path(name))
        prepare(case, Path(name), small=plan.small)
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


def about_run(plan: Plan) -> dict[str, Any]:
    return {
        "taken": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "qaickit": qaickit.__version__,
        "onnxruntime": onnxruntime.__version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
        "provider": plan.provider,
        "plan": {"seconds": plan.seconds, "rounds": plan.rounds, "small": plan.small},
        "weights": "random: speed only",
    }


def take_over(path: Path, about: dict[str, Any], found: Findings) -> str:
    """Takes what was measured before into `found`; else why it does not go with this run."""
    if not path.exists():
        return ""
    earlier = json.loads(path.read_text())
    now = {**about, "device": found.device, "mark": found.mark}
    for key in ("device", "mark", "qaickit", "onnxruntime", "machine", "provider", "plan"):
        if earlier.get(key) != now[key]:
            return f"{path} has '{earlier.get(key)}' as {key}, this run has '{now[key]}'"
    found.take_over(earlier)
    return ""


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
    parser.add_argument("--nets", nargs="*", choices=[net.label for net in NETS], metavar="NET",
                        help=f"of {', '.join(repr(net.label) for net in NETS)}")  # fmt: skip
    parser.add_argument("--seconds", type=float, help="length of one measurement")
    parser.add_argument("--rounds", type=int, help="rounds of the peers in turn")
    parser.add_argument("--soak", type=float, nargs="?", const=600.0, metavar="S",
                        help="watch the memory for S seconds more (600)")  # fmt: skip
    parser.add_argument("--minutes", type=float, default=float("inf"), metavar="M",
                        help="begin nothing after M minutes; again, and it goes on")  # fmt: skip
    parser.add_argument("--fresh", action="store_true", help="take over nothing of an earlier run")
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
    nets = tuple(net for net in NETS if args.nets is None or net.label in args.nets)
    found = Findings(device, mark, notes=[gpu.missing] if gpu.missing else [])
    about = about_run(plan)
    args.output_dir.mkdir(parents=True, exist_ok=True)
    if not args.fresh:
        other = take_over(args.output_dir / "results.json", about, found)
        if other:
            print(f"gpu.py: {other}; name another --output-dir, or give --fresh", file=sys.stderr)
            return NO_GPU

    def save() -> None:
        text = json.dumps({**found.as_json(about), "complete": complete}, indent=1)
        write_file(args.output_dir / "results.json", text.encode(), "the results")

    complete = False
    code = 0
    budget = Budget(time.monotonic() + 60 * args.minutes)
    try:
        run_all(plan, nets, gpu, found, save, budget)
        if args.soak and not found.soak:
            budget.check()
            run_soak(plan, args.soak, gpu, found)
        complete = True
    except OutOfTimeError:
        found.notes.append("unfinished: the same command goes on from here")
        code = UNFINISHED
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
