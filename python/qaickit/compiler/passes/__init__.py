"""The passes from an ONNX model to what a QPC holds, in order, each small and testable alone.

A pass changes the model in place and returns notes for the report; the empty list means that there
was nothing to do. What the packaging needs from it goes into `job.outcome`. To add one, add a row
to `PASSES`: its place in the table is its place in the pipeline.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx

from qaickit.compiler.job import Job
from qaickit.compiler.passes.custom_io import set_custom_io
from qaickit.compiler.passes.fold_transposes import fold_transposes
from qaickit.compiler.passes.fp16_graph import make_fp16_graph
from qaickit.compiler.passes.functions import expand_onnx_functions, inline_local_functions
from qaickit.compiler.passes.precision import set_node_precision, set_precision_policy
from qaickit.compiler.passes.quantise import calibrate, quantise_graph
from qaickit.compiler.passes.simplify import simplify
from qaickit.compiler.passes.specialise import define_shapes
from qaickit.compiler.passes.structure import (
    check_inputs_and_outputs,
    check_structure,
    count_large,
    drop_initializer_inputs,
    sort_nodes,
    tell_unknown_names,
)
from qaickit.compiler.passes.symbols import check_result, check_types
from qaickit.compiler.passes.versions import convert_versions

Pass = Callable[[onnx.ModelProto, Job], list[str]]

PASSES: tuple[tuple[str, Pass], ...] = (
    ("check structure", check_structure),
    ("sort nodes", sort_nodes),
    ("large weights", count_large),
    ("drop initializer inputs", drop_initializer_inputs),
    ("check inputs and outputs", check_inputs_and_outputs),
    ("tell unknown names", tell_unknown_names),
    ("convert versions", convert_versions),
    ("define shapes", define_shapes),
    ("check types", check_types),
    # Before the simplification, which sees through what is written out.
    ("inline local functions", inline_local_functions),
    ("simplify", simplify),
    ("fold transposes", fold_transposes),
    # After it, since it also folds arithmetic back into functions.
    ("expand onnx functions", expand_onnx_functions),
    ("precision policy", set_precision_policy),
    ("node precision", set_node_precision),
    ("calibrate", calibrate),
    ("quantise", quantise_graph),
    ("custom IO", set_custom_io),
    ("check result", check_result),
    # Last: it is the graph of all the others, which it leaves as it is.
    ("fp16 graph", make_fp16_graph),
)

__all__ = ["PASSES", "Pass"]
