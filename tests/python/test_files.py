"""The one way to write a whole file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qaickit._files import check_writable, copy_file, write_file
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


def test_a_copy_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(range(256)) * 8192)  # several pieces
    copy_file(source, tmp_path / "copy", "it")
    assert (tmp_path / "copy").read_bytes() == source.read_bytes()
    with pytest.raises(NotFoundError, match="cannot write it"):
        copy_file(tmp_path / "none", tmp_path / "other", "it")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "source"]


@pytest.mark.parametrize("name", ["", ".", "/"])
def test_a_name_is_wanted(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="expected the name of a file"):
        write_file(name, b"", "it")
    with pytest.raises(InvalidArgumentError, match=r"--out .* expected the name of a file"):
        check_writable(name, "--out")


def test_what_could_not_be_written_is_known_before(tmp_path: Path) -> None:
    check_writable(tmp_path / "x", "--out")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(NotFoundError, match=r"--out '.*x': cannot write there"):
        check_writable(tmp_path / "none" / "x", "--out")
