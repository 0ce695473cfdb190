"""The profile files of `qaic-runner`: latency tables, as public scripts parse them, and traces."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from qaickit._files import write_file
from qaickit.runner.engine import STAGES, Record

# Public parsers skip so many lines before the heading, take the third column from the right as the
# whole round trip, drop Sample, queueDepth and numInfInQueue by name, and let "N/A" pass.
HEAD_LINES = 4
COLUMNS = (
    "Sample", "hostRoundTripUs", "enqTimeUs", "preProcTimeUs", "submitTimeUs", "execTotalUs",
    "exectoVcUs", "execToCompleteUs", "postProcUs", "totalRoundtripTimeUs", "queueDepth",
    "numInfInQueue",
)  # fmt: skip
_UNKNOWN = "N/A"
# The last line of the head.
_MEANING = (
    "enqTime: wait for an idle ExecObj; preProc: inputs bound or copied; execTotal: on the device, "
    "transfers and conversions included; postProc: outputs copied; N/A: known to the card's "
    "driver only"
)


def latency_table(head: Sequence[str], records: Sequence[Record]) -> str:
    """The text of a latency file: `head` (3 lines), what the columns mean, headings, a row each.

    Times are in microseconds. In the vendor's recordings hostRoundTrip is exectoVc plus
    execToComplete, which with submitTime are moments inside its driver; they are N/A. queueDepth
    and numInfInQueue count the activation's inferences in flight before and after the submission,
    as the vendor's open runtime has them.
    """
    lines = [*head, _MEANING, ",".join(COLUMNS)]
    assert len(lines) == HEAD_LINES + 1
    for record in records:
        known = {
            "Sample": str(record.place.number),
            "enqTimeUs": _microseconds(record.wait),
            "preProcTimeUs": _microseconds(record.gather),
            "execTotalUs": _microseconds(record.device),
            "postProcUs": _microseconds(record.scatter),
            "totalRoundtripTimeUs": _microseconds(record.total),
            "queueDepth": str(record.before),
            "numInfInQueue": str(record.before + 1),
        }
        lines.append(",".join(known.get(column, _UNKNOWN) for column in COLUMNS))
    return "\n".join(lines) + "\n"


def _microseconds(seconds: float) -> str:
    return f"{seconds * 1e6:.3f}"


def trace_json(program: str, records: Sequence[Record]) -> str:
    """A trace for chrome://tracing or Perfetto; microseconds since the run began.

    A process for each activation, a thread for each of its sets of buffers, an event for each
    inference, and in it one for each stage that took any time.
    """
    events: list[dict[str, object]] = [
        {"name": "process_name", "ph": "M", "pid": activation, "args": {"name": f"activation {activation}"}}  # noqa: E501
        for activation in sorted({record.place.activation for record in records})
    ]  # fmt: skip
    for record in records:
        place = {"pid": record.place.activation, "tid": record.lane, "ph": "X"}
        events.append(
            {
                "name": program, "cat": "inference", **place,
                "ts": record.start * 1e6, "dur": record.total * 1e6,
                "args": {"inference": record.place.index, "in flight": record.before + 1},
            }
        )  # fmt: skip
        start = record.start
        for stage in STAGES:
            seconds: float = getattr(record, stage)
            if seconds > 0:
                times = {"ts": start * 1e6, "dur": seconds * 1e6}
                events.append({"name": stage, "cat": "stage", **place, **times})
            start += seconds
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}, indent=1) + "\n"


def replace_file(directory: Path, name: str, data: bytes) -> None:
    """Writes a file and says so, in the words of the vendor's tool."""
    path = directory / name
    if path.exists():
        print(f"Deleting previous file: {path}")
    print(f"Writing file:{path}")
    write_file(path, data, "the file")
