"""Pass that brings a model to IR and opset versions that ONNX Runtime takes."""

from __future__ import annotations

import onnx
import onnx.version_converter

from qaickit.compiler import runtime
from qaickit.compiler.graph import weights_as_inputs
from qaickit.compiler.job import Job
from qaickit.compiler.passes.custom_io import INTEGER_IO_OPSET
from qaickit.compiler.passes.quantise import LEAST_OPSET, quantises

# ONNX Runtime's oldest opset; below it operators broadcast by attributes.
_OLDEST_OPSET = 7


def convert_versions(model: onnx.ModelProto, job: Job) -> list[str]:
    """Converts an opset or IR version that ONNX Runtime or a later pass does not take, if onnx can.

    What it cannot stays as it is, for `fix outputs` or that pass to refuse with what to do.
    """
    least = _OLDEST_OPSET
    if quantises(job.options):
        least = LEAST_OPSET
    elif job.options["custom_io_list_file"] is not None:
        least = INTEGER_IO_OPSET
    with weights_as_inputs(model, job.source.files):
        return [*_convert_ir(model), *_convert_opset(model, least)]


def _convert_ir(model: onnx.ModelProto) -> list[str]:
    found = model.ir_version
    limit = runtime.newest_ir_version(found)
    # Versions add to the format. One that onnx knows is safe to lower: ONNX Runtime is asked next,
    # and refuses what the older one lacks.
    if limit == found or found > onnx.IR_VERSION:
        return []
    model.ir_version = limit
    return [f"IR version {found} -> {limit}"]


def _convert_opset(model: onnx.ModelProto, least: int) -> list[str]:
    if not any(entry.domain in ("", "ai.onnx") for entry in model.opset_import):
        # It has operators of other domains only, but passes may add some of ONNX's own.
        model.opset_import.add(domain="", version=LEAST_OPSET)
        return [f"opset {LEAST_OPSET} besides those of other domains"]
    found = runtime.default_opset(model)
    limit = runtime.newest_opset(found)
    wanted = least if found < least else limit
    if wanted == found:
        return []
    try:
        converted = onnx.version_converter.convert_version(model, wanted)
    except Exception as error:  # onnx raises classes of its C++ side, which vary by version
        return [f"opset {found} cannot be converted to {wanted}: {' '.join(str(error).split())}"]
    model.CopyFrom(converted)
    return [f"opset {found} -> {wanted}"]
