"""ONNX to QPC.

`compile_onnx` writes one QPC; `ensure_qpc` does so only when the cache has none for the same model
and settings. Importing this package is cheap: onnx and onnxruntime are imported when a model really
has to be compiled.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from qaickit._core import read_qpc
from qaickit._files import QPC_FILE_NAME
from qaickit.compiler.cache import cached_qpc_path, explain_cache_errors
from qaickit.compiler.report import CompileReport, CompileSettings, PassReport
from qaickit.compiler.source import OnnxSource
from qaickit.errors import DataLossError, NotFoundError
from qaickit.options import Options

if TYPE_CHECKING:
    from qaickit._core import QpcDict
    from qaickit.compiler.pipeline import Built

__all__ = [
    "CompileReport",
    "CompileSettings",
    "PassReport",
    "compile_for",
    "compile_onnx",
    "ensure_qpc",
]


def compile_onnx(
    model_path: str | os.PathLike[str],
    qpc_path: str | os.PathLike[str],
    *,
    define_symbols: Mapping[str, int] | None = None,
    num_cores: int = 1,
    precision: str = "",
    options: Mapping[str, str] | None = None,
) -> CompileReport:
    """Compiles an ONNX model to a QPC with the host half. Arguments: see `CompileSettings`.

    The directory of `qpc_path` is made; the file is either whole or untouched.

    Errors: NotFoundError, PermissionDeniedError (files), DataLossError (not an ONNX model, or
    damaged), InvalidArgumentError (symbols, or a graph that is not valid), UnsupportedError (a
    type that a QPC cannot hold, a shape that stays open, a version that is too new, over 2 GB).
    """
    settings = CompileSettings(define_symbols or {}, num_cores, precision, options or {})
    built = _build(OnnxSource.read(model_path), settings)
    packaged = _package(built, os.fspath(qpc_path))
    return CompileReport(
        model_path=os.fspath(model_path),
        qpc_path=os.fspath(qpc_path),
        program=built.program,
        precision=built.manifest["precision"],
        passes=(*built.passes, packaged),
        model_bytes=len(built.model_bytes),
    )


def ensure_qpc(model_path: str | os.PathLike[str], settings: CompileSettings) -> QpcDict:
    """The QPC of a model from the cache, compiled first if need be; errors as `compile_onnx`.

    Safe from several processes at once. The cache is `$QAICKIT_CACHE_DIR`, else `qaickit` in the
    user's cache directory; a file there that is damaged is written anew.
    """
    source = OnnxSource.read(model_path)
    path = cached_qpc_path(source.digest(settings.for_digest()))
    with explain_cache_errors():
        try:
            return read_qpc(path)
        except (NotFoundError, DataLossError):
            pass
    built = _build(source, settings)
    with explain_cache_errors():
        _package(built, path)
        return read_qpc(path)


def compile_for(model_path: str | os.PathLike[str], chosen: Options) -> QpcDict:
    """The QPC that a session with these options runs: in `output_dir` if given, else the cache."""
    settings = CompileSettings(
        define_symbols=chosen["onnx_define_symbol"],
        num_cores=chosen["aic_num_cores"],
        precision="fp16" if chosen["convert_to_fp16"] else "",
        options=chosen.recorded(),
    )
    directory = chosen["output_dir"]
    if directory is None:
        return ensure_qpc(model_path, settings)
    path = os.path.join(directory, QPC_FILE_NAME)
    _package(_build(OnnxSource.read(model_path), settings), path)
    return read_qpc(path)


# These import onnx and onnxruntime, which a session on a QPC or on a cached model does not need.


def _build(source: OnnxSource, settings: CompileSettings) -> Built:
    from qaickit.compiler import pipeline

    return pipeline.build(pipeline.Job(source, settings))


def _package(built: Built, qpc_path: str) -> PassReport:
    from qaickit.compiler import pipeline

    return pipeline.package(built, qpc_path)
