"""Schemata, plans and what is emitted, against plain arithmetic and onnxruntime."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto, helper, numpy_helper

from qaickit.compiler import quantise
from qaickit.compiler.calibration import histogram, methods
from qaickit.compiler.calibration.profile import FixedRange
from qaickit.compiler.quantise import Rules, Settings, schema
from qaickit.compiler.quantise.plan import Graph, Role, make_plan

F32 = TensorProto.FLOAT
SCHEMATA = ("asymmetric", "symmetric", "symmetric_with_uint8", "symmetric_with_power2_scale")
SHAPES = hnp.array_shapes(min_dims=2, max_dims=4, max_side=4)
FINITE = st.floats(-(2.0**20), 2.0**20, width=32)


def model_of(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, list[int]],
    outputs: dict[str, list[int]],
    weights: dict[str, np.ndarray] | None = None,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(n, F32, d) for n, d in inputs.items()],
        [helper.make_tensor_value_info(n, F32, d) for n, d in outputs.items()],
        [numpy_helper.from_array(v, n) for n, v in (weights or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def copy_of(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def run(model: onnx.ModelProto, feed: dict[str, np.ndarray], *, optimise: bool = True) -> Any:
    options = onnxruntime.SessionOptions()
    if not optimise:
        level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.graph_optimization_level = level
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, feed)[0]


def profile_of(model: onnx.ModelProto, feed: dict[str, np.ndarray]) -> dict[str, Any]:
    """Histograms of all float tensors that a plan may ask for."""
    wanted = [n for n in make_plan(Graph.of(model)).tensors if n not in feed]
    probe = copy_of(model)
    del probe.graph.output[:]
    probe.graph.output.extend(helper.make_tensor_value_info(n, F32, None) for n in wanted)
    values = dict(feed)
    if wanted:
        session = onnxruntime.InferenceSession(probe.SerializeToString())
        values |= dict(zip(wanted, session.run(wanted, feed), strict=True))
    return {n: histogram.of_values(v, 512) for n, v in values.items() if v.dtype == np.float32}


def settings_of(activations: str = "symmetric_with_uint8", **rules: Any) -> Settings:
    constants = rules.pop("constants", activations.replace("_with_power2_scale", ""))
    return Settings(activations, methods.min_max, Rules(constants=constants, **rules))


def quantised(
    model: onnx.ModelProto, feed: dict[str, np.ndarray], **kwargs: Any
) -> tuple[onnx.ModelProto, quantise.Quantised]:
    result = copy_of(model)
    done = quantise.quantise(
        result, profile_of(model, feed), settings_of(**kwargs), lambda _: False
    )
    onnx.checker.check_model(result, full_check=True)
    return result, done


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


# --- schemata ------------------------------------------------------------------------------------


@given(low=FINITE, high=FINITE, name=st.sampled_from(SCHEMATA))
def test_activation_scales(low: float, high: float, name: str) -> None:
    low, high = sorted((low, high))
    grid = schema.grid_of(name, low)
    low, high = min(low, 0.0), max(high, 0.0)
    scale = schema.activation_scale(name, grid, low, high)
    assert np.float32(scale.scale) == scale.scale > 0
    assert 0 <= scale.zero <= 255
    # Every value of the range is held to within half a step.
    step = scale.scale * 1.0001
    assert scale.low - step / 2 <= low
    assert high <= scale.high + step / 2
    if name == "asymmetric":
        assert scale.scale == pytest.approx((high - low) / 255, rel=1e-6) or high - low < 1e-15
    else:
        assert scale.zero == (0 if name == "symmetric_with_uint8" and low == 0.0 else 128)
    if name == "symmetric_with_power2_scale":
        assert np.frexp(scale.scale)[0] == 0.5


def test_schemata_on_a_known_range() -> None:
    cases = {
        ("asymmetric", -1.0, 3.0): (4 / 255, 64),
        ("symmetric", -1.0, 3.0): (3 / 127, 128),
        ("symmetric", 0.0, 3.0): (3 / 127, 128),
        ("symmetric_with_uint8", -1.0, 3.0): (3 / 127, 128),
        ("symmetric_with_uint8", 0.0, 3.0): (3 / 255, 0),
        ("symmetric_with_power2_scale", -1.0, 3.0): (2.0**-5, 128),
        ("symmetric_with_power2_scale", -127.0, 1.0): (1.0, 128),
    }
    for (name, low, high), (scale, zero) in cases.items():
        found = schema.activation_scale(name, schema.grid_of(name, low), low, high)
        assert (found.scale, found.zero) == (float(np.float32(scale)), zero), name


@given(
    values=hnp.arrays(np.float32, SHAPES, elements=FINITE),
    name=st.sampled_from(SCHEMATA[:3]),
    by_axis=st.booleans(),
)
def test_constants_are_held_to_half_a_step(values: np.ndarray, name: str, by_axis: bool) -> None:
    found = schema.quantise_constant(values, name, 0 if by_axis else None)
    assert found.values.dtype == np.int8
    assert found.values.shape == values.shape
    assert found.scales.shape == ((len(values),) if by_axis else ())
    steps = found.scales.astype(np.float64).reshape((-1,) + (1,) * (values.ndim - 1))
    steps = steps if by_axis else found.scales.astype(np.float64)
    assert (np.abs(found.dequantised() - values) <= steps * 0.5001).all()


def test_constant_schemata() -> None:
    positive = np.array([[0.0, 1.0], [0.25, 0.6]], np.float32)
    found = schema.quantise_constant(positive, "symmetric_with_uint8", None)
    assert (found.zero, found.values.tolist()) == (-128, [[-128, 127], [-64, 25]])
    assert found.scales == np.float32(1 / 255)
    signed = np.array([[-1.0, 0.0], [0.5, 0.3]], np.float32)
    found = schema.quantise_constant(signed, "symmetric_with_uint8", 0)
    assert (found.zero, found.values.tolist()) == (0, [[-127, 0], [127, 76]])
    found = schema.quantise_constant(signed, "asymmetric", None)
    assert (found.zero, found.values.tolist()) == (42, [[-128, 42], [127, 93]])


def test_a_channel_of_zeros_has_a_scale_that_a_bias_can_use() -> None:
    values = np.array([[0.0, 0.0], [1.0, -1.0]], np.float32)
    found = schema.quantise_constant(values, "symmetric", 0)
    assert found.scales.tolist() == [np.float32(1 / 127)] * 2


# --- one layer, integer for integer --------------------------------------------------------------


def linear(seed: int = 0) -> tuple[onnx.ModelProto, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """relu(x * w + b) * v, so that the middle is quantised on both sides."""
    random = np.random.default_rng(seed)
    weights = {
        "w": random.standard_normal((16, 8)).astype(np.float32),
        "b": random.standard_normal(8).astype(np.float32),
        "v": random.standard_normal((8, 4)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["h"], "first"),
        helper.make_node("Relu", ["h"], ["r"], "relu"),
        helper.make_node("MatMul", ["r", "v"], ["y"], "second"),
    ]
    model = model_of(nodes, {"x": [32, 16]}, {"y": [32, 4]}, weights)
    return model, {"x": random.standard_normal((32, 16)).astype(np.float32)}, weights


def by_hand(
    seen: dict[str, Any], feed: np.ndarray, weights: dict[str, np.ndarray], kind: str, **rules: Any
) -> np.ndarray:
    """`linear` as the card is told: native int8 and uint8, in float64."""

    def act(values: np.ndarray, tensor: str) -> np.ndarray:
        h = seen[tensor]
        low, high = min(h.low, 0.0), max(h.high, 0.0)
        if kind == "asymmetric":
            scale = float(np.float32((high - low) / 255))
            zero, least, most = round(-low / scale), 0, 255
        elif kind == "symmetric_with_uint8" and h.low >= 0:
            scale, zero, least, most = float(np.float32(high / 255)), 0, 0, 255
        else:
            scale = float(np.float32(max(-low, high) / 127))
            if kind == "symmetric_with_power2_scale":
                scale = float(2 ** np.ceil(np.log2(scale)))
            zero, least, most = 0, -128, 127
        return (np.clip(np.rint(values / scale) + zero, least, most) - zero) * scale

    def const(values: np.ndarray) -> np.ndarray:
        axis = 0 if rules.get("rowwise") else None
        if kind == "asymmetric" and axis is None:
            low, high = min(values.min(), 0), max(values.max(), 0)
            scale = np.float64(np.float32((float(high) - float(low)) / 255))
            zero = np.rint(-128 - float(low) / scale)
            return (np.clip(np.rint(values / scale) + zero, -128, 127) - zero) * scale
        scale = (np.abs(values).max(axis=axis).astype(np.float64) / 127).astype(np.float32)
        scale = scale.astype(np.float64)
        return np.clip(np.rint(values / scale), -127, 127) * scale

    x, w, v = act(feed, "x"), const(weights["w"]), const(weights["v"])
    hidden = x @ w + weights["b"]
    return act(np.maximum(hidden, 0), "r") @ v


@pytest.mark.parametrize("kind", SCHEMATA)
@pytest.mark.parametrize("rowwise", [False, True])
@pytest.mark.parametrize("optimise", [False, True])
def test_what_is_emitted_computes_what_the_schema_says(
    kind: str, rowwise: bool, optimise: bool
) -> None:
    model, feed, weights = linear()
    seen = profile_of(model, feed)
    result, _ = quantised(model, feed, activations=kind, rowwise=rowwise)
    expected = by_hand(seen, feed["x"], weights, kind, rowwise=rowwise)
    found = run(result, feed, optimise=optimise)
    # Only where a sum lies between two integers may one step of the middle tensor differ.
    step = 2 * abs(weights["v"]).max() * seen["r"].high / 127
    differs = np.abs(found - expected) > 1e-4 * np.abs(expected).max()
    assert differs.mean() < 0.05
    assert (np.abs(found - expected) < step).all()


@pytest.mark.parametrize("kind", SCHEMATA)
@pytest.mark.parametrize("clamp", ["Relu", "Clip"])
def test_folded_clamps_change_nothing(kind: str, clamp: str) -> None:
    """A clamp in integers gives bit for bit what quantising the clamped tensor gives."""
    random = np.random.default_rng(1)
    weights = {
        "w": random.standard_normal((4, 3, 3, 3)).astype(np.float32),
        "low": np.array(-0.7, np.float32),
        "high": np.array(2.3, np.float32),
    }
    extra = ["low", "high"] if clamp == "Clip" else []
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["h"]),
        helper.make_node(clamp, ["h", *extra], ["y"]),
    ]
    model = model_of(nodes, {"x": [1, 3, 9, 9]}, {"y": [1, 4, 7, 7]}, weights)
    feed = {"x": random.standard_normal((1, 3, 9, 9)).astype(np.float32)}
    result, _ = quantised(model, feed, activations=kind)
    if clamp == "Relu" and kind in ("asymmetric", "symmetric_with_uint8"):
        assert "Clip" not in operators(result)  # the least integer is the clamp
    # The same with the clamp in floating point between the convolution and its rounding.
    reference = copy_of(result)
    nodes_left = [n for n in reference.graph.node if n.op_type != "Clip"]
    for node in nodes_left:
        clipped = node.op_type == "DequantizeLinear" and node.output[0] == "y"
        if clipped and "clipped" in node.input[0]:
            node.input[0] = next(n for n in reference.graph.node if n.op_type == "Clip").input[0]
        if node.op_type == "QuantizeLinear" and node.input[0] == "y.float":
            node.input[0] = "clamped"
    clamped = helper.make_node(clamp, ["y.float", *extra], ["clamped"])
    at = next(i for i, n in enumerate(nodes_left) if n.op_type == "Conv") + 1
    nodes_left.insert(at, clamped)
    del reference.graph.node[:]
    reference.graph.node.extend(nodes_left)
    if extra:
        names = {t.name for t in reference.graph.initializer}
        reference.graph.initializer.extend(
            numpy_helper.from_array(weights[n], n) for n in extra if n not in names
        )
    found, expected = (run(m, feed, optimise=False) for m in (result, reference))
    assert np.array_equal(found, expected)
    assert found.min() < 0 if clamp == "Clip" else found.min() >= 0


@pytest.mark.parametrize("bias", ["Int32", "Int8"])
def test_bias(bias: str) -> None:
    model, feed, weights = linear()
    result, done = quantised(model, feed, bias=bias, rowwise=True)
    constants = {t.name: numpy_helper.to_array(t) for t in result.graph.initializer}
    held = constants["b.h.q"].astype(np.float64) * constants["b.h.scale"]
    assert constants["b.h.q"].dtype == np.int32
    if bias == "Int32":
        assert (np.abs(held - weights["b"]) <= constants["b.h.scale"]).all()
    else:
        step = np.abs(weights["b"]).max() / 127
        levels = held / step
        assert (np.abs(levels - np.rint(levels)) < 0.05).all()
        assert (np.abs(held - weights["b"]) <= step * 0.51).all()
    assert any("int8 biases" in note for note in done.notes) == (bias == "Int8")


def test_weights_make_room_for_a_bias_too_great_for_int32() -> None:
    """Room for the products too: their sum with the bias is an int32 as well."""
    model, feed, _ = linear()
    with_bias(model, 3e8)
    small = {"x": feed["x"] * np.float32(1e-3)}
    result, done = quantised(model, small)
    (note,) = (note for note in done.notes if "of wider scale" in note)
    assert "the bias 'b' would not fit into int32" in note
    biases = [t for t in result.graph.initializer if t.data_type == onnx.TensorProto.INT32]
    (integers,) = (numpy_helper.to_array(t) for t in biases if t.dims == [8])
    assert np.all((integers > 2**29) & (integers <= 2**30))
    wanted, found = run(model, small), run(result, small)
    assert np.abs(wanted - found).max() < 0.01 * np.abs(wanted).max()


def test_a_bias_that_no_scale_makes_fit_is_told() -> None:
    model, feed, _ = linear()
    with_bias(model, 3e38)
    _, done = quantised(model, {"x": feed["x"] * np.float32(1e-18)})
    assert any(note.startswith("b: greater than int32") for note in done.notes)


def with_bias(model: onnx.ModelProto, value: float) -> None:
    for tensor in model.graph.initializer:
        if tensor.name == "b":
            tensor.CopyFrom(numpy_helper.from_array(np.full(8, value, np.float32), "b"))


# --- plans ---------------------------------------------------------------------------------------


def plan_of(model: onnx.ModelProto, keep: set[str] | None = None) -> dict[str, Role]:
    steps = make_plan(Graph.of(model), lambda node: node.output[0] in (keep or set())).steps
    return {step.node.output[0]: step.role for step in steps}


def residual() -> onnx.ModelProto:
    """conv -> relu -> conv -> add (+ the first relu) -> relu -> pool -> flatten -> gemm."""
    random = np.random.default_rng(3)
    weights = {
        "w1": random.standard_normal((4, 3, 3, 3)).astype(np.float32),
        "w2": random.standard_normal((4, 4, 3, 3)).astype(np.float32),
        "w3": random.standard_normal((4, 5)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c1"], pads=[1] * 4),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], pads=[1] * 4),
        helper.make_node("Add", ["c2", "r1"], ["a"]),
        helper.make_node("Relu", ["a"], ["r2"]),
        helper.make_node("GlobalAveragePool", ["r2"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "w3"], ["g"]),
        helper.make_node("Softmax", ["g"], ["y"]),
    ]
    return model_of(nodes, {"x": [1, 3, 8, 8]}, {"y": [1, 5]}, weights)


def test_a_chain_stays_in_integers() -> None:
    model = residual()
    assert set(plan_of(model)) == {"c1", "c2", "a", "p", "f", "g"}
    feed = {"x": np.random.default_rng(4).standard_normal((1, 3, 8, 8)).astype(np.float32)}
    result, done = quantised(model, feed)
    # One change to integers at the entry; the last product gives floats by itself.
    assert run(result, feed) == pytest.approx(run(model, feed), abs=0.05)
    assert operators(result)["Relu"] == 0
    assert "left in floating point: 1 Softmax" in done.notes
    layers = {layer.node: layer for layer in done.layers}
    assert layers["g"].scale is None
    assert layers["c1"].result == "r1"
    assert layers["c1"].zero == 0
    assert layers["c2"].zero == 128
    assert layers["f"].scale == layers["p"].scale
    for name in ("c1", "c2", "g"):
        assert layers[name].weights_sqnr is not None
        assert 30 < layers[name].weights_sqnr < 70
    assert layers["c1"].clipped == 0.0
    assert layers["c1"].result_sqnr is not None
    assert layers["c1"].result_sqnr > 30


def test_kept_nodes_take_their_followers_with_them() -> None:
    assert set(plan_of(residual(), keep={"c2"})) == {"c1", "p", "f", "g"} - {"p", "f"}
    assert set(plan_of(residual(), keep={"g"})) == {"c1", "c2"}


def test_lonely_followers_stay_in_floating_point() -> None:
    nodes = [
        helper.make_node("Add", ["x", "x"], ["a"]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("Flatten", ["r"], ["y"]),
    ]
    assert plan_of(model_of(nodes, {"x": [2, 3]}, {"y": [2, 3]})) == {}


def test_products_of_two_tensors() -> None:
    nodes = [helper.make_node("MatMul", ["a", "b"], ["y"])]
    model = model_of(nodes, {"a": [2, 4, 8], "b": [2, 8, 4]}, {"y": [2, 4, 4]})
    random = np.random.default_rng(0)
    feed = {n: random.standard_normal(s).astype(np.float32) for n, s in
            (("a", (2, 4, 8)), ("b", (2, 8, 4)))}  # fmt: skip
    result, _ = quantised(model, feed)
    zeros = {
        t.name: numpy_helper.to_array(t).dtype.name
        for t in result.graph.initializer
        if "zero" in t.name
    }
    assert set(zeros.values()) == {"uint8", "int8"}  # the right side as int8, for its kernel
    assert run(result, feed) == pytest.approx(run(model, feed), abs=0.2)


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node("Gemm", ["x", "w", "b"], ["y"], alpha=0.5),
        helper.make_node("Gemm", ["x", "w", "b"], ["y"], transA=1),
        helper.make_node("Gemm", ["x", "w", "full"], ["y"]),
        helper.make_node("Gemm", ["x", "x"], ["y"]),
        helper.make_node("Gemm", ["w", "w"], ["y"]),
        helper.make_node("MatMul", ["w", "x"], ["y"]),
    ],
)
def test_products_without_a_kernel_stay(node: onnx.NodeProto) -> None:
    weights = {
        "w": np.ones((4, 4), np.float32),
        "b": np.ones(4, np.float32),
        "full": np.ones((4, 4), np.float32),
    }
    assert plan_of(model_of([node], {"x": [4, 4]}, {"y": [4, 4]}, weights)) == {}


def test_a_constant_operand_is_quantised_by_itself() -> None:
    random = np.random.default_rng(5)
    weights = {
        "w": random.standard_normal((6, 6)).astype(np.float32),
        "c": np.linspace(-3, 5, 6, dtype=np.float32),
        "v": random.standard_normal((6, 2)).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Add", ["h", "c"], ["s"]),
        helper.make_node("MatMul", ["s", "v"], ["y"]),
    ]
    model = model_of(nodes, {"x": [9, 6]}, {"y": [9, 2]}, weights)
    feed = {"x": random.standard_normal((9, 6)).astype(np.float32)}
    result, _ = quantised(model, feed)
    held = {t.name: numpy_helper.to_array(t) for t in result.graph.initializer}
    assert held["c.operand.q"].dtype == np.uint8
    difference = np.abs(run(result, feed) - run(model, feed)).max()
    assert difference < 0.05 * np.abs(run(model, feed)).max()


# --- what the profile says -----------------------------------------------------------------------


def test_given_ranges_win_over_the_method() -> None:
    model, feed, _ = linear()
    seen = profile_of(model, feed)
    seen["r"] = FixedRange(0.0, 1.0)
    result = copy_of(model)
    done = quantise.quantise(result, seen, settings_of(), lambda _: False)
    (layer,) = (layer for layer in done.layers if layer.result == "r")
    assert (layer.scale, layer.zero) == (float(np.float32(1 / 255)), 0)
    assert layer.clipped is None


def test_tensors_that_the_profile_lacks_stay_in_floating_point() -> None:
    model, feed, _ = linear()
    seen = profile_of(model, feed)
    del seen["x"]
    result = copy_of(model)
    done = quantise.quantise(result, seen, settings_of(), lambda _: False)
    assert [layer.node for layer in done.layers] == ["y"]
    assert any("not in the profile" in note and "x" in note for note in done.notes)


def test_names_of_the_model_are_not_taken_again() -> None:
    model, feed, _ = linear()
    taken = ["w.q", "r.q", "x.uint8.q", "y.DequantizeLinear", "quantise.zero.uint8.0"]
    for i, name in enumerate(taken):
        model.graph.node.append(helper.make_node("Identity", ["x"], [name], f"extra{i}"))
    result, _ = quantised(model, feed)
    assert run(result, feed) == pytest.approx(run(model, feed), abs=0.5)


def test_the_same_bytes_each_time() -> None:
    model, feed, _ = linear()
    one, two = (quantised(model, feed, rowwise=True)[0] for _ in range(2))
    assert one.SerializeToString(deterministic=True) == two.SerializeToString(deterministic=True)


@given(seed=st.integers(0, 10**6), kind=st.sampled_from(SCHEMATA))
@settings(max_examples=15, deadline=None)
def test_error_is_as_small_as_eight_bits_allow(seed: int, kind: str) -> None:
    model, feed, _ = linear(seed)
    result, _ = quantised(model, feed, activations=kind, rowwise=True)
    real, found = run(model, feed), run(result, feed)
    # 8 bits in, 8 bits of weights, 8 bits in the middle: about 40 dB each, 25 dB at the least.
    assert ((found - real) ** 2).sum() < 10 ** (-2.5) * (real**2).sum()
