"""Passes that make sure of a whole model in its plain form."""

from __future__ import annotations

import warnings
from graphlib import CycleError, TopologicalSorter

import onnx

from qaickit.compiler import graph
from qaickit.compiler.job import Job
from qaickit.errors import DataLossError, InvalidArgumentError, UnsupportedError
from qaickit.options import OptionWarning

# The first IR version whose initializers need not be inputs too.
_FREE_INITIALIZERS_IR = 4


def check_structure(model: onnx.ModelProto, _job: Job) -> list[str]:
    """Refuses what is no complete model. Error: DataLossError."""
    if not model.opset_import:
        raise DataLossError("damaged: it does not say which opset it uses")
    if not model.graph.output:
        raise DataLossError("damaged, or not a model for inference: it has no outputs")
    return [f"{len(model.graph.node)} nodes, {len(model.graph.initializer)} initializers"]


def tell_unknown_names(model: onnx.ModelProto, job: Job) -> list[str]:
    """Warns of inputs and outputs that options name and that the model does not have.

    An ONNX file describes its own, and of TensorFlow's the conversion has made them; but who names
    others means another model, or would have the outputs chosen.
    """
    notes = []
    for option, there, named in (
        ("output_node_names", model.graph.output, job.options["output_node_names"] or ()),
        (
            "model_inputs",
            model.graph.input,
            [entry["input_name"] for entry in job.options["model_inputs"] or ()],
        ),
    ):
        # TensorFlow's names of tensors end with the index of the output.
        known = {info.name.removesuffix(":0") for info in there}
        unknown = [name for name in named if str(name).removesuffix(":0") not in known]
        if unknown:
            notes.append(
                f"option '{option}' names {', '.join(map(repr, unknown))}, which the model does "
                f"not have; it has {', '.join(sorted(known))}, all of which stay"
            )
    for note in notes:
        warnings.warn(note, OptionWarning, stacklevel=2)
    return notes


def sort_nodes(model: onnx.ModelProto, _job: Job) -> list[str]:
    """Puts each node behind those that it takes from, as ONNX asks and later passes rely on.

    ONNX Runtime takes them in any order. Error: InvalidArgumentError for a cycle.
    """
    nodes = list(model.graph.node)
    makers = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    takes = {
        index: {
            makers[name] for name in (*node.input, *graph.captured_names(node)) if name in makers
        }
        for index, node in enumerate(nodes)
    }
    if all(max(before, default=-1) < index for index, before in takes.items()):
        return []
    try:
        order = list(TopologicalSorter(takes).static_order())
    except CycleError as error:
        names = [nodes[index].output[0] for index in reversed(error.args[1])]
        raise InvalidArgumentError(
            f"the graph has a cycle, which no device can compute: {' -> '.join(names)}"
        ) from error
    del model.graph.node[:]
    model.graph.node.extend(nodes[index] for index in order)
    return [f"{len(nodes)} nodes brought into their order"]


def count_large(_model: onnx.ModelProto, job: Job) -> list[str]:
    """Tells how many weights are read from files where they are needed, one at a time."""
    if not job.source.files:
        return []
    return [f"{len(job.source.files)} weights stay in their files"]


def drop_initializer_inputs(model: onnx.ModelProto, _job: Job) -> list[str]:
    """Weights that older exporters list as inputs stop being inputs."""
    weights = {tensor.name for tensor in model.graph.initializer}
    weights |= {tensor.values.name for tensor in model.graph.sparse_initializer}
    if weights:
        # Also where none is listed: ONNX Runtime takes that of an old IR version, onnx does not.
        model.ir_version = max(model.ir_version, _FREE_INITIALIZERS_IR)
    kept = [info for info in model.graph.input if info.name not in weights]
    dropped = len(model.graph.input) - len(kept)
    del model.graph.input[:]
    model.graph.input.extend(kept)
    return [f"{dropped} weights are no longer inputs"] if dropped else []


def check_inputs_and_outputs(model: onnx.ModelProto, _job: Job) -> list[str]:
    """Refuses names that a program, whose buffers go by name, could not keep apart.

    Errors: InvalidArgumentError for one name given twice; UnsupportedError for an output that is an
    input, since ONNX Runtime does not copy such a one into the caller's buffer.
    """
    inputs = [info.name for info in model.graph.input]
    outputs = [info.name for info in model.graph.output]
    for side, names in (("inputs", inputs), ("outputs", outputs)):
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InvalidArgumentError(f"two {side} are named '{twice}'; give each its own name")
    same = next((name for name in outputs if name in inputs), None)
    if same is not None:
        raise UnsupportedError(
            f"output '{same}' is an input of that name; leave it out, or give it another name by "
            "an Identity in the graph"
        )
    return []
