"""Compiling and opening a ResNet-50 shaped net: seconds and memory, against bounds and onnxruntime.

    python bench/compile.py
    python bench/compile.py --rounds 9

fp32: the time of a compilation. int8: time and peak memory with 32 calibration images. Opening: a
QPC to a session that is set up, against onnxruntime's session on the ONNX file, in processes of
their own, in turn; both have loaded onnxruntime's library and made its environment before, as its
Python package does when it is imported.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from compare import Row, in_turn, report
from qaickit.models import find_model

FP32_SECONDS, INT8_SECONDS, INT8_MIB = 10.0, 90.0, 3 * 1024
CALIBRATION_IMAGES = 32

# Each prints one number, of seconds, or of seconds and MiB.
_PRELUDE = "import resource, sys, time\n"
_COMPILE = (
    _PRELUDE
    + """
import numpy as np
from qaickit.compiler import compile_onnx
images = np.random.default_rng(0).standard_normal(({images}, 3, 224, 224)).astype(np.float32)
options = dict(convert_to_quantize=True, calibration_data={{"image": images}}) if {int8} else {{}}
start = time.perf_counter()
compile_onnx(sys.argv[1], sys.argv[2], batchsize=1, **options)
seconds = time.perf_counter() - start
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
)
_OPEN_OURS = (
    _PRELUDE
    + """
import qaic
from qaickit import _core
_core.backends()  # loads onnxruntime's library and makes its environment
start = time.perf_counter()
session = qaic.Session(sys.argv[1], backend="cpu")
session.setup()
print(time.perf_counter() - start)
"""
)
_OPEN_THEIRS = (
    _PRELUDE
    + """
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
start = time.perf_counter()
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
print(time.perf_counter() - start)
"""
)


def numbers(code: str, *arguments: object) -> list[float]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [float(word) for word in done.stdout.split()]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each peer (default 7)")
    parser.add_argument(
        "--no-int8", action="store_true", help="leave out int8, which takes longest"
    )
    args = parser.parse_args()
    model = find_model("resnet50-shaped").ensure()
    failed = False
    with tempfile.TemporaryDirectory() as directory:
        qpc = Path(directory) / "fp32.bin"
        fp32 = [
            numbers(_COMPILE.format(images=0, int8=False), model, qpc)[0]
            for _ in range(min(args.rounds, 3))
        ]
        failed |= bound("compile fp32", statistics.median(fp32), FP32_SECONDS, "s")
        if not args.no_int8:
            code = _COMPILE.format(images=CALIBRATION_IMAGES, int8=True)
            seconds, mib = numbers(code, model, Path(directory) / "int8.bin")
            failed |= bound("compile int8, 32 images", seconds, INT8_SECONDS, "s")
            failed |= bound("peak memory of that", mib, INT8_MIB, "MiB")
        results = in_turn(
            {
                "QPC": lambda: numbers(_OPEN_OURS, qpc)[0] * 1e3,
                "onnxruntime": lambda: numbers(_OPEN_THEIRS, model)[0] * 1e3,
            },
            args.rounds,
            "opening",
        )
    row = Row("open", "ms", results["QPC"], results["onnxruntime"], 1.0, False)
    failed |= bool(report("opening a QPC against onnxruntime opening the ONNX file", [row]))
    return 1 if failed else 0


def bound(what: str, found: float, limit: float, unit: str) -> bool:
    """Prints one line; True when the limit does not hold."""
    holds = found <= limit
    mark = "" if holds else "  DOES NOT HOLD"
    print(f"{what}: {found:.1f} {unit} (bound {limit:g} {unit}){mark}", flush=True)
    return not holds


if __name__ == "__main__":
    sys.exit(main())
