"""Weights in files and in the segment of their own; models over 2 GB."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import SaveOnnx
from onnx import TensorProto, helper, numpy_helper

from qaickit import _core
from qaickit.compiler import compile_onnx, source
from qaickit.errors import DataLossError, InvalidArgumentError, UnsupportedError
from qaickit.session import Session

FLOAT = TensorProto.FLOAT
WEIGHTS = "qaickit.weights.bin"


def segments(path: Path) -> dict[str, int]:
    return {entry["name"]: entry["bytes"] for entry in _core.read_qpc(str(path))["segments"]}


@pytest.fixture
def wide_onnx(save_onnx: SaveOnnx) -> Path:
    """y = x * W + b with 4 MiB of weights, and an index that only int64 holds."""
    random = np.random.default_rng(0)
    weights = random.standard_normal((1024, 1024)).astype(np.float32)
    return save_onnx(
        [
            helper.make_node("MatMul", ["x", "W"], ["m"]),
            helper.make_node("Add", ["m", "b"], ["a"]),
            helper.make_node("Gather", ["a", "first"], ["y"], axis=1),
        ],
        [("x", FLOAT, [2, 1024])],
        [("y", FLOAT, [2, 3])],
        [
            numpy_helper.from_array(weights, "W"),
            numpy_helper.from_array(random.standard_normal(1024).astype(np.float32), "b"),
            numpy_helper.from_array(np.array([0, 5, 7]), "first"),
        ],
        file_name="wide.onnx",
    )


@pytest.fixture
def wide_external(wide_onnx: Path, tmp_path: Path) -> Path:
    path = tmp_path / "external" / "wide.onnx"
    path.parent.mkdir()
    onnx.save(
        onnx.load(str(wide_onnx)), str(path), save_as_external_data=True, location="w.data",
        size_threshold=0,
    )  # fmt: skip
    return path


@pytest.fixture
def small_protobuf(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if protobuf held 1 MB only, so that what goes for models over 2 GB is quick to test."""
    monkeypatch.setattr(source, "MAX_MODEL_BYTES", 1 << 20)


def answers(path: Path) -> np.ndarray:
    x = np.random.default_rng(1).standard_normal((2, 1024)).astype(np.float32)
    with Session(str(path)) as session:
        return session.run({"x": x})["y"]


def test_large_weights_have_a_segment_of_their_own(wide_onnx: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    compile_onnx(wide_onnx, path)
    found = segments(path)
    assert found[WEIGHTS] >= 1024 * 1024 * 4
    assert found["qaickit.model.onnx"] < 4096
    x = np.random.default_rng(1).standard_normal((2, 1024)).astype(np.float32)
    model = onnx.load(str(wide_onnx))
    weights, bias = (numpy_helper.to_array(tensor) for tensor in model.graph.initializer[:2])
    expected = (x @ weights + bias)[:, [0, 5, 7]]
    np.testing.assert_allclose(answers(path), expected, atol=1e-3)


def test_small_models_keep_theirs_in_the_graph(linear_onnx: Path, tmp_path: Path) -> None:
    compile_onnx(linear_onnx, tmp_path / "a.bin", onnx_define_symbol={"batch": 1})
    assert WEIGHTS not in segments(tmp_path / "a.bin")


def test_two_compilations_give_the_same_bytes(wide_onnx: Path, tmp_path: Path) -> None:
    for name in ("a.bin", "b.bin"):
        compile_onnx(wide_onnx, tmp_path / name)
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "b.bin").read_bytes()


@pytest.mark.usefixtures("small_protobuf")
def test_weights_that_stay_in_their_files(wide_external: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    report = compile_onnx(wide_external, path)
    notes = [note for entry in report.passes for note in entry.notes]
    assert "2 weights stay in their files" in notes
    assert "kept as it is: it is too large to copy" in notes
    assert report.weight_bytes > 1024 * 1024 * 4
    np.testing.assert_array_equal(answers(path), reference(wide_external, tmp_path))


def reference(path: Path, tmp_path: Path) -> np.ndarray:
    """The answers of the same file with all its weights inside."""
    plain = tmp_path / "inside.onnx"
    onnx.save(onnx.load(str(path)), str(plain))
    source.MAX_MODEL_BYTES, before = 2**31 - 1, source.MAX_MODEL_BYTES
    try:
        compile_onnx(plain, tmp_path / "inside.bin")
    finally:
        source.MAX_MODEL_BYTES = before
    return answers(tmp_path / "inside.bin")


@pytest.mark.usefixtures("small_protobuf")
def test_options_that_would_read_all_weights(wide_external: Path, tmp_path: Path) -> None:
    for options in (
        {"convert_to_quantize": True, "use_random_input_data": "uniform"},
        {"always_expand_onnx_functions": True},
    ):
        name = next(iter(options))
        with pytest.raises(UnsupportedError, match=f"'{name}' reads all weights"):
            compile_onnx(wide_external, tmp_path / "out" / "a.bin", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("small_protobuf")
def test_shapes_that_do_not_go_with_the_data(wide_external: Path, tmp_path: Path) -> None:
    model = onnx.load(str(wide_external), load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == "length":
            entry.value = str(1024 * 1024 * 4 - 4)
    wide_external.write_bytes(model.SerializeToString())
    with pytest.raises((DataLossError, InvalidArgumentError), match="W"):
        compile_onnx(wide_external, tmp_path / "out" / "a.bin")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("location", ["../w.data", "/etc/hostname"])
def test_data_outside_of_the_directory(wide_external: Path, tmp_path: Path, location: str) -> None:
    (tmp_path / "w.data").write_bytes(b"secret")
    model = onnx.load(str(wide_external), load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = location
    wide_external.write_bytes(model.SerializeToString())
    with pytest.raises(InvalidArgumentError, match="not in the model's directory"):
        compile_onnx(wide_external, tmp_path / "a.bin")


def test_a_link_out_of_the_directory(wide_external: Path, tmp_path: Path) -> None:
    data = wide_external.parent / "w.data"
    data.rename(tmp_path / "elsewhere")
    data.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidArgumentError, match="not in the model's directory"):
        compile_onnx(wide_external, tmp_path / "a.bin")


# Compiles, opens and runs, and prints its peak memory in bytes before and after.
MEASURE = """
import resource, sys
import numpy as np
import onnx, onnxruntime, yaml
from qaickit.compiler import compile_onnx
from qaickit.session import Session

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

before = peak()
compile_onnx(sys.argv[1], sys.argv[2])
compiled = peak()
with Session(sys.argv[2]) as session:
    y = session.run({"x": np.ones((1, 8192), np.float32)})["y"]
assert np.all(y == y[0, 0]), y
print(before, compiled, float(y[0, 0]))
"""
LAYERS, SIDE = 9, 8192


@pytest.mark.slow
def test_over_two_gigabytes(tmp_path: Path) -> None:
    """Nine products with 256 MiB each: compiled, opened and run without a second copy of them."""
    data = tmp_path / "weights.data"
    layer_bytes = SIDE * SIDE * 4
    with open(data, "wb") as file:
        for _ in range(LAYERS):
            np.full((SIDE, SIDE), 1 / SIDE, np.float32).tofile(file)
    weights = []
    for layer in range(LAYERS):
        tensor = TensorProto(name=f"W{layer}", data_type=FLOAT, dims=[SIDE, SIDE])
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (
            ("location", data.name), ("offset", layer * layer_bytes), ("length", layer_bytes),
        ):  # fmt: skip
            tensor.external_data.add(key=key, value=str(value))
        weights.append(tensor)
    names = ["x", *(f"h{layer}" for layer in range(LAYERS - 1)), "y"]
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", [names[layer], f"W{layer}"], [names[layer + 1]])
            for layer in range(LAYERS)
        ],
        "large",
        [helper.make_tensor_value_info("x", FLOAT, [1, SIDE])],
        [helper.make_tensor_value_info("y", FLOAT, [1, SIDE])],
        initializer=weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    path = tmp_path / "large.onnx"
    path.write_bytes(model.SerializeToString())
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path), str(tmp_path / "large.bin")],
        capture_output=True, text=True, env={**os.environ},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    before, compiled, answer = map(float, done.stdout.split())
    total = LAYERS * layer_bytes
    assert total > 2**31
    assert answer == pytest.approx(1.0, rel=1e-3)
    # Mapped pages count too, so one copy is the file itself.
    assert compiled - before < 1.2 * total
