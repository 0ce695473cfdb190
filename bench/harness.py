"""The harness on a device that computes nothing, against the least SUT that LoadGen can have.

    cmake --preset dev && cmake --build --preset dev --target harness_bench
    python bench/harness.py

The peer completes every query inline on LoadGen's own thread, in completions of the same size.
Rates are LoadGen's own, from its logs; trace is off on both sides. Server is the highest rate
found (in steps of 5%) at which LoadGen calls one run in three valid with p99 below 1 ms.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from compare import Row, in_turn, report

ROOT = Path(__file__).resolve().parent.parent
ACTIVATIONS = 2
OFFLINE_SAMPLES = 3_000_000
SINGLE_STREAM_QUERIES = 1_000_000
SERVER_SECONDS = 1.0
SERVER_STEP = 1.05
SERVER_TRIES = 3


def run(
    binary: Path, sut: str, scenario: str, batch: int, samples: int, qps: float
) -> dict[str, object]:
    """One LoadGen run; returns the key/value pairs of its detail log."""
    with tempfile.TemporaryDirectory() as out:
        command = [binary, sut, scenario, batch, ACTIVATIONS, samples, qps, out]
        subprocess.run([str(part) for part in command], check=True)
        values: dict[str, object] = {}
        with open(Path(out) / "mlperf_log_detail.txt", encoding="utf-8") as log:
            for line in log:
                if line.startswith(":::MLLOG "):
                    entry = json.loads(line.removeprefix(":::MLLOG "))
                    values[entry["key"]] = entry["value"]
        return values


def offline_rate(binary: Path, batch: int, sut: str) -> float:
    values = run(binary, sut, "offline", batch, OFFLINE_SAMPLES, 0)
    return float(str(values["result_samples_per_second"]))


def single_stream_rate(binary: Path, sut: str) -> float:
    """Queries a second, as the inverse of the mean latency."""
    values = run(binary, sut, "singlestream", 1, SINGLE_STREAM_QUERIES, 0)
    return 1e9 / float(str(values["result_mean_latency_ns"]))


def server_rate(binary: Path, sut: str) -> float:
    """Highest valid rate, queries a second: doubled until it fails, then narrowed down."""

    def valid(qps: float) -> bool:
        # A stall of the machine fails a run that the SUT would pass; one pass in three counts.
        return any(
            run(binary, sut, "server", 1, int(qps * SERVER_SECONDS), qps).get("result_validity")
            == "VALID"
            for _ in range(SERVER_TRIES)
        )

    good, bad = 50_000.0, 0.0
    while valid(good * 2):
        good *= 2
    bad = good * 2
    while bad / good > SERVER_STEP:
        middle = (good * bad) ** 0.5
        if valid(middle):
            good = middle
        else:
            bad = middle
    return good


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="runs of each peer (default 5)")
    parser.add_argument(
        "--binary", type=Path, default=ROOT / "build/dev/bench/harness_bench", help="harness_bench"
    )
    parser.add_argument(
        "--only", choices=["offline", "singlestream", "server"], help="one scenario"
    )
    args = parser.parse_args()
    if not args.binary.exists():
        parser.error(
            f"{args.binary} is not there; build it with: "
            "cmake --preset dev && cmake --build --preset dev --target harness_bench"
        )
    rows = []
    measures = {
        "Offline, batch 1": ("samples/s", 1.2, partial(offline_rate, args.binary, 1)),
        "Offline, batch 8": ("samples/s", 1.2, partial(offline_rate, args.binary, 8)),
        "SingleStream": ("queries/s", 0.5, partial(single_stream_rate, args.binary)),
        "Server, p99 < 1 ms": ("queries/s", 0.7, partial(server_rate, args.binary)),
    }
    for what, (unit, bound, measure) in measures.items():
        if args.only and not what.lower().startswith(args.only):
            continue
        results = in_turn(
            {sut: partial(measure, sut) for sut in ("qaickit", "inline")}, args.rounds, what
        )
        rows.append(Row(what, unit, results["qaickit"], results["inline"], bound, True))
    return 1 if report("qaickit's harness on `null` against an inline SUT", rows) else 0


if __name__ == "__main__":
    sys.exit(main())
