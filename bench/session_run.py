"""Time of one call of `Session.run` against onnxruntime's `InferenceSession.run`.

    python bench/session_run.py

A 16 -> 4 linear model: what is measured is the way in and out, not the arithmetic.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import qaic
from compare import Row, in_turn, report

CALLS = 20_000


def linear_model() -> onnx.ModelProto:
    weights = np.random.default_rng(0).random((16, 4), dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def microseconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    for _ in range(CALLS):
        call()
    return (time.perf_counter() - start) / CALLS * 1e6


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=21, help="rounds of each peer (default 21)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "linear.onnx"
        onnx.save(linear_model(), path)
        inputs = {"x": np.ones((1, 16), np.float32)}
        theirs = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        kinds: dict[str, dict[str, bool]] = {
            "one call, 16->4 linear": {},
            "the same, enable_metrics": {"enable_metrics": True},
            "the same, enable_profiling": {"enable_profiling": True},
        }
        with contextlib.ExitStack() as stack:
            peers: dict[str, Callable[[], float]] = {}
            for name, options in kinds.items():
                ours = qaic.Session(str(path), backend="cpu", output_dir=directory, **options)
                stack.enter_context(ours).setup()
                np.testing.assert_allclose(
                    ours.run(inputs)["y"], theirs.run(None, inputs)[0], rtol=1e-5
                )
                peers[name] = lambda ours=ours: microseconds(lambda: ours.run(inputs))
            peers["onnxruntime"] = lambda: microseconds(lambda: theirs.run(None, inputs))
            results = in_turn(peers, args.rounds, "Session.run")
    rows = [Row(name, "us", results[name], results["onnxruntime"], 0.65, False) for name in kinds]
    return 1 if report("Session.run against onnxruntime's InferenceSession.run", rows) else 0


if __name__ == "__main__":
    sys.exit(main())
