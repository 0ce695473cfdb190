"""Models that are valid but unusual, and those that are not: right answers, or one clear line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from conftest import SaveOnnx
from onnx import TensorProto, helper, numpy_helper

from qaickit.compiler import CompileSettings, compile_onnx, pipeline
from qaickit.compiler.job import Job
from qaickit.compiler.source import OnnxSource
from qaickit.errors import DataLossError, InvalidArgumentError, QaicKitError, UnsupportedError
from qaickit.options import OptionWarning
from qaickit.session import Session, random_inputs

FLOAT = TensorProto.FLOAT
ML = "ai.onnx.ml"
BATCH = {"batch": 1}
INT8 = {"convert_to_quantize": True, "use_random_input_data": "gaussian"}
FP16 = {"convert_to_fp16": True}
PRECISIONS = pytest.mark.parametrize("options", [{}, INT8, FP16], ids=["fp32", "int8", "fp16"])


def weights(*dims: int, name: str = "w") -> onnx.TensorProto:
    values = np.random.default_rng(3).standard_normal(dims).astype(np.float32)
    return numpy_helper.from_array(values, name)


def worst_error(path: Path, **options: object) -> float:
    """Greatest difference to onnxruntime on the file as it is, in parts of the greatest value."""
    qpc_path = path.parent / "out" / "programqpc.bin"
    compile_onnx(path, qpc_path, **options)
    with Session(str(qpc_path)) as session:
        inputs = random_inputs(dict(session.model_input_shape_dict))
        found = session.run(inputs)
    plain = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    wanted = plain.run(list(found), inputs)
    return max(
        float(np.abs(a - b).max(initial=0.0) / np.abs(a).max(initial=1e-9))
        for a, b in zip(wanted, found.values(), strict=True)
    )


@PRECISIONS
def test_sparse_weights(save_onnx: SaveOnnx, options: dict[str, object]) -> None:
    path = save_onnx(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], [("x", FLOAT, [2, 4])],
        [("y", FLOAT, [2, 4])],
    )  # fmt: skip
    model = onnx.load(path)
    sparse = onnx.SparseTensorProto(dims=[4, 4])
    sparse.values.CopyFrom(numpy_helper.from_array(np.array([1, 2], np.float32), "w"))
    sparse.indices.CopyFrom(numpy_helper.from_array(np.array([[0, 0], [1, 2]])))
    model.graph.sparse_initializer.append(sparse)
    onnx.save(model, path)
    assert worst_error(path, **options) < 1e-6
    job = Job(OnnxSource.read(path), CompileSettings.of(**options))
    onnx.checker.check_model(pipeline.build(job).model)


@PRECISIONS
def test_a_sparse_constant(save_onnx: SaveOnnx, options: dict[str, object]) -> None:
    sparse = onnx.SparseTensorProto(dims=[4, 4])
    sparse.values.CopyFrom(numpy_helper.from_array(np.array([1, 2], np.float32)))
    sparse.indices.CopyFrom(numpy_helper.from_array(np.array([1, 6])))
    path = save_onnx(
        [
            helper.make_node("Constant", [], ["w"], sparse_value=sparse),
            helper.make_node("MatMul", ["x", "w"], ["y"]),
        ],
        [("x", FLOAT, [2, 4])],
        [("y", FLOAT, [2, 4])],
    )
    assert worst_error(path, **options) < 1e-6


@PRECISIONS
def test_nodes_in_any_order(save_onnx: SaveOnnx, options: dict[str, object]) -> None:
    """onnxruntime takes them, and so do we."""
    path = save_onnx(
        [
            helper.make_node("MatMul", ["q", "w"], ["y"]),
            helper.make_node("Relu", ["p"], ["q"]),
            helper.make_node("MatMul", ["x", "w"], ["p"]),
        ],
        [("x", FLOAT, [4, 4])],
        [("y", FLOAT, [4, 4])],
        [weights(4, 4)],
    )
    assert worst_error(path, **options) < 0.05


@PRECISIONS
def test_an_operator_whose_type_onnx_does_not_infer(
    save_onnx: SaveOnnx, options: dict[str, object]
) -> None:
    path = save_onnx(
        [
            helper.make_node("Scaler", ["x"], ["p"], domain=ML, offset=[1.0], scale=[2.0]),
            helper.make_node("MatMul", ["p", "w"], ["y"]),
        ],
        [("x", FLOAT, [2, 4])],
        [("y", FLOAT, [2, 4])],
        [weights(4, 4)],
    )  # fmt: skip
    model = onnx.load(path)
    model.opset_import.append(helper.make_opsetid(ML, 2))
    onnx.save(model, path)
    assert worst_error(path, **options) < 0.05


@PRECISIONS
def test_no_operator_of_onnx_itself(save_onnx: SaveOnnx, options: dict[str, object]) -> None:
    path = save_onnx(
        [helper.make_node("Scaler", ["x"], ["y"], domain=ML, offset=[1.0], scale=[2.0])],
        [("x", FLOAT, [2, 4])],
        [("y", FLOAT, [2, 4])],
    )
    model = onnx.load(path)
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid(ML, 2))
    onnx.save(model, path)
    assert worst_error(path, **options) == 0


@PRECISIONS
def test_a_scalar_condition(save_onnx: SaveOnnx, options: dict[str, object]) -> None:
    """Random data for it is an array too; and the branches take weights from outside."""
    branches = {
        side: helper.make_graph(
            [helper.make_node("MatMul", ["p", "w"], [side])], side, [],
            [helper.make_tensor_value_info(side, FLOAT, None)],
        )
        for side in ("then_branch", "else_branch")
    }  # fmt: skip
    path = save_onnx(
        [
            helper.make_node("MatMul", ["x", "w"], ["p"]),
            helper.make_node("If", ["c"], ["y"], **branches),
        ],
        [("x", FLOAT, [2, 4]), ("c", TensorProto.BOOL, [])],
        [("y", FLOAT, [2, 4])],
        [weights(4, 4)],
    )
    assert worst_error(path, **options) < 0.05


def test_an_old_opset_whose_weights_are_no_inputs(save_onnx: SaveOnnx) -> None:
    path = save_onnx(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"])],
        [("x", FLOAT, [2, 4])],
        [("y", FLOAT, [2, 3])],
        [weights(4, 3), weights(3, name="b")],
        opset=7,
        ir_version=3,
    )
    assert worst_error(path, **INT8) < 0.05


@pytest.mark.parametrize("channelwise", [False, True])
@pytest.mark.parametrize("constants", ["asymmetric", "symmetric", "symmetric_with_uint8"])
@pytest.mark.parametrize("size", [1e-12, 0.0])
def test_a_bias_far_greater_than_the_weights(
    save_onnx: SaveOnnx, size: float, constants: str, channelwise: bool
) -> None:
    """On the scale of such weights it would not fit into int32; clipped, it would be lost."""
    values = size * np.random.default_rng(3).standard_normal((3, 4, 1, 1)).astype(np.float32)
    path = save_onnx(
        [helper.make_node("Conv", ["x", "w", "b"], ["y"])],
        [("x", FLOAT, [1, 4, 2, 2])],
        [("y", FLOAT, None)],
        [
            numpy_helper.from_array(values.astype(np.float32), "w"),
            numpy_helper.from_array(np.array([1e6, -2e6, 3.0], np.float32), "b"),
        ],
    )
    schemata = {"quantization_schema_constants": constants, "enable_channelwise": channelwise}
    # Half a step of the result's 8 bits, whose range the bias alone makes.
    assert worst_error(path, **INT8, **schemata) < 0.5 / 127


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("place", ["w", "b"])
def test_weights_that_no_integer_stands_for(save_onnx: SaveOnnx, place: str, value: float) -> None:
    constants = {"w": weights(4, 4), "b": weights(4, name="b")}
    values = numpy_helper.to_array(constants[place]).copy()
    values.flat[0] = value
    constants[place] = numpy_helper.from_array(values, place)
    path = save_onnx(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"])],
        [("x", FLOAT, [2, 4])],
        [("y", FLOAT, [2, 4])],
        list(constants.values()),
    )
    with pytest.raises(InvalidArgumentError, match=f"initializer '{place}': expected finite"):
        compile_onnx(path, path.parent / "q" / "q.bin", **INT8)
    keep = {"keep_original_precision_for_nodes": ["Gemm"]}
    compile_onnx(path, path.parent / "q" / "q.bin", **INT8, **keep)


REFUSED = {
    "an output that is an input": (
        [helper.make_node("Relu", ["x"], ["y"])], ["x"], ["y", "x"],
        UnsupportedError, "output 'x' is an input of that name",
    ),
    "two outputs of one name": (
        [helper.make_node("Relu", ["x"], ["y"])], ["x"], ["y", "y"],
        InvalidArgumentError, "two outputs are named 'y'",
    ),
    "two inputs of one name": (
        [helper.make_node("Relu", ["x"], ["y"])], ["x", "x"], ["y"],
        InvalidArgumentError, "two inputs are named 'x'",
    ),
    "a cycle": (
        [helper.make_node("Add", ["x", "q"], ["p"]), helper.make_node("Relu", ["p"], ["q"])],
        ["x"], ["q"],
        InvalidArgumentError, "the graph has a cycle, .*: p -> q -> p",
    ),
    "a node that takes itself": (
        [helper.make_node("Add", ["x", "y"], ["y"])], ["x"], ["y"],
        InvalidArgumentError, "the graph has a cycle, .*: y -> y",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
@PRECISIONS
def test_refused_graphs(save_onnx: SaveOnnx, name: str, options: dict[str, object]) -> None:
    nodes, inputs, outputs, error, message = REFUSED[name]
    path = save_onnx(
        nodes, [(n, FLOAT, [4, 4]) for n in inputs], [(n, FLOAT, [4, 4]) for n in outputs]
    )
    with pytest.raises(error, match=f"'{path}': {message}"):
        compile_onnx(path, path.parent / "out" / "q.bin", **options)
    assert not (path.parent / "out").exists()


@pytest.mark.parametrize("dims", [[2**31], [2**40, 2**40], [2**16, 2**16]])
@PRECISIONS
def test_shapes_that_no_buffer_has(
    save_onnx: SaveOnnx, dims: list[int], options: dict[str, object]
) -> None:
    path = save_onnx(
        [helper.make_node("Relu", ["x"], ["y"])], [("x", FLOAT, dims)], [("y", FLOAT, dims)]
    )
    with pytest.raises(UnsupportedError, match=r"input 'x' has the shape .* a QPC holds dims of"):
        compile_onnx(path, path.parent / "q.bin", **options)


def test_nothing_to_calibrate(save_onnx: SaveOnnx) -> None:
    path = save_onnx(
        [helper.make_node("MatMul", ["w", "w"], ["y"])], [], [("y", FLOAT, [4, 4])], [weights(4, 4)]
    )
    with pytest.raises(QaicKitError, match="it has no inputs, so that there is nothing to"):
        compile_onnx(path, path.parent / "q.bin", **INT8)
    compile_onnx(path, path.parent / "q.bin")


def test_names_that_the_model_does_not_have(linear_onnx: Path) -> None:
    named = {
        "output_node_names": ["y", "ArgMax:0"],
        "model_inputs": [{"input_name": "x:0", "input_type": "float", "input_shape": [1, 16]}],
    }
    with pytest.warns(OptionWarning, match="'output_node_names' names 'ArgMax:0', which the model"):
        compile_onnx(linear_onnx, linear_onnx.parent / "q.bin", onnx_define_symbol=BATCH, **named)
    image = {"input_name": "image", "input_type": "float", "input_shape": [1, 16]}
    named = {"model_inputs": [image]}
    with pytest.warns(OptionWarning, match="'model_inputs' names 'image', which the model does"):
        compile_onnx(linear_onnx, linear_onnx.parent / "q.bin", onnx_define_symbol=BATCH, **named)


@pytest.mark.parametrize(
    ("offset", "length", "message"),
    [
        ("-4", "64", "expected 64 bytes at offset -4 of .*, which has 64"),
        ("0", "68", "expected 68 bytes at offset 0 of .*, which has 64"),
        ("68", None, "expected 0 bytes at offset 68 of .*, which has 64"),
        (str(2**70), None, f"expected 0 bytes at offset {2**70} of"),
        ("0", "-1", "expected -1 bytes at offset 0 of"),
        ("x", None, "offset or length is not a number"),
    ],
)
def test_external_data_that_is_not_there(
    save_onnx: SaveOnnx, offset: str, length: str | None, message: str
) -> None:
    tensor = TensorProto(name="w", data_type=FLOAT, dims=[4, 4])
    tensor.data_location = TensorProto.EXTERNAL
    entries = {"location": "deep/w.bin", "offset": offset, "length": length}
    for key, value in entries.items():
        if value is not None:
            tensor.external_data.add(key=key, value=value)
    path = save_onnx(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], [("x", FLOAT, [2, 4])],
        [("y", FLOAT, None)], [tensor],
    )  # fmt: skip
    (path.parent / "deep").mkdir()
    (path.parent / "deep" / "w.bin").write_bytes(bytes(64))
    with pytest.raises(DataLossError, match=f"external data of 'w': {message}"):
        compile_onnx(path, path.parent / "q.bin")


@pytest.mark.parametrize("path", [None, 3, b"model.onnx", "a\0.onnx"])
def test_what_is_no_path(path: Any, linear_onnx: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"expected a path|null"):
        compile_onnx(path, tmp_path / "q.bin")
    if not isinstance(path, str):
        with pytest.raises(InvalidArgumentError, match="qpc_path: expected a path"):
            compile_onnx(linear_onnx, path, onnx_define_symbol=BATCH)
