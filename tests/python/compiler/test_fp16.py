"""The graph in fp16: what is converted, what it answers, and how it lies in the QPC."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import yaml
from conftest import SaveOnnx
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.loader import load_model_tests
from test_onnx_backend import portable

import qaic
from qaickit import _core
from qaickit.compiler import CompileReport, compile_onnx, fp16
from qaickit.errors import DataLossError
from qaickit.models import find_model
from qaickit.models.resnet import make_resnet50

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16
MODEL, FP16_MODEL, WEIGHTS = "qaickit.model.onnx", "qaickit.model.fp16.onnx", "qaickit.weights.bin"
# Of binary16, which has 11 bits; a net adds up what its layers lose.
TOLERANCE = 2.0**-8


def segments(qpc: Path) -> list[str]:
    return [segment["name"] for segment in _core.read_qpc(str(qpc))["segments"]]


def graph_in(qpc: Path, segment: str = FP16_MODEL) -> onnx.ModelProto:
    return onnx.load_from_string(_core.qpc_segment(str(qpc), segment))


def runnable(qpc: Path, segment: str) -> onnxruntime.InferenceSession:
    """A graph of the QPC as onnxruntime's CPU takes it, with the weights beside it."""
    directory = qpc.with_suffix("")
    directory.mkdir(exist_ok=True)
    for name in {segment, WEIGHTS} & set(segments(qpc)):
        (directory / name).write_bytes(_core.qpc_segment(str(qpc), name))
    return onnxruntime.InferenceSession(directory / segment, providers=["CPUExecutionProvider"])


def random_feeds(session: onnxruntime.InferenceSession) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    dtypes = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
    return {
        info.name: random.standard_normal(info.shape).astype(dtypes[info.type])
        for info in session.get_inputs()
    }


def answers(qpc: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Of the graph in fp32 and of that in fp16, for the same inputs."""
    full, half = runnable(qpc, MODEL), runnable(qpc, FP16_MODEL)
    assert [(i.name, i.type, i.shape) for i in half.get_inputs()] == [
        (i.name, i.type, i.shape) for i in full.get_inputs()
    ]
    feeds = random_feeds(full)
    return full.run(None, feeds), half.run(None, feeds)


def assert_close(qpc: Path, tolerance: float = TOLERANCE) -> None:
    for full, half in zip(*answers(qpc), strict=True):
        assert (full.dtype, full.shape) == (half.dtype, half.shape)
        assert np.abs(full - half).max() <= tolerance * np.abs(full).max()


def in_fp16(qpc: Path) -> Counter[str]:
    """Operator -> nodes of the graph in fp16 that compute in it, as onnx infers."""
    model = onnx.shape_inference.infer_shapes(graph_in(qpc))
    half = {i.name for i in model.graph.value_info if i.type.tensor_type.elem_type == HALF}
    nodes = [node for node in model.graph.node if node.op_type != "Cast"]
    return Counter(node.op_type for node in nodes if half & {*node.input, *node.output})


def notes_of(report: CompileReport) -> tuple[str, ...]:
    return next(entry.notes for entry in report.passes if entry.name == "fp16 graph")


def constant(name: str, values: object) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(values, np.float32), name)


# --- models --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    resnet = tmp_path_factory.mktemp("models") / "resnet.onnx"
    onnx.save(make_resnet50(batch=1, width=8, image=32, classes=10), resnet)
    found = {name: Path(find_model(name).path) for name in ("digits", "digits-encoder")}
    return {**found, "resnet": resnet}


def symbols(name: str) -> dict[str, object]:
    return {} if name == "resnet" else {"onnx_define_symbol": {"batch": 4}}


@pytest.mark.parametrize("name", ["digits", "digits-encoder", "resnet"])
def test_a_model_in_fp16(name: str, models: dict[str, Path], tmp_path: Path) -> None:
    qpc, plain, again = tmp_path / "half.bin", tmp_path / "full.bin", tmp_path / "again.bin"
    report = compile_onnx(models[name], qpc, convert_to_fp16=True, **symbols(name))
    compile_onnx(models[name], plain, **symbols(name))
    compile_onnx(models[name], again, convert_to_fp16=True, **symbols(name))
    assert again.read_bytes() == qpc.read_bytes()
    assert_close(qpc)

    assert segments(qpc)[1:4] == [MODEL, FP16_MODEL, WEIGHTS]
    assert FP16_MODEL not in segments(plain)
    full, half = graph_in(qpc, MODEL), graph_in(qpc)
    assert list(half.graph.initializer) == list(full.graph.initializer)
    assert {tensor.data_type for tensor in half.graph.initializer} <= {FLOAT, TensorProto.INT64}
    # Each weight once: beside the plain QPC's bytes there are the two graphs' nodes.
    assert qpc.stat().st_size < plain.stat().st_size + half.ByteSize() + full.ByteSize()

    computing = Counter(node.op_type for node in full.graph.node)
    assert in_fp16(qpc) == computing
    listed = ", ".join(f"{count} {op}" for op, count in sorted(computing.items()))
    assert notes_of(report) == (f"in fp16: {listed}",)
    assert any("in fp16" in note for note in report.passes[-1].notes)


def test_onnxruntime_folds_the_casts_of_weights(models: dict[str, Path], tmp_path: Path) -> None:
    qpc = tmp_path / "a.bin"
    compile_onnx(models["resnet"], qpc, convert_to_fp16=True)
    runnable(qpc, FP16_MODEL)  # writes the files
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / "folded.onnx")
    onnxruntime.InferenceSession(
        qpc.with_suffix("") / FP16_MODEL, options, providers=["CPUExecutionProvider"]
    )
    folded = onnx.load(tmp_path / "folded.onnx")
    assert {tensor.data_type for tensor in folded.graph.initializer} == {HALF}


def test_a_cpu_goes_on_with_fp32(models: dict[str, Path], tmp_path: Path) -> None:
    found = []
    for name, options in (("half", {"convert_to_fp16": True}), ("full", {})):
        compile_onnx(models["digits"], tmp_path / name, **symbols("digits"), **options)
        with qaic.Session(_renamed(tmp_path / name), backend="cpu") as session:
            session.setup()
            assert session.precision == "fp32"
            image = np.random.default_rng(0).random((4, 1, 8, 8), np.float32)
            found.append(session.run({"image": image})["logits"])
    np.testing.assert_array_equal(*found)


def _renamed(path: Path) -> Path:
    return path.rename(path.with_suffix(".bin"))


def test_quantised_nodes_stay_between_integers(models: dict[str, Path], tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((8, 1, 8, 8), np.float32)
    qpc = tmp_path / "a.bin"
    report = compile_onnx(
        models["digits-encoder"], qpc, convert_to_quantize=True, convert_to_fp16=True,
        calibration_data={"image": images}, **symbols("digits-encoder"),
    )  # fmt: skip
    assert report.precision == "int8"
    assert_close(qpc, 0.05)  # a number next to a step of the integers may fall on either side
    half = graph_in(qpc)
    producers = {name: node for node in half.graph.node for name in node.output}
    products = [node for node in half.graph.node if node.op_type in ("Gemm", "MatMul")]
    assert len(products) == 18
    for node in products:
        sources = [producers[name].op_type for name in node.input]
        assert set(sources) == {"DequantizeLinear"}
    done = in_fp16(qpc)
    assert done["Softmax"] == 2
    assert done["LayerNormalization"] == 5
    assert done["Gemm"] == done["MatMul"] == done["QuantizeLinear"] == 0
    assert any(note.startswith("stay in fp32, quantised: ") for note in notes_of(report))


def test_integers_through_clamps_and_on(save_onnx: SaveOnnx, tmp_path: Path) -> None:
    """DQ -> Add -> Relu -> Q is one kernel; the Neg behind a DQ, and its Relu, are not."""
    path = save_onnx(
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
            helper.make_node("Add", ["d", "d"], ["sum"]),
            helper.make_node("Relu", ["sum"], ["clamped"]),
            helper.make_node("QuantizeLinear", ["clamped", "s", "z"], ["q2"]),
            helper.make_node("DequantizeLinear", ["q2", "s", "z"], ["d2"]),
            helper.make_node("Neg", ["d2"], ["n"]),
            helper.make_node("Relu", ["n"], ["y"]),
        ],
        [("x", FLOAT, [2, 3])],
        [("y", FLOAT, [2, 3])],
        [constant("s", 0.1), numpy_helper.from_array(np.asarray(7, np.uint8), "z")],
    )
    report = compile_onnx(path, tmp_path / "a.bin", convert_to_fp16=True)
    assert notes_of(report) == (
        "in fp16: 1 Neg, 1 Relu",
        "stay in fp32, quantised: 1 Add, 2 DequantizeLinear, 2 QuantizeLinear, 1 Relu",
    )
    assert_close(tmp_path / "a.bin")


# --- which nodes ---------------------------------------------------------------------------------


@pytest.fixture
def diamond(save_onnx: SaveOnnx) -> Path:
    """x -> Relu -> (Exp, Neg), both of one input -> Add -> y."""
    return save_onnx(
        [
            helper.make_node("Relu", ["x"], ["r"]),
            helper.make_node("Exp", ["r"], ["e"]),
            helper.make_node("Neg", ["r"], ["n"]),
            helper.make_node("Add", ["e", "n"], ["y"]),
        ],
        [("x", FLOAT, [2, 3])],
        [("y", FLOAT, [2, 3])],
    )


def node_file(tmp_path: Path, **names: Sequence[str]) -> str:
    path = tmp_path / "precision.yaml"
    path.write_text(yaml.safe_dump({f"{kind}NodeInstanceNames": n for kind, n in names.items()}))
    return str(path)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"convert_to_fp16": True}, {"Relu", "Exp", "Neg", "Add"}),
        ({"execute_nodes_in_fp16": "Exp,Neg"}, {"Exp", "Neg"}),
        (
            {"convert_to_fp16": True, "keep_original_precision_for_nodes": "Exp,Neg"},
            {"Relu", "Add"},
        ),
        ({"FP16": ["r", "y"]}, {"Relu", "Add"}),
        ({"convert_to_fp16": True, "FP32": ["y", "e"]}, {"Relu", "Neg"}),
        ({"execute_nodes_in_fp16": "Exp,Neg", "FP32": ["e"]}, {"Neg"}),
    ],
)
def test_lists_of_nodes_are_obeyed(
    options: dict[str, object], expected: set[str], diamond: Path, tmp_path: Path
) -> None:
    listed = {kind: options.pop(kind) for kind in ("FP16", "FP32") if kind in options}
    if listed:
        options["node_precision_info_file"] = node_file(tmp_path, **listed)
    compile_onnx(diamond, tmp_path / "a.bin", **options)
    assert in_fp16(tmp_path / "a.bin") == Counter(dict.fromkeys(expected, 1))
    assert_close(tmp_path / "a.bin")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"keep_original_precision_for_nodes": "Exp"},
        {"convert_to_fp16": True, "keep_original_precision_for_nodes": "Relu,Exp,Neg,Add"},
    ],
)
def test_no_graph_where_nothing_would_change(
    options: dict[str, object], diamond: Path, tmp_path: Path
) -> None:
    compile_onnx(diamond, tmp_path / "a.bin", **options)
    assert segments(tmp_path / "a.bin")[1:3] == [MODEL, "constantsdesc.bin"]


def test_buffers_in_fp16_are_not_cast_there_and_back(diamond: Path, tmp_path: Path) -> None:
    """The node that a list names by an output is meant, not the conversion behind it."""
    buffers = tmp_path / "io.yaml"
    buffers.write_text(
        yaml.safe_dump([{"IOName": name, "Precision": "float16"} for name in ("x", "y")])
    )
    compile_onnx(
        diamond, tmp_path / "a.bin", custom_io_list_file=str(buffers),
        node_precision_info_file=node_file(tmp_path, FP16=["r", "e", "n", "y"]),
    )  # fmt: skip
    qpc = tmp_path / "a.bin"
    assert set(_core.read_qpc(str(qpc))["manifest"]["node_precision"]) == {"r", "e", "n", "y.model"}
    assert in_fp16(qpc) == Counter({"Relu": 1, "Exp": 1, "Neg": 1, "Add": 1})
    half = graph_in(qpc)
    relu = next(node for node in half.graph.node if node.op_type == "Relu")
    assert list(relu.input) == ["x"]
    last = next(node for node in half.graph.node if "y" in node.output)
    assert list(last.input) == ["y.model.fp16"]
    assert_close(qpc)


def test_constants_that_fp16_cannot_hold(save_onnx: SaveOnnx, tmp_path: Path) -> None:
    """A mask of -3e38 would be minus infinity, an epsilon of 1e-12 would be 0."""
    path = save_onnx(
        [
            helper.make_node("Add", ["x", "mask"], ["masked"]),
            helper.make_node("Add", ["x", "epsilon"], ["kept"]),
            helper.make_node("Add", ["x", "infinite"], ["z"]),
        ],
        [("x", FLOAT, [2, 3])],
        [("masked", FLOAT, [2, 3]), ("kept", FLOAT, [2, 3]), ("z", FLOAT, [2, 3])],
        [
            constant("mask", [0, 0, -3e38]),
            constant("epsilon", 1e-12),
            constant("infinite", [-np.inf, 0, 1]),
        ],
    )
    report = compile_onnx(path, tmp_path / "a.bin", execute_nodes_in_fp16="Add")
    assert notes_of(report) == (
        "in fp16: 1 Add",
        "stay in fp32, fp16 cannot hold their constants: 2 Add",
    )
    # The policy clips the mask, so that all devices compute alike; the epsilon stays as it is.
    report = compile_onnx(path, tmp_path / "b.bin", convert_to_fp16=True)
    assert notes_of(report) == (
        "in fp16: 2 Add",
        "stay in fp32, fp16 cannot hold their constants: 1 Add",
    )
    for name in ("a.bin", "b.bin"):
        for answer in runnable(tmp_path / name, FP16_MODEL).run(
            None, {"x": np.ones((2, 3), np.float32)}
        )[:2]:
            assert np.isfinite(answer).all()


def test_graphs_inside_of_nodes_find_what_they_name(save_onnx: SaveOnnx, tmp_path: Path) -> None:
    """The bodies of an If read a value that a node in fp16 makes, and stay in fp32."""
    bodies = {}
    for branch, operator in (("then_branch", "Exp"), ("else_branch", "Neg")):
        bodies[branch] = helper.make_graph(
            [helper.make_node(operator, ["r"], [operator])],
            operator,
            [],
            [helper.make_tensor_value_info(operator, FLOAT, [2, 3])],
        )
    path = save_onnx(
        [
            helper.make_node("Relu", ["x"], ["r"]),
            helper.make_node("If", ["which"], ["chosen"], **bodies),
            # A name that the twin of "r" would have had.
            helper.make_node("Abs", ["chosen"], ["r.fp16"]),
            helper.make_node("Sqrt", ["r.fp16"], ["y"]),
        ],
        [("x", FLOAT, [2, 3]), ("which", TensorProto.BOOL, [])],
        [("y", FLOAT, [2, 3]), ("r.fp16", FLOAT, [2, 3])],
    )
    report = compile_onnx(path, tmp_path / "a.bin", convert_to_fp16=True)
    assert notes_of(report)[0] == "in fp16: 1 Abs, 1 Relu, 1 Sqrt"
    x = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    for which, expected in ((True, np.exp), (False, np.negative)):
        feeds = {"x": x, "which": np.asarray(which)}
        y, magnitude = runnable(tmp_path / "a.bin", FP16_MODEL).run(None, feeds)
        right = np.abs(expected(np.maximum(x, 0)))
        np.testing.assert_allclose(magnitude, right, rtol=TOLERANCE)
        np.testing.assert_allclose(y, np.sqrt(right), rtol=TOLERANCE)


def test_only_what_an_operator_takes_is_cast(save_onnx: SaveOnnx, tmp_path: Path) -> None:
    """The scales of a Resize are fp32 by definition, a GridSample has no kernel for fp16."""
    path = save_onnx(
        [
            helper.make_node("Resize", ["x", "", "scales"], ["big"], mode="nearest"),
            helper.make_node("GridSample", ["big", "grid"], ["sampled"]),
            helper.make_node("TopK", ["sampled", "k"], ["y", "where"]),
        ],
        [("x", FLOAT, [1, 1, 4, 4]), ("grid", FLOAT, [1, 4, 4, 2])],
        [("y", FLOAT, [1, 1, 4, 2]), ("where", TensorProto.INT64, [1, 1, 4, 2])],
        [constant("scales", [1, 1, 2, 2]), numpy_helper.from_array(np.asarray([2]), "k")],
    )
    report = compile_onnx(path, tmp_path / "a.bin", convert_to_fp16=True)
    assert notes_of(report) == (
        "in fp16: 1 Resize, 1 TopK",
        "stay in fp32, no kernel for fp16: 1 GridSample",
    )
    resize = next(node for node in graph_in(tmp_path / "a.bin").graph.node if node.name == "")
    assert list(resize.input) == ["x.fp16", "", "scales"]
    runnable(tmp_path / "a.bin", FP16_MODEL)


# --- every operator ------------------------------------------------------------------------------

# Minus infinity and the lowest number are one in some formulas, and not in fp16's.
OTHER_BY_DEFINITION = frozenset({"Attention"})
# onnxruntime's CPU reduces in fp32 only, and says so when it runs.
NOT_ON_A_CPU = frozenset({"ScatterElements", "ScatterND"})


@pytest.mark.skipif(onnx.defs.onnx_opset_version() < 27, reason="ONNX before LinearAttention")
def test_an_output_whose_type_no_input_tells_keeps_its_node() -> None:
    text = """<ir_version: 13, opset_import: ["": 27]>
    g (float[1,4,8] q, float[1,4,8] k, float[1,4,8] v) => (float[1,4,8] y, float s) {
        y, s = LinearAttention<q_num_heads=1, kv_num_heads=1>(q, k, v)
    }"""
    model = onnx.parser.parse_model(text)
    made = fp16.convert(model, lambda node: True, ())
    assert made.kept == {"no input tells the type of an output": {"LinearAttention": 1}}
    assert [node.op_type for node in made.model.graph.node] == ["LinearAttention"]


def test_every_operator_of_onnx() -> None:
    """ONNX's own test of each operator: the converted graph loads, and answers as before."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the makers of test data overflow and divide by zero
        cases = load_model_tests(kind="node")
    if any(case.model is None for case in cases):
        pytest.skip("the operator tests of an older ONNX are files")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    seen: Counter[str] = Counter()
    wrong = []
    for case in cases:
        model = portable(case.model)
        operators = {node.op_type for node in model.graph.node}
        left_out = operators & (OTHER_BY_DEFINITION | NOT_ON_A_CPU)
        if len(operators) != 1 or left_out or seen[min(operators)] >= 2:
            continue
        made = fp16.convert(model, lambda node: True, fp16.unfit_constants(model, {}))
        if not made.converted:
            continue
        try:
            full = onnxruntime.InferenceSession(model.SerializeToString(), options)
            values = [np.asarray(value) for value in case.data_sets[0][0]]
            feeds = dict(zip([i.name for i in full.get_inputs()], values, strict=False))
            expected = full.run(None, feeds)
        except Exception:  # what onnxruntime lacks; its classes of errors have no base
            continue
        seen[min(operators)] += 1
        half = fp16.with_weights(made.model, model).SerializeToString()
        found = onnxruntime.InferenceSession(half, options).run(None, feeds)
        for ours, theirs in zip(found, expected, strict=True):
            assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), case.name
            if ours.dtype == np.float32 and not _close(ours, theirs):
                wrong.append(case.name)
    assert not wrong
    assert len(seen) > 80


def _close(ours: np.ndarray, theirs: np.ndarray) -> bool:
    return np.allclose(ours, theirs, rtol=0.01, atol=0.01, equal_nan=True)


# --- the file ------------------------------------------------------------------------------------


def test_damage_to_the_graph_in_fp16_is_named(diamond: Path, tmp_path: Path) -> None:
    qpc = tmp_path / "a.bin"
    compile_onnx(diamond, qpc, convert_to_fp16=True)
    data = bytearray(qpc.read_bytes())
    at = bytes(data).index(_core.qpc_segment(str(qpc), FP16_MODEL))
    data[at + 20] ^= 1
    qpc.write_bytes(data)
    with pytest.raises(DataLossError, match=r"segment 'qaickit\.model\.fp16\.onnx'.*SHA-256"):
        _core.Qpc(str(qpc))
