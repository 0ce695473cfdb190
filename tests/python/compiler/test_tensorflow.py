"""TensorFlow's own graphs through the command line; runs where TensorFlow and tf2onnx are."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qaickit import _core
from qaickit.compile import cli
from qaickit.session import Session

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("tensorflow", "tf2onnx")),
    reason="needs TensorFlow and tf2onnx: pip install 'qaickit[tensorflow]'",
)

Capture = pytest.CaptureFixture[str]
INPUT = "-model-input=input_tensor,float,[1,16,16,3]"


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((2, 16, 16, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def tensorflow_models(tmp_path_factory: pytest.TempPathFactory, images: np.ndarray) -> Any:
    """(directory, answers): a small ResNet-like net as frozen.pb, frozen.pbtxt and saved/."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    random = np.random.default_rng(0)
    kernel = random.standard_normal((3, 3, 3, 8)).astype(np.float32)
    dense = random.standard_normal((8, 10)).astype(np.float32)

    class Net(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernel, self.dense = tf.Variable(kernel), tf.Variable(dense)

        @tf.function(
            input_signature=[tf.TensorSpec([None, 16, 16, 3], tf.float32, name="input_tensor")]
        )
        def __call__(self, x: Any) -> dict[str, Any]:
            features = tf.nn.relu(tf.nn.conv2d(x, self.kernel, 2, "SAME"))
            logits = tf.matmul(tf.reduce_mean(features, [1, 2]), self.dense)
            scores = tf.nn.softmax(logits, name="softmax_tensor")
            return {"softmax_tensor": scores, "ArgMax": tf.argmax(scores, 1, name="ArgMax")}

    directory = tmp_path_factory.mktemp("tensorflow")
    net = Net()
    function = net.__call__.get_concrete_function()
    tf.saved_model.save(net, str(directory / "saved"), signatures={"serving_default": function})
    graph = convert_variables_to_constants_v2(function).graph.as_graph_def()
    tf.io.write_graph(graph, str(directory), "frozen.pb", as_text=False)
    tf.io.write_graph(graph, str(directory), "frozen.pbtxt", as_text=True)
    answers = {name: value.numpy() for name, value in net(images).items()}
    return directory, answers


@pytest.fixture
def run(tmp_path: Path) -> Any:
    def compiled(model: Path, *words: str) -> int:
        return cli.main([f"-m={model}", f"-aic-binary-dir={tmp_path / 'qpc'}", *words])

    return compiled


@pytest.mark.parametrize("name", ["frozen.pb", "frozen.pbtxt"])
def test_a_frozen_graph(
    tensorflow_models: Any, images: np.ndarray, tmp_path: Path, run: Any, name: str
) -> None:
    directory, answers = tensorflow_models
    words = [INPUT, "-output-node-name=ArgMax,softmax_tensor", "-batchsize=2"]
    assert run(directory / name, *words) == 0
    with Session(tmp_path / "qpc") as session:
        assert session.model_input_shape_dict["input_tensor:0"][0] == (2, 16, 16, 3)
        found = session.run({"input_tensor:0": images})
    np.testing.assert_allclose(found["softmax_tensor:0"], answers["softmax_tensor"], atol=1e-5)
    np.testing.assert_array_equal(found["ArgMax:0"], answers["ArgMax"])


@pytest.mark.parametrize("named", ["saved", "saved/saved_model.pb"])
def test_a_saved_model(
    tensorflow_models: Any, images: np.ndarray, tmp_path: Path, run: Any, named: str
) -> None:
    directory, answers = tensorflow_models
    assert run(directory / named, INPUT, "-output-node-name=ArgMax", "-batchsize=2") == 0
    with Session(tmp_path / "qpc") as session:
        found = session.run({"input_tensor": images})
    assert list(found) == ["ArgMax"]
    np.testing.assert_array_equal(found["ArgMax"], answers["ArgMax"])


def test_a_saved_model_needs_no_names(tensorflow_models: Any, tmp_path: Path, run: Any) -> None:
    directory, _ = tensorflow_models
    assert run(directory / "saved", "-batchsize=3") == 0
    program = _core.read_qpc(str(tmp_path / "qpc" / "programqpc.bin"))["program"]
    assert program["batch_size"] == 3
    assert {tensor["name"] for tensor in program["outputs"]} == {"ArgMax", "softmax_tensor"}


def test_the_preset_for_resnet50(tensorflow_models: Any, tmp_path: Path, run: Any) -> None:
    directory, _ = tensorflow_models
    assert run(directory / "frozen.pb", INPUT, "--preset", "resnet50,tf,no-quantized,bs.8") == 0
    program = _core.read_qpc(str(tmp_path / "qpc" / "programqpc.bin"))["program"]
    assert program["batch_size"] == 8


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("frozen.pb", (INPUT, "-output-node-name=none"), "tf2onnx failed with status 1: .*none"),
        ("frozen.pb", (), "name its inputs and outputs"),
        ("saved", ("-output-node-name=Argmax",), "'Argmax' is not in its signature.*'ArgMax'"),
        ("saved", (INPUT.replace("input_", ""),), "'tensor' is not in its signature"),
        ("saved", ("-model-input=input_tensor,float,[1,3]",), "expected 4 dims, got .1, 3."),
    ],
)
def test_what_does_not_fit(
    tensorflow_models: Any, run: Any, capsys: Capture, name: str, words: Any, message: str
) -> None:
    assert run(tensorflow_models[0] / name, *words) == 1
    assert re.search(message, capsys.readouterr().err)
