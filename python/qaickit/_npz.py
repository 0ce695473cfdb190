"""Arrays of a .npz file, read in order and some samples at a time.

The form is NumPy's (numpy.lib.format): a ZIP archive of .npy files, stored or deflated.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

_SUFFIX = ".npy"


class Header(NamedTuple):
    """What an array says of itself, before any of its values is read."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran_order: bool


def array_names(path: Path) -> list[str]:
    """Names of the arrays, in the file's order. Errors: those of zipfile."""
    with zipfile.ZipFile(path) as archive:
        return [entry.removesuffix(_SUFFIX) for entry in archive.namelist()]


def read_header(path: Path, name: str) -> Header:
    """The header of one array. Errors: ValueError for what is not as it says, those of zipfile."""
    with zipfile.ZipFile(path) as archive, _open(archive, name) as file:
        return _header(file, _member(archive, name))


def read_samples(
    path: Path, names: Sequence[str], step: int
) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """`step` samples at a time of each array, as [samples, ...]; the last ones may be fewer.

    Memory holds one step. All bytes are read in the end, so that a checksum that is wrong is found.
    Errors: as `read_header`.
    """
    with ExitStack() as stack:
        archive = stack.enter_context(zipfile.ZipFile(path))
        files = {name: stack.enter_context(_open(archive, name)) for name in names}
        headers = {name: _header(file, _member(archive, name)) for name, file in files.items()}
        count = min(header.shape[0] for header in headers.values())
        for start in range(0, count, step):
            rows = min(step, count - start)
            yield {
                name: _read_rows(name, file, headers[name], rows) for name, file in files.items()
            }
        for name, file in files.items():
            _read(name, file, 1)


def _open(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    return archive.open(_member(archive, name))


def _member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    known = archive.NameToInfo
    return known[name + _SUFFIX] if name + _SUFFIX in known else archive.getinfo(name)


def _header(file: IO[bytes], member: zipfile.ZipInfo) -> Header:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
    else:
        raise ValueError(f"its .npy format is {version}, expected 1.0 or 2.0")
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    taken = math.prod(shape) * dtype.itemsize
    held = member.file_size - file.tell()
    if min(shape, default=0) < 0 or taken != held:
        raise ValueError(f"its header says {dtype} {list(shape)}, {taken} bytes; it has {held}")
    return Header(dtype, tuple(shape), bool(fortran) and len(shape) > 1)


def _read_rows(name: str, file: IO[bytes], header: Header, rows: int) -> npt.NDArray[Any]:
    wanted = rows * math.prod(header.shape[1:]) * header.dtype.itemsize
    data = bytearray()
    while len(data) < wanted:
        piece = _read(name, file, wanted - len(data))
        if not piece:
            raise ValueError(f"array '{name}' ends early")
        data += piece
    return np.frombuffer(data, header.dtype).reshape(rows, *header.shape[1:])


def _read(name: str, file: IO[bytes], size: int) -> bytes:
    try:
        return file.read(size)
    except Exception as error:  # zipfile lets through what its parts raise
        raise ValueError(f"array '{name}': {error}") from error
