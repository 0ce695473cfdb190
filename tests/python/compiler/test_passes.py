"""Each pass alone, on models of a few nodes, and what reaches the manifest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from conftest import SaveOnnx
from onnx import TensorProto, helper, numpy_helper

from qaickit import _core
from qaickit.compiler import CompileSettings, compile_onnx
from qaickit.compiler.job import Job
from qaickit.compiler.passes.functions import expand_onnx_functions, inline_local_functions
from qaickit.compiler.passes.precision import (
    FP16_MAX,
    read_node_precision,
    set_node_precision,
    set_precision_policy,
)
from qaickit.compiler.passes.simplify import simplify
from qaickit.compiler.passes.versions import convert_versions
from qaickit.compiler.source import OnnxSource
from qaickit.errors import InvalidArgumentError, NotFoundError

FLOAT = TensorProto.FLOAT
RunPass = Callable[[onnx.ModelProto, Job], list[str]]


def load(path: Path, **options: object) -> tuple[onnx.ModelProto, Job]:
    job = Job(OnnxSource.read(path), CompileSettings.of(**options))
    return job.source.model, job


def run(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, feeds))


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def constant(name: str, values: object, dtype: type = np.float32) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(values, dtype), name)


# --- versions ------------------------------------------------------------------------------------


def test_an_ir_version_that_is_too_new_is_lowered(save_onnx: SaveOnnx) -> None:
    path = save_onnx(
        [helper.make_node("Relu", ["x"], ["y"])],
        [("x", FLOAT, [2])],
        [("y", FLOAT, [2])],
        ir_version=onnx.IR_VERSION,
    )
    model, job = load(path)
    notes = convert_versions(model, job)
    onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert bool(notes) == (model.ir_version < onnx.IR_VERSION)


def test_an_old_opset_is_raised_with_the_same_answers(save_onnx: SaveOnnx) -> None:
    """Before opset 7, Add says by an attribute that it broadcasts."""
    path = save_onnx(
        [helper.make_node("Add", ["x", "b"], ["y"], broadcast=1)],
        [("x", FLOAT, [2, 3, 4])],
        [("y", FLOAT, [2, 3, 4])],
        [constant("b", [1, 2, 3, 4])],
        opset=6,
        ir_version=4,
    )
    model, job = load(path)
    assert convert_versions(model, job) == ["opset 6 -> 7"]
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    np.testing.assert_array_equal(run(model, {"x": x})[0], x + np.float32([1, 2, 3, 4]))


def test_versions_in_use_stay(linear_onnx: Path) -> None:
    model, job = load(linear_onnx)
    before = model.SerializeToString(deterministic=True)
    assert convert_versions(model, job) == []
    assert model.SerializeToString(deterministic=True) == before


# --- functions -----------------------------------------------------------------------------------


@pytest.fixture
def function_onnx(tmp_path: Path) -> Path:
    """y = double(x), where double is a function of the model."""
    body = helper.make_function(
        "local", "double", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])],
        [helper.make_opsetid("", 17)],
    )  # fmt: skip
    graph = helper.make_graph(
        [helper.make_node("double", ["x"], ["y"], domain="local")],
        "net",
        [helper.make_tensor_value_info("x", FLOAT, [2])],
        [helper.make_tensor_value_info("y", FLOAT, [2])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    model = helper.make_model(graph, functions=[body], opset_imports=opsets)
    model.ir_version = 8
    path = tmp_path / "function.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_local_functions_are_written_out(function_onnx: Path) -> None:
    model, job = load(function_onnx)
    assert inline_local_functions(model, job) == ["expanded: double"]
    assert operators(model) == ["Add"]
    assert not model.functions


def test_sub_functions_are_kept_and_run(function_onnx: Path, tmp_path: Path) -> None:
    compile_onnx(function_onnx, tmp_path / "a.bin", sub_functions=True)
    model = onnx.ModelProto()
    model.ParseFromString(_core.qpc_segment(str(tmp_path / "a.bin"), "qaickit.model.onnx"))
    assert [function.name for function in model.functions] == ["double"]
    np.testing.assert_array_equal(run(model, {"x": np.float32([1, 2])})[0], np.float32([2, 4]))


def test_onnx_functions_are_written_out_with_the_same_answers(save_onnx: SaveOnnx) -> None:
    path = save_onnx(
        [
            helper.make_node("LayerNormalization", ["x", "scale", "bias"], ["n"]),
            helper.make_node("Gelu", ["n"], ["y"]),
        ],
        [("x", FLOAT, [2, 4])],
        [("y", FLOAT, [2, 4])],
        [constant("scale", [1, 2, 3, 4]), constant("bias", [0, 1, 0, 1])],
        opset=20,
    )
    x = np.random.default_rng(0).standard_normal((2, 4)).astype(np.float32)
    plain, job = load(path)
    assert expand_onnx_functions(plain, job) == []
    expanded, job = load(path, always_expand_onnx_functions=True)
    notes = expand_onnx_functions(expanded, job)
    assert notes == ["expanded: 1 Gelu", "expanded: 1 LayerNormalization"]
    assert not {"Gelu", "LayerNormalization"} & set(operators(expanded))
    np.testing.assert_allclose(run(expanded, {"x": x})[0], run(plain, {"x": x})[0], atol=1e-5)


# --- simplify ------------------------------------------------------------------------------------


@pytest.fixture
def conv_onnx(save_onnx: SaveOnnx) -> Path:
    """Conv and BatchNormalization, reshaped to a shape that is computed from constants."""
    random = np.random.default_rng(1)
    return save_onnx(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
            helper.make_node("BatchNormalization", ["c", "g", "b", "m", "v"], ["n"]),
            helper.make_node("Relu", ["n"], ["r"]),
            helper.make_node("Concat", ["one", "minus"], ["to"], axis=0),
            helper.make_node("Reshape", ["r", "to"], ["y"]),
        ],
        [("x", FLOAT, ["batch", 2, 4, 4])],
        [("y", FLOAT, None)],
        [
            constant("w", random.standard_normal((3, 2, 3, 3))),
            *(constant(name, random.random(3) + 0.5) for name in "gbmv"),
            constant("one", [1], np.int64),
            constant("minus", [-1], np.int64),
        ],
    )


def test_simplify_folds_and_fuses_with_the_same_answers(conv_onnx: Path) -> None:
    model, job = load(conv_onnx)
    x = np.random.default_rng(2).standard_normal((1, 2, 4, 4)).astype(np.float32)
    before = run(model, {"x": x})[0]
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    notes = simplify(model, job)
    assert "BatchNormalization: 1 -> 0" in notes
    assert "Concat: 1 -> 0" in notes
    assert operators(model) == ["Conv", "Relu", "Reshape"]
    assert [entry.domain for entry in model.opset_import] == [""]
    np.testing.assert_allclose(run(model, {"x": x})[0], before, atol=1e-4)
    # The Conv lives on in the node that took over its BatchNormalization.
    assert model.graph.node[0].output[0] in ("c", "n")
    if model.graph.node[0].output[0] == "n":
        assert job.outcome.moved["c"] == "n"


def test_simplify_is_deterministic(conv_onnx: Path, tmp_path: Path) -> None:
    for name in ("a.bin", "b.bin"):
        compile_onnx(conv_onnx, tmp_path / name, onnx_define_symbol={"batch": 1})
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "b.bin").read_bytes()


def test_graphs_that_stay_as_they_are(save_onnx: SaveOnnx) -> None:
    half = TensorProto.FLOAT16
    path = save_onnx(
        [helper.make_node("Add", ["x", "x"], ["y"])], [("x", half, [2])], [("y", half, [2])]
    )
    assert simplify(*load(path)) == ["kept as it is: it is in half precision"]
    path = save_onnx(
        [
            helper.make_node("QuantizeLinear", ["x", "s"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s"], ["y"]),
        ],
        [("x", FLOAT, [2])],
        [("y", FLOAT, [2])],
        [constant("s", 0.5)],
    )
    assert simplify(*load(path)) == ["kept as it is: it is quantised already"]


def test_weights_that_would_be_written_out_are_not(save_onnx: SaveOnnx) -> None:
    path = save_onnx(
        [
            helper.make_node("Expand", ["one", "shape"], ["big"]),
            helper.make_node("Mul", ["x", "big"], ["y"]),
        ],
        [("x", FLOAT, [1024, 1024])],
        [("y", FLOAT, [1024, 1024])],
        [constant("one", [2.0]), constant("shape", [1024, 1024], np.int64)],
    )
    model, job = load(path)
    (note,) = simplify(model, job)
    assert note.startswith("kept as it is: its weights would grow to")
    assert operators(model) == ["Expand", "Mul"]


# --- precision -----------------------------------------------------------------------------------


def test_fp16_clips_constants_and_is_recorded(save_onnx: SaveOnnx, tmp_path: Path) -> None:
    path = save_onnx(
        [
            helper.make_node("Constant", [], ["low"], value_float=-3.4e38),
            helper.make_node("Add", ["x", "mask"], ["m"]),
            helper.make_node("Max", ["m", "low"], ["y"]),
        ],
        [("x", FLOAT, [4])],
        [("y", FLOAT, [4])],
        [constant("mask", [0.0, -3.4e38, np.inf, 7.5])],
    )
    model, job = load(path, convert_to_fp16=True)
    assert set_precision_policy(model, job) == [
        "asked for: fp16",
        "clipped to +-65504: 2 constants",
    ]
    mask = numpy_helper.to_array(model.graph.initializer[0])
    np.testing.assert_array_equal(mask, np.float32([0, -FP16_MAX, FP16_MAX, 7.5]))
    assert model.graph.node[0].attribute[0].f == -FP16_MAX
    report = compile_onnx(path, tmp_path / "a.bin", convert_to_fp16=True)
    assert report.precision == "fp16"
    # The host half computes in fp32 still, and says so.
    program = _core.read_qpc(str(tmp_path / "a.bin"))["program"]
    assert program["inputs"][0]["dtype"] == "float32"


def test_without_fp16_nothing_is_clipped(save_onnx: SaveOnnx) -> None:
    path = save_onnx(
        [helper.make_node("Add", ["x", "mask"], ["y"])],
        [("x", FLOAT, [1])],
        [("y", FLOAT, [1])],
        [constant("mask", [-3.4e38])],
    )
    model, job = load(path)
    before = model.SerializeToString(deterministic=True)
    assert set_precision_policy(model, job) == []
    assert model.SerializeToString(deterministic=True) == before


def write_precision(tmp_path: Path, text: str) -> str:
    path = tmp_path / "precision.yaml"
    path.write_text(text)
    return str(path)


def test_node_precision_reaches_the_manifest(linear_onnx: Path, tmp_path: Path) -> None:
    path = write_precision(tmp_path, "FP32NodeInstanceNames: [y, gone]\n")
    model, job = load(
        linear_onnx,
        execute_nodes_in_fp16="MatMul,Add,Softmax",
        node_precision_info_file=path,
    )
    notes = set_node_precision(model, job)
    assert job.outcome.node_precision == {"xW": "fp16", "y": "fp32"}
    assert notes == [
        "execute_nodes_in_fp16: no operator Softmax in the model",
        "1 nodes in fp16",
        "1 nodes in fp32",
        "node_precision_info_file: 1 nodes not in the model: gone",
    ]
    compile_onnx(
        linear_onnx,
        tmp_path / "a.bin",
        onnx_define_symbol={"batch": 1},
        keep_original_precision_for_nodes=["Gemm", "MatMul", "Add"],
    )
    manifest = _core.read_qpc(str(tmp_path / "a.bin"))["manifest"]
    assert manifest is not None
    assert manifest["node_precision"]["y"] == "original"


def test_a_fused_node_keeps_the_precision_asked_for(conv_onnx: Path, tmp_path: Path) -> None:
    """The file names the Conv; the simplified graph computes it together with what follows."""
    path = write_precision(tmp_path, "FP16NodeInstanceNames:\n - c\n")
    compile_onnx(
        conv_onnx,
        tmp_path / "a.bin",
        onnx_define_symbol={"batch": 1},
        node_precision_info_file=path,
    )
    manifest = _core.read_qpc(str(tmp_path / "a.bin"))["manifest"]
    assert manifest is not None
    assert list(manifest["node_precision"].values()) == ["fp16"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a, b]", "expected a mapping"),
        ("FP16NodeInstanceName: [a]", "key 'FP16NodeInstanceName' is not known"),
        ("FP16NodeInstanceNames: a", "FP16NodeInstanceNames is not a list of names"),
        ("FP16NodeInstanceNames: [1]", "FP16NodeInstanceNames is not a list of names"),
        ("FP16NodeInstanceNames: [a]\nFP32NodeInstanceNames: [a]", "'a' is listed in fp16 and in"),
        ("{", "is not valid YAML"),
        ("\x00", "is not valid YAML"),
    ],
)
def test_bad_precision_files(tmp_path: Path, text: str, message: str) -> None:
    path = write_precision(tmp_path, text)
    with pytest.raises(InvalidArgumentError, match=message) as caught:
        read_node_precision(path)
    assert path in str(caught.value)


def test_empty_precision_file(tmp_path: Path) -> None:
    path = write_precision(tmp_path, "FP16NodeInstanceNames:\n")
    assert read_node_precision(path) == {}
    with pytest.raises(NotFoundError, match="node precision file"):
        read_node_precision(str(tmp_path / "none"))


# --- batchsize -----------------------------------------------------------------------------------


def test_batchsize_sets_symbols_and_wins_over_them(linear_onnx: Path, tmp_path: Path) -> None:
    program = compile_onnx(linear_onnx, tmp_path / "a.bin", batchsize=4).program
    assert (program["batch_size"], program["outputs"][0]["dims"]) == (4, [4, 4])
    symbols = {"batch": 1}
    report = compile_onnx(linear_onnx, tmp_path / "a.bin", batchsize=4, onnx_define_symbol=symbols)
    assert report.program["batch_size"] == 4


def test_batchsize_replaces_a_fixed_batch(save_onnx: SaveOnnx, tmp_path: Path) -> None:
    path = save_onnx(
        [helper.make_node("Flatten", ["x"], ["y"])],
        [("x", FLOAT, [1, 2, 3])],
        [("y", FLOAT, [1, 6])],
    )
    report = compile_onnx(path, tmp_path / "a.bin", batchsize=4)
    assert report.program["outputs"][0]["dims"] == [4, 6]
    path = save_onnx(
        [helper.make_node("MatMul", ["x", "z"], ["y"])],
        [("x", FLOAT, [1, 2]), ("z", FLOAT, [2, 1])],
        [("y", FLOAT, [1, 1])],
    )
    with pytest.raises(InvalidArgumentError, match="do not share a first dim: 1 of 'x', 2 of 'z'"):
        compile_onnx(path, tmp_path / "b.bin", batchsize=4)
