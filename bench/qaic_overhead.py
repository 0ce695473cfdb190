"""The `qaic` device over the simulator against `null`, and what the driver itself costs.

    cmake --preset dev && cmake --build --preset dev
    python bench/qaic_overhead.py

Both devices compute nothing (the simulator copies its input, like `null`) and take no time; the
rest of the path is the same: native harness, Offline. An asynchronous library costs two thread
hops a batch, which is what is left. The driver's own share is measured over a library that does
nothing and completes at once.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import harness
from compare import Row, in_turn, report

ROOT = Path(__file__).resolve().parent.parent
BOUNDS = {1: 0.15, 8: 0.3}  # batch size -> ratio
DRIVER_BOUND_NS = 1000.0


def driver_ns(build: Path, column: int) -> float:
    """Nanoseconds a run: column 0 in the same buffers, 1 binding others each time."""
    environment = os.environ | {"QAIC_LIB": str(build / "bench/libqaic_instant.so")}
    done = subprocess.run(
        [build / "bench/qaic_driver_bench"],
        env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return float(done.stdout.split()[column])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="runs of each peer (default 5)")
    parser.add_argument("--build", type=Path, default=ROOT / "build/dev", help="build folder")
    args = parser.parse_args()
    binary = args.build / "bench/harness_bench"
    simulator = args.build / "cpp/sim/libqaicsim.so"
    for path in (binary, simulator, args.build / "bench/qaic_driver_bench"):
        if not path.exists():
            parser.error(
                f"{path} is not there; build it with: "
                "cmake --preset dev && cmake --build --preset dev"
            )
    os.environ["QAIC_LIB"] = str(simulator)
    os.environ["QAICKIT_SIM_COMPUTE"] = "echo"
    rows = []
    for batch, bound in BOUNDS.items():
        what = f"Offline, batch {batch}: qaic against null"
        measures = {
            name: partial(harness.offline_rate, binary, batch, sut)
            for name, sut in (("qaic", "qaic"), ("null", "qaickit"))
        }
        results = in_turn(measures, args.rounds, what)
        rows.append(Row(what, "samples/s", results["qaic"], results["null"], bound, True))
    for column, what in enumerate(("the same buffers", "other buffers each time")):
        spent = [driver_ns(args.build, column) for _ in range(args.rounds)]
        rows.append(
            Row(f"driver alone, {what}, of 1 us", "ns", spent, [DRIVER_BOUND_NS], 1.0, False)
        )
    return 1 if report("the `qaic` device over the simulator", rows) else 0


if __name__ == "__main__":
    sys.exit(main())
