"""Passes that make sure of a whole model in its plain form."""

from __future__ import annotations

import onnx

from qaickit.compiler.job import Job
from qaickit.errors import DataLossError

# The first IR version whose initializers need not be inputs too.
_FREE_INITIALIZERS_IR = 4


def check_structure(model: onnx.ModelProto, _job: Job) -> list[str]:
    """Refuses what is no complete model. Error: DataLossError."""
    if not model.opset_import:
        raise DataLossError("damaged: it does not say which opset it uses")
    if not model.graph.output:
        raise DataLossError("damaged, or not a model for inference: it has no outputs")
    return [f"{len(model.graph.node)} nodes, {len(model.graph.initializer)} initializers"]


def count_large(_model: onnx.ModelProto, job: Job) -> list[str]:
    """Tells how many weights are read from files where they are needed, one at a time."""
    if not job.source.files:
        return []
    return [f"{len(job.source.files)} weights stay in their files"]


def drop_initializer_inputs(model: onnx.ModelProto, _job: Job) -> list[str]:
    """Weights that older exporters list as inputs stop being inputs."""
    weights = {tensor.name for tensor in model.graph.initializer}
    weights |= {tensor.values.name for tensor in model.graph.sparse_initializer}
    kept = [info for info in model.graph.input if info.name not in weights]
    dropped = len(model.graph.input) - len(kept)
    if not dropped:
        return []
    model.ir_version = max(model.ir_version, _FREE_INITIALIZERS_IR)
    del model.graph.input[:]
    model.graph.input.extend(kept)
    return [f"{dropped} weights are no longer inputs"]
