"""The profile files of `qaic-runner`: a latency table, as public scripts parse it, and a trace."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from qaickit.runner.engine import Record

# Public parsers skip so many lines before the heading, take the third column from the right as the
# whole round trip, drop Sample, queueDepth and numInfInQueue by name, and let "N/A" pass.
HEAD_LINES = 4
COLUMNS = (
    "Sample", "hostRoundTripUs", "enqTimeUs", "preProcTimeUs", "submitTimeUs", "execTotalUs",
    "exectoVcUs", "execToCompleteUs", "postProcUs", "totalRoundtripTimeUs", "queueDepth",
    "numInfInQueue",
)  # fmt: skip
_UNKNOWN = "N/A"


def latency_table(head: Sequence[str], records: Sequence[Record], queue_depth: int) -> str:
    """The text of a latency file: `head` (4 lines), headings, a row for each record.

    Times are in microseconds, from the call that runs an inference to its return. The parts of it
    that only a card's driver can tell are N/A.
    """
    assert len(head) == HEAD_LINES
    lines = [*head, ",".join(COLUMNS)]
    for record in records:
        total = f"{(record.end_ns - record.start_ns) / 1e3:.3f}"
        known = {
            "Sample": str(record.index),
            "hostRoundTripUs": total,
            "totalRoundtripTimeUs": total,
            "queueDepth": str(queue_depth),
            "numInfInQueue": str(record.in_flight),
        }
        lines.append(",".join(known.get(column, _UNKNOWN) for column in COLUMNS))
    return "\n".join(lines) + "\n"


def trace_json(program: str, records: Sequence[Record]) -> str:
    """A trace for chrome://tracing or Perfetto: an event for each record, in microseconds."""
    events = [
        {
            "name": program, "cat": "inference", "ph": "X", "pid": 0, "tid": record.lane,
            "ts": record.start_ns / 1e3, "dur": (record.end_ns - record.start_ns) / 1e3,
            "args": {"inference": record.index, "in flight": record.in_flight},
        }
        for record in records
    ]  # fmt: skip
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}, indent=1) + "\n"


def replace_file(directory: Path, name: str, data: bytes) -> None:
    """Writes a file and says so, in the words of the vendor's tool."""
    path = directory / name
    if path.exists():
        print(f"Deleting previous file: {path}")
        path.unlink()
    print(f"Writing file:{path}")
    temporary = directory / f".{name}.tmp"
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
