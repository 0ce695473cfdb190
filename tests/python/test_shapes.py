"""Programs with several allowed shapes, and part-filled batches, through `qaic.Session`."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SaveOnnx
from onnx import TensorProto, helper

import qaic
from qaickit import _core, runner
from qaickit.errors import InvalidArgumentError

MANIFEST = {"producer": "tests", "precision": "fp32"}
SaveQpc = Callable[..., Path]


def tensor(name: str, dtype: str, dims: list[int], partial: bool = False) -> dict[str, Any]:
    return {"name": name, "dtype": dtype, "dims": dims, "partial": partial}


@pytest.fixture
def save_qpc(save_onnx: SaveOnnx, tmp_path: Path) -> SaveQpc:
    """A QPC of y = x * scale over an open graph, with these shapes of x and y."""

    def save(shapes: list[list[int]], *, partial: bool = False, largest: list[int]) -> Path:
        graph = save_onnx(
            [helper.make_node("Mul", ["x", "scale"], ["y"])],
            [("x", TensorProto.FLOAT, ["n", "m"]), ("scale", TensorProto.FLOAT, [1])],
            [("y", TensorProto.FLOAT, ["n", "m"])],
        )
        program = {
            "name": "mul",
            "inputs": [tensor("x", "float32", largest, partial), tensor("scale", "float32", [1])],
            "outputs": [tensor("y", "float32", largest)],
            "allowed_shapes": [[dims, [1], dims] for dims in shapes],
        }
        path = tmp_path / "programqpc.bin"
        _core.write_qpc(str(path), program, MANIFEST, graph.read_bytes(), {})
        return path

    return save


def feed(*shape: int, scale: float = 3.0) -> dict[str, np.ndarray[Any, Any]]:
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    return {"x": x, "scale": np.array([scale], np.float32)}


def test_what_is_written_is_read(save_qpc: SaveQpc) -> None:
    program = _core.read_qpc(str(save_qpc([[1, 8], [4, 8]], partial=True, largest=[4, 8])))
    assert program["program"]["allowed_shapes"] == [[[1, 8], [1], [1, 8]], [[4, 8], [1], [4, 8]]]
    x = program["program"]["inputs"][0]
    assert (x["partial"], x["bytes"], x["dims"]) == (True, 128, [4, 8])


def test_each_allowed_shape_runs(save_qpc: SaveQpc) -> None:
    with qaic.Session(save_qpc([[1, 8], [2, 3], [4, 8], [3, 2]], largest=[4, 8])) as session:
        for shape in [(4, 8), (1, 8), (2, 3), (3, 2), (1, 8), (4, 8)]:
            inputs = feed(*shape)
            output = session.run(inputs)["y"]
            assert output.shape == shape
            np.testing.assert_array_equal(output, inputs["x"] * 3)
        assert session.model_input_shape_dict["x"][0] == (4, 8)
        completed, *_ = session.run_benchmark(num_inferences=5, input_dict=feed(2, 3))
        assert completed == 5


def test_a_shape_that_is_not_allowed_says_which_are(save_qpc: SaveQpc) -> None:
    with (
        qaic.Session(save_qpc([[1, 8], [4, 8]], largest=[4, 8])) as session,
        pytest.raises(InvalidArgumentError) as error,
    ):
        session.run(feed(2, 8))
    assert str(error.value) == (
        "No matching dimension found: got 'x' [2, 8], 'scale' [1]; "
        "allowed are 'x' [1, 8], 'scale' [1]; or 'x' [4, 8], 'scale' [1]"
    )


def test_other_faults_are_told_as_ever(save_qpc: SaveQpc) -> None:
    with qaic.Session(save_qpc([[1, 8], [4, 8]], largest=[4, 8])) as session:
        with pytest.raises(InvalidArgumentError, match=r"'x': expected float32.*astype"):
            session.run({**feed(1, 8), "x": np.zeros((1, 8))})
        inputs = feed(4, 8)
        expected = session.run(inputs)["y"]
        inputs["x"] = np.asfortranarray(inputs["x"])
        np.testing.assert_array_equal(session.run(inputs)["y"], expected)
        with pytest.raises(InvalidArgumentError, match="missing 'scale'"):
            session.run({"x": feed(1, 8)["x"]})


@pytest.mark.parametrize("rows", [1, 3, 4])
def test_a_part_of_the_batch(save_qpc: SaveQpc, rows: int) -> None:
    with qaic.Session(save_qpc([], partial=True, largest=[4, 8])) as session:
        session.run(feed(4, 8, scale=100))  # leaves something behind in the buffers
        inputs = feed(rows, 8)
        output = session.run(inputs)["y"]
        assert output.shape == (rows, 8)
        np.testing.assert_array_equal(output, inputs["x"] * 3)
        with pytest.raises(InvalidArgumentError, match="smaller first dim is allowed for 'x'"):
            session.run(feed(5, 8))


def test_threads_with_different_shapes(save_qpc: SaveQpc) -> None:
    shapes = [(1, 8), (2, 3), (4, 8)]
    path = save_qpc([list(shape) for shape in shapes], largest=[4, 8])
    wrong: list[Any] = []
    with qaic.Session(path, num_activations=2) as session:

        def work(shape: tuple[int, ...], scale: float) -> None:
            inputs = feed(*shape, scale=scale)
            for _ in range(200):
                output = session.run(inputs)["y"]
                if not np.array_equal(output, inputs["x"] * scale):
                    wrong.append((shape, output))

        threads = [
            threading.Thread(target=work, args=(shape, scale))
            for scale, shape in enumerate(shapes * 2, start=1)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_runner_takes_the_shapes_that_its_list_tells(save_qpc: SaveQpc, tmp_path: Path) -> None:
    path = save_qpc([[1, 8], [4, 8]], largest=[4, 8])
    rows = []
    for at, rows_of_x in enumerate((1, 4, 1)):
        inputs = feed(rows_of_x, 8, scale=at + 2.0)
        row = []
        for name, value in {**inputs, "y": inputs["x"] * (at + 2)}.items():
            value.tofile(tmp_path / f"{name}{at}.raw")
            direction = "out" if name == "y" else "in"
            row.append({"path": f"{name}{at}.raw", "io-direction": direction, "map-to": name,
                        "dims": list(value.shape), "elem-size": 4})  # fmt: skip
        rows.append(row)
    (tmp_path / "io.json").write_text(json.dumps({"IO-files": rows}))
    arguments = ["-t", str(path), "--aic-batch-json-input", str(tmp_path / "io.json")]
    assert runner.main([*arguments, "--write-output-dir", str(tmp_path),
                        "--write-output-num-samples", "3"]) == 0  # fmt: skip
    y = np.fromfile(tmp_path / "y-activation-0-inf-2.bin", np.float32)
    np.testing.assert_array_equal(y, np.arange(8) * 4)
