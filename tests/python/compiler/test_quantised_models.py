"""Quantising from the options to the answers: models, profiles, data, errors."""

from __future__ import annotations

import os
import stat
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from onnx import helper, numpy_helper
from sklearn.datasets import load_digits

import qaic
from qaickit import _core
from qaickit.compiler import CompileReport, CompileSettings, compile_onnx, ensure_qpc
from qaickit.compiler.calibration import collect
from qaickit.compiler.calibration.data import open_data
from qaickit.compiler.source import OnnxSource
from qaickit.datasets import Dataset, load_dataset
from qaickit.errors import (
    DataLossError,
    InvalidArgumentError,
    NotFoundError,
    QaicKitError,
    UnsupportedError,
)
from qaickit.models import find_model
from qaickit.models.resnet import make_resnet50
from qaickit.options import OptionWarning

METHODS = ("None", "KLMinimization", "KLMinimizationV2", "Percentile", "MSE", "SQNR")
DIGITS = find_model("digits").path
ONE = {"batch": 1}


@pytest.fixture(scope="module")
def held_out() -> Dataset:
    return load_dataset("digits", [("image", "float32", (1, 8, 8))])


@pytest.fixture(scope="module")
def training(held_out: Dataset) -> np.ndarray:
    """256 of the samples that the models were trained with, none of them held out."""
    images = (load_digits().images / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    held = {image.tobytes() for image in held_out.inputs["image"]}
    return np.stack([image for image in images if image.tobytes() not in held][:256])


def logits_of(path: Path, held_out: Dataset, **options: Any) -> np.ndarray:
    batch = {"batch": len(held_out)}
    with qaic.Session(path, backend="cpu", onnx_define_symbol=batch, **options) as session:
        session.setup()
        assert session.precision == ("int8" if options else "fp32")
        return session.run(held_out.inputs)["logits"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("model", "points", "least_sqnr"), [("digits", 0.5, 20), ("digits-encoder", 1.0, 30)]
)
def test_held_out_accuracy(
    model: str,
    points: float,
    least_sqnr: float,
    method: str,
    held_out: Dataset,
    training: np.ndarray,
) -> None:
    path = find_model(model).path
    real = logits_of(path, held_out)
    found = logits_of(
        path,
        held_out,
        convert_to_quantize=True,
        calibration_data={"image": training},
        quantization_calibration=method,
        percentile_calibration_value=99.99,
        enable_channelwise=True,
        enable_rowwise=True,
    )
    before, after = (100 * (y.argmax(axis=1) == held_out.labels).mean() for y in (real, found))
    assert after >= before - points
    assert 10 * np.log10((real**2).sum() / ((found - real) ** 2).sum()) > least_sqnr


def test_resnet_is_integers_from_end_to_end(tmp_path: Path) -> None:
    model = make_resnet50(batch=1, width=8, image=32, classes=10)
    onnx.save(model, tmp_path / "r.onnx")
    images = np.random.default_rng(0).standard_normal((4, 3, 32, 32)).astype(np.float32)
    quantised = compile_onnx(
        tmp_path / "r.onnx", tmp_path / "r.bin", convert_to_quantize=True,
        calibration_data={"image": images}, enable_channelwise=True,
    )  # fmt: skip
    compile_onnx(tmp_path / "r.onnx", tmp_path / "f.bin")
    notes = notes_of(quantised, "quantise")
    assert any("53 Conv" in note and "49 Relu" in note and "1 Gemm" in note for note in notes)
    assert not any("left in floating point" in note for note in notes)
    assert quantised.passes[-2].after.weight_bytes < 0.35 * quantised.passes[0].before.weight_bytes
    answers = []
    for name in ("r.bin", "f.bin"):
        with qaic.Session(tmp_path / name, backend="cpu") as session:
            answers.append(session.run({"image": images[:1]})["logits"])
    cosine = float((answers[0] * answers[1]).sum()) / np.prod(
        [np.linalg.norm(answer) for answer in answers]
    )
    assert cosine > 0.99


def notes_of(report: CompileReport, name: str) -> tuple[str, ...]:
    return next(entry.notes for entry in report.passes if entry.name == name)


def graph_in(qpc: Path) -> bytes:
    return _core.qpc_segment(str(qpc), "qaickit.model.onnx")


def compiled(qpc: Path, **options: Any) -> CompileReport:
    return compile_onnx(DIGITS, qpc, onnx_define_symbol=ONE, **options)


def test_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in "ab":
        compiled(tmp_path / name, convert_to_quantize=True, calibration_data="digits")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_manifest_tells_how_it_was_calibrated(tmp_path: Path) -> None:
    report = compiled(
        tmp_path / "a.bin", convert_to_quantize=True, calibration_data="digits",
        quantization_calibration="MSE",
    )  # fmt: skip
    assert report.precision == "int8"
    manifest = _core.read_qpc(str(tmp_path / "a.bin"))["manifest"]
    assert manifest is not None
    assert manifest["precision"] == "int8"
    assert manifest["options"]["quantization_calibration"] == "MSE"
    assert "calibration_data" not in manifest["options"]


# --- profiles ------------------------------------------------------------------------------------


def test_a_profile_serves_all_methods_and_batch_sizes(tmp_path: Path) -> None:
    profile = tmp_path / "p.yaml"
    report = compiled(tmp_path / "f.bin", dump_profile=profile, calibration_data="digits")
    assert report.precision == "fp32"
    assert any("not quantised" in note for note in notes_of(report, "calibrate"))
    for method in METHODS:
        options = {"quantization_calibration": method, "percentile_calibration_value": 99.9}
        compiled(tmp_path / "one.bin", load_profile=profile, **options)
        compiled(
            tmp_path / "two.bin", convert_to_quantize=True, calibration_data="digits", **options
        )
        one, two = (graph_in(tmp_path / name) for name in ("one.bin", "two.bin"))
        assert one == two, method
    loaded = compile_onnx(
        DIGITS, tmp_path / "b.bin", onnx_define_symbol={"batch": 7}, load_profile=profile
    )
    assert loaded.precision == "int8"


def test_ranges_can_be_edited(tmp_path: Path) -> None:
    profile = tmp_path / "p.yaml"
    compiled(tmp_path / "f.bin", dump_profile=profile, calibration_data="digits")
    content = yaml.safe_load(profile.read_text())
    name = next(iter(content["tensors"]))
    content["tensors"] = {name: {"low": 0.0, "high": 2.0}}
    profile.write_text(yaml.safe_dump(content))
    report = compiled(tmp_path / "x.bin", external_quantization_file=profile)
    assert any("not in the profile" in note for note in notes_of(report, "quantise"))
    with pytest.raises(InvalidArgumentError, match="lacks 4 tensors"):
        compiled(tmp_path / "y.bin", load_profile=profile)
    assert not (tmp_path / "y.bin").exists()


def test_profile_of_another_model(tmp_path: Path, linear_onnx: Path) -> None:
    profile = tmp_path / "p.yaml"
    compiled(tmp_path / "f.bin", dump_profile=profile, calibration_data="digits")
    for option in ("load_profile", "external_quantization_file"):
        with pytest.raises(InvalidArgumentError, match="profile of another model"):
            compile_onnx(
                linear_onnx, tmp_path / "l.bin", onnx_define_symbol=ONE, **{option: profile}
            )
    assert not (tmp_path / "l.bin").exists()


def test_profile_follows_external_data(tmp_path: Path) -> None:
    for name, factor in (("a", 1), ("b", 2)):
        (tmp_path / name).mkdir()
        model = onnx.load(DIGITS)
        for tensor in model.graph.initializer:
            if tensor.name == "conv0.weight":
                values = numpy_helper.to_array(tensor) * np.float32(factor)
                tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
        onnx.save(
            model, tmp_path / name / "m.onnx", save_as_external_data=True, location="m.data",
            size_threshold=0,
        )  # fmt: skip
    assert (tmp_path / "a/m.onnx").read_bytes() == (tmp_path / "b/m.onnx").read_bytes()
    options: dict[str, Any] = {"onnx_define_symbol": ONE}
    profile = tmp_path / "p.yaml"
    compile_onnx(
        tmp_path / "a/m.onnx", tmp_path / "a.bin", dump_profile=profile,
        calibration_data="digits", **options,
    )  # fmt: skip
    compile_onnx(tmp_path / "a/m.onnx", tmp_path / "a.bin", load_profile=profile, **options)
    with pytest.raises(InvalidArgumentError, match="profile of another model"):
        compile_onnx(tmp_path / "b/m.onnx", tmp_path / "b.bin", load_profile=profile, **options)


# --- data ----------------------------------------------------------------------------------------


def test_without_data_noise_is_used_and_told(tmp_path: Path) -> None:
    with (
        pytest.warns(OptionWarning, match="calibrating with random values"),
        qaic.Session(DIGITS, onnx_define_symbol=ONE, convert_to_quantize=True) as session,
    ):
        assert _core.read_qpc(session.qpc_path)["manifest"] is not None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = compiled(
            tmp_path / "a.bin", convert_to_quantize=True, use_random_input_data="gaussian"
        )
    assert any("32 samples, random values, gaussian" in n for n in notes_of(report, "calibrate"))


def test_list_of_raw_files(tmp_path: Path, training: np.ndarray) -> None:
    for i in range(20):
        training[i].tofile(tmp_path / f"{i}.raw")
    (tmp_path / "list.txt").write_text("\n".join(f"{i}.raw" for i in range(20)))
    from_files, from_arrays = (
        compiled(tmp_path / f"{i}.bin", convert_to_quantize=True, **options)
        for i, options in enumerate(
            ({"input_list_file": tmp_path / "list.txt"},
             {"calibration_data": {"image": training[:20]}})
        )
    )  # fmt: skip
    assert "20 samples" in notes_of(from_files, "calibrate")[0]
    one, two = (graph_in(tmp_path / f"{i}.bin") for i in range(2))
    assert one == two
    assert from_arrays.precision == "int8"


def test_the_cache_follows_the_data(tmp_path: Path, training: np.ndarray) -> None:
    def path_for(images: np.ndarray) -> str:
        with qaic.Session(
            DIGITS, onnx_define_symbol=ONE, convert_to_quantize=True,
            calibration_data=[{"image": images}],
        ) as session:  # fmt: skip
            return session.qpc_path

    assert path_for(training[:8]) == path_for(training[:8].copy()) != path_for(training[8:16])


def test_one_pass_in_several_runs_finds_the_same(
    training: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = OnnxSource.read(DIGITS)
    model = origin.model
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
    sets = collect.input_sets(model, [])
    names = ["image", *(node.output[0] for node in model.graph.node)]
    common = {"origin": origin, "sets": sets, "bins": 64}
    data = open_data({"image": training[:16]})
    whole = collect.collect(model, names, data, threads=1, **common)
    monkeypatch.setattr(collect, "CHUNK_BYTES", 1)
    # The data is read once all the same, whether all of it can be held for that, or a part.
    for window in (collect.WINDOW_BYTES, 4 * training[0].nbytes, 1):
        monkeypatch.setattr(collect, "WINDOW_BYTES", window)
        once = open_data(iter([{"image": sample[None]} for sample in training[:16]]))
        parts = collect.collect(model, names, once, threads=2, **common)
        assert whole.samples == parts.samples == 16
        assert list(whole.histograms) == list(parts.histograms) == names
        for name in names:
            one, two = whole.histograms[name], parts.histograms[name]
            assert np.array_equal(one.counts, two.counts), name
            assert (one.low, one.high) == (two.low, two.high)


def test_an_iterator_and_the_cache(training: np.ndarray) -> None:
    """What it holds is known when it has been read; then the cache serves what is the same."""
    items = [{"image": training[start : start + 8]} for start in (0, 8)]

    def path_of(data: object) -> str:
        options = {"convert_to_quantize": True, "onnx_define_symbol": {"batch": 4}}
        return ensure_qpc(DIGITS, CompileSettings.of(calibration_data=data, **options)).path

    path = path_of(iter(items))
    written = os.stat(path).st_mtime_ns
    assert path_of(iter(items)) == path_of(items) == path != path_of(iter(items[:1]))
    assert os.stat(path).st_mtime_ns == written


# --- what stays, what is refused -----------------------------------------------------------------


def test_operators_to_keep(tmp_path: Path, held_out: Dataset) -> None:
    report = compiled(
        tmp_path / "a.bin", convert_to_quantize=True, calibration_data="digits",
        keep_original_precision_for_nodes=["Gemm"],
    )  # fmt: skip
    notes = notes_of(report, "quantise")
    assert any(note.startswith("left in floating point: ") and "1 Gemm" in note for note in notes)
    assert "of these by option: 1 Gemm" in notes


def old_opset(tmp_path: Path) -> Path:
    """A net of opset 9, whose Clip and Squeeze have attributes, with a note in its metadata."""
    random = np.random.default_rng(0)
    weights = random.standard_normal((4, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv"),
        helper.make_node("Clip", ["c"], ["r"], "clip", min=0.0, max=6.0),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], "pool"),
        helper.make_node("Squeeze", ["p"], ["y"], "squeeze", axes=[2, 3]),
    ]
    graph = helper.make_graph(
        nodes, "old",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [2, 3, 8, 8])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [2, 4])],
        [numpy_helper.from_array(weights, "w")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 9)], ir_version=4)
    helper.set_model_props(model, {"qaickit.random_weights": "true"})
    onnx.save(model, tmp_path / "old.onnx")
    return tmp_path / "old.onnx"


def test_an_old_opset_is_converted(tmp_path: Path) -> None:
    images = np.random.default_rng(1).standard_normal((2, 3, 8, 8)).astype(np.float32)
    path = old_opset(tmp_path)
    report = compile_onnx(
        path, tmp_path / "q.bin", convert_to_quantize=True, calibration_data={"x": images}
    )
    assert "opset 9 -> 13" in notes_of(report, "convert versions")
    assert any("1 Clip" in note and "1 Conv" in note for note in notes_of(report, "quantise"))
    compile_onnx(path, tmp_path / "f.bin")
    answers = []
    for name in ("q.bin", "f.bin"):
        manifest = _core.read_qpc(str(tmp_path / name))["manifest"]
        assert manifest is not None
        assert manifest["random_weights"]
        with qaic.Session(tmp_path / name, backend="cpu") as session:
            answers.append(session.run({"x": images})["y"])
    assert answers[0] == pytest.approx(answers[1], abs=0.05)


def overflowing(tmp_path: Path) -> Path:
    """y = exp(x) * w: exp of 100 is more than float32 holds."""
    weights = numpy_helper.from_array(np.ones((4, 2), np.float32), "w")
    nodes = [helper.make_node("Exp", ["x"], ["e"]), helper.make_node("MatMul", ["e", "w"], ["y"])]
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 2])],
        [weights],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "exp.onnx")
    return tmp_path / "exp.onnx"


def test_infinity_inside_the_model_names_sample_and_tensor(tmp_path: Path) -> None:
    good, bad = np.zeros((1, 4), np.float32), np.full((1, 4), 100, np.float32)
    with pytest.raises(InvalidArgumentError, match=r"item 1: tensor 'e': .*4 infinite of 4"):
        compile_onnx(
            overflowing(tmp_path), tmp_path / "out" / "a.bin", convert_to_quantize=True,
            calibration_data=[{"x": good}, {"x": bad}],
        )  # fmt: skip
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"calibration_data": "none.npz"}, NotFoundError, "none.npz"),
        ({"calibration_data": "digist"}, InvalidArgumentError, "did you mean 'digits'"),
        ({"calibration_data": [{"picture": np.zeros(3)}]}, InvalidArgumentError, "missing"),
        ({"calibration_data": 3}, InvalidArgumentError, "calibration_data"),
        ({"input_list_file": "none.txt"}, NotFoundError, "none.txt"),
        ({"calibration_data": "digits", "num_histogram_bins": 0}, InvalidArgumentError, "8192"),
        ({"calibration_data": "digits", "input_list_file": "l"}, InvalidArgumentError, "exclude"),
    ],
)
def test_bad_options_leave_nothing(
    tmp_path: Path, options: dict[str, Any], error: type[QaicKitError], text: str
) -> None:
    with pytest.raises(error, match=text):
        compiled(tmp_path / "out" / "a.bin", convert_to_quantize=True, **options)
    assert os.listdir(tmp_path) == []


def test_a_quantised_model_is_not_quantised_again(tmp_path: Path) -> None:
    compiled(tmp_path / "a.bin", convert_to_quantize=True, calibration_data="digits")
    (tmp_path / "q.onnx").write_bytes(graph_in(tmp_path / "a.bin"))
    with pytest.raises(UnsupportedError, match="quantised already"):
        compile_onnx(
            tmp_path / "q.onnx", tmp_path / "b.bin", convert_to_quantize=True,
            use_random_input_data="uniform",
        )  # fmt: skip


def test_a_broken_profile(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("format: qaickit-profile-1\ntensors: {a: {low: x}}\n")
    with pytest.raises(DataLossError, match=r"p\.yaml.*tensor 'a', 'low'"):
        compiled(tmp_path / "a.bin", load_profile=tmp_path / "p.yaml")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_profile_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked").chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(QaicKitError, match="cannot write the profile"):
        compiled(
            tmp_path / "a.bin", dump_profile=tmp_path / "locked" / "p.yaml",
            calibration_data="digits",
        )  # fmt: skip
