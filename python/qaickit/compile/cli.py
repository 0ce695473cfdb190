"""Runs the tool: reads the command line, compiles, says where the result is.

What it prints on stdout are lines of the vendor's tool; warnings go to stderr.
"""

from __future__ import annotations

import os
import shlex
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qaickit import options as table
from qaickit._core import Qpc
from qaickit._files import QPC_FILE_NAME, check_utf8, copy_file, directory_for
from qaickit._plots import check_plot
from qaickit._table import console_on
from qaickit._tools import outcome
from qaickit.compile import show
from qaickit.compile.arguments import Arguments, read_arguments
from qaickit.compile.env_file import write_env_file
from qaickit.compile.presets import Preset
from qaickit.compile.run_once import run_once
from qaickit.compiler import CompileSettings, compile_to, ensure_qpc, profile_only
from qaickit.compiler.calibration.choose import source_for
from qaickit.compiler.calibration.data import FirstSamples
from qaickit.compiler.flags import to_argv
from qaickit.compiler.tensorflow import as_onnx
from qaickit.errors import InvalidArgumentError, NotFoundError, QaicKitError
from qaickit.options import Options

PROG = "qaickit.compile"
VENDOR_PROGS = ("qaic-exec", "qaic-compile")
FAILED, WRONG_USAGE = 1, 2

_MODEL_VARIABLE = "CM_ML_MODEL_FILE_WITH_PATH"
_PRECISION_VARIABLE = "CM_ML_MODEL_RETINANET_QAIC_NODE_PRECISION_INFO_FILE_PATH"
_PROFILE_OPTIONS = ("load_profile", "dump_profile", "external_quantization_file")
_DATA_OPTIONS = ("input_list_file", "calibration_data", "use_random_input_data")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the tool on `argv` (default: the process's) and returns its exit status.

    0: done; 1: it failed, with a line on stderr that says why; 2: wrong usage.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    prog = os.path.basename(sys.argv[0]) if argv is None else PROG
    with warnings.catch_warnings():
        warnings.simplefilter("always", table.OptionWarning)
        warnings.showwarning = _show_warning
        return outcome("error", lambda: _run(given, prog), _code_of)


class _UsageError(InvalidArgumentError):
    """The command line is wrong, not a file that it names."""


def _code_of(error: QaicKitError) -> int:
    return WRONG_USAGE if isinstance(error, _UsageError) else FAILED


def _show_warning(message: Warning | str, *_rest: Any, **_more: Any) -> None:
    print(f"WARNING: {message}", file=sys.stderr)


def _run(given: Sequence[str], prog: str) -> int:
    try:
        arguments = read_arguments(given)
        if arguments.has("help") or not given:
            show.help_text()
            return 0 if given else WRONG_USAGE
        if arguments.has("usage"):
            show.usage()
            return 0
        if arguments.has("operators-supported"):
            show.operators(arguments.words["operators-supported"])
            return 0
        preset = arguments.preset()
        options = _options(arguments, preset)
        if arguments.has("plot"):
            check_plot(arguments.words["plot"])
        if arguments.has("report"):
            _refuse_report(arguments, options)
    except InvalidArgumentError as error:
        raise _UsageError(str(error)) from error
    _warn(arguments, options, prog)
    if preset is not None or arguments.has("print-options"):
        show.options(options)
    if arguments.has("print-options"):
        print(shlex.join(to_argv(options)))
        return 0
    if arguments.has("register"):
        qpc_path = _register(arguments.words["register"], options)
        print(f"Generated binary is present at {os.path.dirname(qpc_path)}")
        return _finish(arguments, given, prog, qpc_path, options)
    model = arguments.words.get("model") or os.environ.get(_MODEL_VARIABLE, "")
    if not model:
        raise _UsageError(f"no model: give -m=MODEL, or set {_MODEL_VARIABLE}")
    with as_onnx(model, options) as onnx_path:
        settings = _settings(arguments, preset, options)
        if arguments.has("compare"):
            return _compare(arguments, onnx_path, settings)
        qpc_path = _compile(arguments, model, onnx_path, settings)
    if not qpc_path:
        return 0
    if prog in VENDOR_PROGS and not options["compile_only"]:
        run_once(
            qpc_path,
            arguments.words.get("device-id", "0"),
            arguments.words.get("write-output-dir"),
            settings,
        )
    return _finish(arguments, given, prog, qpc_path, options)


def _refuse_report(arguments: Arguments, options: Options) -> None:
    """Error: InvalidArgumentError where nothing may be compiled that a report could tell of."""
    makes = options["output_dir"] is not None or options["dump_profile"] is not None
    if arguments.has("register") or not makes:
        raise InvalidArgumentError(
            "--report tells what each pass of a compilation did; without -aic-binary-dir the QPC "
            "may be there already, and with --register it is"
        )


def _warn(arguments: Arguments, options: Options, prog: str) -> None:
    """Of words and options that this command line leaves without effect."""
    for text in arguments.warnings:
        _show_warning(text)
    if arguments.has("compare") and options["output_dir"] is not None:
        _show_warning("--compare writes no QPC, so -aic-binary-dir stays as it is")
    runs = prog in VENDOR_PROGS and not options["compile_only"] and not arguments.has("compare")
    if arguments.has("write-output-dir") and not runs:
        _show_warning(
            "-write-output-dir is ignored, since the model is not run: that takes "
            f"{' or '.join(VENDOR_PROGS)} without -compile-only"
        )


# --- options -------------------------------------------------------------------------------------


def _options(arguments: Arguments, preset: Preset | None) -> Options:
    """The options of the preset, under those of the command line."""
    flags = arguments.flags
    if preset is None:
        return flags.resolve()
    values: dict[str, Any] = {**preset.options, **flags.options}
    values.update(_of_the_profile(preset, flags.options))
    if preset.takes_node_precision and "node_precision_info_file" not in values:
        path = os.environ.get(_PRECISION_VARIABLE)
        if path:
            values["node_precision_info_file"] = path
        elif preset.quantised:
            raise InvalidArgumentError(
                f"{preset.model} needs the file that names its nodes in fp16: give "
                f"-node-precision-info=FILE, or set {_PRECISION_VARIABLE}"
            )
    origins = {name: f"preset {','.join(preset.words)}" for name in values} | flags.origins
    return table.resolve(values, origins)


def _of_the_profile(preset: Preset, given: Mapping[str, Any]) -> dict[str, Any]:
    """How a quantised preset gets its profile: one that was given, or made from data now."""
    if not preset.quantised or given.get("convert_to_quantize"):
        return {}
    if any(name in given for name in _PROFILE_OPTIONS):
        return {}
    if any(name in given for name in _DATA_OPTIONS):
        return {"convert_to_quantize": True}
    raise InvalidArgumentError(
        f"preset {','.join(preset.words)} is quantised: give -load-profile=FILE, or data to "
        "calibrate with (-input-list-file=FILE, -calibration-data=DATA), or --no-quantized"
    )


def _settings(arguments: Arguments, preset: Preset | None, options: Options) -> CompileSettings:
    size = arguments.number("calibration-filter-size")
    if size is None and preset is not None:
        size = preset.filter_size
    source = source_for(options)
    if source is None or size is None:
        return CompileSettings(options, source)
    return CompileSettings(options, FirstSamples(source, size))


# --- steps ---------------------------------------------------------------------------------------


def _compile(arguments: Arguments, model: str, onnx_path: str, settings: CompileSettings) -> str:
    """The path of the QPC; empty when only a profile was asked for."""
    options = settings.options
    directory = options["output_dir"]
    if directory is not None:
        _refuse_existing(check_utf8(directory))
    print(f"Reading ONNX Model from {model}")
    compiler = "qaickit" if settings.vendor is None else settings.vendor.path
    print(f"loading compiler from: {compiler}")
    for text in options.warnings(compiling=True):
        _show_warning(text)
    if directory is None and options["dump_profile"] is not None:
        report = profile_only(onnx_path, settings)
        print(f"Profile is present at {options['dump_profile']}")
        show.report(arguments, report)
        return ""
    print("Compile started ............... ", flush=True)
    if directory is None:
        options.refuse(compiling=True)
        path = ensure_qpc(onnx_path, settings).path
    else:
        path = os.path.join(directory, QPC_FILE_NAME)
        compiled = compile_to(onnx_path, path, settings)
        if compiled.precision == "fp16":
            print("Compiling model with FP16 precision.")
        show.report(arguments, compiled)
    print(f"Generated binary is present at {os.path.dirname(path)}")
    return path


def _refuse_existing(directory: str) -> None:
    """As the vendor's tool: a directory that holds anything may hold another program."""
    if os.path.isdir(directory) and not os.listdir(directory):
        return
    if os.path.lexists(directory):
        raise InvalidArgumentError(
            f"-aic-binary-dir={directory} exists already; remove it, or name another"
        )


def _register(directory: str, options: Options) -> str:
    """Copies a QPC that is there already. Errors: NotFoundError, DataLossError (no QPC)."""
    source = Path(directory, QPC_FILE_NAME)
    if not source.is_file():
        raise NotFoundError(f"--register {directory}: it has no {QPC_FILE_NAME}")
    Qpc(str(source))
    target = options["output_dir"]
    if target is None:
        return str(source)
    _refuse_existing(target)
    with directory_for(target, "the output directory"):
        copy_file(source, os.path.join(target, QPC_FILE_NAME), "the QPC")
    return os.path.join(target, QPC_FILE_NAME)


def _compare(arguments: Arguments, onnx_path: str, settings: CompileSettings) -> int:
    from qaickit.compile import compare

    found = compare.compare(
        onnx_path,
        settings,
        arguments.words["compare"],
        by_layer=arguments.has("by-layer"),
    )
    compare.show(found, console_on(sys.stdout))
    if arguments.has("plot"):
        compare.plot(found, arguments.words["plot"])
    return 0


def _finish(
    arguments: Arguments, given: Sequence[str], prog: str, qpc_path: str, options: Options
) -> int:
    if arguments.has("env-file"):
        quantised = options.is_set("convert_to_quantize") or options.is_set("load_profile")
        path = os.path.abspath(qpc_path)
        write_env_file(arguments.words["env-file"], path, [prog, *given], quantised)
    return 0
