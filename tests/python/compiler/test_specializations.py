"""Programs with several allowed shapes, from the file of `network_specialization_config`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SaveOnnx
from onnx import TensorProto, helper, numpy_helper

from qaickit.compiler import compile_onnx
from qaickit.errors import InvalidArgumentError, UnsupportedError
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


def test_what_needs_one_shape_is_refused(token_onnx: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="'batchsize' needs one fixed shape"):
        compile_onnx(
            token_onnx,
            tmp_path / "a.bin",
            network_specialization_config=write(tmp_path, OLD),
            batchsize=2,
        )
