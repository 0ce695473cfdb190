"""Weights in files and in the segment of their own; models over 2 GB."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import SaveOnnx
from onnx import TensorProto, helper, numpy_helper

from qaickit import _core
from qaickit import qpc as qpc_tool
from qaickit.compile.compare import compare
from qaickit.compiler import CompileSettings, compile_onnx, source
from qaickit.errors import (
    DataLossError,
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
)
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


# --- what reads the weights: one at a time --------------------------------------------------------

IMAGES = np.random.default_rng(5).standard_normal((6, 1024)).astype(np.float32)
QUANTISING = [
    {},
    {"enable_rowwise": True},
    {"quantization_schema_constants": "asymmetric"},
    {"quantization_schema_constants": "symmetric", "quantization_precision_bias": "Int8"},
]


def stored_and_inside(path: Path, tmp_path: Path, **options: Any) -> list[Path]:
    """QPCs of the same model, with weights in files and with all of them inside."""
    plain = tmp_path / "inside.onnx"
    onnx.save(onnx.load(str(path)), str(plain))
    made = [tmp_path / "stored.bin", tmp_path / "inside.bin"]
    compile_onnx(path, made[0], **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "MAX_MODEL_BYTES", 2**31 - 1)
        compile_onnx(plain, made[1], **options)
    return made


@pytest.mark.usefixtures("small_protobuf")
@pytest.mark.parametrize("options", QUANTISING)
def test_quantising_gives_the_same(
    wide_external: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    options = {"calibration_data": {"x": IMAGES}, "convert_to_quantize": True, **options}
    stored, inside = stored_and_inside(wide_external, tmp_path, **options)
    # In int8 the weights have a quarter of their size.
    assert segments(stored)[WEIGHTS] < 1024 * 1024 * 5 // 4
    np.testing.assert_array_equal(answers(stored), answers(inside))
    found = answers(stored)
    np.testing.assert_allclose(found, answers_of_floats(wide_external, tmp_path), atol=4)
    assert not list(temporary.iterdir())


def answers_of_floats(path: Path, tmp_path: Path) -> np.ndarray:
    compile_onnx(path, tmp_path / "floats.bin")
    return answers(tmp_path / "floats.bin")


@pytest.mark.usefixtures("small_protobuf")
def test_a_profile_made_and_used(wide_external: Path, tmp_path: Path) -> None:
    profile = str(tmp_path / "profile.yaml")
    data = {"calibration_data": {"x": IMAGES}}
    compile_onnx(wide_external, tmp_path / "a.bin", dump_profile=profile, **data)
    compile_onnx(wide_external, tmp_path / "a.bin", load_profile=profile)
    compile_onnx(wide_external, tmp_path / "b.bin", convert_to_quantize=True, **data)
    np.testing.assert_array_equal(answers(tmp_path / "a.bin"), answers(tmp_path / "b.bin"))


@pytest.fixture
def layered_external(save_onnx: SaveOnnx, tmp_path: Path) -> Path:
    """A Gelu and a LayerNormalization behind 4 MiB of weights, some greater than fp16 holds.

    Besides, what a simplification takes out: an Identity, and a shape that is worked out.
    """
    random = np.random.default_rng(0)
    weights = random.standard_normal((1024, 1024)).astype(np.float32)
    weights[7, 9] = 1e6
    path = save_onnx(
        [
            helper.make_node("Identity", ["x"], ["same"]),
            helper.make_node("MatMul", ["same", "W"], ["m"]),
            helper.make_node("LayerNormalization", ["m", "g", "g"], ["n"]),
            helper.make_node("Gelu", ["n"], ["e"]),
            helper.make_node("Shape", ["x"], ["s"]),
            helper.make_node("Reshape", ["e", "s"], ["y"]),
        ],
        [("x", FLOAT, [2, 1024])],
        [("y", FLOAT, [2, 1024])],
        [
            numpy_helper.from_array(weights, "W"),
            numpy_helper.from_array(random.standard_normal(1024).astype(np.float32), "g"),
        ],
        opset=20,
        ir_version=9,
    )
    made = tmp_path / "layered" / "model.onnx"
    made.parent.mkdir()
    onnx.save(
        onnx.load(str(path)), str(made), save_as_external_data=True, location="w.data",
        size_threshold=0,
    )  # fmt: skip
    return made


def graph_of(qpc: Path, tmp_path: Path) -> onnx.ModelProto:
    out = tmp_path / "extracted"
    assert qpc_tool.main(["extract", "--qpc", str(qpc), "--output-dir", str(out)]) == 0
    return onnx.load(str(next(out.rglob("qaickit.model.onnx"))), load_external_data=False)


@pytest.mark.usefixtures("small_protobuf")
@pytest.mark.parametrize(
    ("options", "operators", "gone"),
    [
        ({}, {"MatMul", "LayerNormalization", "Gelu"}, {"Identity", "Shape"}),
        ({"always_expand_onnx_functions": True}, {"MatMul", "Erf"}, {"Identity", "Gelu"}),
    ],
)
def test_graphs_are_simplified_and_expanded(
    layered_external: Path,
    tmp_path: Path,
    options: dict[str, Any],
    operators: set[str],
    gone: set[str],
) -> None:
    stored, inside = stored_and_inside(layered_external, tmp_path, **options)
    found = {node.op_type for node in graph_of(stored, tmp_path).graph.node}
    assert operators <= found
    assert not gone & found
    np.testing.assert_allclose(answers(stored), answers(inside), atol=1e-5)


@pytest.mark.usefixtures("small_protobuf")
def test_clipping_for_fp16(layered_external: Path, tmp_path: Path) -> None:
    report = compile_onnx(layered_external, tmp_path / "a.bin", convert_to_fp16=True)
    notes = [note for entry in report.passes for note in entry.notes]
    assert "clipped to +-65504: 1 constants" in notes
    stored, inside = stored_and_inside(layered_external, tmp_path, convert_to_fp16=True)
    np.testing.assert_array_equal(answers(stored), answers(inside))
    before = answers_of_floats(layered_external, tmp_path)
    assert not np.array_equal(answers(stored), before)


@pytest.mark.usefixtures("small_protobuf")
def test_clipped_and_quantised(layered_external: Path, tmp_path: Path) -> None:
    """Calibrating then takes weights from two places."""
    stored, inside = stored_and_inside(
        layered_external,
        tmp_path,
        convert_to_fp16=True,
        convert_to_quantize=True,
        calibration_data={"x": IMAGES},
    )
    np.testing.assert_array_equal(answers(stored), answers(inside))


@pytest.mark.usefixtures("small_protobuf")
@pytest.mark.parametrize("perm", [None, [1, 0]])
def test_transposed_weights_are_weights(
    save_onnx: SaveOnnx, tmp_path: Path, perm: list[int] | None
) -> None:
    """As exporters leave them that fold small constants only."""
    weights = np.random.default_rng(0).standard_normal((512, 1024)).astype(np.float32)
    plain = save_onnx(
        [
            helper.make_node("Transpose", ["W"], ["t"], **({} if perm is None else {"perm": perm})),
            helper.make_node("MatMul", ["x", "t"], ["y"]),
        ],
        [("x", FLOAT, [2, 1024])],
        [("y", FLOAT, [2, 512])],
        [numpy_helper.from_array(weights, "W")],
    )
    path = tmp_path / "transposed" / "model.onnx"
    path.parent.mkdir()
    onnx.save(onnx.load(str(plain)), str(path), save_as_external_data=True, location="w.data")
    options = {"convert_to_quantize": True, "calibration_data": {"x": IMAGES}}
    stored, inside = stored_and_inside(path, tmp_path, enable_rowwise=True, **options)
    found = graph_of(stored, tmp_path).graph
    assert "Transpose" not in {node.op_type for node in found.node}
    assert [list(t.dims) for t in found.initializer if len(t.dims) == 2] == [[1024, 512]]
    np.testing.assert_array_equal(answers(stored), answers(inside))


@pytest.mark.usefixtures("small_protobuf")
def test_several_shapes(save_onnx: SaveOnnx, tmp_path: Path) -> None:
    weights = np.random.default_rng(0).standard_normal((1024, 1024)).astype(np.float32)
    plain = save_onnx(
        [helper.make_node("MatMul", ["x", "W"], ["y"])],
        [("x", FLOAT, ["batch", 1024])],
        [("y", FLOAT, ["batch", 1024])],
        [numpy_helper.from_array(weights, "W")],
    )
    path = tmp_path / "open" / "model.onnx"
    path.parent.mkdir()
    onnx.save(onnx.load(str(plain)), str(path), save_as_external_data=True, location="w.data")
    sets = tmp_path / "sets.json"
    sets.write_text(json.dumps({"specializations": [{"batch": 1}, {"batch": 4}]}))
    compile_onnx(
        path,
        tmp_path / "a.bin",
        network_specialization_config=str(sets),
        convert_to_quantize=True,
        calibration_data={"x": IMAGES},
    )
    with Session(tmp_path / "a.bin") as session:
        for x in (IMAGES[:1], IMAGES[:4]):
            np.testing.assert_allclose(session.run({"x": x})["y"], x @ weights, atol=4)


@pytest.mark.usefixtures("small_protobuf")
def test_an_old_opset_is_converted(wide_external: Path, tmp_path: Path) -> None:
    model = onnx.load(str(wide_external), load_external_data=False)
    model.opset_import[0].version = 11
    wide_external.write_bytes(model.SerializeToString())
    options = {"convert_to_quantize": True, "calibration_data": {"x": IMAGES}}
    report = compile_onnx(wide_external, tmp_path / "a.bin", **options)
    assert "opset 11 -> 13" in [note for entry in report.passes for note in entry.notes]
    np.testing.assert_allclose(
        answers(tmp_path / "a.bin"), answers_of_floats(wide_external, tmp_path), atol=4
    )


@pytest.mark.usefixtures("small_protobuf")
@pytest.mark.parametrize("fp16", [False, True])
def test_comparing(layered_external: Path, fp16: bool) -> None:
    settings = CompileSettings.of(
        convert_to_quantize=True, calibration_data={"x": IMAGES}, convert_to_fp16=fp16
    )
    found = compare(str(layered_external), settings, {"x": IMAGES}, by_layer=True)
    differences = {entry.name: entry for entry in found.differences}
    assert found.samples == 6
    assert {"y", "m", "n"} <= differences.keys()
    assert differences["n"].max_error > 0
    assert differences["y"].cosine > 0.8


@pytest.mark.usefixtures("small_protobuf")
def test_no_room_for_temporary_files(wide_external: Path, tmp_path: Path) -> None:
    options = {"convert_to_quantize": True, "calibration_data": {"x": IMAGES}}
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    # As a full disk: a file may have half of what the weights take in int8.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, limit[1]))
    try:
        with pytest.raises(ResourceExhaustedError, match=r"weights of 'W.q' into .* set TMPDIR"):
            compile_onnx(wide_external, tmp_path / "out" / "a.bin", **options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert not (tmp_path / "out").exists()


def test_no_directory_for_temporary_files(
    linear_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(NotFoundError, match=r"cannot make a directory in .*set TMPDIR"):
        compile_onnx(linear_onnx, tmp_path / "a.bin", onnx_define_symbol={"batch": 1})


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


# --- over 2 GB -----------------------------------------------------------------------------------

# Compiles, opens and runs, and prints its peak memory in bytes before and after, and the answer.
MEASURE = """
import json, resource, sys
import numpy as np
import onnx, onnxruntime, yaml
from qaickit.compiler import compile_onnx
from qaickit.session import Session

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

options = json.loads(sys.argv[3])
x = np.linspace(0, 2, 8192, dtype=np.float32)[None]
if options:
    options["calibration_data"] = {"x": x}
before = peak()
compile_onnx(sys.argv[1], sys.argv[2], **options)
compiled = peak()
with Session(sys.argv[2]) as session:
    y = session.run({"x": x})["y"]
assert np.all(y == y[0, 0]), y
print(before, compiled, float(y[0, 0]))
"""
LAYERS, SIDE = 9, 8192
LAYER_BYTES = SIDE * SIDE * 4


@pytest.fixture(scope="module")
def nine_layers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine products with 256 MiB each."""
    data = tmp_path_factory.mktemp("large") / "weights.data"
    with open(data, "wb") as file:
        for _ in range(LAYERS):
            np.full((SIDE, SIDE), 1 / SIDE, np.float32).tofile(file)
    weights = []
    for layer in range(LAYERS):
        tensor = TensorProto(name=f"W{layer}", data_type=FLOAT, dims=[SIDE, SIDE])
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (
            ("location", data.name), ("offset", layer * LAYER_BYTES), ("length", LAYER_BYTES),
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
    path = data.with_name("large.onnx")
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{}, {"convert_to_quantize": True}, {"convert_to_fp16": True}], ids=str
)
def test_over_two_gigabytes(nine_layers: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    """Compiled, opened and run without a second copy of the weights."""
    qpc = tmp_path / "large.bin"
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(nine_layers), str(qpc), json.dumps(options)],
        capture_output=True, text=True, env={**os.environ},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    before, compiled, answer = map(float, done.stdout.split())
    total = LAYERS * LAYER_BYTES
    assert total > 2**31
    assert answer == pytest.approx(1.0, rel=0.02 if options else 1e-3)
    # Mapped pages count too, so one copy is the file itself.
    assert compiled - before < 1.2 * total
    qpc.unlink()


@pytest.mark.slow
def test_comparing_over_two_gigabytes(nine_layers: Path, tmp_path: Path) -> None:
    x = np.linspace(0, 2, SIDE, dtype=np.float32)[None]
    settings = CompileSettings.of(convert_to_quantize=True, calibration_data={"x": x})
    found = compare(str(nine_layers), settings, {"x": x}, by_layer=True)
    assert {"y", "h0"} <= {entry.name for entry in found.differences}
    assert min(entry.cosine for entry in found.differences) > 0.999
