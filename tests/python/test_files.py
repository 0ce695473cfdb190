"""The one way to write a whole file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qaickit._files import write_file
from qaickit.errors import InvalidArgumentError, NotFoundError, PermissionDeniedError


def test_a_file_is_whole_or_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "result"
    write_file(path, b"old", "the result")

    def fail(descriptor: int) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(PermissionDeniedError, match=r"cannot write the result '.*result'"):
            write_file(path, b"new", "the result")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["result"]
    write_file(path, b"new", "the result")
    assert path.read_bytes() == b"new"


def test_where_it_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="cannot write"):
        write_file(tmp_path / "none" / "x", b"", "it")
    (tmp_path / "place").mkdir()
    with pytest.raises(InvalidArgumentError, match="place"):
        write_file(tmp_path / "place", b"", "it")
    assert [entry.name for entry in tmp_path.iterdir()] == ["place"]


def test_others_may_read_it_as_far_as_the_umask_allows(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_file(tmp_path / "x", b"", "it")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640
