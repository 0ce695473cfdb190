"""Passes about the precision to compute in.

The graph of the host half stays as it can run everywhere; what was asked for goes into the
manifest, where each device reads what it is to do, and a session tells what it does.
"""

from __future__ import annotations

import onnx

from qaickit.compiler.job import Job


def set_precision_policy(_model: onnx.ModelProto, job: Job) -> list[str]:
    """`convert_to_fp16`: the manifest asks devices for fp16."""
    if not job.options["convert_to_fp16"]:
        return []
    job.outcome.precision = "fp16"
    return ["asked for: fp16"]
