"""Custom IO: the buffers of a QPC in another layout and precision, with the model's answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from conftest import SaveOnnx
from onnx import TensorProto, helper, numpy_helper

from qaickit import _core
from qaickit.compiler import compile_onnx
from qaickit.compiler.custom_io import CustomTensor, read_custom_io
from qaickit.errors import (
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    QaicKitError,
    UnsupportedError,
)
from qaickit.session import Session

FLOAT = TensorProto.FLOAT


@pytest.fixture
def image_onnx(save_onnx: SaveOnnx) -> Path:
    """y = conv(x), NCHW, float32; ids pass through."""
    weights = np.random.default_rng(3).standard_normal((3, 2, 3, 3)).astype(np.float32)
    return save_onnx(
        [
            helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1]),
            helper.make_node("Identity", ["ids"], ["ids_out"]),
        ],
        [("x", FLOAT, [1, 2, 4, 5]), ("ids", TensorProto.INT64, [3])],
        [("y", FLOAT, [1, 3, 4, 5]), ("ids_out", TensorProto.INT64, [3])],
        [numpy_helper.from_array(weights, "w")],
    )


def write(tmp_path: Path, *items: dict[str, object]) -> str:
    path = tmp_path / "io.yaml"
    path.write_text(yaml.safe_dump(list(items)))
    return str(path)


def open_with(model: Path, tmp_path: Path, *items: dict[str, object]) -> Session:
    return Session(model, custom_io_list_file=write(tmp_path, *items))


IDS = np.arange(3, dtype=np.int64)


def reference(model: Path, x: np.ndarray) -> np.ndarray:
    with Session(model) as session:
        return session.run({"x": x, "ids": IDS})["y"]


def test_layout_of_input_and_output(image_onnx: Path, tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((1, 2, 4, 5)).astype(np.float32)
    items = [{"IOName": "x", "Layout": "NHWC"}, {"IOName": "y", "Layout": "NHWC"}]
    with open_with(image_onnx, tmp_path, *items) as session:
        assert session.model_input_shape_dict["x"] == ((1, 4, 5, 2), np.dtype("float32"))
        assert session.model_output_shape_dict["y"] == ((1, 4, 5, 3), np.dtype("float32"))
        found = session.run({"x": np.ascontiguousarray(x.transpose(0, 2, 3, 1)), "ids": IDS})
    np.testing.assert_allclose(
        found["y"].transpose(0, 3, 1, 2), reference(image_onnx, x), atol=1e-5
    )
    np.testing.assert_array_equal(found["ids_out"], IDS)


@pytest.mark.parametrize(("precision", "offset"), [("uint8", 114), ("int8", -14)])
def test_integers_are_scaled_in_the_graph(
    image_onnx: Path, tmp_path: Path, precision: str, offset: int
) -> None:
    limits = np.iinfo(precision)
    pixels = np.random.default_rng(0).integers(
        limits.min, limits.max, (1, 4, 5, 2), dtype=precision, endpoint=True
    )
    scale = 0.017
    item = {
        "IOName": "x", "Layout": "NHWC", "Precision": precision, "Scale": scale, "Offset": offset,
    }  # fmt: skip
    with open_with(image_onnx, tmp_path, item) as session:
        assert session.model_input_shape_dict["x"] == ((1, 4, 5, 2), np.dtype(precision))
        found = session.run({"x": pixels, "ids": IDS})["y"]
        tensor = _core.read_qpc(session.qpc_path)["program"]["inputs"][0]
    assert (tensor["scale"], tensor["offset"]) == (pytest.approx(scale), offset)
    real = (pixels.astype(np.float32) - offset) * np.float32(scale)
    np.testing.assert_allclose(
        found, reference(image_onnx, np.ascontiguousarray(real.transpose(0, 3, 1, 2))), atol=1e-4
    )


def test_quantised_and_half_outputs(image_onnx: Path, tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((1, 2, 4, 5)).astype(np.float32)
    expected = reference(image_onnx, x)
    scale = float(np.abs(expected).max() / 127)
    item = {"IOName": "y", "Precision": "int8", "Scale": scale, "Offset": 0}
    with open_with(image_onnx, tmp_path, item) as session:
        found = session.run({"x": x, "ids": IDS})["y"]
    assert found.dtype == np.int8
    np.testing.assert_allclose(found * scale, expected, atol=scale * 0.51)
    with open_with(image_onnx, tmp_path, {"IOName": "y", "Precision": "float16"}) as session:
        found = session.run({"x": x, "ids": IDS})["y"]
    np.testing.assert_array_equal(found, expected.astype(np.float16))


@pytest.mark.parametrize("opset", [7, 9])
def test_integers_in_an_opset_that_has_none(
    save_onnx: SaveOnnx, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opset: int
) -> None:
    path = save_onnx(
        [helper.make_node("Relu", ["x"], ["y"])], [("x", FLOAT, [4])], [("y", FLOAT, [4])],
        opset=opset, ir_version=3,
    )  # fmt: skip
    item = {"IOName": "x", "Precision": "uint8", "Scale": 0.5, "Offset": 2}
    with open_with(path, tmp_path, item) as session:
        found = session.run({"x": np.array([0, 1, 2, 5], np.uint8)})["y"]
    np.testing.assert_array_equal(found, np.array([0, 0, 0, 1.5], np.float32))

    def cannot(*_: object) -> None:
        raise RuntimeError("no adapter")

    monkeypatch.setattr(onnx.version_converter, "convert_version", cannot)
    with pytest.raises(UnsupportedError, match=f"'x': Precision uint8 takes opset 10.*{opset};"):
        compile_onnx(path, tmp_path / "q.bin", custom_io_list_file=write(tmp_path, item))
    plain = {"IOName": "x", "Precision": "float16"}
    compile_onnx(path, tmp_path / "q.bin", custom_io_list_file=write(tmp_path, plain))


def test_half_input(image_onnx: Path, tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((1, 2, 4, 5)).astype(np.float16)
    with open_with(image_onnx, tmp_path, {"IOName": "x", "Precision": "float16"}) as session:
        found = session.run({"x": x, "ids": IDS})["y"]
    np.testing.assert_allclose(found, reference(image_onnx, x.astype(np.float32)), atol=1e-5)


def test_a_tensor_that_is_input_and_output_of_the_net(save_onnx: SaveOnnx, tmp_path: Path) -> None:
    """The input also feeds an output through nothing but a Relu, and is used twice."""
    path = save_onnx(
        [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Add", ["x", "y"], ["z"])],
        [("x", FLOAT, [2])],
        [("y", FLOAT, [2]), ("z", FLOAT, [2])],
    )
    item = {"IOName": "y", "Precision": "uint8", "Scale": 0.5, "Offset": 1}
    with open_with(path, tmp_path, item) as session:
        found = session.run({"x": np.float32([-1, 2])})
    np.testing.assert_array_equal(found["y"], np.uint8([1, 5]))
    np.testing.assert_array_equal(found["z"], np.float32([-1, 4]))


def quantised_onnx(save_onnx: SaveOnnx) -> Path:
    """x -> QuantizeLinear(0.5, 3) -> DequantizeLinear -> Relu -> y, as a quantised model begins."""
    return save_onnx(
        [
            helper.make_node("QuantizeLinear", ["x", "s", "o"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "o"], ["d"]),
            helper.make_node("Relu", ["d"], ["y"]),
        ],
        [("x", FLOAT, [4])],
        [("y", FLOAT, [4])],
        [
            numpy_helper.from_array(np.float32(0.5), "s"),
            numpy_helper.from_array(np.uint8(3), "o"),
        ],
    )


@pytest.mark.parametrize(("offset", "folded"), [(3, True), (4, False)])
def test_integers_that_the_model_would_make_are_taken_directly(
    save_onnx: SaveOnnx, tmp_path: Path, offset: int, folded: bool
) -> None:
    path = quantised_onnx(save_onnx)
    item = {"IOName": "x", "Precision": "uint8", "Scale": 0.5, "Offset": offset}
    qpc = tmp_path / "a.bin"
    compile_onnx(path, qpc, custom_io_list_file=write(tmp_path, item))
    model = onnx.ModelProto()
    model.ParseFromString(_core.qpc_segment(str(qpc), "qaickit.model.onnx"))
    assert ("QuantizeLinear" not in [node.op_type for node in model.graph.node]) == folded
    with Session(str(qpc)) as session:
        found = session.run({"x": np.uint8([0, 3, 4, 255])})["y"]
    expected = np.maximum((np.float32([0, 3, 4, 255]) - offset) * 0.5, 0)
    # Without the folding, QuantizeLinear cuts what lies beyond its own range.
    np.testing.assert_array_equal(found, np.minimum(expected, 126))


def test_template_changes_nothing(image_onnx: Path, tmp_path: Path) -> None:
    template = tmp_path / "template.yaml"
    plain, again = tmp_path / "a.bin", tmp_path / "b.bin"
    compile_onnx(image_onnx, plain, dump_custom_io_config_template_file=str(template))
    assert [item.name for item in read_custom_io(str(template))] == ["x", "ids", "y", "ids_out"]
    assert read_custom_io(str(template))[0] == CustomTensor("x", "NCHW", "float32")
    compile_onnx(image_onnx, again, custom_io_list_file=str(template))
    segments = [_core.qpc_segment(str(path), "qaickit.model.onnx") for path in (plain, again)]
    assert segments[0] == segments[1]


def test_template_is_written_by_a_session_on_a_cached_model(
    image_onnx: Path, tmp_path: Path
) -> None:
    Session(image_onnx).close()
    template = tmp_path / "template.yaml"
    Session(image_onnx, dump_custom_io_config_template_file=str(template)).close()
    assert template.exists()


def test_template_that_cannot_be_written(image_onnx: Path, tmp_path: Path) -> None:
    with pytest.raises((NotFoundError, PermissionDeniedError), match="custom IO template"):
        compile_onnx(
            image_onnx,
            tmp_path / "out" / "a.bin",
            dump_custom_io_config_template_file="/proc/none/template.yaml",
        )
    assert not (tmp_path / "out").exists()


X = {"IOName": "x", "Precision": "uint8", "Scale": 0.5, "Offset": 0}


@pytest.mark.parametrize(
    ("items", "error", "message"),
    [
        ([{"IOName": "id"}], InvalidArgumentError, "'id', which is no input or.*mean 'ids'"),
        ([{"IOName": "x", "layout": "NHWC"}], InvalidArgumentError, "'layout'; did you mean 'L"),
        ([{"Layout": "NHWC"}], InvalidArgumentError, "item 1: IOName is None"),
        ([{"IOName": "x", "Layout": "NCDHW"}], InvalidArgumentError, "Layout is 'NCDHW'"),
        ([{"IOName": "ids", "Layout": "NHWC"}], InvalidArgumentError, "this one has rank 1"),
        ([{**X, "IOName": "ids"}], InvalidArgumentError, "the model's is int64"),
        ([{"IOName": "x", "Precision": "int4"}], InvalidArgumentError, "Precision is 'int4'"),
        ([{"IOName": "x", "Precision": "bfloat16"}], UnsupportedError, "only known to cards"),
        ([{"IOName": "x", "Precision": "int8"}], InvalidArgumentError, "needs a Scale"),
        ([{**X, "Scale": 0}], InvalidArgumentError, "Scale is 0"),
        ([{**X, "Scale": float("nan")}], InvalidArgumentError, "Scale is nan"),
        ([{**X, "Scale": 1e-50}], InvalidArgumentError, "Scale is 1e-50"),
        ([{**X, "Scale": "big"}], InvalidArgumentError, "Scale is 'big'"),
        ([{**X, "Offset": 256}], InvalidArgumentError, "Offset is 256.*from 0 to 255"),
        ([{**X, "Offset": 1.5}], InvalidArgumentError, r"Offset is 1\.5"),
        ([X, X], InvalidArgumentError, "'x' has more than one item"),
        (["x"], InvalidArgumentError, "item 1: expected keys and values"),
    ],
)
def test_bad_files(
    image_onnx: Path,
    tmp_path: Path,
    items: list[dict[str, object]],
    error: type[QaicKitError],
    message: str,
) -> None:
    path = write(tmp_path, *items)
    with pytest.raises(error, match=message) as caught:
        compile_onnx(image_onnx, tmp_path / "out" / "a.bin", custom_io_list_file=path)
    assert path in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["IOName: x", "5", "- [", "\x00"])
def test_files_of_another_form(tmp_path: Path, text: str) -> None:
    path = tmp_path / "io.yaml"
    path.write_text(text)
    with pytest.raises(InvalidArgumentError, match="custom IO file"):
        read_custom_io(str(path))
