"""Links in the vendor's directory: laid where nothing is, and taken away without a trace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from qaickit import links
from qaickit.errors import (
    DataLossError,
    InvalidArgumentError,
    NotFoundError,
    QaicKitError,
    ResourceExhaustedError,
)

NAMES = ("qaic-exec", "qaic-runner", "qaic-qpc", "qaic-util")


@pytest.fixture
def commands(tmp_path: Path) -> dict[str, Path]:
    """Commands that print their own name."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for name in NAMES:
        (directory / name).write_text(f"#!/bin/sh\necho {name} $1\n")
        (directory / name).chmod(0o755)
    return {name: directory / name for name in NAMES}


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return tmp_path / "opt" / "qti-aic"


def tree(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def test_scripts_find_the_tools(commands: dict[str, Path], prefix: Path) -> None:
    links.install(prefix, commands, "1.12.2.88")
    for path in ("exec/qaic-exec", "exec/qaic-runner", "tools/qaic-qpc", "tools/qaic-util"):
        done = subprocess.run([prefix / path, "-q"], capture_output=True, text=True, check=True)
        assert done.stdout == f"{Path(path).name} -q\n"


def test_versions_as_scripts_read_them(commands: dict[str, Path], prefix: Path) -> None:
    links.install(prefix, commands, "1.6.80")
    for name in ("apps.xml", "platform.xml"):
        path = prefix / "versions" / name
        assert ElementTree.parse(path).findtext(".//base_version") == "1.6"
        lines = path.read_text().splitlines()
        assert [line.split(">")[1].split("<")[0] for line in lines[3:5]] == ["1.6", "80"]


@pytest.mark.parametrize(
    ("version", "base", "build"), [("0.1.0", "0.1", "0"), ("1.20.4.0", "1.20.4", "0")]
)
def test_the_last_number_is_the_build(
    commands: dict[str, Path], prefix: Path, version: str, base: str, build: str
) -> None:
    links.install(prefix, commands, version)
    root = ElementTree.parse(prefix / "versions" / "apps.xml")
    assert (root.findtext(".//base_version"), root.findtext(".//build_id")) == (base, build)


@pytest.mark.parametrize("version", ["", "1", "1.2", "1.2.x", "1.2.3</build_id>"])
def test_bad_versions(commands: dict[str, Path], prefix: Path, version: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"1\.12\.2"):
        links.install(prefix, commands, version)
    assert not prefix.exists()


def test_removed_without_a_trace(commands: dict[str, Path], prefix: Path, tmp_path: Path) -> None:
    before = tree(tmp_path)
    things = links.install(prefix, commands, "1.2.3")
    assert links.laid(prefix) == things
    assert links.remove(prefix) == things
    assert tree(tmp_path) == before
    assert links.laid(prefix) == ()
    assert links.remove(prefix) == ()


def test_again_follows_the_commands(commands: dict[str, Path], prefix: Path) -> None:
    links.install(prefix, commands, "1.2.3")
    other = commands["qaic-qpc"]
    links.install(prefix, {"qaic-util": other}, "2.3.4")
    assert os.readlink(prefix / "tools" / "qaic-util") == str(other)
    assert not (prefix / "exec").exists()
    assert "<build_id>4<" in (prefix / "versions" / "apps.xml").read_text()


@pytest.mark.parametrize("path", ["exec/qaic-runner", "versions/platform.xml"])
@pytest.mark.parametrize("kind", ["file", "link", "dangling link", "directory"])
def test_what_is_there_is_not_touched(
    commands: dict[str, Path], prefix: Path, path: str, kind: str
) -> None:
    place = prefix / path
    place.parent.mkdir(parents=True)
    if kind == "directory":
        place.mkdir()
    elif kind == "file":
        place.write_text("the vendor's")
    else:
        target = commands["qaic-exec"] if kind == "link" else Path("/nonexistent")
        place.symlink_to(target)
    before = tree(prefix)
    with pytest.raises(InvalidArgumentError, match=path):
        links.install(prefix, commands, "1.2.3")
    assert tree(prefix) == before
    assert links.remove(prefix) == ()
    assert tree(prefix) == before


def test_others_files_stay(commands: dict[str, Path], prefix: Path) -> None:
    links.install(prefix, commands, "1.2.3")
    (prefix / "tools" / "mine").write_text("mine")
    (prefix / "exec" / "qaic-exec").unlink()
    (prefix / "exec" / "qaic-exec").write_text("installed since")
    (prefix / "versions" / "apps.xml").write_text("changed since")
    with pytest.raises(InvalidArgumentError, match="qaic-exec"):
        links.install(prefix, commands, "1.2.3")
    links.remove(prefix)
    assert tree(prefix) == {
        "exec", "exec/qaic-exec", "tools", "tools/mine", "versions", "versions/apps.xml",
    }  # fmt: skip


def test_a_failure_half_way_leaves_nothing(
    commands: dict[str, Path], prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tree(tmp_path)

    def full(path: Path, data: bytes, what: str) -> None:
        raise ResourceExhaustedError(f"cannot write {what} '{path}': No space left on device")

    monkeypatch.setattr(links, "write_file", full)
    with pytest.raises(QaicKitError, match="No space left"):
        links.install(prefix, commands, "1.2.3")
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    "text",
    [
        "no json", "{}", '{"things": [{"path": "a"}], "directories": []}',
        '{"things": [{"path": "../bin/qaic-exec", "target": "x"}], "directories": []}',
        '{"things": [], "directories": ["/srv/somewhere/else"]}',
        '{"things": [{"path": "/etc/passwd", "target": "x"}], "directories": []}',
    ],
)  # fmt: skip
def test_damaged_records(prefix: Path, text: str) -> None:
    prefix.mkdir(parents=True)
    (prefix / links.RECORD).write_text(text)
    with pytest.raises(DataLossError, match="damaged"):
        links.remove(prefix)


def test_command_line(
    commands: dict[str, Path],
    prefix: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(links, "tools", lambda: commands)
    at = ["--prefix", str(prefix)]
    assert links.main(["install", *at, "--sdk-version", "1.2.3"]) == 0
    assert f"laid: {prefix}/tools/qaic-util -> {commands['qaic-util']}\n" in capsys.readouterr().out
    assert links.main(["show", *at]) == 0
    assert capsys.readouterr().out.count("there: ") == len(NAMES) + 2
    assert links.main(["remove", *at]) == 0
    assert capsys.readouterr().out.count("removed: ") == len(NAMES) + 2
    assert links.main(["remove", *at]) == 0
    assert capsys.readouterr().out == f"nothing removed in {prefix}\n"
    assert links.main(["install", "--prefix", "/proc/none", "--sdk-version", "1.2.3"]) == 1
    assert "/proc/none" in capsys.readouterr().err


def test_links_to_what_is_installed(prefix: Path) -> None:
    try:
        commands = links.tools()
    except NotFoundError:
        pytest.skip("qaickit is not installed as a package here")
    assert {"qaic-runner", "qaic-qpc", "qaic-util"} <= set(commands)
    module = [sys.executable, "-m", "qaickit.links"]
    subprocess.run([*module, "install", "--prefix", prefix], check=True, capture_output=True)
    done = subprocess.run(
        [prefix / "exec" / "qaic-runner", "-h"], capture_output=True, text=True, check=True
    )
    assert "--test-data" in done.stdout
    assert json.loads((prefix / links.RECORD).read_text())["things"]
    subprocess.run([*module, "remove", "--prefix", prefix], check=True, capture_output=True)
    assert not prefix.exists()
