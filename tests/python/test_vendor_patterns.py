"""Whole programs that use `qaic` the way public programs for Cloud AI 100 do."""

from __future__ import annotations

import concurrent.futures
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import qaic

Array = np.ndarray[Any, Any]


@pytest.fixture
def image_net(tmp_path: Path) -> Path:
    """Classes of an image: `data` [batch, 3, 32, 32] -> `prob` [batch, 10]."""
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]>'
        "net (float[batch,3,32,32] data) => (float[batch,10] prob) {"
        "  p = AveragePool <kernel_shape=[8,8], strides=[8,8]> (data)"
        "  f = Flatten(p)  l = MatMul(f, w)  prob = Softmax(l) }"
    )
    weights = np.random.default_rng(2).standard_normal((48, 10)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weights, "w"))
    path = tmp_path / "net.onnx"
    onnx.save(model, str(path))
    return path


@pytest.fixture
def token_qpc(tmp_path: Path) -> Path:
    """Logits of tokens: `input_ids`, `attention_mask` [1, 8] int64 -> `logits` [1, 8, 16]."""
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]>'
        "bert (int64[batch,sequence] input_ids, int64[batch,sequence] attention_mask)"
        " => (float[batch,sequence,16] logits) {"
        "  e = Gather(table, input_ids)  m = Cast <to=1> (attention_mask)"
        "  u = Unsqueeze(m, axes)  logits = Mul(e, u) }"
    )
    table = np.random.default_rng(2).standard_normal((100, 16)).astype(np.float32)
    model.graph.initializer.extend(
        [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.array([2]), "axes")]
    )
    onnx.save(model, str(tmp_path / "bert.onnx"))
    qaic.Session(
        str(tmp_path / "bert.onnx"),
        onnx_define_symbol=[("batch", 1), ("sequence", 8)],
        output_dir=str(tmp_path / "qpc"),
    ).close()
    return tmp_path / "qpc"


@pytest.fixture
def config(tmp_path: Path) -> str:
    """The options file that comes with a model: also of the compiler, whatever is then opened."""
    path = tmp_path / "config.yaml"
    path.write_text(
        "aic_num_cores: 4\nnum_activations: 1\nmulticast-weights: true\ncompile-only: true\n"
        "onnx_define_symbol:\n  batch: 2\n# output_dir: './qpc'\n"
    )
    return str(path)


# --- one model, its options in a file, random or real input --------------------------------------


def make_input(session: qaic.Session, path: Path | None) -> dict[str, Array]:
    shape, kind = session.model_input_shape_dict["data"]
    if path is None:
        return {"data": np.random.randn(*shape).astype(kind)}
    return {"data": np.resize(np.fromfile(path, dtype=kind), shape)}


def test_benchmark(image_net: Path, config: str, tmp_path: Path) -> None:
    np.ones((1, 3, 32, 32), np.float32).tofile(tmp_path / "image.raw")
    session = qaic.Session(str(image_net), options_path=config)
    inputs = make_input(session, tmp_path / "image.raw")
    completed, rate, seconds, batch = session.run_benchmark(num_inferences="50", input_dict=inputs)
    assert (completed, batch) == (50, 2)
    assert rate == pytest.approx(completed / seconds)


def test_metrics(image_net: Path, config: str, capsys: pytest.CaptureFixture[str]) -> None:
    session = qaic.Session(str(image_net), options_path=config, enable_metrics=True)
    inputs = make_input(session, None)
    for _ in range(100):
        session.run(inputs)
    session.print_metrics()
    metrics = session.get_metrics()
    assert metrics["num_of_inferences"] == 99
    assert capsys.readouterr().out.splitlines()[0].endswith(" are 99")


def test_profile(image_net: Path, config: str, capsys: pytest.CaptureFixture[str]) -> None:
    session = qaic.Session(str(image_net), options_path=config, enable_profiling=True)
    inputs = make_input(session, None)
    for _ in range(10):
        session.run(inputs)
    session.print_metrics()
    session.print_profile_data(n=5)
    assert session.get_metrics()["num_of_inferences"] == 9
    assert capsys.readouterr().out.count("File-Line-Function") == 5


def test_methods_as_documented(image_net: Path, config: str) -> None:
    session = qaic.Session(model_path=str(image_net), backend="aic", options_path=config)
    assert session.model_input_shape_dict()["data"][0] == (2, 3, 32, 32)
    assert session.model_output_shape_dict()["prob"][0] == (2, 10)
    inputs = make_input(session, None)
    before = session.run(inputs)["prob"]
    options = session.backend_options()
    assert {"num_activations", "dev_id", "set_size"} <= set(options)
    session.update_backend_options(num_activations=2)
    assert session.backend_options()["num_activations"] == 2
    np.testing.assert_array_equal(session.run(inputs)["prob"], before)
    assert session.run_benchmark()[0] == 40
    session.reset()
    session.setup()
    np.testing.assert_array_equal(session.run(inputs)["prob"], before)


# --- a compiled model ----------------------------------------------------------------------------


def test_tokens(token_qpc: Path, config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, "/opt/qti-aic/examples/apps/qaic-python-sdk"])
    session = qaic.Session(model_path=str(token_qpc) + "/programqpc.bin", options_path=config)
    session.setup()
    shape, kind = session.model_input_shape_dict["input_ids"]
    out_shape, out_kind = session.model_output_shape_dict["logits"]
    assert f"{shape} {kind} {out_shape} {out_kind}" == "(1, 8) int64 (1, 8, 16) float32"
    # What torch gives is of that type already, and a text's end is filled up by hand.
    ids = np.pad(np.array([[5, 7, 9]]), ((0, 0), (0, 5))).astype(kind)
    output = session.run({"input_ids": ids, "attention_mask": (ids > 0).astype(kind)})
    logits = np.frombuffer(output["logits"], dtype=out_kind).reshape(out_shape)
    assert logits[0, 0].any()
    assert not logits[0, 3:].any()
    assert output["logits"][:, 1, :].argmax() == logits[0, 1].argmax()
    session.reset()


def test_ten_threads_save_their_outputs(token_qpc: Path, tmp_path: Path) -> None:
    session = qaic.Session(
        model_path=str(token_qpc / "programqpc.bin"), num_activations=int("2"), set_size=int("4"),
        dev_id=int("0"),
    )  # fmt: skip
    assert session.run_benchmark(inf_time=int("1"))[0] > 0
    files = []
    for name, value in (("ids", np.arange(8)), ("mask", np.ones(8))):
        files.append(tmp_path / f"{name}.raw")
        value.astype(np.int64).tofile(files[-1])
    inputs = {
        name: np.fromfile(file, dtype=np.int64).reshape(spec[0])
        for (name, spec), file in zip(session.model_input_shape_dict.items(), files, strict=True)
    }
    with concurrent.futures.ThreadPoolExecutor(max_workers=10) as executor:
        futures = [executor.submit(session.run, inputs) for _ in range(10)]
    for index, future in enumerate(concurrent.futures.as_completed(futures)):
        for name in session.model_output_shape_dict:
            future.result()[name].tofile(tmp_path / f"{name}_{index}.bin")
    session.reset()
    saved = {path.read_bytes() for path in tmp_path.glob("logits_*.bin")}
    assert len(saved) == 1
    assert len(list(tmp_path.glob("logits_*.bin"))) == 10


def test_one_session_feeds_another_on_shared_cores(image_net: Path, tmp_path: Path) -> None:
    """Detection in two parts: features, then heads, with numpy in between."""
    made: Callable[..., qaic.Session] = qaic.Session
    first, second = (
        made(
            str(image_net), num_activations=1, set_size=1, dev_id=0, oversubscription_name="group1",
            onnx_define_symbol={"batch": 1}, output_dir=str(tmp_path / name),
        )
        for name in ("first", "second")
    )  # fmt: skip
    _, kind = first.model_input_shape_dict["data"]
    picture = np.arange(3 * 32 * 32).reshape(3, 32, 32)
    for _ in range(3):
        classes = first.run({"data": picture[np.newaxis, ...].astype(kind)})["prob"]
        image = np.full((32, 32, 3), classes.mean()).transpose(2, 0, 1)[np.newaxis].astype(kind)
        assert not image.flags.c_contiguous  # astype keeps the order of the axes in memory
        assert second.run({"data": image})["prob"][0, 3] > 0


def test_an_export_script_looks_types_up_by_name(token_qpc: Path) -> None:
    known = {"float32": 4, "float16": 2, "int64": 8, "int32": 4, "bool": 1}
    session = qaic.Session(str(token_qpc / "programqpc.bin"))
    shapes = getattr(session, "model_input_shape_dict", {})
    assert [known[str(kind)] for _, kind in shapes.values()] == [8, 8]
    assert json.dumps({name: [int(d) for d in shape] for name, (shape, _) in shapes.items()})
