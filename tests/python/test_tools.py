"""How every command line begins and ends: closed and full outputs, signals, locales, help."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from qaickit import _tools, util
from qaickit.errors import InvalidArgumentError
from qaickit.models import MODELS
from qaickit.session import Session

DIGITS = MODELS["digits"].path
COMMANDS = [name for name in vars(_tools) if name.startswith("qaic_")]
# A line of each that writes to stdout and needs no card.
LINES = {
    "qaickit.compile": ["-u"],
    "qaickit.doctor": ["--json"],
    "qaickit.links": ["show"],
    "qaickit.loadgen": ["--help"],
    "qaickit.models": ["list"],
    "qaickit.options": [],
    "qaickit.qpc": ["--help"],
    "qaickit.runner": ["--help"],
    "qaickit.util": ["--sim-path"],
    "qaickit.version_util": [],
}
# As usual; without a buffer argparse takes no notice of what happens to its help.
BUFFERED = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
MODULES = pytest.mark.parametrize("module", LINES)


def command(module: str, *words: object) -> list[str]:
    return [sys.executable, "-m", module, *map(str, words)]


def shell(line: str, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Runs the words as "$@" of a shell line."""
    return subprocess.run(
        ["sh", "-c", line, "sh", *words], capture_output=True, text=True, timeout=120, env=BUFFERED
    )


@pytest.fixture(scope="module")
def qpc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tools") / "blank ünï"
    Session(DIGITS, onnx_define_symbol={"batch": 2}, output_dir=directory).close()
    return directory


@MODULES
def test_a_full_disk_is_told(module: str) -> None:
    done = shell('"$@" > /dev/full', command(module, *LINES[module]))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert "No space left on device" in done.stderr


@MODULES
def test_a_reader_that_went_away_is_no_matter(module: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with subprocess.Popen(
        command(module, *LINES[module]),
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        env=BUFFERED,
    ) as process:
        os.close(writer)
        _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (128 + signal.SIGPIPE, "")


@MODULES
def test_a_closed_output_is_no_matter(module: str) -> None:
    done = shell('"$@" >&- 2>&-', command(module, *LINES[module]))
    assert done.returncode == 0


def test_no_file_gets_the_number_of_a_closed_output(qpc: Path, tmp_path: Path) -> None:
    """What is printed must not end up in the files that a tool writes."""
    line = command("qaickit.runner", "-t", qpc, "-n", 1, "--write-output-dir", tmp_path)
    assert shell('"$@" <&- >&- 2>&-', line).returncode == 0
    (written,) = tmp_path.iterdir()
    assert written.stat().st_size == 2 * 10 * 4


def test_the_installed_commands_are_these() -> None:
    assert sorted(COMMANDS) == sorted(
        line.split(" = ")[0].replace("-", "_")
        for line in (Path(__file__).parents[2] / "pyproject.toml").read_text().splitlines()
        if line.startswith("qaic-")
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help(name: str) -> None:
    code = f"import sys; from qaickit._tools import {name}; sys.exit({name}())"
    done = subprocess.run(
        [sys.executable, "-c", code, "-h"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == (255 if name == "qaic_util" else 0), done.stderr
    assert done.stderr == ""
    assert {"exit code", "examples"} <= set(done.stdout.splitlines()), done.stdout


@pytest.mark.parametrize("module", ["links", "doctor", "loadgen"])
def test_each_module_has_help(module: str) -> None:
    done = subprocess.run(
        command(f"qaickit.{module}", "--help"), capture_output=True, text=True, timeout=120
    )
    assert {"exit code", "examples"} <= set(done.stdout.splitlines()), done.stdout


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
def test_signals_end_a_tool_without_a_trace(number: int, code: int, tmp_path: Path) -> None:
    """Here one that would compile for long: nothing is left behind."""
    fifo = tmp_path / "model.onnx"
    os.mkfifo(fifo)  # whose end does not come, so that the tool waits
    with subprocess.Popen(
        command("qaickit.compile", f"-m={fifo}", f"-aic-binary-dir={tmp_path / 'q'}"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        writer = os.open(fifo, os.O_WRONLY)  # returns when the tool has opened it
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        os.close(writer)
    assert (process.returncode, err) == (code, "")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("qaickit.qpc", ["validate", "-i"]),
        ("qaickit.qpc", ["info"]),
        ("qaickit.runner", ["-v", "-n", "1", "-t"]),
    ],
)
def test_names_beyond_the_encoding_of_the_output(
    module: str, words: list[str], encoding: str, qpc: Path
) -> None:
    done = subprocess.run(
        command(module, *words, qpc), capture_output=True, timeout=120,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert "blank ünï".encode(encoding, "backslashreplace") in done.stdout


OTHER_LOCALE = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


@pytest.mark.parametrize(
    "words",
    [
        ["qaickit.qpc", "validate", "-i", "{qpc}"],
        ["qaickit.runner", "-v", "-n", "1", "-t", "{qpc}"],
        ["qaickit.loadgen", "--count", "1000", "--backend", "null", "--model", "{qpc}",
         "--output-dir", "{out}", "--json", "{out}.json"],
        ["qaickit.compile", f"-m={DIGITS}", "-batchsize=1", "-aic-binary-dir={out}"],
    ],
)  # fmt: skip
def test_names_beyond_the_locale(words: list[str], qpc: Path, tmp_path: Path) -> None:
    module, *rest = [word.format(qpc=qpc, out=tmp_path / "öut") for word in words]
    done = subprocess.run(
        command(module, *rest), capture_output=True, timeout=120, env=os.environ | OTHER_LOCALE
    )
    assert b"Traceback" not in done.stderr
    assert (done.returncode in (0, 1), b"error" in done.stderr) == (True, False), done.stderr
    assert done.stdout.isascii()  # as the locale has it
    if "{out}" in "".join(words):
        assert (tmp_path / "öut").is_dir()


@pytest.mark.parametrize("module", ["qaickit.qpc", "qaickit.runner", "qaickit.compile"])
def test_names_that_are_no_utf8(module: str, tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    words = {
        "qaickit.qpc": ["info", name],
        "qaickit.runner": ["-t", name],
        "qaickit.compile": [f"-m={DIGITS}", "-batchsize=1", f"-aic-binary-dir={name}"],
    }[module]
    if module != "qaickit.compile":
        os.mkdir(name)
    done = subprocess.run(command(module, *words), capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "is not UTF-8; rename the file\n" in done.stderr
    assert done.stderr.count("\n") == 1


# In the process.


def test_out_of_memory_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> int:
        raise MemoryError

    assert _tools.outcome("tool", work) == 1
    assert capsys.readouterr().err == "tool: out of memory\n"


def test_errors_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> int:
        raise InvalidArgumentError("bad \x1b[2Jname\nand a second line")

    assert _tools.outcome("tool", work, lambda error: 7) == 7
    assert capsys.readouterr().err == "tool: bad \\x1b[2Jname\nand a second line\n"


def test_errors_of_the_system_name_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert _tools.outcome("tool", lambda: len(os.listdir("nowhere"))) == 1
    assert capsys.readouterr().err == (
        "tool: cannot read or write 'nowhere': No such file or directory\n"
    )


def test_the_simulator_is_found() -> None:
    assert util.sim_path().is_file()
