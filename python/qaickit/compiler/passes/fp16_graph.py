"""Pass that makes the graph in fp16 for devices that compute in it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import onnx

from qaickit.compiler import fp16, runtime
from qaickit.compiler.graph import serialise, weights_as_inputs
from qaickit.compiler.job import Job
from qaickit.errors import InvalidArgumentError, QaicKitError


def make_fp16_graph(model: onnx.ModelProto, job: Job) -> list[str]:
    """Puts the graph with the nodes in fp16 that are to be so into `job.outcome.fp16_graph`.

    By `convert_to_fp16` all, but those of `job.outcome.node_precision` as that says. None is made
    where no node would change. Error: QaicKitError itself for a graph that onnxruntime refuses,
    since no input may lead there.
    """
    policy = bool(job.options["convert_to_fp16"])
    single = job.outcome.node_precision
    if not policy and "fp16" not in single.values():
        return []

    def wanted(node: onnx.NodeProto) -> bool:
        asked = single.get(node.output[0]) if node.output else None
        return policy if asked is None else asked == "fp16"

    made = fp16.convert(model, wanted, fp16.unfit_constants(model, job.source.files))
    notes = [f"in fp16: {_listed(made.converted)}"]
    notes += [f"stay in fp32, {why}: {_listed(nodes)}" for why, nodes in sorted(made.kept.items())]
    if made.converted:
        _check(made.model, model, job.source.files)
        job.outcome.fp16_graph = made.model
    return notes


def _check(made: onnx.ModelProto, model: onnx.ModelProto, files: Collection[str]) -> None:
    """ONNX Runtime's CPU takes it, with casts of its own around what it has no kernel for."""
    small = fp16.skeleton(made, model)
    try:
        with weights_as_inputs(small, files):
            runtime.output_types(made, serialise(small))
    except InvalidArgumentError as error:
        raise QaicKitError(f"the graph in fp16 is not valid: {error}") from error


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {op}" for op, count in sorted(counts.items())) or "nothing"
