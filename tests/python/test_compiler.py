"""ONNX to QPC: shapes, types, external data, the cache, and everything that can be wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import SaveOnnx
from onnx import TensorProto, helper, numpy_helper

from qaickit import _core
from qaickit.compiler import CompileSettings, compile_onnx, ensure_qpc
from qaickit.errors import (
    DataLossError,
    InvalidArgumentError,
    NotFoundError,
    QaicKitError,
    UnsupportedError,
)

FLOAT = TensorProto.FLOAT


def specs(tensors: list[Any]) -> dict[str, tuple[str, list[int]]]:
    return {tensor["name"]: (tensor["dtype"], tensor["dims"]) for tensor in tensors}


def compiled_model(qpc_path: Path) -> onnx.ModelProto:
    model = onnx.ModelProto()
    model.ParseFromString(_core.qpc_segment(str(qpc_path), "qaickit.model.onnx"))
    return model


def identity(dtype: int = FLOAT, dims: Any = (1,), **kwargs: Any) -> dict[str, Any]:
    return {
        "nodes": [helper.make_node("Identity", ["x"], ["y"])],
        "inputs": [("x", dtype, dims)],
        "outputs": [("y", dtype, dims)],
        **kwargs,
    }


# --- what comes out ------------------------------------------------------------------------------


def test_program_manifest_and_report(linear_onnx: Path, tmp_path: Path) -> None:
    qpc_path = tmp_path / "new" / "programqpc.bin"
    report = compile_onnx(
        linear_onnx,
        qpc_path,
        onnx_define_symbol={"batch": 8},
        aic_num_cores=4,
        mos=1,
    )
    qpc = _core.read_qpc(str(qpc_path))
    program = qpc["program"]
    assert program["name"] == "linear"
    assert program["num_cores"] == 4
    assert program["batch_size"] == 8
    assert specs(program["inputs"]) == {"x": ("float32", [8, 16])}
    assert specs(program["outputs"]) == {"y": ("float32", [8, 4])}
    manifest = qpc["manifest"]
    assert manifest is not None
    assert manifest["producer"] == f"qaickit {_core.__version__}"
    assert manifest["precision"] == "fp32"
    assert manifest["options"] == {
        "aic_num_cores": "4",
        "mos": "1",
        "onnx_define_symbol": "batch=8",
    }
    assert manifest["random_weights"] is False
    assert qpc["has_host_half"]
    assert not qpc["has_card_half"]
    assert report.qpc_path == str(qpc_path)
    assert report.passes[-1].name == "package"
    assert report.seconds > 0
    assert any("batch = 8" in entry.notes for entry in report.passes)


def test_two_compilations_give_the_same_bytes(linear_onnx: Path, tmp_path: Path) -> None:
    paths = [tmp_path / name / "programqpc.bin" for name in ("one", "two")]
    for path in paths:
        compile_onnx(linear_onnx, path, onnx_define_symbol={"batch": 2})
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_source_file_is_untouched(linear_onnx: Path, tmp_path: Path) -> None:
    before = linear_onnx.read_bytes()
    compile_onnx(linear_onnx, tmp_path / "a.bin", onnx_define_symbol={"batch": 2})
    assert linear_onnx.read_bytes() == before


def test_program_without_a_graph_name_takes_the_files(save_onnx: SaveOnnx, tmp_path: Path) -> None:
    path = save_onnx(**identity(graph_name="", file_name="some.net.onnx"))
    report = compile_onnx(path, tmp_path / "a.bin")
    assert report.program["name"] == "some.net"


def test_batch_size_is_one_unless_all_share_the_first_dim(
    save_onnx: SaveOnnx, tmp_path: Path
) -> None:
    path = save_onnx(
        [helper.make_node("Add", ["x", "s"], ["y"])],
        [("x", FLOAT, [4, 2]), ("s", FLOAT, [])],
        [("y", FLOAT, [4, 2])],
    )
    assert compile_onnx(path, tmp_path / "a.bin").program["batch_size"] == 1
    path = save_onnx(**identity(dims=[0, 2]))
    assert compile_onnx(path, tmp_path / "a.bin").program["batch_size"] == 1


@pytest.mark.parametrize(("note", "expected"), [("1", True), ("true", True), ("0", False)])
def test_random_weights_are_marked(
    save_onnx: SaveOnnx, tmp_path: Path, note: str, expected: bool
) -> None:
    path = save_onnx(**identity(metadata={"qaickit.random_weights": note}))
    compile_onnx(path, tmp_path / "a.bin")
    manifest = _core.read_qpc(str(tmp_path / "a.bin"))["manifest"]
    assert manifest is not None
    assert manifest["random_weights"] is expected


def test_precision_follows_the_graph_or_the_caller(save_onnx: SaveOnnx, tmp_path: Path) -> None:
    half = numpy_helper.from_array(np.ones(1, np.float16), "one")
    path = save_onnx(
        [helper.make_node("Add", ["x", "one"], ["y"])],
        [("x", TensorProto.FLOAT16, [1])],
        [("y", TensorProto.FLOAT16, [1])],
        [half],
    )
    assert compile_onnx(path, tmp_path / "a.bin").precision == "fp16"
    scale = numpy_helper.from_array(np.float32(0.5), "scale")
    path = save_onnx(
        [
            helper.make_node("QuantizeLinear", ["x", "scale"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "scale"], ["y"]),
        ],
        [("x", FLOAT, [1])],
        [("y", FLOAT, [1])],
        [scale],
    )
    assert compile_onnx(path, tmp_path / "a.bin").precision == "int8"


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        (TensorProto.FLOAT, "float32"),
        (TensorProto.FLOAT16, "float16"),
        (TensorProto.INT8, "int8"),
        (TensorProto.UINT8, "uint8"),
        (TensorProto.INT16, "int16"),
        (TensorProto.INT32, "int32"),
        (TensorProto.INT64, "int64"),
        (TensorProto.BOOL, "bool"),
    ],
)
def test_dtypes_that_a_qpc_holds(
    save_onnx: SaveOnnx, tmp_path: Path, dtype: int, name: str
) -> None:
    compile_onnx(save_onnx(**identity(dtype, [2, 3])), tmp_path / "a.bin")
    program = _core.read_qpc(str(tmp_path / "a.bin"))["program"]
    assert specs(program["inputs"]) == {"x": (name, [2, 3])}
    assert specs(program["outputs"]) == {"y": (name, [2, 3])}


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        (TensorProto.DOUBLE, "double"),
        (TensorProto.UINT16, "uint16"),
        (TensorProto.UINT32, "uint32"),
        (TensorProto.UINT64, "uint64"),
        (TensorProto.STRING, "string"),
        (TensorProto.BFLOAT16, "bfloat16"),
    ],
)
def test_dtypes_that_a_qpc_cannot_hold(
    save_onnx: SaveOnnx, tmp_path: Path, dtype: int, name: str
) -> None:
    path = save_onnx(**identity(dtype))
    with pytest.raises(UnsupportedError, match=f"'x' is {name}, which a QPC cannot hold; cast"):
        compile_onnx(path, tmp_path / "a.bin")
    assert not (tmp_path / "a.bin").exists()


def test_sequences_are_refused(tmp_path: Path) -> None:
    sequence = helper.make_tensor_sequence_value_info("s", FLOAT, [1])
    graph = helper.make_graph(
        [helper.make_node("SequenceConstruct", ["x"], ["s"])],
        "net",
        [helper.make_tensor_value_info("x", FLOAT, [1])],
        [sequence],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    path = tmp_path / "sequence.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UnsupportedError, match="output 's' is of the kind sequence"):
        compile_onnx(path, tmp_path / "a.bin")


# --- shapes --------------------------------------------------------------------------------------


def test_free_symbols_are_listed_with_what_to_do(save_onnx: SaveOnnx, tmp_path: Path) -> None:
    path = save_onnx(**identity(dims=["batch", 3, "seq"]))
    with pytest.raises(InvalidArgumentError) as caught:
        compile_onnx(path, tmp_path / "a.bin", onnx_define_symbol={"batch": 1})
    assert "'seq' in input 'x'" in str(caught.value)
    assert "onnx_define_symbol={'seq': 1}" in str(caught.value)
    assert str(path) in str(caught.value)


def test_unknown_symbol_names_the_nearest(save_onnx: SaveOnnx, tmp_path: Path) -> None:
    path = save_onnx(**identity(dims=["batch_size"]))
    with pytest.raises(InvalidArgumentError, match="did you mean 'batch_size'"):
        compile_onnx(path, tmp_path / "a.bin", onnx_define_symbol={"batchsize": 1})
    with pytest.raises(InvalidArgumentError, match="all shapes of this model are fixed"):
        compile_onnx(save_onnx(**identity()), tmp_path / "a.bin", onnx_define_symbol={"batch": 1})


def test_dimension_without_a_name_is_defined_by_input_and_axis(
    save_onnx: SaveOnnx, tmp_path: Path
) -> None:
    path = save_onnx(**identity(dims=[None, 3]))
    with pytest.raises(InvalidArgumentError, match="'x:0'"):
        compile_onnx(path, tmp_path / "a.bin")
    report = compile_onnx(path, tmp_path / "a.bin", onnx_define_symbol={"x:0": 5})
    assert specs(report.program["outputs"]) == {"y": ("float32", [5, 3])}


def test_input_without_a_shape(save_onnx: SaveOnnx, tmp_path: Path) -> None:
    path = save_onnx(**identity(dims=None))
    with pytest.raises(UnsupportedError, match="input 'x' has no shape"):
        compile_onnx(path, tmp_path / "a.bin")


def test_outputs_follow_from_the_inputs_not_from_what_is_declared(
    save_onnx: SaveOnnx, tmp_path: Path
) -> None:
    path = save_onnx(
        [helper.make_node("Flatten", ["x"], ["y"])],
        [("x", FLOAT, ["batch", 2, 3])],
        [("y", FLOAT, [1, 6])],
    )
    report = compile_onnx(path, tmp_path / "a.bin", onnx_define_symbol={"batch": 4})
    assert specs(report.program["outputs"]) == {"y": ("float32", [4, 6])}
    assert "y: declared [1, 6], is [4, 6]" in [n for entry in report.passes for n in entry.notes]


def test_shapes_computed_in_the_graph(save_onnx: SaveOnnx, tmp_path: Path) -> None:
    """Shape, Gather, Concat, Reshape: how exporters write a flatten."""
    zero = numpy_helper.from_array(np.array([0], np.int64), "zero")
    minus = numpy_helper.from_array(np.array([-1], np.int64), "minus")
    path = save_onnx(
        [
            helper.make_node("Shape", ["x"], ["shape"]),
            helper.make_node("Gather", ["shape", "zero"], ["rows"]),
            helper.make_node("Concat", ["rows", "minus"], ["to"], axis=0),
            helper.make_node("Reshape", ["x", "to"], ["y"]),
        ],
        [("x", FLOAT, ["batch", 2, 3])],
        [("y", FLOAT, ["rows", "rest"])],
        [zero, minus],
    )
    report = compile_onnx(path, tmp_path / "a.bin", onnx_define_symbol={"batch": 4})
    assert specs(report.program["outputs"]) == {"y": ("float32", [4, 6])}


def test_scalar_output(save_onnx: SaveOnnx, tmp_path: Path) -> None:
    path = save_onnx(
        [helper.make_node("ReduceMax", ["x"], ["y"], keepdims=0)],
        [("x", FLOAT, [3])],
        [("y", FLOAT, None)],
    )
    report = compile_onnx(path, tmp_path / "a.bin")
    assert specs(report.program["outputs"]) == {"y": ("float32", [])}


def test_shape_that_depends_on_data(save_onnx: SaveOnnx, tmp_path: Path) -> None:
    path = save_onnx(
        [helper.make_node("NonZero", ["x"], ["found"])],
        [("x", FLOAT, [3])],
        [("found", TensorProto.INT64, [1, "n"])],
    )
    with pytest.raises(UnsupportedError, match="output 'found' has no fixed shape"):
        compile_onnx(path, tmp_path / "a.bin")


def test_weights_listed_as_inputs_are_dropped(save_onnx: SaveOnnx, tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.ones(2, np.float32), "w")
    path = save_onnx(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        [("x", FLOAT, [2]), ("w", FLOAT, [2])],
        [("y", FLOAT, [2])],
        [weight],
        ir_version=3,
        opset=8,
    )
    report = compile_onnx(path, tmp_path / "a.bin")
    assert list(specs(report.program["inputs"])) == ["x"]
    assert [info.name for info in compiled_model(tmp_path / "a.bin").graph.input] == ["x"]


# --- files that cannot be compiled ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", DataLossError),
        (b"\x00" * 100, DataLossError),
        (b"just some text, no model at all", DataLossError),
        (b"\x7fELF\x02\x01\x01" + b"\x00" * 57, DataLossError),
    ],
)
def test_foreign_files(tmp_path: Path, content: bytes, error: type[QaicKitError]) -> None:
    path = tmp_path / "foreign.onnx"
    path.write_bytes(content)
    with pytest.raises(error, match=r"foreign\.onnx"):
        compile_onnx(path, tmp_path / "a.bin")


def test_every_truncation_is_refused(linear_onnx: Path, tmp_path: Path) -> None:
    """A cut may leave a readable prefix, which lacks its graph, its outputs or its opset."""
    data = linear_onnx.read_bytes()
    path = tmp_path / "cut.onnx"
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(QaicKitError, match=r"cut\.onnx"):
            compile_onnx(path, tmp_path / "a.bin", onnx_define_symbol={"batch": 1})
    assert not (tmp_path / "a.bin").exists()


def test_missing_file_and_directory(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"nowhere\.onnx"):
        compile_onnx(tmp_path / "nowhere.onnx", tmp_path / "a.bin")
    with pytest.raises(InvalidArgumentError, match="directory"):
        compile_onnx(tmp_path, tmp_path / "a.bin")


def test_model_without_outputs(save_onnx: SaveOnnx, tmp_path: Path) -> None:
    path = save_onnx([], [("x", FLOAT, [1])], [])
    with pytest.raises(DataLossError, match="no outputs"):
        compile_onnx(path, tmp_path / "a.bin")


def test_invalid_graph(save_onnx: SaveOnnx, tmp_path: Path) -> None:
    path = save_onnx(
        [helper.make_node("Add", ["x", "nowhere"], ["y"])], [("x", FLOAT, [1])], [("y", FLOAT, [1])]
    )
    with pytest.raises(InvalidArgumentError, match=r"onnxruntime refuses the graph.*nowhere"):
        compile_onnx(path, tmp_path / "a.bin")


def test_versions_that_onnxruntime_does_not_take(save_onnx: SaveOnnx, tmp_path: Path) -> None:
    path = save_onnx(**identity(ir_version=99))
    with pytest.raises(UnsupportedError, match=r"IR version is 99.*takes up to \d+; save"):
        compile_onnx(path, tmp_path / "a.bin")
    path = save_onnx(**identity(opset=99))
    with pytest.raises(UnsupportedError, match=r"opset is 99.*takes up to \d+; convert"):
        compile_onnx(path, tmp_path / "a.bin")


# --- external data -------------------------------------------------------------------------------


@pytest.fixture
def external_onnx(linear_onnx: Path, tmp_path: Path) -> Path:
    model = onnx.load(str(linear_onnx))
    directory = tmp_path / "external"
    directory.mkdir()
    path = directory / "linear.onnx"
    onnx.save(
        model, str(path), save_as_external_data=True, location="weights.data", size_threshold=0
    )
    return path


def test_external_data_is_inlined(external_onnx: Path, linear_onnx: Path, tmp_path: Path) -> None:
    symbols = {"batch": 1}
    compile_onnx(external_onnx, tmp_path / "a.bin", onnx_define_symbol=symbols)
    compile_onnx(linear_onnx, tmp_path / "b.bin", onnx_define_symbol=symbols)
    ours, theirs = compiled_model(tmp_path / "a.bin"), compiled_model(tmp_path / "b.bin")
    for one, other in zip(ours.graph.initializer, theirs.graph.initializer, strict=True):
        np.testing.assert_array_equal(numpy_helper.to_array(one), numpy_helper.to_array(other))


def test_missing_external_data(external_onnx: Path, tmp_path: Path) -> None:
    (external_onnx.parent / "weights.data").unlink()
    with pytest.raises(NotFoundError, match=r"'W'.*weights\.data"):
        compile_onnx(external_onnx, tmp_path / "a.bin", onnx_define_symbol={"batch": 1})


def test_truncated_external_data(external_onnx: Path, tmp_path: Path) -> None:
    data = external_onnx.parent / "weights.data"
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(DataLossError, match=r"expected 16 bytes .*weights\.data', which has"):
        compile_onnx(external_onnx, tmp_path / "a.bin", onnx_define_symbol={"batch": 1})


def test_external_data_outside_of_the_directory(external_onnx: Path, tmp_path: Path) -> None:
    (external_onnx.parent / "weights.data").rename(tmp_path / "weights.data")
    model = onnx.load(str(external_onnx), load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../weights.data"
    external_onnx.write_bytes(model.SerializeToString())
    with pytest.raises(InvalidArgumentError, match="external data"):
        compile_onnx(external_onnx, tmp_path / "a.bin", onnx_define_symbol={"batch": 1})


# --- where it goes -------------------------------------------------------------------------------


def test_output_that_cannot_be_written(linear_onnx: Path, tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("not a directory")
    with pytest.raises(QaicKitError, match="file"):
        compile_onnx(linear_onnx, blocker / "programqpc.bin", onnx_define_symbol={"batch": 1})
    with pytest.raises(QaicKitError, match="/proc"):
        compile_onnx(linear_onnx, "/proc/none/programqpc.bin", onnx_define_symbol={"batch": 1})
    assert blocker.read_text() == "not a directory"


def test_a_failed_compilation_leaves_nothing(linear_onnx: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError):
        compile_onnx(linear_onnx, tmp_path / "out" / "programqpc.bin")
    assert not (tmp_path / "out").exists()
    target = tmp_path / "target"
    target.mkdir()
    (target / "programqpc.bin").mkdir()  # a directory in the way
    with pytest.raises(QaicKitError):
        compile_onnx(linear_onnx, target / "programqpc.bin", onnx_define_symbol={"batch": 1})
    assert os.listdir(target) == ["programqpc.bin"]


# --- cache ---------------------------------------------------------------------------------------

ONE = CompileSettings.of(onnx_define_symbol={"batch": 1})


def test_cache_is_by_content(linear_onnx: Path, cache_dir: Path, save_onnx: SaveOnnx) -> None:
    first = ensure_qpc(linear_onnx, ONE).path
    assert Path(first).parent.parent == cache_dir / "qpc"
    stamp = os.stat(first).st_mtime_ns
    assert ensure_qpc(linear_onnx, ONE).path == first
    assert os.stat(first).st_mtime_ns == stamp
    others = [
        CompileSettings.of(onnx_define_symbol={"batch": 2}),
        CompileSettings.of(onnx_define_symbol={"batch": 1}, aic_num_cores=2),
        CompileSettings.of(onnx_define_symbol={"batch": 1}, convert_to_fp16=True),
        CompileSettings.of(onnx_define_symbol={"batch": 1}, mos=1),
    ]
    paths = {ensure_qpc(linear_onnx, settings).path for settings in others}
    assert len(paths | {first}) == 5
    model = onnx.load(str(linear_onnx))
    model.doc_string = "changed"
    onnx.save(model, str(linear_onnx))
    assert ensure_qpc(linear_onnx, ONE).path not in paths | {first}


def test_cache_sees_external_data(external_onnx: Path) -> None:
    first = ensure_qpc(external_onnx, ONE).path
    assert ensure_qpc(external_onnx, ONE).path == first
    data = external_onnx.parent / "weights.data"
    changed = bytearray(data.read_bytes())
    changed[0] ^= 1
    data.write_bytes(changed)
    assert ensure_qpc(external_onnx, ONE).path != first


@pytest.mark.parametrize("damage", [b"", b"garbage"])
def test_damaged_cache_entry_is_written_anew(linear_onnx: Path, damage: bytes) -> None:
    path = Path(ensure_qpc(linear_onnx, ONE).path)
    whole = path.read_bytes()
    path.write_bytes(damage)
    assert ensure_qpc(linear_onnx, ONE).program["name"] == "linear"
    assert path.read_bytes() == whole


def test_cache_from_many_threads(linear_onnx: Path) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(ensure_qpc(linear_onnx, ONE).path))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert os.listdir(Path(found[0]).parent) == ["programqpc.bin"]


def test_cache_that_cannot_be_written_names_the_variable(
    linear_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    for place in (str(blocker), "/proc/none"):
        monkeypatch.setenv("QAICKIT_CACHE_DIR", place)
        with pytest.raises(QaicKitError, match="QAICKIT_CACHE_DIR"):
            ensure_qpc(linear_onnx, ONE)


def test_default_place_of_the_cache(
    linear_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("QAICKIT_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    path = ensure_qpc(linear_onnx, ONE).path
    assert path.startswith(str(tmp_path / "xdg" / "qaickit" / "qpc"))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    path = ensure_qpc(linear_onnx, ONE).path
    assert path.startswith(str(tmp_path / "home" / ".cache" / "qaickit"))


def test_cached_model_opens_without_importing_onnx(linear_onnx: Path) -> None:
    ensure_qpc(linear_onnx, ONE)
    code = (
        "import sys; from qaickit.compiler import CompileSettings, ensure_qpc\n"
        f"ensure_qpc({str(linear_onnx)!r}, CompileSettings.of(onnx_define_symbol={{'batch': 1}}))\n"
        "assert not {'onnx', 'onnxruntime'} & set(sys.modules), 'imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
