"""What all command lines share: how they begin and how they end, whatever happens.

A tool is a function `main(argv)` that returns an exit code. It hands its work to `outcome`, which
turns errors into a line on stderr and a code; `as_process` is around it where it is a process of
its own, and the functions at the end are the commands that are installed.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

from qaickit._files import error_from_os
from qaickit._text import printable
from qaickit.errors import QaicKitError, ResourceExhaustedError

__all__ = ["INTERRUPTED", "as_process", "command", "outcome"]

FAILED = 1
INTERRUPTED = 128 + signal.SIGINT
_TERMINATED = 128 + signal.SIGTERM
_NOBODY_READS = 128 + signal.SIGPIPE


def _failed(error: QaicKitError) -> int:
    return FAILED


def outcome(
    prefix: str, work: Callable[[], int], code_of: Callable[[QaicKitError], int] = _failed
) -> int:
    """The exit code of `work`; where it fails, `prefix` and the error are a line on stderr.

    130 after Ctrl-C. BrokenPipeError comes through: it is for `as_process`.
    """
    try:
        code = work()
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except QaicKitError as error:
        found = error
    except OSError as error:
        _forget_unwritten()
        name = "the output" if error.filename is None else f"'{error.filename}'"
        found = error_from_os(error, f"cannot read or write {name}")
    except MemoryError as error:
        found = ResourceExhaustedError(f"out of memory: {error}".removesuffix(": "))
    print(f"{prefix}: {printable(str(found))}", file=sys.stderr)
    return code_of(found)


def as_process(main: Callable[[], int]) -> int:
    """Runs a tool in a process of its own and returns the exit code.

    SIGTERM ends it as Ctrl-C does, so that it clears up, with 143. Where nobody reads the output
    any more, as after `| head`, it ends without a word, with 141. Text that the terminal's encoding
    lacks is escaped; output that was closed goes nowhere, and into no file that the tool opens.
    Names of files may be UTF-8 whatever the locale says.
    """
    _have_utf8()
    _have_streams()
    terminated = False

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal terminated
        terminated = True
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, end)
    try:
        code = _flushed(main)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        code = _NOBODY_READS
    except OSError as error:
        with contextlib.suppress(OSError):
            print(f"cannot write the output: {error.strerror}", file=sys.stderr)
        code = FAILED
    _forget_unwritten()
    return _TERMINATED if terminated else code


def _flushed(main: Callable[[], int]) -> int:
    try:
        return main()
    except SystemExit as exit:  # argparse
        return exit.code if isinstance(exit.code, int) else FAILED
    finally:
        sys.stdout.flush()


def _have_utf8() -> None:
    """Starts Python anew where names of files are in another encoding: the core has UTF-8 only.

    What is printed stays in the encoding of the locale.
    """
    if sys.getfilesystemencoding() != "utf-8" and not sys.flags.utf8_mode:
        encoding = sys.stdout.encoding if sys.stdout else "ascii"
        os.environ.setdefault("PYTHONIOENCODING", encoding)
        words = [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
        os.execv(sys.executable, [os.fsencode(word) for word in words])


def _have_streams() -> None:
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
    # Python has None for a stream that was closed when it began.
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _forget_unwritten() -> None:
    """What could not be written is not tried again at the end, which would fail once more."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def command(module: str) -> Callable[[], int]:
    """The `main` of a module, as a process: Ctrl-C has the same end while modules are loaded."""
    return lambda: as_process(lambda: int(importlib.import_module(module).main()))


qaic_exec = qaic_compile = command("qaickit.compile.cli")
qaic_qpc = command("qaickit.qpc")
qaic_runner = qaic_api_test = command("qaickit.runner.cli")
qaic_util = command("qaickit.util")
qaic_version_util = command("qaickit.version_util")
