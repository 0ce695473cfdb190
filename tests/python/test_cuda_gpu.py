"""The `cuda` device from Python, on a machine that has a GPU; skipped elsewhere, saying why."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import qaic
from qaickit.datasets import Dataset, load_dataset
from qaickit.doctor import Backend, examine
from qaickit.errors import NotFoundError, UnavailableError
from qaickit.models import find_model

BATCH = {"batch": 4}
TOLERANCES = {"fp32": 2.0**-8, "fp16": 2.0**-6}  # TF32 has 11 bits, as fp16


def cuda() -> Backend:
    return next(backend for backend in examine().backends if backend.name == "cuda")


CUDA = cuda()
gpu = pytest.mark.skipif(not CUDA.is_usable, reason=f"no GPU: {CUDA.error.splitlines()[:1]}")


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    dataset: Dataset = load_dataset("digits", [("image", "float32", (1, 8, 8))])
    return dataset.inputs["image"][:4]


def answers(model: str, images: np.ndarray, **options: object) -> tuple[np.ndarray, str]:
    path = find_model(model).path
    with qaic.Session(path, onnx_define_symbol=BATCH, **options) as session:
        session.setup()
        return session.run({"image": images})["logits"], session.precision


@pytest.mark.parametrize("options", [{"backend": "cuda"}, {"backend": "cuda", "dev_id": 0}])
@pytest.mark.skipif(CUDA.is_usable, reason="there is a GPU here")
def test_without_a_gpu_the_error_is_what_doctor_says(options: dict[str, object]) -> None:
    with (
        qaic.Session(find_model("digits").path, onnx_define_symbol=BATCH, **options) as session,
        pytest.raises(UnavailableError) as caught,
    ):
        session.setup()
    assert CUDA.error in str(caught.value)


@pytest.mark.skipif(CUDA.is_usable, reason="there is a GPU here")
def test_loadgen_without_a_gpu_is_bad_usage(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "qaickit.loadgen", "--backend", "cuda", "--count", "1"]
    done = subprocess.run(
        [*command, "--output-dir", str(tmp_path / "out")],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert CUDA.error.splitlines()[0] in done.stderr
    assert "Traceback" not in done.stderr


def test_it_is_no_default() -> None:
    with qaic.Session(find_model("digits").path, onnx_define_symbol=BATCH) as session:
        session.setup()
        assert "cuda" not in session.describe()


@gpu
@pytest.mark.parametrize("model", ["digits", "digits-encoder"])
@pytest.mark.parametrize(
    ("precision", "options"), [("fp32", {}), ("fp16", {"convert_to_fp16": True})]
)
def test_answers_are_those_of_a_cpu(
    model: str, precision: str, options: dict[str, object], images: np.ndarray
) -> None:
    right, _ = answers(model, images, backend="cpu")
    found, ran = answers(model, images, backend="cuda", **options)
    assert ran.startswith(precision)
    assert np.abs(found - right).max() <= TOLERANCES[precision] * np.abs(right).max()


@gpu
@pytest.mark.parametrize("setting", [{"cuda_graph": "1"}, {"cuda_graph": "0"}, {"tf32": "0"}])
def test_settings(setting: dict[str, str], images: np.ndarray) -> None:
    right, _ = answers("digits", images, backend="cpu")
    found, _ = answers("digits", images, backend="cuda", device_settings=setting)
    tolerance = 1e-5 if "tf32" in setting else TOLERANCES["fp32"]
    assert np.abs(found - right).max() <= tolerance * np.abs(right).max()


@gpu
def test_every_gpu(images: np.ndarray) -> None:
    right, _ = answers("digits", images, backend="cpu")
    ids = [int(device.split()[0]) for device in CUDA.devices]
    for dev_id in (*ids, ids):
        found, _ = answers("digits", images, backend="cuda", dev_id=dev_id)
        assert np.abs(found - right).max() <= TOLERANCES["fp32"] * np.abs(right).max()
    with pytest.raises(NotFoundError):
        answers("digits", images, backend="cuda", dev_id=len(ids))


@gpu
@pytest.mark.parametrize("precision", [{}, {"convert_to_fp16": True}])
def test_held_out_accuracy_with_loadgen(precision: dict[str, object], tmp_path: Path) -> None:
    from qaickit.compiler import compile_onnx

    compile_onnx(
        find_model("digits").path, tmp_path / "a.bin", onnx_define_symbol=BATCH, **precision
    )
    command = [sys.executable, "-m", "qaickit.loadgen", "--backend", "cuda", "--mode", "accuracy"]
    command += ["--model", str(tmp_path / "a.bin"), "--workload", "classification"]
    command += ["--dataset", "digits", "--output-dir", str(tmp_path / "out"), "--json", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    accuracy = json.loads(done.stdout[done.stdout.index("{") :])["accuracy"]
    assert accuracy["percent"] > 97
