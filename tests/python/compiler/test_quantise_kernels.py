"""Operators between convolutions: what a host's kernels take in integers, and what leaves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from test_quantise import model_of, operators, quantised

# Operator, what it takes besides a tensor "h" of [1, 4, 8, 8] (None: nothing), attributes.
IN_INTEGERS: dict[str, tuple[str, list[Any], dict[str, Any]]] = {
    "Add": ("Add", ["h"], {}),
    "AveragePool": ("AveragePool", [], {"kernel_shape": [2, 2]}),
    "Concat": ("Concat", ["h"], {"axis": 1}),
    "DepthToSpace": ("DepthToSpace", [], {"blocksize": 2}),
    "Expand": ("Expand", [np.array([2, 4, 8, 8])], {}),
    "Flatten": ("Flatten", [], {}),
    "Gather": ("Gather", [np.array([0, 2])], {"axis": 1}),
    "GlobalAveragePool": ("GlobalAveragePool", [], {}),
    "LeakyRelu": ("LeakyRelu", [], {"alpha": 0.1}),
    "MaxPool": ("MaxPool", [], {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "Mul": ("Mul", ["h"], {}),
    "Reshape": ("Reshape", [np.array([1, 8, 4, 8])], {}),
    "Resize to nearest": (
        "Resize", [None, np.array([1, 1, 2, 2], np.float32)], {"mode": "nearest"},
    ),
    "Sigmoid": ("Sigmoid", [], {}),
    "Slice": ("Slice", [np.array([1]), np.array([3]), np.array([1])], {}),
    "Split": ("Split", [np.array([1, 3])], {"axis": 1}),
    "Squeeze": ("Squeeze", [np.array([0])], {}),
    "Tile": ("Tile", [np.array([1, 1, 2, 1])], {}),
    "Transpose": ("Transpose", [], {"perm": [0, 1, 3, 2]}),
    "Unsqueeze": ("Unsqueeze", [np.array([0])], {}),
}  # fmt: skip
OUTPUTS = {"Split": 2}


def outputs_of(model: onnx.ModelProto, feed: dict[str, np.ndarray]) -> list[Any]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, feed))


def between(
    operator: str, inputs: list[Any], attributes: dict[str, Any]
) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """A convolution, `operator` on its result "h", and a product of each tensor that that gives."""
    random = np.random.default_rng(3)
    weights = {"w": random.standard_normal((4, 3, 1, 1)).astype(np.float32)}
    names = ["h"]
    for index, value in enumerate(inputs):
        names.append(value if isinstance(value, str) else "" if value is None else f"e{index}")
        if isinstance(value, np.ndarray):
            weights[names[-1]] = value
    parts = [f"p{index}" for index in range(OUTPUTS.get(operator, 1))]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["h"]),
        helper.make_node(operator, names, parts, **attributes),
    ]
    shape = {"x": [1, 3, 8, 8]}
    feed = {"x": random.standard_normal((1, 3, 8, 8)).astype(np.float32)}
    probe = model_of(nodes, shape, dict.fromkeys(parts), weights)
    outputs: dict[str, Any] = {}
    for part, values in zip(parts, outputs_of(probe, feed), strict=True):
        outputs[f"{part}.y"] = [None] * values.ndim
        is_image = values.ndim == 4
        size = (2, values.shape[1], 1, 1) if is_image else (values.shape[-1], 2)
        weights[f"{part}.w"] = random.standard_normal(size).astype(np.float32)
        product = "Conv" if is_image else "MatMul"
        nodes.append(helper.make_node(product, [part, f"{part}.w"], [f"{part}.y"]))
    return model_of(nodes, shape, outputs, weights), feed


@pytest.mark.parametrize("name", IN_INTEGERS)
def test_nothing_leaves_the_integers_but_the_ends(name: str, tmp_path: Path) -> None:
    """In what ONNX Runtime makes of the graph, which has kernels for all of these."""
    model, feed = between(*IN_INTEGERS[name])
    result, done = quantised(model, feed)
    assert set(operators(model)) == {layer.operator for layer in done.layers}
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(
        result.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    found = operators(onnx.load(options.optimized_model_filepath))
    # A product gives floats by itself, a convolution does not.
    ends = sum(node.op_type == "Conv" for node in model.graph.node[2:])
    assert (found["QuantizeLinear"], found["DequantizeLinear"]) == (1, ends), found
    for wanted, got in zip(outputs_of(model, feed), outputs_of(result, feed), strict=True):
        assert np.abs(got - wanted).max() < 0.1 * np.abs(wanted).max()


@pytest.mark.parametrize(
    ("operator", "inputs", "attributes"),
    [
        ("Resize", [None, np.array([1, 1, 2, 2], np.float32)], {"mode": "linear"}),
        ("SpaceToDepth", [], {"blocksize": 2}),
        ("Tanh", [], {}),
    ],
)
def test_what_has_no_integer_kernel_stays(
    operator: str, inputs: list[Any], attributes: dict[str, Any]
) -> None:
    model, feed = between(operator, inputs, attributes)
    _, done = quantised(model, feed)
    assert {layer.operator for layer in done.layers} == {"Conv"}


def test_a_split_of_which_one_part_leaves() -> None:
    """The part that is an output of the model has its name, and the values of the integers."""
    model, feed = between(*IN_INTEGERS["Split"])
    model.graph.output.append(
        helper.make_tensor_value_info("p0", onnx.TensorProto.FLOAT, [1, 1, 8, 8])
    )
    result, done = quantised(model, feed)
    assert "Split" in {layer.operator for layer in done.layers}
    for wanted, got in zip(outputs_of(model, feed), outputs_of(result, feed), strict=True):
        assert np.abs(got - wanted).max() < 0.1 * np.abs(wanted).max()
