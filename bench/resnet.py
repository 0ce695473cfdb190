"""A ResNet-50 shaped fp32 net on the CPU, Offline, against onnxruntime's own loops; and memory.

    python bench/resnet.py

The weights are random: this measures speed and memory only. The peer is the best of onnxruntime's
loops over batch 1, 2, 4, 8 with 1 or 2 intra-op threads, found first; then both run in turn.
Ours is the native LoadGen harness, Offline, whose rate is LoadGen's own. Memory is the resident
set of a fresh process after it has run on all its activations at once.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime

from compare import Row, in_turn, report
from qaickit.models import find_model

MODEL = "resnet50-shaped"

MEMORY_SCRIPT = """
import sys, threading
import numpy as np
import qaic
path, activations = sys.argv[1], int(sys.argv[2])
session = qaic.Session(path, backend="cpu", num_activations=activations,
                       onnx_define_symbol={"batch": 1})
session.setup()
inputs = {"image": np.zeros((1, 3, 224, 224), np.float32)}
session.run_benchmark(num_inferences=8 * activations, input_dict=inputs)
with open("/proc/self/status") as status:
    print(next(int(line.split()[1]) for line in status if line.startswith("VmRSS")))
"""


def loop_rate(session: onnxruntime.InferenceSession, batch: int, seconds: float) -> float:
    """Images a second of a plain loop over `session.run`."""
    inputs = {"image": np.zeros((batch, 3, 224, 224), np.float32)}
    session.run(None, inputs)
    start = time.perf_counter()
    count = 0
    while time.perf_counter() - start < seconds:
        session.run(None, inputs)
        count += batch
    return count / (time.perf_counter() - start)


def make_loop(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def harness_rate(model: str, batch: int, seconds: float, target_qps: float) -> float:
    """Samples a second of the native harness, Offline, two activations of one thread each."""
    with tempfile.TemporaryDirectory() as out:
        result = Path(out) / "result.json"
        command = [sys.executable, "-m", "qaickit.loadgen", "--scenario", "Offline"]
        command += ["--model", model, "--backend", "cpu", "--max-batchsize", str(batch)]
        command += ["--dataset", "random"]
        command += ["--activations", "2", "--threads-per-activation", "1", "--quiet"]
        command += ["--performance-sample-count", "64", "--min-duration", str(seconds)]
        command += ["--target-qps", str(target_qps)]
        command += ["--output-dir", str(Path(out) / "logs"), "--json", str(result)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return float(json.loads(result.read_text())["performance"]["metric"]["value"])


def resident_kib(path: Path, activations: int) -> float:
    command = [sys.executable, "-c", MEMORY_SCRIPT, str(path), str(activations)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="runs of each peer (default 5)")
    parser.add_argument("--seconds", type=float, default=6, help="length of one run (default 6)")
    parser.add_argument("--batch", type=int, default=1, help="our batch size (default 1)")
    args = parser.parse_args()
    path = Path(find_model(MODEL).ensure())

    loops = {threads: make_loop(path, threads) for threads in (1, 2)}
    rates = {
        (threads, batch): loop_rate(loops[threads], batch, args.seconds / 2)
        for threads in loops
        for batch in (1, 2, 4, 8)
    }
    threads, batch = max(rates, key=lambda key: rates[key])
    print(f"onnxruntime's best loop: {threads} threads, batch {batch}")
    results = in_turn(
        {
            "qaickit": partial(
                harness_rate, MODEL, args.batch, args.seconds, 1.5 * max(rates.values())
            ),
            "onnxruntime": partial(loop_rate, loops[threads], batch, args.seconds),
        },
        args.rounds,
        "ResNet-50 shaped",
    )
    memory = in_turn(
        {str(n): partial(resident_kib, path, n) for n in (4, 1)}, min(args.rounds, 3), "memory"
    )
    rows = [
        Row(
            "Offline, images/s",
            "/s",
            results["qaickit"],
            results["onnxruntime"],
            0.97,
            True,
        ),
        Row("resident memory, 4 activations : 1", "KiB", memory["4"], memory["1"], 1.15, False),
    ]
    return 1 if report("ResNet-50 shaped net, random weights (speed only), fp32, cpu", rows) else 0


if __name__ == "__main__":
    sys.exit(main())
