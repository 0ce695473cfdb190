"""A ResNet-50 shaped net in int8 on the CPU, Offline, against the same in fp32; and compiling it.

    python bench/int8.py

The weights are random: this measures speed and memory only. Both peers run in the native LoadGen
harness, Offline, in turn, and the rates are LoadGen's own. Compiling is a process of its own:
profiling 32 images, quantising, packaging; its time and its greatest resident set count. It is done
twice and both files must have the same bytes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import qaic
from compare import Row, in_turn, report
from qaickit.models import find_model
from resnet import MODEL, harness_rate

IMAGES = 32
LEAST_RATIO = 2.4
MOST_SECONDS = 90
MOST_GIB = 3.0
# LoadGen's Offline query has as many samples as this many times the rate takes. More than 1, since
# the rate is guessed from two seconds, and a query that ends early makes the run invalid.
TARGET_OVER_RATE = 1.5

COMPILE_SCRIPT = """
import json, resource, sys, time
import numpy as np
from qaickit.compiler import compile_onnx
model, qpc, images = sys.argv[1:4]
options = json.loads(sys.argv[4])
if options.get("convert_to_quantize"):
    random = np.random.default_rng(0)
    shape = (int(images), 3, 224, 224)
    options["calibration_data"] = {"image": random.standard_normal(shape, dtype=np.float32)}
begun = time.perf_counter()
compile_onnx(model, qpc, **options)
used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([time.perf_counter() - begun, used / 2**20]))
"""


def compile_in_process(qpc: Path, **options: Any) -> tuple[float, float]:
    """Seconds and GiB that compiling the model takes in a fresh process."""
    command = [sys.executable, "-c", COMPILE_SCRIPT, str(find_model(MODEL).ensure()), str(qpc)]
    command += [str(IMAGES), json.dumps(options)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    seconds, gib = json.loads(done.stdout)
    return seconds, gib


def expected_rate(qpc: Path) -> float:
    """Samples a second, roughly: how many an Offline query shall have."""
    with qaic.Session(qpc, backend="cpu", num_activations=2) as session:
        session.run_benchmark(inf_time=1)  # the first runs are slow
        _, rate, _, batch = session.run_benchmark(inf_time=2)
    return rate * batch


def compiling(directory: Path, batch: int) -> int:
    """Compiles fp32.bin and int8.bin; prints a table; returns the number of bounds broken."""
    symbols = {"batch": batch}
    compile_in_process(directory / "fp32.bin", onnx_define_symbol=symbols)
    int8 = {"onnx_define_symbol": symbols, "convert_to_quantize": True, "enable_channelwise": True}
    table = Table(title=f"compiling in int8 with {IMAGES} images", title_justify="left")
    for column in ("run", "seconds", "bound", "GiB", "bound", "holds"):
        table.add_column(column)
    failed = 0
    for name in ("int8.bin", "again.bin"):
        seconds, gib = compile_in_process(directory / name, **int8)
        holds = seconds <= MOST_SECONDS and gib <= MOST_GIB
        failed += not holds
        table.add_row(
            name, f"{seconds:.1f}", f"<= {MOST_SECONDS}", f"{gib:.2f}", f"<= {MOST_GIB}",
            "yes" if holds else "NO",
        )  # fmt: skip
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    same = (directory / "int8.bin").read_bytes() == (directory / "again.bin").read_bytes()
    print(f"the same bytes: {'yes' if same else 'NO'}")
    return failed + (not same)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="runs of each peer (default 5)")
    parser.add_argument("--seconds", type=float, default=6, help="length of one run (default 6)")
    parser.add_argument("--batch", type=int, default=1, help="batch size (default 1)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        failed = compiling(directory, args.batch)
        results = in_turn(
            {
                peer: partial(
                    harness_rate,
                    str(directory / peer),
                    args.batch,
                    args.seconds,
                    TARGET_OVER_RATE * expected_rate(directory / peer),
                )
                for peer in ("int8.bin", "fp32.bin")
            },
            args.rounds,
            "ResNet-50 shaped",
        )
    row = Row(
        "Offline, images/s", "/s", results["int8.bin"], results["fp32.bin"], LEAST_RATIO, True
    )
    title = "ResNet-50 shaped net, random weights (speed only), int8 against fp32, cpu"
    return 1 if report(title, [row]) + failed else 0


if __name__ == "__main__":
    sys.exit(main())
