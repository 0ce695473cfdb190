"""The passes about a model's form, each called alone on a graph of a few nodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import SaveOnnx
from onnx import TensorProto, helper, numpy_helper

from qaickit.compiler import CompileSettings
from qaickit.compiler.job import Job
from qaickit.compiler.passes import structure, symbols
from qaickit.compiler.passes.fold_transposes import fold_transposes
from qaickit.compiler.passes.specialise import define_shapes
from qaickit.compiler.source import OnnxSource
from qaickit.compiler.weight_files import FilePart
from qaickit.errors import DataLossError, InvalidArgumentError, QaicKitError, UnsupportedError

FLOAT = TensorProto.FLOAT
WEIGHTS = np.arange(16, dtype=np.float32).reshape(2, 8)


def load(path: Path, **options: object) -> tuple[onnx.ModelProto, Job]:
    job = Job(OnnxSource.read(path), CompileSettings.of(**options))
    return job.source.model, job


@pytest.fixture
def two_steps(save_onnx: SaveOnnx) -> Path:
    """y = x * w + w, whose second node stands first, and whose weights are an input too."""
    return save_onnx(
        [helper.make_node("Add", ["p", "w"], ["y"]), helper.make_node("Mul", ["x", "w"], ["p"])],
        [("x", FLOAT, ["batch", 8]), ("w", FLOAT, [2, 8])],
        [("y", FLOAT, None)],
        [numpy_helper.from_array(WEIGHTS, "w")],
        ir_version=3,
    )


def test_check_structure(two_steps: Path) -> None:
    model, job = load(two_steps)
    assert structure.check_structure(model, job) == ["2 nodes, 1 initializers"]
    del model.opset_import[:]
    with pytest.raises(DataLossError, match="which opset"):
        structure.check_structure(model, job)


def test_sort_nodes(two_steps: Path) -> None:
    model, job = load(two_steps)
    assert structure.sort_nodes(model, job) == ["2 nodes brought into their order"]
    assert [node.op_type for node in model.graph.node] == ["Mul", "Add"]
    assert structure.sort_nodes(model, job) == []


def test_sort_nodes_looks_into_bodies(save_onnx: SaveOnnx) -> None:
    """A branch takes `p`, which its If does not name."""
    branches = {
        side: helper.make_graph(
            [helper.make_node("Relu", ["p"], [side])], side, [],
            [helper.make_tensor_value_info(side, FLOAT, [4])],
        )
        for side in ("then_branch", "else_branch")
    }  # fmt: skip
    path = save_onnx(
        [helper.make_node("If", ["c"], ["y"], **branches), helper.make_node("Abs", ["x"], ["p"])],
        [("c", TensorProto.BOOL, []), ("x", FLOAT, [4])],
        [("y", FLOAT, [4])],
    )
    model, job = load(path)
    structure.sort_nodes(model, job)
    assert [node.op_type for node in model.graph.node] == ["Abs", "If"]


def test_drop_initializer_inputs(two_steps: Path) -> None:
    model, job = load(two_steps)
    assert structure.drop_initializer_inputs(model, job) == ["1 weights are no longer inputs"]
    assert [info.name for info in model.graph.input] == ["x"]
    assert model.ir_version == 4
    assert structure.drop_initializer_inputs(model, job) == []


def test_check_inputs_and_outputs(two_steps: Path) -> None:
    model, job = load(two_steps)
    assert structure.check_inputs_and_outputs(model, job) == []
    model.graph.output.append(model.graph.output[0])
    with pytest.raises(InvalidArgumentError, match="two outputs are named 'y'"):
        structure.check_inputs_and_outputs(model, job)


def test_define_shapes_and_check_types(two_steps: Path) -> None:
    model, job = load(two_steps, onnx_define_symbol={"batch": 2})
    assert define_shapes(model, job) == ["batch = 2"]
    assert symbols.check_types(model, job) == []
    dims = model.graph.output[0].type.tensor_type.shape.dim
    assert [dim.dim_value for dim in dims] == [2, 8]
    assert symbols.check_result(model, job) == []
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 3
    with pytest.raises(QaicKitError, match=r"output 'y': declared .*3, 8.* is .*2, 8"):
        symbols.check_result(model, job)
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    with pytest.raises(UnsupportedError, match="output 'y' is double"):
        symbols.check_types(model, job)


def test_fold_transposes(save_onnx: SaveOnnx, tmp_path: Path) -> None:
    """Only of weights in files, and only where the graph is to be quantised."""
    path = save_onnx(
        [
            helper.make_node("Transpose", ["w"], ["wt"]),
            helper.make_node("MatMul", ["x", "wt"], ["y"]),
        ],
        [("x", FLOAT, [1, 8])],
        [("y", FLOAT, [1, 2])],
        [numpy_helper.from_array(WEIGHTS, "w")],
    )
    WEIGHTS.tofile(tmp_path / "w.bin")
    for options, left in (({}, 2), ({"convert_to_quantize": True}, 1)):
        model, job = load(path, **options)
        assert structure.count_large(model, job) == []
        job.source.files["w"] = FilePart(str(tmp_path / "w.bin"), 0, WEIGHTS.nbytes)
        assert structure.count_large(model, job) == ["1 weights stay in their files"]
        notes = fold_transposes(model, job)
        assert len(model.graph.node) == left
        assert notes == (["1 weights transposed"] if options else [])
    part = job.source.files["wt"]
    written = Path(part.path).read_bytes()[part.offset : part.offset + part.length]
    assert written == np.ascontiguousarray(WEIGHTS.T).tobytes()
