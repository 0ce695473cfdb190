"""What bench/gpu.py measures: models in precisions, compiled for a batch size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from qaickit import _core
from qaickit.compiler import compile_onnx
from qaickit.models import find_model
from qaickit.models.bert import make_bert
from qaickit.models.resnet import make_resnet50

MODEL_SEGMENTS = ("qaickit.model.fp16.onnx", "qaickit.model.onnx")
WEIGHTS_SEGMENT = "qaickit.weights.bin"
CALIBRATION_IMAGES = 32
PRECISIONS: dict[str, dict[str, Any]] = {
    "fp32": {},
    "fp16": {"convert_to_fp16": True},
    "int8": {"convert_to_quantize": True, "enable_channelwise": True},
}
# Of a dry run, which shows that everything works and nothing else.
SMALL_RESNET = {"width": 8, "image": 32, "classes": 10}
SMALL_BERT = {
    "layers": 2, "hidden": 32, "heads": 4, "inner": 64, "sequence": 16, "vocabulary": 100,
}  # fmt: skip


@dataclass(frozen=True)
class Net:
    """A model in one precision. `server_ms`: MLPerf's bound on a Server query of that model."""

    model: str
    precision: str
    server_ms: float

    @property
    def label(self) -> str:
        return f"{self.model} {self.precision}"


NETS = (
    Net("resnet50", "fp32", 15),
    Net("resnet50", "fp16", 15),
    Net("resnet50", "int8", 15),
    Net("bert-large", "fp16", 130),
)


@dataclass(frozen=True)
class Case:
    """A net compiled for one batch size."""

    net: Net
    batch: int
    directory: Path

    @property
    def qpc(self) -> Path:
        return self.directory / "program.bin"

    @property
    def graph(self) -> Path:
        """The very graph that a GPU runs of the QPC, for onnxruntime; its weights are beside it."""
        return self.directory / "graph" / "model.onnx"


def onnx_file(model: str, directory: Path, *, small: bool) -> Path:
    """The model, with random weights and the symbol `batch`."""
    if not small:
        return find_model(f"{model}-shaped").ensure()
    path = directory / f"{model}.onnx"
    if not path.exists():
        made = (
            make_bert(**SMALL_BERT) if model.startswith("bert") else make_resnet50(**SMALL_RESNET)
        )
        onnx.save(made, path)
    return path


def case_of(net: Net, batch: int, directory: Path) -> Case:
    return Case(net, batch, directory / f"{net.model}-{net.precision}-{batch}")


def prepare(case: Case, directory: Path, *, small: bool) -> None:
    """Compiles a net, and lays out its graph for the peers."""
    net, batch = case.net, case.batch
    case.graph.parent.mkdir(parents=True, exist_ok=True)
    options = dict(PRECISIONS[net.precision])
    if net.precision == "int8":
        image = SMALL_RESNET["image"] if small else 224
        shape = (CALIBRATION_IMAGES, 3, image, image)
        noise = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
        options["calibration_data"] = {"image": noise}
    path = onnx_file(net.model, directory, small=small)
    compile_onnx(path, case.qpc, onnx_define_symbol={"batch": batch}, **options)
    segments = [segment["name"] for segment in _core.read_qpc(str(case.qpc))["segments"]]
    model = next(name for name in MODEL_SEGMENTS if name in segments)
    case.graph.write_bytes(_core.qpc_segment(str(case.qpc), model))
    if WEIGHTS_SEGMENT in segments:
        weights = _core.qpc_segment(str(case.qpc), WEIGHTS_SEGMENT)
        (case.graph.parent / WEIGHTS_SEGMENT).write_bytes(weights)


def least_program(directory: Path) -> Path:
    """A QPC that adds two numbers, so that what a batch costs is what the host does for it."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "one"], ["y"])],
        "least",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1])],
        [numpy_helper.from_array(np.float32(1), "one")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, directory / "least.onnx")
    compile_onnx(directory / "least.onnx", directory / "least.bin")
    return directory / "least.bin"
