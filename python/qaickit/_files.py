"""Files of the caller: finding the model that a path means, and errors that say what to do."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO

from qaickit.errors import (
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    QaicKitError,
    ResourceExhaustedError,
)

if TYPE_CHECKING:
    from hashlib import _Hash

QPC_FILE_NAME = "programqpc.bin"
ONNX_SUFFIX = ".onnx"
_QPC_SUFFIXES = (".bin", ".qpc")
_ACCEPTED = (
    f"a {ONNX_SUFFIX} file, a QPC (.bin), a pattern such as '/path/*.bin' that matches one file, "
    f"or a directory with {QPC_FILE_NAME}"
)
_MATCHES_SHOWN = 10
_PIECE = 1 << 20

_ERROR_OF_ERRNO: Mapping[int, type[QaicKitError]] = MappingProxyType(
    {
        errno.EACCES: PermissionDeniedError,
        errno.EPERM: PermissionDeniedError,
        errno.EROFS: PermissionDeniedError,
        errno.ENOENT: NotFoundError,
        errno.EISDIR: InvalidArgumentError,
        errno.ENOTDIR: InvalidArgumentError,
        errno.EEXIST: InvalidArgumentError,
        errno.ENAMETOOLONG: InvalidArgumentError,
        errno.ENOSPC: ResourceExhaustedError,
        errno.EDQUOT: ResourceExhaustedError,
        errno.EFBIG: ResourceExhaustedError,
        errno.ENOMEM: ResourceExhaustedError,
    }
)


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model that exists: `path` and whether it still has to be compiled."""

    path: str
    is_onnx: bool


def error_from_os(error: OSError, doing: str) -> QaicKitError:
    """Our error for one of the operating system's, to be raised `from` it.

    `doing` says what was tried and names the path ("cannot read 'x.yaml'").
    """
    kind = _ERROR_OF_ERRNO.get(error.errno or 0, QaicKitError)
    return kind(f"{doing}: {error.strerror or error}")


def read_file(path: str, what: str) -> bytes:
    """All bytes of `path`. Errors name it as `what` ("the ONNX model")."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise error_from_os(error, f"cannot read {what} '{path}'") from error
    except ValueError as error:  # a zero byte in the path
        raise InvalidArgumentError(f"cannot read {what} {path!r}: {error}") from error


def hash_file(state: _Hash, path: str | os.PathLike[str], what: str) -> None:
    """Feeds a file of any size to `state`. Errors name it as `what` ("the external data")."""
    try:
        with open(path, "rb") as file:
            while piece := file.read(_PIECE):
                state.update(piece)
    except OSError as error:
        raise error_from_os(error, f"cannot read {what} '{path}'") from error
    except ValueError as error:  # a zero byte in the path
        raise InvalidArgumentError(f"cannot read {what} {str(path)!r}: {error}") from error


def write_file(path: str | os.PathLike[str], data: bytes, what: str) -> None:
    """Writes a file whole or not at all: beside its place, to the disk, then renamed.

    Errors name it as `what` ("the profile"): ResourceExhaustedError (disk full) and those of the
    file system.
    """
    _write(path, lambda file: file.write(data), what)


def copy_file(source: str | os.PathLike[str], path: str | os.PathLike[str], what: str) -> None:
    """Copies a file of any size, whole or not at all, as `write_file` writes one."""

    def copy(file: BinaryIO) -> None:
        with open(source, "rb") as original:
            shutil.copyfileobj(original, file, _PIECE)

    _write(path, copy, what)


def _write(path: str | os.PathLike[str], fill: Callable[[BinaryIO], object], what: str) -> None:
    target = Path(path)
    if not target.name:
        raise InvalidArgumentError(f"cannot write {what} '{path}': expected the name of a file")
    temporary = target.with_name(f".qaickit-{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with open(temporary, "xb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        raise error_from_os(error, f"cannot write {what} '{target}'") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def check_writable(path: str | os.PathLike[str], option: str) -> None:
    """Says before the work is done that a file could not be written; errors name the option.

    Errors: InvalidArgumentError (a directory, or no name), and those of the file system.
    """
    target = Path(path)
    if not target.name or target.is_dir():
        raise InvalidArgumentError(f"{option} '{path}': expected the name of a file")
    try:
        with tempfile.TemporaryFile(dir=target.absolute().parent):
            pass
    except OSError as error:
        raise error_from_os(error, f"{option} '{path}': cannot write there") from error


@contextlib.contextmanager
def directory_for(path: str, what: str) -> Iterator[None]:
    """A directory, with its parents, to write into; on an error none is left that was not there."""
    made = []
    missing = path
    while missing and not os.path.isdir(missing):
        made.append(missing)
        missing = os.path.dirname(missing)
    try:
        make_directory(path, what)
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            for directory in made:
                os.rmdir(directory)
        raise


def make_directory(path: str, what: str) -> None:
    """Makes a directory with its parents; one that is there already is fine."""
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise error_from_os(error, f"cannot create {what} '{path}'") from error


def locate_model(model_path: str | os.PathLike[str]) -> ModelFile:
    """The one file that `model_path` means: an ONNX model or a QPC.

    Accepts a `.onnx` file, a `.bin` file, a pattern that matches exactly one file, and a directory
    that holds `programqpc.bin`. Errors: InvalidArgumentError (not a path, several matches, another
    kind of file), NotFoundError.
    """
    path = _as_text(model_path)
    # A name may contain brackets, so a file that is there wins over its reading as a pattern.
    if not os.path.exists(path):
        path = _only_match(path)
    if os.path.isdir(path):
        path = _qpc_in_directory(path)
    suffix = Path(path).suffix.lower()
    if suffix != ONNX_SUFFIX and suffix not in (*_QPC_SUFFIXES, ""):
        raise InvalidArgumentError(
            f"model_path '{path}': expected {_ACCEPTED}, got a {suffix} file"
        )
    return ModelFile(path=path, is_onnx=suffix == ONNX_SUFFIX)


def _as_text(model_path: object) -> str:
    if not isinstance(model_path, (str, os.PathLike)):
        raise InvalidArgumentError(
            f"model_path: expected {_ACCEPTED}, got {type(model_path).__name__}"
        )
    path = os.fspath(model_path)
    if not isinstance(path, str) or not path or "\0" in path:
        raise InvalidArgumentError(f"model_path: expected {_ACCEPTED}, got {path!r}")
    return check_utf8(path)


def check_utf8(path: str) -> str:
    """The path. Error: InvalidArgumentError where it is not UTF-8, which the core cannot open."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentError(f"{path!r}: is not UTF-8; rename the file") from None
    return path


def _only_match(pattern: str) -> str:
    if not glob.has_magic(pattern):
        raise NotFoundError(f"model_path '{pattern}': no such file or directory")
    matches = sorted(glob.glob(pattern))
    if not matches:
        raise NotFoundError(f"model_path '{pattern}': no file matches this pattern")
    if len(matches) > 1:
        raise InvalidArgumentError(
            f"model_path '{pattern}': expected one match, got {len(matches)}: "
            f"{_listed(matches)}; name one of them"
        )
    return matches[0]


def _qpc_in_directory(directory: str) -> str:
    path = os.path.join(directory, QPC_FILE_NAME)
    if os.path.exists(path):
        return path
    others = sorted(glob.glob(os.path.join(glob.escape(directory), "*.bin")))
    found = f"; it holds {_listed(others)}, name one of them" if others else ""
    raise NotFoundError(f"model_path '{directory}': no {QPC_FILE_NAME} in this directory{found}")


def _listed(paths: list[str]) -> str:
    text = ", ".join(f"'{path}'" for path in paths[:_MATCHES_SHOWN])
    left = len(paths) - _MATCHES_SHOWN
    return f"{text} and {left} more" if left > 0 else text
