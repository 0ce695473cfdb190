"""ONNX's own tests of its operators, run through `qaic.Session`.

Every test must give ONNX's answer, unless onnxruntime itself does not; those that are listed in
onnx_backend_excluded.yaml must be refused, with the message that the list has for them.
"""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import yaml
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

import qaic
import qaickit

Arrays = list[np.ndarray[Any, Any]]

LISTED = yaml.safe_load(Path(__file__).with_name("onnx_backend_excluded.yaml").read_text())
GROUP_OF = {name: group for group in LISTED["groups"] for name in group["tests"]}
WRITTEN_WITH_OTHERS = (onnx.__version__, onnxruntime.__version__) != (
    LISTED["written_with_onnx"],
    LISTED["written_with_onnxruntime"],
)
# onnxruntime follows onnx's versions at a distance, and none of these graphs needs this one.
IR_VERSION = 10

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the makers of test data overflow and divide by zero
    CASES = {case.name: case for case in load_model_tests(kind="node")}


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    # In memory where there is such a place: two thousand QPCs would wait for the disk to confirm.
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as path:
        yield Path(path)


def nodes_of(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from nodes_of(inner)


def portable(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model, in the oldest opset that has all of its operators as they are."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.ir_version = min(copy.ir_version, IR_VERSION)
    for opset in copy.opset_import:
        if opset.domain == "" and not copy.functions:
            opset.version = max(
                (
                    onnx.defs.get_schema(node.op_type, opset.version, "").since_version
                    for node in nodes_of(copy.graph)
                    if node.domain == ""
                ),
                default=opset.version,
            )
    return copy


def as_array(value: Any) -> np.ndarray[Any, Any]:
    if isinstance(value, onnx.TensorProto):
        return np.asarray(numpy_helper.to_array(value))
    return np.asarray(value)


def problem(case: Any, actual: Sequence[Any], expected: Sequence[Any]) -> str:
    """What is wrong with the answers; empty when nothing is."""
    for ours, theirs in zip(map(as_array, actual), map(as_array, expected), strict=True):
        if (ours.dtype, ours.shape) != (theirs.dtype, theirs.shape):
            return f"{ours.dtype}{ours.shape} in place of {theirs.dtype}{theirs.shape}"
        if not np.allclose(ours, theirs, rtol=case.rtol, atol=case.atol, equal_nan=True):
            return f"{ours} in place of {theirs}"
    return ""


def with_qaic(case: Any, model: bytes, directory: Path) -> str:
    path = directory / "model.onnx"
    path.write_bytes(model)
    try:
        with qaic.Session(path, output_dir=directory / "qpc") as session:
            for inputs, expected in case.data_sets:
                feeds = dict(
                    zip(session.model_input_shape_dict, map(as_array, inputs), strict=False)
                )
                found = problem(case, list(session.run(feeds).values()), expected)
                if found:
                    return found
    except qaickit.QaicKitError as error:
        return f"{type(error).__name__}: {error}"
    return ""


def with_onnxruntime(case: Any, model: bytes) -> str:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        names = [entry.name for entry in session.get_inputs()]
        for inputs, expected in case.data_sets:
            feeds = dict(zip(names, map(as_array, inputs), strict=False))
            found = problem(case, session.run(None, feeds), expected)
            if found:
                return found
    except Exception as error:  # a dozen classes without a base of their own
        return f"{type(error).__name__}: {error}"
    return ""


@pytest.mark.parametrize("name", [name for name in CASES if name not in GROUP_OF])
def test_operator(name: str, directory: Path) -> None:
    case = CASES[name]
    model = portable(case.model).SerializeToString()
    ours = with_qaic(case, model, directory)
    if not ours:
        return
    if with_onnxruntime(case, model):
        pytest.skip("onnxruntime does not pass it either")
    if WRITTEN_WITH_OTHERS and "QPC" in ours:
        pytest.skip("refused, and newer than the list of those that must be")
    pytest.fail(ours)


@pytest.mark.parametrize("name", [name for name in CASES if name in GROUP_OF])
def test_refusal(name: str, tmp_path: Path) -> None:
    group = GROUP_OF[name]
    path = tmp_path / "model.onnx"
    path.write_bytes(portable(CASES[name].model).SerializeToString())
    with pytest.raises(qaickit.QaicKitError) as refused:
        qaic.Session(path)
    if WRITTEN_WITH_OTHERS and "install a newer onnxruntime" in str(refused.value):
        pytest.skip("its opset is newer than this onnxruntime")
    assert refused.type is getattr(qaickit, group["error"])
    assert re.search(group["message"], str(refused.value))


def test_most_of_the_suite_is_run() -> None:
    assert len(CASES) > 1000
    assert sum(name in GROUP_OF for name in CASES) < len(CASES) / 6
