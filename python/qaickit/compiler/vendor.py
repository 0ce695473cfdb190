"""The vendor's compiler: found where it is installed, run, and its QPC taken for the card half.

`$QAICKIT_VENDOR_COMPILER` names it; "none" means not to use one. Otherwise `qaic-compile` and
`qaic-exec` are looked for on PATH and in /opt/qti-aic/exec.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qaickit import options as table
from qaickit._core import Qpc
from qaickit._files import QPC_FILE_NAME, error_from_os
from qaickit.compiler.calibration.data import Source
from qaickit.compiler.flags import flags_of
from qaickit.errors import DataLossError, NotFoundError, QaicKitError, UnsupportedError
from qaickit.options import Options

VARIABLE = "QAICKIT_VENDOR_COMPILER"
NONE = "none"
# Newer SDKs replace qaic-exec by qaic-compile.
NAMES = ("qaic-compile", "qaic-exec")
INSTALL_DIR = "/opt/qti-aic/exec"
_OUR_SEGMENTS_PREFIX = "qaickit."
# Of the vendor's own messages, what an error repeats.
_LINES_SHOWN = 8
# Ours: the vendor's compiler need not write them a second time, and would stop after a profile.
_NOT_PASSED = frozenset(
    {"output_dir", "dump_profile", "dump_custom_io_config_template_file", "compile_only", "aic_hw"}
)
_OUR_SCRIPT = b"qaickit"
_SCRIPT_BYTES = 4096

Segments = dict[str, tuple[bytes, int]]


@dataclass(frozen=True, slots=True)
class VendorCompiler:
    """An executable that takes the vendor's flags."""

    path: str

    def identity(self) -> list[str | int]:
        """What tells it from another one, for the cache key: path, size, time of change."""
        status = os.stat(self.path)
        return [self.path, status.st_size, status.st_mtime_ns]

    def command(self, model_path: str, output_dir: str, options: Options) -> list[str]:
        """The command that compiles `model_path` into `output_dir`, which must not exist."""
        chosen = (
            flag
            for option in table.OPTIONS
            if option.name in options.origins
            and option.flag is not None
            and option.name not in _NOT_PASSED
            for flag in flags_of(option, options[option.name])
        )
        fixed = ["-aic-hw", "-compile-only", f"-aic-binary-dir={output_dir}"]
        return [self.path, f"-m={model_path}", *fixed, *chosen]

    def check(self, options: Options, data: Source | None) -> None:
        """To be asked before anything is computed. `data`: what the host half is calibrated with.

        Error: UnsupportedError for data that the card half would be made without.
        """
        if not options["convert_to_quantize"] or options["input_list_file"] is not None:
            return
        if data is not None and not data.random:
            raise UnsupportedError(
                f"calibration data ({data.text}): the vendor's compiler reads raw files, and would "
                "calibrate with random values; give them as input_list_file, or set "
                f"{VARIABLE}={NONE} to compile for hosts alone"
            )

    def compile(self, model_path: str, options: Options) -> Segments:
        """The segments of the card half: name -> (bytes, bytes of its static part).

        Errors: QaicKitError with what it printed when it fails; DataLossError for a QPC that is not
        whole.
        """
        with tempfile.TemporaryDirectory(prefix="qaickit-vendor-") as scratch:
            output_dir = os.path.join(scratch, "qpc")
            command = self.command(os.path.abspath(model_path), output_dir, options)
            environment = {**os.environ, VARIABLE: NONE}
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, errors="replace", env=environment
                )
            except OSError as error:
                raise error_from_os(error, f"cannot run '{self.path}'") from error
            if done.returncode != 0:
                raise QaicKitError(
                    f"'{self.path}' failed with status {done.returncode}: {_tail(done.stderr)}; to "
                    f"compile for hosts alone, set {VARIABLE}={NONE}"
                )
            return _read_card_half(self.path, os.path.join(output_dir, QPC_FILE_NAME))


def find_vendor_compiler() -> VendorCompiler | None:
    """The vendor's compiler of this machine; None when there is none, or it is not to be used.

    Our own console scripts of the same names are passed over. Error: NotFoundError when the
    variable names a file that is not there or not executable.
    """
    named = os.environ.get(VARIABLE, "")
    if named == NONE:
        return None
    if named:
        path = shutil.which(named)
        if path is None:
            raise NotFoundError(f"{VARIABLE} names '{named}', which is no executable")
        return VendorCompiler(path)
    return next((VendorCompiler(path) for path in _candidates() if not _is_ours(path)), None)


def _candidates() -> Iterator[str]:
    directories = [*os.get_exec_path(), INSTALL_DIR]
    for directory in directories:
        for name in NAMES:
            path = os.path.join(directory, name)
            if os.path.isfile(path) and os.access(path, os.X_OK):
                yield path


def _is_ours(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            start = file.read(_SCRIPT_BYTES)
    except OSError:
        return True  # what cannot be read cannot be known to be the vendor's
    return start.startswith(b"#!") and _OUR_SCRIPT in start


def _read_card_half(compiler: str, path: str) -> Segments:
    if not Path(path).is_file():
        raise DataLossError(f"'{compiler}' ended without error, but wrote no {QPC_FILE_NAME}")
    qpc = Qpc(path)
    described = qpc.describe()
    if not described["has_card_half"]:
        raise DataLossError(
            f"'{compiler}' wrote a {QPC_FILE_NAME} without a program for a card in network.elf"
        )
    return {
        segment["name"]: (qpc.segment(segment["name"]), segment["offset"])
        for segment in described["segments"]
        if not segment["name"].startswith(_OUR_SEGMENTS_PREFIX)
    }


def _tail(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-_LINES_SHOWN:]) or "it printed nothing on stderr"
