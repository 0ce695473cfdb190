"""ONNX to QPC.

`compile_onnx` writes one QPC; `ensure_qpc` does so only when the cache has none for the same model
and settings. Importing this package is cheap: onnx and onnxruntime are imported when a model really
has to be compiled.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from qaickit._core import Qpc
from qaickit._files import QPC_FILE_NAME
from qaickit.compiler.cache import cached_qpc_path, explain_cache_errors
from qaickit.compiler.job import CalibrationData, CompileSettings, Job
from qaickit.compiler.report import CompileReport, PassReport
from qaickit.compiler.source import OnnxSource
from qaickit.errors import DataLossError, InvalidArgumentError, NotFoundError
from qaickit.options import Options

if TYPE_CHECKING:
    from qaickit.compiler.pipeline import Built

__all__ = [
    "CalibrationData",
    "CompileReport",
    "CompileSettings",
    "PassReport",
    "compile_for",
    "compile_onnx",
    "compile_to",
    "ensure_qpc",
    "profile_only",
]


def compile_onnx(
    model_path: str | os.PathLike[str],
    qpc_path: str | os.PathLike[str],
    *,
    calibration: CalibrationData | None = None,
    **options: Any,
) -> CompileReport:
    """Compiles an ONNX model to a QPC with the host half.

    `options` are the compiler's of `qaickit.options`; `calibration`: see `CompileSettings`. The
    directory of `qpc_path` is made; the file is either whole or untouched.

    Errors: NotFoundError, PermissionDeniedError (files), DataLossError (not an ONNX model, or
    damaged), InvalidArgumentError (an option, symbols, or a graph that is not valid),
    UnsupportedError (a refused option, a type that a QPC cannot hold, a shape that stays open, a
    version that is too new), ResourceExhaustedError (disk full).
    """
    return compile_to(model_path, qpc_path, CompileSettings.of(calibration, **options))


def compile_to(
    model_path: str | os.PathLike[str],
    qpc_path: str | os.PathLike[str],
    settings: CompileSettings,
) -> CompileReport:
    """As `compile_onnx`, with checked settings."""
    settings.options.refuse(compiling=True)
    if not isinstance(qpc_path, (str, os.PathLike)):
        raise InvalidArgumentError(f"qpc_path: expected a path, got {type(qpc_path).__name__}")
    built = _build(OnnxSource.read(model_path), settings)
    packaged = _package(built, os.fspath(qpc_path))
    return CompileReport(
        model_path=os.fspath(model_path),
        qpc_path=os.fspath(qpc_path),
        program=built.program,
        precision=built.manifest["precision"],
        passes=(*built.passes, packaged),
        weight_bytes=built.size.weight_bytes,
        layers=built.layers,
    )


def profile_only(model_path: str | os.PathLike[str], settings: CompileSettings) -> CompileReport:
    """Runs the passes, which write what options ask for (`dump_profile`), and makes no QPC."""
    settings.options.refuse(compiling=True)
    built = _build(OnnxSource.read(model_path), settings)
    return CompileReport(
        model_path=os.fspath(model_path),
        qpc_path="",
        program=built.program,
        precision=built.manifest["precision"],
        passes=built.passes,
        weight_bytes=built.size.weight_bytes,
        layers=built.layers,
    )


def ensure_qpc(model_path: str | os.PathLike[str], settings: CompileSettings) -> Qpc:
    """The QPC of a model from the cache, compiled first if need be; errors as `compile_onnx`.

    Safe from several processes at once. The cache is `$QAICKIT_CACHE_DIR`, else `qaickit` in the
    user's cache directory; a file there that is damaged is written anew, and one is made anew when
    an option asks for another file besides it.
    """
    source = OnnxSource.read(model_path)
    built = None
    if settings.data is not None and settings.data.once:
        # What it holds, and so whether the cache has its QPC, is known when it has been read.
        built = _build(source, settings)
    path = cached_qpc_path(source.digest(settings.for_digest()))
    if not settings.writes_files:
        with explain_cache_errors(), contextlib.suppress(NotFoundError, DataLossError):
            return Qpc(path)
    built = built or _build(source, settings)
    with explain_cache_errors():
        _package(built, path)
        return Qpc(path)


def compile_for(model_path: str | os.PathLike[str], chosen: Options) -> Qpc:
    """The QPC that a session with these options runs: in `output_dir` if given, else the cache."""
    settings = CompileSettings(chosen)
    directory = chosen["output_dir"]
    if directory is None:
        return ensure_qpc(model_path, settings)
    path = os.path.join(directory, QPC_FILE_NAME)
    _package(_build(OnnxSource.read(model_path), settings), path)
    return Qpc(path)


# These import onnx and onnxruntime, which a session on a QPC or on a cached model does not need.


def _build(source: OnnxSource, settings: CompileSettings) -> Built:
    from qaickit.compiler import pipeline

    return pipeline.build(Job(source, settings))


def _package(built: Built, qpc_path: str) -> PassReport:
    from qaickit.compiler import pipeline

    return pipeline.package(built, qpc_path)
