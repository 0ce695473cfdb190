"""Pass for programs with several allowed shapes: the graph stays open, each set is worked out."""

from __future__ import annotations

import math
from collections.abc import Mapping

import onnx

from qaickit.compiler import shapes
from qaickit.compiler.job import Job
from qaickit.compiler.passes import symbols as fixing
from qaickit.compiler.specializations import read_specializations
from qaickit.errors import InvalidArgumentError


def define_shapes(model: onnx.ModelProto, job: Job) -> list[str]:
    """Fixes all shapes, or those of each set of `network_specialization_config`.

    With sets, symbols stay in the graph, and `job.outcome.shape_sets` gets the dims of each input
    and output for each set. `batchsize` counts for all sets. Errors: those of `define_symbols`,
    `fix_outputs` and of the file; InvalidArgumentError where a set and `batchsize` say two sizes.
    """
    path = job.options["network_specialization_config"]
    if path is None:
        return [*fixing.define_symbols(model, job), *fixing.fix_outputs(model, job)]
    batch = job.options["batchsize"]
    common = job.settings.define_symbols
    of_batch = {} if batch is None else shapes.set_batch(model, batch)
    notes = []
    for number, sizes in enumerate(read_specializations(path), 1):
        _refuse_other_batch(sizes, of_batch, number, path)
        job.outcome.shape_sets.append(_work_out(model, job, {**common, **of_batch, **sizes}))
        notes.append(", ".join(f"{name} = {size}" for name, size in sizes.items()))
    for index, info in enumerate((*model.graph.input, *model.graph.output)):
        _open(info, index, job)
    del model.graph.value_info[:]
    return notes


def _refuse_other_batch(
    sizes: Mapping[str, int], of_batch: Mapping[str, int], number: int, path: str
) -> None:
    for name, batch in of_batch.items():
        if sizes.get(name, batch) != batch:
            raise InvalidArgumentError(
                f"batchsize={batch} sets '{name}', and the specialization file '{path}', set "
                f"{number}, gives it {sizes[name]}: a set may differ from another in its batch, so "
                "neither can win; leave batchsize out, or the symbol out of the sets"
            )


def largest(shape_sets: list[list[list[int]]], index: int) -> list[int]:
    """The dims of one tensor in the set where it has most elements: what its buffer is made for."""
    return max((dims[index] for dims in shape_sets), key=math.prod)


def _work_out(model: onnx.ModelProto, job: Job, sizes: dict[str, int]) -> list[list[int]]:
    """The dims of all inputs and outputs with these symbols."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    shapes.define_symbols(fixed, sizes)
    del fixed.graph.value_info[:]
    job.outcome.symbols = sizes
    fixing.fix_outputs(fixed, job)
    shapes.check_types(fixed)
    return [
        list(map(int, shapes.read_type(info, info.name).dims or ()))
        for info in (*fixed.graph.input, *fixed.graph.output)
    ]


def _open(info: onnx.ValueInfoProto, index: int, job: Job) -> None:
    """Gives a tensor the dims that all sets share; the others become symbols."""
    dims = [dims[index] for dims in job.outcome.shape_sets]
    names = list(shapes.read_type(info, info.name).dims or ())
    info.type.tensor_type.shape.Clear()
    info.type.tensor_type.shape.SetInParent()
    for axis, sizes in enumerate(zip(*dims, strict=True)):
        dim = info.type.tensor_type.shape.dim.add()
        name = names[axis] if axis < len(names) else None
        if len(set(sizes)) == 1:
            dim.dim_value = sizes[0]
        else:
            dim.dim_param = name if isinstance(name, str) else f"{info.name}:{axis}"
