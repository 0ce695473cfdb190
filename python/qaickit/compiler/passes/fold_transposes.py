"""Pass that transposes weights once that a graph would transpose in each run."""

from __future__ import annotations

import onnx

from qaickit.compiler.job import Job
from qaickit.compiler.passes.quantise import quantises
from qaickit.compiler.weights import pieces_of, values_of


def fold_transposes(model: onnx.ModelProto, job: Job) -> list[str]:
    """Where a graph is to be quantised, writes transposed weights of those that are in files.

    Else their products would have two tensors of the run, and no weights. Others the pass
    "simplify" has folded; without quantising they stay, so that nothing is written twice. Errors:
    those of the files.
    """
    files = job.source.files
    if not files or not quantises(job.options):
        return []
    stored = {tensor.name: tensor for tensor in model.graph.initializer if tensor.name in files}
    outputs = {info.name for info in model.graph.output}
    folded = 0
    for node in list(model.graph.node):
        is_weight = node.op_type == "Transpose" and node.input[0] in stored
        if not is_weight or node.output[0] in outputs:
            continue
        tensor = stored[node.input[0]]
        values = values_of(tensor, files).transpose(_axes(node, len(tensor.dims)))
        name = node.output[0]
        files.write(name, pieces_of(values))
        made = onnx.TensorProto(name=name, data_type=tensor.data_type, dims=values.shape)
        made.data_location = onnx.TensorProto.EXTERNAL
        model.graph.initializer.append(made)
        model.graph.node.remove(node)
        folded += 1
    return [f"{folded} weights transposed"] if folded else []


def _axes(node: onnx.NodeProto, rank: int) -> list[int]:
    """ONNX's default is the reverse of all axes."""
    given = [list(attribute.ints) for attribute in node.attribute if attribute.name == "perm"]
    return given[0] if given else list(range(rank))[::-1]
