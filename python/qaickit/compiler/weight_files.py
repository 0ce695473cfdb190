"""Where the weights lie that are too large, all together, for one protobuf message."""

from __future__ import annotations

import contextlib
import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from qaickit._files import error_from_os

_PREFIX = "qaickit-"
_COPY_BYTES = 1 << 22
_ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class FilePart:
    """Where an external tensor lies: `length` bytes at `offset` of a file."""

    path: str
    offset: int
    length: int


class WeightFiles(dict[str, FilePart]):
    """Initializers of one compilation that are in files: name -> where.

    The model's own stay where they are. What passes make of them is written, one after the other,
    to a temporary file that goes with this object, so that memory holds one tensor at a time.
    """

    def __init__(self) -> None:
        super().__init__()
        self._made = ""

    @property
    def has_made(self) -> bool:
        """True when some of them lie elsewhere than beside the model."""
        return bool(self._made)

    def write(self, name: str, pieces: Iterable[npt.NDArray[Any]]) -> None:
        """Makes `name` the bytes of `pieces`, one after the other.

        Errors: ResourceExhaustedError where the directory for temporary files is full, and those of
        the file system.
        """
        doing = f"cannot write the weights of '{name}' into '{tempfile.gettempdir()}'"
        try:
            path = self._made or self._make()
            with open(path, "ab") as file:
                offset = _align(file)
                for piece in pieces:
                    file.write(np.ascontiguousarray(piece).data)
                self[name] = FilePart(path, offset, file.tell() - offset)
        except OSError as error:
            raise error_from_os(error, f"{doing}; make room, or set TMPDIR") from error

    def _make(self) -> str:
        handle, self._made = tempfile.mkstemp(prefix=_PREFIX)
        os.close(handle)
        weakref.finalize(self, _remove, self._made)
        return self._made


@contextlib.contextmanager
def temporary_directory() -> Iterator[str]:
    """A directory for the while. Errors: those of the file system, if it cannot be made."""
    try:
        made = tempfile.TemporaryDirectory(prefix=_PREFIX)
    except OSError as error:
        doing = f"cannot make a directory in '{tempfile.gettempdir()}'; set TMPDIR"
        raise error_from_os(error, doing) from error
    with made as directory:
        yield directory


def copy_part(part: FilePart, path: str) -> int:
    """Appends a part of a file to the file `path`; returns where it begins there.

    Errors: those of the file system.
    """
    try:
        with open(part.path, "rb") as source, open(path, "ab") as target:
            offset = _align(target)
            source.seek(part.offset)
            left = part.length
            while left and (piece := source.read(min(left, _COPY_BYTES))):
                target.write(piece)
                left -= len(piece)
    except OSError as error:
        raise error_from_os(error, f"cannot copy weights to '{path}'; set TMPDIR") from error
    return offset


def _align(file: IO[bytes]) -> int:
    """Fills up to where a tensor may begin, for kernels that read it where it lies."""
    file.write(bytes(-file.tell() % _ALIGNMENT))
    return file.tell()


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
