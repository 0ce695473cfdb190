"""`qaic.Session` answers as onnxruntime does, on graphs of many kinds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

import qaic

Arrays = Mapping[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Graph:
    """A graph in ONNX's text syntax, what to feed it, and its weights.

    A symbol in a shape gets its size from `symbols`. `rtol` is 1e-5, but for sums in fp16.
    """

    text: str
    feeds: Arrays
    weights: Arrays = field(default_factory=dict)
    symbols: Mapping[str, int] = field(default_factory=dict)
    rtol: float = 1e-5

    def save(self, path: Path) -> None:
        model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]>{self.text}')
        model.graph.initializer.extend(
            numpy_helper.from_array(value, name) for name, value in self.weights.items()
        )
        onnx.checker.check_model(model)
        path.write_bytes(model.SerializeToString())


def rand(*shape: int, dtype: Any = np.float32, seed: int = 3) -> np.ndarray[Any, Any]:
    """Normal values with the variance that keeps sums over the first axis near 1."""
    values = np.random.default_rng(seed).standard_normal(shape)
    return np.asarray(values / np.sqrt(shape[0] if len(shape) == 2 else 1), dtype=dtype)


def ints(*shape: int, below: int, dtype: Any = np.int64) -> np.ndarray[Any, Any]:
    return np.random.default_rng(5).integers(0, below, shape, dtype=dtype)


GRAPHS = {
    "linear": Graph(
        "g (float[2,16] x) => (float[2,4] y) { y = Gemm(x, w, b) }",
        {"x": rand(2, 16)},
        {"w": rand(16, 4), "b": rand(4)},
    ),
    "multilayer": Graph(
        """g (float[B,16] x) => (float[B,3] y)
        { h = Gemm(x, w1, b1)  r = Relu(h)  l = MatMul(r, w2)  y = Softmax <axis=-1> (l) }""",
        {"x": rand(4, 16)},
        {"w1": rand(16, 32), "b1": rand(32), "w2": rand(32, 3)},
        {"B": 4},
    ),
    "int64 ids": Graph(
        """g (int64[2,3] ids) => (float[2,1,5] y)
        { rows = Gather(table, ids)  y = ReduceMax <axes=[1]> (rows) }""",
        {"ids": ints(2, 3, below=10)},
        {"table": rand(10, 5)},
    ),
    "int64 results": Graph(
        """g (float[3,9] x) => (int64[3,1] best, float[3,2] top, int64[3,2] where)
        { best = ArgMax <axis=1> (x)  top, where = TopK(x, k) }""",
        {"x": rand(3, 9)},
        {"k": np.array([2], np.int64)},
    ),
    "several inputs and outputs": Graph(
        """g (float[3] a, float[3] b, int32[2,2] n)
        => (float[3] product, int32[2,2] negative, float[3] sum)
        { sum = Add(a, b)  product = Mul(a, b)  negative = Neg(n) }""",
        {"a": rand(3), "b": rand(3, seed=4), "n": ints(2, 2, below=9, dtype=np.int32)},
    ),
    "bool": Graph(
        """g (bool[4] flag, float[4] a, float[4] b) => (bool[4] other, float[4] chosen)
        { other = Not(flag)  chosen = Where(flag, a, b) }""",
        {"flag": np.array([True, False, True, True]), "a": rand(4), "b": rand(4, seed=4)},
    ),
    "float16": Graph(
        """g (float16[2,3] x) => (float16[2,3] twice, float[2,3] wide)
        { twice = Add(x, x)  wide = Cast <to=1> (x) }""",
        {"x": rand(2, 3, dtype=np.float16)},
    ),
    "float16 layer": Graph(
        "g (float16[2,64] x) => (float16[2,8] y) { xw = MatMul(x, w)  y = Tanh(xw) }",
        {"x": rand(2, 64, dtype=np.float16)},
        {"w": rand(64, 8, dtype=np.float16)},
        rtol=2e-3,
    ),
    "small integers": Graph(
        """g (uint8[3] u, int8[3] s) => (int16[3] v, uint8[3] t)
        { v = Cast <to=5> (u)  t = Cast <to=2> (s) }""",
        {"u": np.array([0, 127, 255], np.uint8), "s": np.array([0, 1, 127], np.int8)},
    ),
    "quantised": Graph(
        """g (float[1,8] x) => (float[1,4] y)
        { q = QuantizeLinear(x, s, z)  d = DequantizeLinear(q, s, z)  y = MatMul(d, w) }""",
        {"x": rand(1, 8)},
        {"s": np.array(0.02, np.float32), "z": np.array(3, np.int8), "w": rand(8, 4)},
    ),
    "scalars": Graph(
        """g (float[3] x, float factor) => (float[3] y, float top)
        { y = Mul(x, factor)  top = ReduceMax <keepdims=0> (y) }""",
        {"x": rand(3), "factor": np.array(2.5, np.float32)},
    ),
    "zero size": Graph(
        """g (float[0,4] past, float[1,4] x) => (float[1,4] all, float[0,4] none)
        { all = Concat <axis=0> (past, x)  none = Neg(past) }""",
        {"past": np.zeros((0, 4), np.float32), "x": rand(1, 4)},
    ),
    "4-D": Graph(
        """g (float[2,3,9,8] image) => (float[2,5,5,4] y, float[2,5,1,1] mean) {
          c = Conv <pads=[1,1,1,1], strides=[2,2]> (image, kernel)
          y = Relu(c)
          mean = GlobalAveragePool(y)
        }""",
        {"image": rand(2, 3, 9, 8)},
        {"kernel": rand(5, 3, 3, 3) / np.float32(5)},
    ),
    "residual": Graph(
        """g (float[N,4,8,8] x) => (float[N,10] y) {
          c = Conv <pads=[1,1,1,1]> (x, k)
          n = BatchNormalization(c, scale, shift, mean, variance)
          s = Add(n, x)
          r = Relu(s)
          p = MaxPool <kernel_shape=[2,2], strides=[2,2]> (r)
          f = Flatten(p)
          y = MatMul(f, w)
        }""",
        {"x": rand(3, 4, 8, 8)},
        {
            "k": rand(4, 4, 3, 3) / np.float32(6), "scale": rand(4) + 2, "shift": rand(4),
            "mean": rand(4), "variance": np.abs(rand(4)) + 1, "w": rand(64, 10),
        },
        {"N": 3},
    ),
    "dynamic batch and length": Graph(
        "g (float[batch,length,4] x) => (float[batch,length,4] y) { y = Softmax(x) }",
        {"x": rand(3, 2, 4)},
        symbols={"batch": 3, "length": 2},
    ),
    "recurrent": Graph(
        """g (float[5,2,3] x) => (float[5,1,2,4] y, float[1,2,4] h)
        { y, h, c = LSTM <hidden_size=4> (x, w, r) }""",
        {"x": rand(5, 2, 3)},
        {"w": rand(1, 16, 3), "r": rand(1, 16, 4)},
    ),
    "branches": Graph(
        """g (bool which, float[3] x) => (float[3] y) {
          y = If (which) <
            then_branch = yes () => (float[3] a) { a = Neg(x) },
            else_branch = no () => (float[3] b) { b = Exp(x) }
          >
        }""",
        {"which": np.array(False), "x": rand(3)},
    ),
    # One encoder layer: two heads of 16, post-norm, GELU. fp32.
    "transformer block": Graph(
        """g (float[B,S,32] x, int64[B,S] mask) => (float[B,S,32] y, float[B,2,S,S] attention) {
          q0 = MatMul(x, wq)  k0 = MatMul(x, wk)  v0 = MatMul(x, wv)
          q1 = Reshape(q0, heads)  k1 = Reshape(k0, heads)  v1 = Reshape(v0, heads)
          q = Transpose <perm=[0,2,1,3]> (q1)
          k = Transpose <perm=[0,2,3,1]> (k1)
          v = Transpose <perm=[0,2,1,3]> (v1)
          scores = MatMul(q, k)
          scaled = Mul(scores, scale)
          keep0 = Cast <to=1> (mask)  keep1 = Unsqueeze(keep0, axes)
          gone = Sub(one, keep1)  bias = Mul(gone, low)
          biased = Add(scaled, bias)
          attention = Softmax <axis=-1> (biased)
          mixed = MatMul(attention, v)
          back = Transpose <perm=[0,2,1,3]> (mixed)
          joined = Reshape(back, flat)
          out = MatMul(joined, wo)
          sum1 = Add(out, x)
          norm1 = LayerNormalization <axis=-1> (sum1, gain, shift)
          up0 = MatMul(norm1, w1)  up = Add(up0, b1)
          half = Mul(up, rsqrt2)  e = Erf(half)  e1 = Add(e, one)
          both = Mul(up, e1)  gelu = Mul(both, point5)
          down = MatMul(gelu, w2)
          sum2 = Add(down, norm1)
          y = LayerNormalization <axis=-1> (sum2, gain, shift)
        }""",
        {"x": rand(2, 6, 32), "mask": np.array([[1] * 6, [1] * 4 + [0] * 2], np.int64)},
        {
            **{name: rand(32, 32, seed=at) for at, name in enumerate(("wq", "wk", "wv", "wo"))},
            "w1": rand(32, 64), "b1": rand(64), "w2": rand(64, 32),
            "gain": rand(32) + 1, "shift": rand(32),
            "heads": np.array([0, 0, 2, 16], np.int64), "flat": np.array([0, 0, 32], np.int64),
            "axes": np.array([1, 2], np.int64), "scale": np.array(0.25, np.float32),
            "one": np.array(1, np.float32), "low": np.array(-1e4, np.float32),
            "rsqrt2": np.array(0.5**0.5, np.float32), "point5": np.array(0.5, np.float32),
        },
        {"B": 2, "S": 6},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GRAPHS)
def test_answers_equal_onnxruntimes(name: str, tmp_path: Path) -> None:
    graph = GRAPHS[name]
    path = tmp_path / "model.onnx"
    graph.save(path)
    theirs = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in theirs.get_outputs()]
    expected = dict(zip(names, theirs.run(names, dict(graph.feeds)), strict=True))
    with qaic.Session(str(path), onnx_define_symbol=dict(graph.symbols)) as session:
        outputs = session.run(graph.feeds)
        assert list(outputs) == names
        for key, value in outputs.items():
            assert (value.shape, value.dtype) == session.model_output_shape_dict[key]
            assert (value.shape, value.dtype) == (expected[key].shape, expected[key].dtype)
            assert value.flags.c_contiguous
            # Relative to the tensor: single elements may be the difference of large ones.
            scale = np.max(np.abs(expected[key].astype(np.float64)), initial=0)
            np.testing.assert_allclose(value, expected[key], rtol=0, atol=graph.rtol * scale)
