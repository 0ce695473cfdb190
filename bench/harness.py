"""The harness on a device that computes nothing, against the least SUT that LoadGen can have.

    cmake --preset dev && cmake --build --preset dev --target harness_bench
    python bench/harness.py

The peer completes every query inline on LoadGen's own thread, in completions of the same size.
Rates are LoadGen's own, from its logs; trace is off on all sides. Many short runs of each in turn,
since one stall of the machine spoils a run, and a long run has many.

Server is the rate at which LoadGen calls half of the trials valid with p99 below 1 ms, found by a
staircase for each peer: the next trial is at a higher rate after a valid one, at a lower rate after
another, by a factor that comes down to 5%. A trial is valid when one run in three is. There the
peers are also `queue`, the usual harness (a mutex, a condition variable, workers), and `polling`,
KILT's way (a pool under a mutex, a ring, a thread that polls it).
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
OFFLINE_SAMPLES = 1_000_000
SINGLE_STREAM_QUERIES = 200_000
SERVER_SECONDS = 0.25
SERVER_START = 100_000.0
SERVER_STEP = 1.05
SERVER_TRIES = 3
SERVER_APPROACH = 12  # trials until the step is small, which do not count


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


class Staircase:
    """One trial of the Server scenario a call; see the top of the file.

    The up-down method of Levitt: Transformed up-down methods in psychoacoustics, 1971.
    """

    def __init__(self, binary: Path, sut: str) -> None:
        self._binary = binary
        self._sut = sut
        self._rate = SERVER_START
        self._step = 2.0
        self._last: bool | None = None

    def __call__(self) -> float:
        """The rate that was tried, queries a second."""
        rate = self._rate
        valid = any(self._valid(rate) for _ in range(SERVER_TRIES))
        if self._last is not None and valid != self._last:
            self._step = max(SERVER_STEP, self._step**0.5)
        self._last = valid
        self._rate = rate * self._step if valid else rate / self._step
        return rate

    def _valid(self, rate: float) -> bool:
        queries = int(rate * SERVER_SECONDS)
        values = run(self._binary, self._sut, "server", 1, queries, rate)
        return values.get("result_validity") == "VALID"


def server_rows(binary: Path, rounds: int) -> list[Row]:
    peers = {sut: Staircase(binary, sut) for sut in ("qaickit", "inline", "queue", "polling")}
    what = "Server, p99 < 1 ms"
    tried = in_turn(peers, SERVER_APPROACH + rounds, what)
    rates = {sut: tried[sut][SERVER_APPROACH:] for sut in peers}
    return [
        Row(f"{what}: {peer}", "queries/s", rates["qaickit"], rates[peer], bound, True)
        for peer, bound in (("inline", 0.7), ("queue", 1.0), ("polling", 1.0))
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=21, help="runs of each peer (default 21)")
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
    wanted = [args.only] if args.only else ["offline", "singlestream", "server"]
    measures = {
        "Offline, batch 1": ("samples/s", 1.2, partial(offline_rate, args.binary, 1)),
        "Offline, batch 8": ("samples/s", 1.2, partial(offline_rate, args.binary, 8)),
        "SingleStream": ("queries/s", 0.5, partial(single_stream_rate, args.binary)),
    }
    rows = []
    for what, (unit, bound, measure) in measures.items():
        if what.lower().split(",")[0] not in wanted:
            continue
        results = in_turn(
            {sut: partial(measure, sut) for sut in ("qaickit", "inline")}, args.rounds, what
        )
        rows.append(Row(what, unit, results["qaickit"], results["inline"], bound, True))
    if "server" in wanted:
        rows += server_rows(args.binary, args.rounds)
    return 1 if report("qaickit's harness on `null` against other SUTs", rows) else 0


if __name__ == "__main__":
    sys.exit(main())
