"""Passes that find the range of each tensor and quantise the graph."""

from __future__ import annotations

from collections.abc import Callable

import onnx
from rich.console import Console

from qaickit.compiler import quantise
from qaickit.compiler.calibration import methods
from qaickit.compiler.calibration.collect import collect, input_sets
from qaickit.compiler.calibration.profile import Profile, read_profile, write_profile
from qaickit.compiler.graph import graph_precision
from qaickit.compiler.job import Job
from qaickit.compiler.runtime import default_opset
from qaickit.errors import InvalidArgumentError, UnsupportedError
from qaickit.options import Options

# Options whose value is a profile to read.
_PROFILES = ("load_profile", "external_quantization_file")
# The first opset with scales along an axis.
LEAST_OPSET = 13


def calibrate(model: onnx.ModelProto, job: Job) -> list[str]:
    """Makes or reads the profile of the tensors to be quantised, into `job.outcome.profile`.

    Errors: those of the data (`calibration.data.feeds`, `calibration.collect`) and of the profile
    (`read_profile`); InvalidArgumentError for the profile of another model.
    """
    options = job.options
    if not quantises(options) and options["dump_profile"] is None:
        return []
    if graph_precision(model) == "int8":
        raise UnsupportedError(
            "it is quantised already (QuantizeLinear or the like); compile it without the options "
            "for quantising"
        )
    for name in _PROFILES:
        if options[name] is not None:
            return _read(name, job)
    return _collect(model, job)


def quantise_graph(model: onnx.ModelProto, job: Job) -> list[str]:
    """Quantises with the profile. Numbers by layer go to `job.outcome.layers`."""
    options, profile = job.options, job.outcome.profile
    if not quantises(options) or profile is None:
        return []
    _refuse_old_opset(model)
    if options["external_quantization_file"] is None:
        _refuse_gaps(model, job, profile)
    done = quantise.quantise(
        model, profile.tensors, settings_of(options), _kept(job), job.source.files
    )
    job.outcome.layers = done.layers
    # What is left in floating point follows the policy of the options; the whole is int8.
    job.outcome.precision = "int8"
    job.outcome.calibration = {
        "method": options["quantization_calibration"],
        "data": profile.data,
        "samples": str(profile.samples),
        "random": str(profile.random).lower(),
    }
    return list(done.notes)


def settings_of(options: Options) -> quantise.Settings:
    """What the options say about quantising."""
    return quantise.Settings(
        activations=options["quantization_schema_activations"],
        method=methods.choose_method(
            options["quantization_calibration"], options["percentile_calibration_value"]
        ),
        rules=quantise.Rules(
            constants=options["quantization_schema_constants"],
            bias=options["quantization_precision_bias"],
            channelwise=options["enable_channelwise"],
            rowwise=options["enable_rowwise"],
        ),
    )


def quantises(options: Options) -> bool:
    """True when the options ask for a quantised graph."""
    return bool(options["convert_to_quantize"]) or any(options[name] for name in _PROFILES)


def _kept(job: Job) -> Callable[[onnx.NodeProto], bool]:
    """Nodes that another option gives a precision."""
    return lambda node: node.output[0] in job.outcome.node_precision


def _read(option: str, job: Job) -> list[str]:
    path = job.options[option]
    profile = read_profile(path)
    digest = job.source.content_digest()
    if profile.model and profile.model != digest:
        raise InvalidArgumentError(
            f"option '{option}': '{path}' is the profile of another model: it says "
            f"{profile.model}, this model is {digest}; make one of this model with dump_profile"
        )
    job.outcome.profile = profile
    return [f"{len(profile.tensors)} tensors from '{path}'"]


def _collect(model: onnx.ModelProto, job: Job) -> list[str]:
    options = job.options
    source = job.settings.data
    if source is None:
        raise InvalidArgumentError("calibrating needs data, and there is none")
    if not model.graph.input:
        raise UnsupportedError(
            "it has no inputs, so that there is nothing to calibrate; compile it without the "
            "options for quantising"
        )
    plan = quantise.plan_for(model, _kept(job))
    found = collect(
        model,
        plan.tensors,
        source,
        origin=job.source,
        sets=input_sets(model, job.outcome.shape_sets),
        bins=options["num_histogram_bins"],
        threads=options["profiling_threads"],
        console=Console(stderr=True),
    )
    profile = Profile(
        model=job.source.content_digest(),
        data=source.text,
        samples=found.samples,
        random=source.random,
        tensors=found.histograms,
    )
    job.outcome.profile = profile
    notes = [f"{len(plan.tensors)} tensors, {found.samples} samples, {source.text}"]
    if options["dump_profile"] is not None:
        write_profile(profile, options["dump_profile"])
        notes.append(f"written: '{options['dump_profile']}'")
        if not quantises(options):
            notes.append("not quantised: that takes convert_to_quantize or load_profile")
    return notes


def _refuse_gaps(model: onnx.ModelProto, job: Job, profile: Profile) -> None:
    """Error: InvalidArgumentError for a profile made with other options, which lacks tensors."""
    plan = quantise.plan_for(model, _kept(job))
    missing = [name for name in plan.tensors if name not in profile.tensors]
    if missing:
        raise InvalidArgumentError(
            f"the profile '{job.options['load_profile']}' lacks {len(missing)} tensors, the first "
            f"'{missing[0]}': it was made with other options for the precision of nodes; make it "
            "anew with dump_profile, or pass it as external_quantization_file to leave them in "
            "floating point"
        )


def _refuse_old_opset(model: onnx.ModelProto) -> None:
    """Error: UnsupportedError where the pass "convert versions" could not raise the opset."""
    opset = default_opset(model)
    if opset < LEAST_OPSET:
        raise UnsupportedError(
            f"its opset is {opset}, which onnx cannot convert to {LEAST_OPSET}, the least for "
            "quantising; export the model anew with a later opset"
        )
