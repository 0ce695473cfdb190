"""Shared fixtures. A compiled core that does not load ends the run at once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import hypothesis
import onnx
import pytest
from onnx import helper

try:
    import qaickit._core  # noqa: F401
except ImportError as error:
    pytest.exit(f"the compiled core does not load: {error!r}", returncode=3)

# In the background of a shell without job control it is ignored, which tools under test inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run, however slow the machine is, and nothing kept from one run to the
# next: what passes here passes everywhere. `--hypothesis-profile=default` looks for others.
hypothesis.settings.register_profile(
    "same",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("same")

# What onnxruntime has taken for years; onnx's own defaults run ahead of it.
IR_VERSION = 8
OPSET = 17

SaveOnnx = Callable[..., Path]


@pytest.fixture(autouse=True)
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of compiled models for each test, and no compiler of the vendor's."""
    path = tmp_path / "cache"
    monkeypatch.setenv("QAICKIT_CACHE_DIR", str(path))
    monkeypatch.setenv("QAICKIT_VENDOR_COMPILER", "none")
    return path


@pytest.fixture
def save_onnx(tmp_path: Path) -> SaveOnnx:
    """Makes an ONNX file from nodes and (name, element type, dims) tuples."""

    def save(
        nodes: Sequence[onnx.NodeProto],
        inputs: Sequence[tuple[str, int, Sequence[int | str | None] | None]],
        outputs: Sequence[tuple[str, int, Sequence[int | str | None] | None]],
        initializers: Sequence[onnx.TensorProto] = (),
        *,
        file_name: str = "model.onnx",
        graph_name: str = "net",
        opset: int = OPSET,
        ir_version: int = IR_VERSION,
        metadata: dict[str, str] | None = None,
    ) -> Path:
        graph = helper.make_graph(
            list(nodes),
            graph_name,
            [helper.make_tensor_value_info(*info) for info in inputs],
            [helper.make_tensor_value_info(*info) for info in outputs],
            initializer=list(initializers),
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
        model.ir_version = ir_version
        helper.set_model_props(model, metadata or {})
        path = tmp_path / file_name
        path.write_bytes(model.SerializeToString(deterministic=True))
        return path

    return save


@pytest.fixture
def linear_onnx(save_onnx: SaveOnnx) -> Path:
    """y[batch, 4] = x[batch, 16] * W + b, float32, with W and b from a fixed seed."""
    import numpy as np
    from onnx import numpy_helper

    random = np.random.default_rng(7)
    weights = random.standard_normal((16, 4)).astype(np.float32)
    bias = random.standard_normal(4).astype(np.float32)
    return save_onnx(
        [
            helper.make_node("MatMul", ["x", "W"], ["xW"]),
            helper.make_node("Add", ["xW", "b"], ["y"]),
        ],
        [("x", onnx.TensorProto.FLOAT, ["batch", 16])],
        [("y", onnx.TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(weights, "W"), numpy_helper.from_array(bias, "b")],
        file_name="linear.onnx",
        graph_name="linear",
    )
