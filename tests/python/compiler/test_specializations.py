"""Programs with several allowed shapes, from the file of `network_specialization_config`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SaveOnnx
from onnx import TensorProto, helper, numpy_helper

from qaickit.compile import cli
from qaickit.compile.run_once import run_once
from qaickit.compiler import CompileSettings, compile_onnx
from qaickit.compiler.calibration.profile import read_profile
from qaickit.errors import InvalidArgumentError
from qaickit.session import Session

FLOAT = TensorProto.FLOAT
OLD = {"specializations": [{"batch": "1", "seq": "4"}, {"batch": "2", "seq": "8"}]}
NEW = {
    "specializations": [
        {"name": "Prefill", "symbols": {"batch": 1, "seq": 4}},
        {"name": "Decode", "symbols": {"batch": 2, "seq": 8}},
    ]
}


@pytest.fixture
def token_onnx(save_onnx: SaveOnnx) -> Path:
    """h [batch, 3 * seq, ...] of x [batch, seq, 6]: a shape worked out in the graph."""
    weights = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
    return save_onnx(
        [
            helper.make_node("MatMul", ["x", "w"], ["m"]),
            helper.make_node("Shape", ["x"], ["s"], start=0, end=1),
            helper.make_node("Concat", ["s", "minus"], ["to"], axis=0),
            helper.make_node("Reshape", ["m", "to"], ["flat"]),
            helper.make_node("ReduceSum", ["mask"], ["total"], keepdims=0),
            helper.make_node("Mul", ["flat", "total"], ["h"]),
        ],
        [("x", FLOAT, ["batch", "seq", 6]), ("mask", FLOAT, ["batch"])],
        [("h", FLOAT, ["batch", "all"])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.array([-1]), "minus")],
    )


def write(tmp_path: Path, content: Any) -> str:
    path = tmp_path / "specializations.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


@pytest.mark.parametrize("content", [OLD, NEW])
def test_each_set_runs(token_onnx: Path, tmp_path: Path, content: Any) -> None:
    weights = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
    path = write(tmp_path, content)
    report = compile_onnx(token_onnx, tmp_path / "a.bin", network_specialization_config=path)
    assert report.program["allowed_shapes"] == [
        [[1, 4, 6], [1], [1, 12]],
        [[2, 8, 6], [2], [2, 24]],
    ]
    assert report.program["inputs"][0]["dims"] == [2, 8, 6]
    with Session(token_onnx, network_specialization_config=path) as session:
        for batch, length in ((1, 4), (2, 8), (1, 4)):
            x = np.random.default_rng(length).standard_normal((batch, length, 6))
            feed = {"x": x.astype(np.float32), "mask": np.ones(batch, np.float32)}
            found = session.run(feed)["h"]
            expected = (feed["x"] @ weights).reshape(batch, -1) * batch
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
        with pytest.raises(InvalidArgumentError, match="allowed are"):
            session.run({"x": np.zeros((1, 5, 6), np.float32), "mask": np.ones(1, np.float32)})


def test_the_rest_may_be_defined_apart(token_onnx: Path, tmp_path: Path) -> None:
    path = write(tmp_path, {"specializations": [{"seq": 4}, {"seq": 8}]})
    report = compile_onnx(
        token_onnx,
        tmp_path / "a.bin",
        network_specialization_config=path,
        onnx_define_symbol={"batch": 2},
    )
    assert [shapes[0] for shapes in report.program["allowed_shapes"]] == [[2, 4, 6], [2, 8, 6]]


def test_two_compilations_give_the_same_bytes(token_onnx: Path, tmp_path: Path) -> None:
    path = write(tmp_path, OLD)
    for name in ("a.bin", "b.bin"):
        compile_onnx(token_onnx, tmp_path / name, network_specialization_config=path)
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "b.bin").read_bytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not valid JSON"),
        ([], "expected {"),
        ({"specializations": []}, "expected {"),
        ({"specializations": [{}]}, "set 1: expected symbols"),
        ({"specializations": [{"seq": "0"}]}, "set 1, 'seq': expected a size of at least 1"),
        ({"specializations": [{"seq": "x"}]}, "set 1, 'seq': expected a size"),
        ({"specializations": [{"seq": 1}, {"batch": 1}]}, "set 2: has the symbols batch, set 1"),
        ({"specializations": [{"seq": 1}]}, "'batch' in input 'x'"),
        ({"specializations": [{"seqs": 1, "batch": 1}]}, "did you mean 'seq'"),
    ],
)
def test_bad_files(token_onnx: Path, tmp_path: Path, content: Any, message: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(InvalidArgumentError, match=message):
        compile_onnx(token_onnx, tmp_path / "out" / "a.bin", network_specialization_config=path)
    assert not (tmp_path / "out").exists()


# --- with other options -------------------------------------------------------------------------


@pytest.fixture
def image_onnx(save_onnx: SaveOnnx) -> Path:
    """y = relu(conv(x)) of x [batch, 2, side, side]."""
    weights = np.random.default_rng(3).standard_normal((3, 2, 3, 3)).astype(np.float32)
    return save_onnx(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["y"]),
        ],
        [("x", FLOAT, ["batch", 2, "side", "side"])],
        [("y", FLOAT, ["batch", 3, "side", "side"])],
        [numpy_helper.from_array(weights, "w")],
        file_name="image.onnx",
    )


SIDES = {"specializations": [{"batch": 1, "side": 4}, {"batch": 2, "side": 6}]}
IMAGES = [
    np.random.default_rng(size).uniform(-1, 1, (batch, 2, size, size)).astype(np.float32)
    for batch, size in ((1, 4), (2, 6))
]


def answer(model: Path, x: np.ndarray) -> np.ndarray:
    with Session(model, onnx_define_symbol={"batch": len(x), "side": x.shape[2]}) as session:
        return session.run({"x": x})["y"]


def raw_list(tmp_path: Path) -> str:
    """One line for each set: its file holds one whole input."""
    for number, x in enumerate(IMAGES):
        x.tofile(tmp_path / f"{number}.raw")
    path = tmp_path / "inputs.txt"
    path.write_text("0.raw\n1.raw\n")
    return str(path)


@pytest.mark.parametrize("data", ["arrays", "raw files", "largest only"])
def test_quantising_with_data_of_each_shape(image_onnx: Path, tmp_path: Path, data: str) -> None:
    given: dict[str, Any] = {"calibration_data": [{"x": x} for x in IMAGES]}
    if data == "raw files":
        given = {"input_list_file": raw_list(tmp_path)}
    if data == "largest only":
        np.save(tmp_path / "x.npy", np.repeat(IMAGES[1], 3, axis=0))
        given = {"calibration_data": str(tmp_path / "x.npy")}
    path = tmp_path / "a.bin"
    profile = tmp_path / "profile.yaml"
    sets = {"network_specialization_config": write(tmp_path, SIDES)}
    compile_onnx(image_onnx, path, dump_profile=str(profile), **sets, **given)
    report = compile_onnx(image_onnx, path, load_profile=str(profile), **sets)
    assert report.precision == "int8"
    assert [layer.operator for layer in report.layers] == ["Conv"]
    seen = read_profile(str(profile))
    assert seen.samples == (6 if data == "largest only" else 3)
    used = IMAGES[1:] if data == "largest only" else IMAGES
    assert seen.tensors["x"].high == max(float(x.max()) for x in used)
    with Session(path) as session:
        for x in IMAGES:
            expected = answer(image_onnx, x)
            np.testing.assert_allclose(session.run({"x": x})["y"], expected, atol=0.1)


def test_noise_is_of_each_shape(image_onnx: Path, tmp_path: Path) -> None:
    report = compile_onnx(
        image_onnx,
        tmp_path / "a.bin",
        network_specialization_config=write(tmp_path, SIDES),
        convert_to_quantize=True,
        use_random_input_data="uniform",
    )
    calibrating = next(entry for entry in report.passes if entry.name == "calibrate")
    # 32 of each.
    assert "64 samples" in calibrating.notes[0]


def test_data_of_no_allowed_shape(image_onnx: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InvalidArgumentError,
        match=r"item 0: expected one of the allowed shapes, \('x' \[1, 2, 4, 4\]\) or \('x' \[2,",
    ):
        compile_onnx(
            image_onnx,
            tmp_path / "a.bin",
            network_specialization_config=write(tmp_path, SIDES),
            convert_to_quantize=True,
            calibration_data=[{"x": np.zeros((1, 2, 5, 5), np.float32)}],
        )


def test_custom_io_is_for_all_shapes(image_onnx: Path, tmp_path: Path) -> None:
    buffers = tmp_path / "io.yaml"
    scale = 1 / 128
    buffers.write_text(
        f"- {{IOName: x, Layout: NHWC, Precision: uint8, Scale: {scale}, Offset: 128}}\n"
        "- {IOName: y, Layout: NHWC}\n"
    )
    path, template = tmp_path / "a.bin", tmp_path / "template.yaml"
    report = compile_onnx(
        image_onnx,
        path,
        network_specialization_config=write(tmp_path, SIDES),
        custom_io_list_file=str(buffers),
        dump_custom_io_config_template_file=str(template),
    )
    assert report.program["allowed_shapes"] == [
        [[1, 4, 4, 2], [1, 4, 4, 3]],
        [[2, 6, 6, 2], [2, 6, 6, 3]],
    ]
    assert "Layout: NCHW" in template.read_text()
    with Session(path) as session:
        for x in IMAGES:
            integers = np.rint(x / scale + 128).clip(0, 255).astype(np.uint8)
            real = (integers.astype(np.float32) - 128) * np.float32(scale)
            found = session.run({"x": np.ascontiguousarray(integers.transpose(0, 2, 3, 1))})["y"]
            np.testing.assert_allclose(
                found.transpose(0, 3, 1, 2), answer(image_onnx, real), rtol=1e-4, atol=1e-4
            )


def test_batchsize_counts_for_all_sets(token_onnx: Path, tmp_path: Path) -> None:
    path = write(tmp_path, {"specializations": [{"seq": 4}, {"seq": 8}]})
    report = compile_onnx(
        token_onnx, tmp_path / "a.bin", network_specialization_config=path, batchsize=3
    )
    assert [shapes[0] for shapes in report.program["allowed_shapes"]] == [[3, 4, 6], [3, 8, 6]]


def test_batchsize_against_a_set(token_onnx: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"batchsize=1 sets 'batch', and .* set 2, gives it 2: .* leave"
    ):
        compile_onnx(
            token_onnx,
            tmp_path / "a.bin",
            network_specialization_config=write(tmp_path, OLD),
            batchsize=1,
        )


def test_comparing_and_running_once(
    image_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = [
        f"-m={image_onnx}",
        f"-network-specialization-config={write(tmp_path, SIDES)}",
        "-convert-to-quantize",
        f"-input-list-file={raw_list(tmp_path)}",
    ]
    np.save(tmp_path / "x.npy", IMAGES[1])
    assert cli.main([*common, "--compare", str(tmp_path / "x.npy")]) == 0
    assert "2 samples" in capsys.readouterr().out
    qpc = tmp_path / "qpc"
    assert cli.main([*common, f"-aic-binary-dir={qpc}"]) == 0
    settings = CompileSettings.of(input_list_file=raw_list(tmp_path), convert_to_quantize=True)
    # The first line is of the first set.
    run_once(str(qpc / "programqpc.bin"), "0", str(tmp_path / "out"), settings)
    found = np.fromfile(tmp_path / "out" / "y-activation-0-inf-0.bin", np.float32)
    np.testing.assert_allclose(found, answer(image_onnx, IMAGES[0]).ravel(), atol=0.1)
    run_once(str(qpc / "programqpc.bin"), "0", str(tmp_path / "out"), CompileSettings())
    assert (tmp_path / "out" / "y-activation-0-inf-0.bin").stat().st_size == 4 * 2 * 3 * 6 * 6
