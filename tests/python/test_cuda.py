"""The `cuda` backend, on a GPU of tests/fakes/cuda, which computes with the CPU's kernels.

The C++ build of the preset `dev` makes the fakes. Each run is in a process of its own, since
libraries are opened once.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qaic
from qaickit.models import MODELS

FAKES = Path(__file__).parents[2] / "build" / "dev" / "tests" / "fakes" / "cuda" / "site"
DIGITS = MODELS["digits"].path
BATCH = {"batch": 4}

RUN = f"""
import json, sys
import numpy as np
import qaic

session = qaic.Session({str(DIGITS)!r}, backend="cuda", set_size=3, onnx_define_symbol={BATCH!r})
with session:
    name = next(iter(session.model_input_shape_dict))
    outputs = [next(iter(session.run({{name: each}}).values())) for each in np.load(sys.argv[1])]
    np.save(sys.argv[2], np.stack(outputs))
    told = {{
        "inferences": session.run_benchmark(num_inferences=50)[0],
        "device": session.devices[0]["name"],
        "backend": session.backend,
    }}
print(json.dumps(told))
"""


def real_onnxruntime() -> Path:
    spec = importlib.util.find_spec("onnxruntime")
    assert spec is not None
    assert spec.origin is not None
    return sorted((Path(spec.origin).parent / "capi").glob("libonnxruntime.so*"))[-1]


@pytest.fixture
def with_gpu() -> dict[str, str]:
    """The environment of a process that has a GPU."""
    library = FAKES / "onnxruntime" / "capi" / "libonnxruntime.so"
    if not library.exists():
        pytest.skip("no fakes: cmake --preset dev && cmake --build --preset dev makes them")
    return os.environ | {
        "QAICKIT_FAKEORT_LIB": str(real_onnxruntime()),
        "QAICKIT_ONNXRUNTIME_LIB": str(library),
        "QAICKIT_CUDART_LIB": str(FAKES / "nvidia" / "cuda_runtime" / "lib" / "libcudart.so.12"),
        "QAICKIT_CUDA_DRIVER_LIB": str(FAKES / "driver" / "libcuda.so.1"),
        "QAICKIT_FAKECUDA_JITTER_US": "100",
    }


def python(
    environment: dict[str, str], *arguments: object, code: int = 0
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def loadgen(environment: dict[str, str], out: Path, *flags: object) -> dict[str, Any]:
    result = out.with_suffix(".json")
    python(
        environment, "-m", "qaickit.loadgen", *flags, "--quiet", "--json", result,
        "--output-dir", out,
    )  # fmt: skip
    content: dict[str, Any] = json.loads(result.read_text())
    return content


def test_a_session_answers_as_the_cpu_does(with_gpu: dict[str, str], tmp_path: Path) -> None:
    with qaic.Session(str(DIGITS), backend="cpu", onnx_define_symbol=BATCH) as session:
        name, (shape, dtype) = next(iter(session.model_input_shape_dict.items()))
        inputs = np.random.default_rng(1).uniform(0, 16, (8, *shape)).astype(dtype)
        expected = [next(iter(session.run({name: each}).values())) for each in inputs]
    np.save(tmp_path / "in.npy", inputs)
    done = python(with_gpu, "-c", RUN, tmp_path / "in.npy", tmp_path / "out.npy")
    told = json.loads(done.stdout)
    assert told["device"].startswith("Fake GPU")
    assert (told["backend"], told["inferences"]) == ("cuda", 50)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), np.stack(expected))


@pytest.mark.parametrize("scenario", ["offline", "singlestream", "server"])
def test_a_loadgen_run(with_gpu: dict[str, str], tmp_path: Path, scenario: str) -> None:
    flags = ("--backend", "cuda", "--scenario", scenario, "--mode", "performance", "--count", 2000)
    # A bound on the latency that a busy machine keeps as well.
    rate = ("--target-qps", 1000, "--target-latency", 60_000) if scenario == "server" else ()
    result = loadgen(with_gpu, tmp_path / "out", *flags, *rate)
    assert result["performance"]["query_count"] == (1 if scenario == "offline" else 2000)
    assert result["stats"]["samples_failed"] == 0
    assert result["stats"]["samples_ok"] >= 2000


def test_accuracy_is_that_of_the_cpu(with_gpu: dict[str, str], tmp_path: Path) -> None:
    flags = ("--mode", "accuracy", "--scenario", "offline")
    on_cpu = loadgen(dict(os.environ), tmp_path / "cpu", *flags, "--backend", "cpu")
    on_gpu = loadgen(with_gpu, tmp_path / "cuda", *flags, "--backend", "cuda")
    assert on_gpu["accuracy"] == on_cpu["accuracy"]


def test_doctor_finds_it_or_says_what_is_missing(with_gpu: dict[str, str]) -> None:
    def cuda() -> dict[str, Any]:
        report = json.loads(python(with_gpu, "-m", "qaickit.doctor", "--json").stdout)
        found: dict[str, Any] = next(each for each in report["backends"] if each["name"] == "cuda")
        return found

    assert cuda()["usable"]
    assert "Fake GPU" in cuda()["devices"][0]
    with_gpu["QAICKIT_FAKECUDA_DRIVER"] = "11080"
    assert not cuda()["usable"]
    assert "install a newer driver" in cuda()["error"]
