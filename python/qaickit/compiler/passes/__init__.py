"""The passes from an ONNX model to what a QPC holds, in order, each small and testable alone.

A pass changes the model in place and returns notes for the report; the empty list means that there
was nothing to do. What the packaging needs from it goes into `job.outcome`. To add one, add a row
to `PASSES`: its place in the table is its place in the pipeline.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx

from qaickit.compiler.job import Job
from qaickit.compiler.passes.precision import set_precision_policy
from qaickit.compiler.passes.quantise import calibrate, quantise_graph
from qaickit.compiler.passes.structure import check_structure, drop_initializer_inputs
from qaickit.compiler.passes.symbols import check_dtypes, define_symbols, fix_outputs

Pass = Callable[[onnx.ModelProto, Job], list[str]]

PASSES: tuple[tuple[str, Pass], ...] = (
    ("check structure", check_structure),
    ("drop initializer inputs", drop_initializer_inputs),
    ("define symbols", define_symbols),
    ("fix outputs", fix_outputs),
    ("check dtypes", check_dtypes),
    ("precision policy", set_precision_policy),
    ("calibrate", calibrate),
    ("quantise", quantise_graph),
)

__all__ = ["PASSES", "Pass"]
