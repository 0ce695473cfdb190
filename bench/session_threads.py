"""Inferences a second of `Session.run` called from 8 threads, by the number of activations.

    python bench/session_threads.py

On `null`, a device whose runs take a millisecond each without the CPU: so many activations must
give almost so many times the rate of one. On `cpu`, against onnxruntime's `InferenceSession.run`
from the same 8 threads, with as many activations as there are cores.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import qaic
from compare import Row, in_turn, report

THREADS = 8
SECONDS = 0.3
WIDTH = 512


def layers_model() -> onnx.ModelProto:
    """Six square layers on a batch of 32: about a millisecond of arithmetic on one core."""
    weights = np.random.default_rng(0).standard_normal((WIDTH, WIDTH)).astype(np.float32) / 23
    names = ["x", *(f"h{i}" for i in range(5)), "y"]
    nodes = [helper.make_node("MatMul", [a, "w"], [b]) for a, b in itertools.pairwise(names)]
    graph = helper.make_graph(
        nodes,
        "layers",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [32, WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [32, WIDTH])],
        [numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def rate(call: Callable[[], object]) -> float:
    """Calls a second from all threads together."""
    counts = [0] * THREADS
    start = threading.Barrier(THREADS + 1)
    stop = threading.Event()

    def work(at: int) -> None:
        start.wait()
        while not stop.is_set():
            call()
            counts[at] += 1

    threads = [threading.Thread(target=work, args=(at,)) for at in range(THREADS)]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    time.sleep(SECONDS)
    stop.set()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - began)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=21, help="rounds of each peer (default 21)")
    args = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "layers.onnx"
        onnx.save(layers_model(), path)
        inputs = {"x": np.ones((32, WIDTH), np.float32)}

        def session(backend: str, activations: int, **settings: Any) -> qaic.Session:
            made = qaic.Session(
                path,
                backend=backend,
                num_activations=activations,
                device_settings=settings,
                output_dir=Path(directory) / "qpc",
            )
            made.setup()
            return made

        sleepers = {count: session("null", count, latency_us=1000) for count in (1, 2, 4, 8)}
        ours = session("cpu", cores)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        theirs = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        peers: dict[str, Callable[[], float]] = {
            f"null {count}": lambda made=made: rate(lambda: made.run(inputs))
            for count, made in sleepers.items()
        }
        peers["qaickit"] = lambda: rate(lambda: ours.run(inputs))
        peers["onnxruntime"] = lambda: rate(lambda: theirs.run(None, inputs))
        results = in_turn(peers, args.rounds, "Session.run from threads")
        for made in (*sleepers.values(), ours):
            made.close()
    one = results["null 1"]
    rows = [
        Row(f"null, {count} activations : 1", "/s", results[f"null {count}"], one, bound, True)
        for count, bound in ((2, 1.8), (4, 3.6), (8, 7.0))
    ]
    rows.append(
        Row(f"cpu, {cores} activations : onnxruntime", "/s", results["qaickit"],
            results["onnxruntime"], 0.95, True)
    )  # fmt: skip
    return 1 if report(f"Session.run from {THREADS} threads", rows) else 0


if __name__ == "__main__":
    sys.exit(main())
