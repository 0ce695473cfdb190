"""Runs the passes of `qaickit.compiler.passes`, and packs what they made into a QPC."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import onnx

from qaickit._core import __version__, write_qpc
from qaickit._files import directory_for
from qaickit.compiler import graph, shapes
from qaickit.compiler.fp16 import with_weights
from qaickit.compiler.job import Job
from qaickit.compiler.passes import PASSES, Pass
from qaickit.compiler.passes.specialise import largest
from qaickit.compiler.quantise import Layer
from qaickit.compiler.report import GraphSize, PassReport
from qaickit.compiler.vendor import Segments
from qaickit.compiler.weight_files import WeightFiles
from qaickit.compiler.weights import take_weights
from qaickit.errors import QaicKitError


@dataclass(frozen=True, slots=True)
class Built:
    """What goes into a QPC."""

    program: dict[str, Any]
    manifest: dict[str, Any]
    model: onnx.ModelProto
    files: WeightFiles
    passes: tuple[PassReport, ...]
    size: GraphSize
    card_half: Segments
    layers: tuple[Layer, ...] = ()
    fp16_graph: onnx.ModelProto | None = None


def build(job: Job) -> Built:
    """Runs all passes; see `qaickit.compiler.compile_onnx`. Every error names the model."""
    with _naming(job.source.path):
        vendor = job.settings.vendor
        if vendor is not None:
            vendor.check(job.options, job.settings.data)
        model = job.source.model
        passes = [run_pass(name, change, model, job) for name, change in PASSES]
        card_half: Segments = {}
        if vendor is not None:
            started = time.perf_counter()
            card_half = vendor.compile(job.source.path, job.options)
            seconds = time.perf_counter() - started
            size = graph.size_of(model)
            passes.append(PassReport("vendor's compiler", (vendor.path,), seconds, size, size))
        return Built(
            program=describe_program(model, job),
            manifest=describe_compilation(model, job),
            model=model,
            files=job.source.files,
            passes=tuple(passes),
            size=graph.size_of(model),
            card_half=card_half,
            layers=job.outcome.layers,
            fp16_graph=job.outcome.fp16_graph,
        )


def run_pass(name: str, change: Pass, model: onnx.ModelProto, job: Job) -> PassReport:
    """Runs one pass on `model`, in place."""
    before = graph.size_of(model)
    started = time.perf_counter()
    notes = change(model, job)
    seconds = time.perf_counter() - started
    return PassReport(name, tuple(notes), seconds, before, graph.size_of(model))


def package(built: Built, qpc_path: str) -> PassReport:
    """Writes the QPC and, if need be, its directory; on an error neither is left.

    Takes the weights out of `built.model`, so a result is packed once. Errors: those of the file
    system, naming the path.
    """
    started = time.perf_counter()
    directory = os.path.dirname(qpc_path) or "."
    half = built.fp16_graph
    half_bytes = b""
    with directory_for(directory, "the directory of the QPC"):
        weights = take_weights(built.model, built.files, shared=half is not None)
        model_bytes = graph.serialise(built.model)
        if half is not None:
            half_bytes = graph.serialise(with_weights(half, built.model))
        write_qpc(
            qpc_path, built.program, built.manifest, model_bytes, built.card_half, weights,
            half_bytes,
        )  # fmt: skip
    seconds = time.perf_counter() - started
    notes = [qpc_path, f"graph of {len(model_bytes)} bytes"]
    if half_bytes:
        notes.append(f"graph in fp16 of {len(half_bytes)} bytes, with the same weights")
    return PassReport("package", tuple(notes), seconds, built.size, built.size)


def describe_program(model: onnx.ModelProto, job: Job) -> dict[str, Any]:
    """The program as `qaickit._core.write_qpc` takes it."""
    infos = (*model.graph.input, *model.graph.output)
    tensors = [_tensor(info, index, job) for index, info in enumerate(infos)]
    inputs, outputs = tensors[: len(model.graph.input)], tensors[len(model.graph.input) :]
    return {
        "name": model.graph.name or job.source.stem,
        "num_cores": job.options["aic_num_cores"],
        "batch_size": batch_size([tensor["dims"] for tensor in inputs + outputs]),
        "inputs": inputs,
        "outputs": outputs,
        "allowed_shapes": job.outcome.shape_sets,
    }


def describe_compilation(model: onnx.ModelProto, job: Job) -> dict[str, Any]:
    """The manifest as `qaickit._core.write_qpc` takes it."""
    return {
        "format_version": 1,
        "producer": f"qaickit {__version__}",
        "precision": job.outcome.precision or graph.graph_precision(model),
        "options": job.settings.recorded,
        "random_weights": graph.has_random_weights(model),
        "node_precision": job.outcome.node_precision,
        "calibration": job.outcome.calibration,
    }


def batch_size(all_dims: list[list[int]]) -> int:
    """The first dim that all tensors share, else 1."""
    first = {dims[0] if dims else None for dims in all_dims}
    return (first.pop() or 1) if len(first) == 1 else 1


def _tensor(info: onnx.ValueInfoProto, index: int, job: Job) -> dict[str, Any]:
    tensor = shapes.read_type(info, info.name)
    sets = job.outcome.shape_sets
    dims = largest(sets, index) if sets else list(tensor.dims or ())
    scale, offset = job.outcome.io_scales.get(info.name, (1.0, 0))
    return {
        "name": info.name,
        "dtype": shapes.DTYPES[tensor.elem_type],
        "dims": dims,
        "scale": scale,
        "offset": offset,
    }


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    """Puts the model's path before the message of our errors."""
    try:
        yield
    except QaicKitError as error:
        raise type(error)(f"'{path}': {error}") from error.__cause__
