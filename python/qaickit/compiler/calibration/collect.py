"""The data pass: runs a model on calibration data and makes histograms of its tensors."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import onnx
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from qaickit.compiler.calibration import histogram
from qaickit.compiler.calibration.data import ModelInput, ShapeSets, Source
from qaickit.compiler.calibration.feeds import Whole, feeds
from qaickit.compiler.calibration.histogram import Histogram
from qaickit.compiler.runtime import run, session_for
from qaickit.compiler.shapes import DTYPES, TensorType, read_type, write_type
from qaickit.compiler.source import OnnxSource
from qaickit.errors import InvalidArgumentError

# What the tensors of one run may take. A model with more is run several times on each sample.
CHUNK_BYTES = 512 << 20
# What the samples may take that are held for it, so that the data is read once all the same.
WINDOW_BYTES = 512 << 20


@dataclass(frozen=True)
class Collected:
    """What a data pass found: a histogram of each tensor, from `samples` samples."""

    histograms: dict[str, Histogram]
    samples: int


def collect(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    source: Source,
    *,
    origin: OnnxSource,
    sets: ShapeSets,
    bins: int,
    threads: int | None = None,
    console: Console | None = None,
) -> Collected:
    """Runs `model` on all of `source`; one histogram per name in `tensors`.

    `tensors` are float32 inputs of the model or results of its nodes. `origin`: where the model is
    from, with the weights that are not in it. `sets`: the inputs in each
    set of shapes that the model may run with. `bins`: see
    `histogram.exponent_for`. `threads`: for the model and for counting (default: all that this
    process may use). Memory: the model, one batch, and `CHUNK_BYTES` of tensors; where they need
    more, the model is run several times on each sample, of which up to `WINDOW_BYTES` are held, so
    that the data is read once in any case. Progress is shown on `console` where it is a terminal.
    KeyboardInterrupt comes through.

    Errors: those of the source, each naming the sample and the input; InvalidArgumentError for a
    tensor that takes NaN or an infinite value, naming sample and tensor; UnsupportedError where
    onnxruntime cannot run the model.
    """
    names = {i.name for i in sets[0]}
    with _fixed(model, sets):
        chunks = _chunks(model, [name for name in tensors if name not in names])
    from_inputs = [name for name in tensors if name in names]
    # More threads than CPUs would only wait for each other.
    available = len(os.sched_getaffinity(0))
    workers = min(threads or available, available)
    session_of = lru_cache(maxsize=1)(
        lambda index: session_for(model, chunks[index], origin, workers)
    )
    held_bytes = WINDOW_BYTES if len(chunks) > 1 else 0
    found: dict[str, Histogram] = {}
    samples = 0
    with ThreadPoolExecutor(workers) as pool, _progress(console) as progress:
        task = progress.add_task("calibrating", total=None, samples=0)
        for window in _windows(feeds(source, sets), held_bytes):
            for index, chunk in enumerate(chunks):
                for where, feed, _ in window:
                    results = run(session_of(index), chunk, feed, where)
                    values = dict(zip(chunk, results, strict=True))
                    if index == 0:
                        values.update({name: feed[name] for name in from_inputs})
                    parts = pool.map(
                        lambda item, at=where: (item[0], _count(item[0], item[1], bins, at)),
                        values.items(),
                    )
                    for name, part in parts:
                        found[name] = found[name].plus(part, bins) if name in found else part
            samples += sum(count for _, _, count in window)
            progress.update(task, samples=samples)
    return Collected({name: found[name] for name in tensors}, samples)


def _windows(wholes: Iterator[Whole], held_bytes: int) -> Iterator[list[Whole]]:
    """Batches in lists, each as long as `held_bytes` allows, but of one at least."""
    window: list[Whole] = []
    held = 0
    for whole in wholes:
        size = sum(array.nbytes for array in whole[1].values())
        if window and held + size > held_bytes:
            yield window
            window, held = [], 0
        window.append(whole)
        held += size
    if window:
        yield window


def input_sets(model: onnx.ModelProto, shape_sets: Sequence[Sequence[list[int]]]) -> ShapeSets:
    """The inputs in each set of `Outcome.shape_sets`; the one set of fixed shapes without."""
    infos = model.graph.input
    types = [read_type(info, f"input '{info.name}'") for info in infos]
    if not shape_sets:
        shape_sets = [[[int(dim) for dim in t.dims or ()] for t in types]]
    return [
        [
            ModelInput(info.name, np.dtype(DTYPES[t.elem_type]), tuple(dims))
            for info, t, dims in zip(infos, types, one_set, strict=False)
        ]
        for one_set in shape_sets
    ]


@contextmanager
def _fixed(model: onnx.ModelProto, sets: ShapeSets) -> Iterator[None]:
    """Inputs of the set with most elements, so that the greatest sizes can be inferred."""
    before = [onnx.ValueInfoProto.FromString(i.SerializeToString()) for i in model.graph.input]
    largest = max(sets, key=lambda inputs: sum(math.prod(i.dims) for i in inputs))
    for info, model_input in zip(model.graph.input, largest, strict=True):
        write_type(info, TensorType(info.type.tensor_type.elem_type, model_input.dims))
    try:
        yield
    finally:
        del model.graph.input[:]
        model.graph.input.extend(before)


def _count(name: str, values: Any, bins: int, where: str) -> Histogram:
    try:
        return histogram.of_values(values, bins)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(
            f"{where}: tensor '{name}': expected finite values, got {error}; take the sample out, "
            "or keep its operator from being quantised with keep_original_precision_for_nodes"
        ) from error


def _chunks(model: onnx.ModelProto, tensors: Sequence[str]) -> list[list[str]]:
    """`tensors` in their order, in lists of which each takes at most `CHUNK_BYTES`."""
    sizes = tensor_sizes(model, tensors)
    chunks: list[list[str]] = [[]]
    filled = 0
    for name in tensors:
        if chunks[-1] and filled + sizes[name] > CHUNK_BYTES:
            chunks.append([])
            filled = 0
        chunks[-1].append(name)
        filled += sizes[name]
    return chunks


def tensor_sizes(model: onnx.ModelProto, tensors: Collection[str]) -> dict[str, int]:
    """Bytes of float32 tensors; one whose shape cannot be inferred counts as the greatest known."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        inferred = model
    known: dict[str, int] = {}
    for info in (*inferred.graph.value_info, *inferred.graph.output):
        shape = info.type.tensor_type.shape
        if info.name in tensors and info.type.tensor_type.HasField("shape"):
            dims = [dim.dim_value for dim in shape.dim]
            if all(dims):
                known[info.name] = 4 * int(np.prod(dims, dtype=np.int64))
    greatest = max(known.values(), default=0)
    return {name: known.get(name, greatest) for name in tensors}


@contextmanager
def _progress(console: Console | None) -> Iterator[Progress]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[samples]} samples"),
        TimeElapsedColumn(),
    )
    shown = console is not None and console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=not shown) as progress:
        yield progress
