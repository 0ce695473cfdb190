"""Pass for programs with several allowed shapes: the graph stays open, each set is worked out."""

from __future__ import annotations

import math

import onnx

from qaickit.compiler import shapes
from qaickit.compiler.job import Job
from qaickit.compiler.passes import symbols as fixing
from qaickit.compiler.specializations import read_specializations
from qaickit.errors import UnsupportedError

# Options whose passes need one fixed shape.
_FIXED_ONLY = (
    "convert_to_quantize", "dump_profile", "load_profile", "external_quantization_file",
    "custom_io_list_file", "dump_custom_io_config_template_file", "batchsize",
)  # fmt: skip


def define_shapes(model: onnx.ModelProto, job: Job) -> list[str]:
    """Fixes all shapes, or those of each set of `network_specialization_config`.

    With sets, symbols stay in the graph, and `job.outcome.shape_sets` gets the dims of each input
    and output for each set. Errors: those of `define_symbols`, `fix_outputs` and of the file;
    UnsupportedError with options that need one fixed shape.
    """
    path = job.options["network_specialization_config"]
    if path is None:
        return [*fixing.define_symbols(model, job), *fixing.fix_outputs(model, job)]
    for option in _FIXED_ONLY:
        if job.options.is_set(option):
            raise UnsupportedError(
                f"option '{option}' needs one fixed shape, and network_specialization_config "
                "gives several; leave one of them out"
            )
    notes = []
    for sizes in read_specializations(path):
        job.outcome.shape_sets.append(
            _work_out(model, job, {**job.settings.define_symbols, **sizes})
        )
        notes.append(", ".join(f"{name} = {size}" for name, size in sizes.items()))
    for index, info in enumerate((*model.graph.input, *model.graph.output)):
        _open(info, index, job)
    del model.graph.value_info[:]
    return notes


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
