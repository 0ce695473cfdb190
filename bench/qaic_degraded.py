"""What a run loses when one of four cards dies, over the simulator.

    cmake --preset dev && cmake --build --preset dev
    python bench/qaic_degraded.py

The card dies with the 100th run that it is given, in the first tenth of the test, so the other
three do nearly all the work: 0.75 of the rate, of which 10% may be lost to finding out. Each
simulated run takes 2 ms and computes nothing, so that the cards and not this machine's CPU are the
limit. Both runs are whole ones, through python -m qaickit.loadgen; the result of the one with the
dying card must name it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from compare import Row, in_turn, report
from qaickit import util

DEVICES = 4
DYING = 2
BOUND = (1 - 1 / DEVICES) * 0.9
SIMULATED = {
    "QAICKIT_SIM_DEVICES": str(DEVICES),
    "QAICKIT_SIM_LATENCY_US": "2000",
    "QAICKIT_SIM_COMPUTE": "0",
}


def rate(samples: int, faults: str) -> float:
    """Samples a second that were answered with a value."""
    environment = os.environ | SIMULATED | {"QAIC_LIB": str(util.sim_path())}
    environment["QAICKIT_SIM_FAULTS"] = faults
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory)
        command = [
            sys.executable, "-m", "qaickit.loadgen", "--scenario", "Offline", "--backend", "qaic",
            "--device-id", ",".join(map(str, range(DEVICES))), "--activations", "2",
            "--max-batchsize", "1", "--count", str(samples), "--output-dir", str(out / "logs"),
            "--json", str(out / "result.json"), "--quiet",
        ]  # fmt: skip
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if not (out / "result.json").exists():
            raise SystemExit(done.stderr)
        result = json.loads((out / "result.json").read_text())
    stats = result["stats"]
    if bool(faults) != (stats["lost_activations"] == 2):
        raise SystemExit(f"{stats['lost_activations']} activations lost with '{faults}'")
    if faults and f"qaic:{DYING}" not in result["failure"]:
        raise SystemExit(f"the result does not name the card: {result['failure']}")
    answered = stats["samples_ok"] / (stats["samples_ok"] + stats["samples_failed"])
    return float(result["performance"]["metric"]["value"]) * answered


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="runs of each (default 5)")
    parser.add_argument("--samples", type=int, default=8000, help="of each run (default 8000)")
    args = parser.parse_args()
    what = f"Offline on {DEVICES} cards, one dies: against all healthy"
    measures = {
        "dying": partial(rate, args.samples, f"die_after=100,device={DYING}"),
        "healthy": partial(rate, args.samples, ""),
    }
    results = in_turn(measures, args.rounds, what)
    row = Row(what, "samples/s", results["dying"], results["healthy"], BOUND, True)
    return 1 if report("the `qaic` device over the simulator, one card lost", [row]) else 0


if __name__ == "__main__":
    sys.exit(main())
