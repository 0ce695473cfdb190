"""Operator statistics of an inference, for the profile `stats`.

On a card they are its firmware's counters. Here they are what ONNX Runtime's own profiler says of
the same inputs, run once more on this machine's CPU with one thread, apart from the timed run.
"""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnxruntime

from qaickit import _core
from qaickit._files import read_file, write_file
from qaickit.errors import UnsupportedError
from qaickit.runner.engine import STAGES, Record
from qaickit.runner.inputs import Array
from qaickit.session import Session

_MODEL = "qaickit.model.onnx"
_WEIGHTS = "qaickit.weights.bin"
_NAME_ENDING = "_kernel_time"
_ERRORS_ONLY = 3


@dataclass(frozen=True)
class Operator:
    """One operator of the graph as it was run: node, kind, microseconds."""

    node: str
    kind: str
    microseconds: float


def operators(session: Session, inputs: Mapping[str, Array]) -> tuple[Operator, ...]:
    """The operators of one inference, in the order in which they ran.

    Error: UnsupportedError where the program runs elsewhere than on the CPU, or ONNX Runtime cannot
    run it alone.
    """
    if session.backend != "cpu":
        raise UnsupportedError(
            f"operators are not known: they are timed on the device cpu only, this is "
            f"{session.backend}"
        )
    with tempfile.TemporaryDirectory(prefix="qaickit-stats-") as directory:
        # Weights outside the graph are looked for beside it, under the name of their segment.
        present = {segment["name"] for segment in _core.read_qpc(session.qpc_path)["segments"]}
        for name in present & {_MODEL, _WEIGHTS}:
            data = _core.qpc_segment(session.qpc_path, name)
            write_file(Path(directory, name), data, "a segment of the QPC")
        return _profiled(Path(directory), inputs)


def _profiled(directory: Path, inputs: Mapping[str, Array]) -> tuple[Operator, ...]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    options.enable_profiling = True
    options.profile_file_prefix = str(directory / "profile")
    try:
        runner = onnxruntime.InferenceSession(
            str(directory / _MODEL), options, providers=["CPUExecutionProvider"]
        )
        for _ in range(2):  # the first one warms up
            runner.run(None, dict(inputs))
        events = json.loads(read_file(runner.end_profiling(), "ONNX Runtime's profile"))
    except Exception as error:  # ONNX Runtime has a dozen classes without a base of their own
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UnsupportedError(f"operators are not known: onnxruntime: {line}") from error
    last = max((event for event in events if event["name"] == "model_run"), key=lambda e: e["ts"])
    return tuple(
        Operator(
            event["name"].removesuffix(_NAME_ENDING), event["args"]["op_name"], float(event["dur"])
        )
        for event in events
        if event["cat"] == "Node"
        and event["name"].endswith(_NAME_ENDING)
        and last["ts"] <= event["ts"] <= last["ts"] + last["dur"]
    )


def stats_text(program: str, record: Record, found: Sequence[Operator] | str) -> str:
    """The text of a statistics file; `found` are the operators, or why they are not known.

    The layout is ours: the vendor's is not public.
    """
    place = record.place
    lines = [
        program,
        f"inference {place.number} of activation {place.activation}, in microseconds",
        *(
            f"  {stage:<8} {seconds * 1e6:12.3f}"
            for stage, seconds in (
                *((stage, getattr(record, stage)) for stage in STAGES), ("total", record.total),
            )
        ),
        "",
    ]  # fmt: skip
    if isinstance(found, str):
        return "\n".join([*lines, found]) + "\n"
    total = sum(operator.microseconds for operator in found)
    kinds: dict[str, list[float]] = defaultdict(list)
    for operator in found:
        kinds[operator.kind].append(operator.microseconds)
    ordered = sorted(kinds.items(), key=lambda item: -sum(item[1]))
    lines += [
        f"operators, as ONNX Runtime ran these inputs once more, alone: {total:.0f} us",
        f"  {'kind':<28} {'count':>6} {'us':>12} {'share':>7}",
        *(
            f"  {kind:<28} {len(times):>6} {sum(times):>12.0f} {_share(sum(times), total):>6.2f}%"
            for kind, times in ordered
        ),
        "",
        f"  {'us':>12} {'share':>7}  kind and node, in the order of running",
        *(
            f"  {operator.microseconds:>12.0f} {_share(operator.microseconds, total):>6.2f}%  "
            f"{operator.kind} {operator.node}"
            for operator in found
        ),
    ]
    return "\n".join(lines) + "\n"


def _share(part: float, whole: float) -> float:
    return 100 * part / whole if whole > 0 else 0.0
