"""The directory of one test: LoadGen's logs, accuracy.txt and the user.conf that was used."""

from __future__ import annotations

import itertools
import os
import tempfile
from pathlib import Path

from qaickit._files import error_from_os, read_file, write_file
from qaickit.errors import FailedPreconditionError, InvalidArgumentError
from qaickit.loadgen.accuracy import ACCURACY_FILE
from qaickit.loadgen.results import LOG_FILES

__all__ = [
    "AUDIT_CONFIG",
    "DEFAULT_ROOT",
    "copy_user_conf",
    "prepare_output_dir",
    "refuse_audit_config",
]

DEFAULT_ROOT = Path("loadgen-results")
AUDIT_CONFIG = "audit.config"
USER_CONF = "user.conf"
_RESULTS = (*LOG_FILES, ACCURACY_FILE)


def refuse_audit_config(directory: Path) -> None:
    """Refuse an audit.config in the directory that the test runs in: LoadGen would obey it.

    Raises:
        FailedPreconditionError: there is one; the message names it.
    """
    path = (directory / AUDIT_CONFIG).absolute()
    if os.path.lexists(path):
        raise FailedPreconditionError(
            f"{path}: LoadGen takes its settings from this file, whatever the command line says, "
            "and the result would be no ordinary one; move it away, run in another directory, or "
            "name it with --audit-config"
        )


def prepare_output_dir(chosen: Path | None, label: str, *, overwrite: bool = False) -> Path:
    """Return a directory that exists, can be written to, and holds no earlier result.

    Args:
        chosen: the caller's; None picks `loadgen-results/<label>`, with a number behind it where
            that holds a result and is not to be overwritten.
        label: words for the default name.
        overwrite: replace an earlier result.

    Raises:
        InvalidArgumentError: `chosen` holds a result, or is a file.
        PermissionDeniedError: it cannot be made or written to.
    """
    path = chosen
    if path is None:
        path = DEFAULT_ROOT / label if overwrite else _unused_default(label)
    if path.exists() and not path.is_dir():
        raise InvalidArgumentError(f"--output-dir '{path}': expected a directory, got a file")
    if _has_results(path):
        if not overwrite:
            raise InvalidArgumentError(
                f"--output-dir '{path}': holds the result of an earlier test; "
                "name another directory, or add --overwrite"
            )
        _remove_results(path)
    _make_writable(path)
    return path.absolute()


def _has_results(path: Path) -> bool:
    return any((path / name).exists() for name in _RESULTS)


def _remove_results(path: Path) -> None:
    # All of them: an accuracy.txt of another test must not lie beside the logs of this one.
    for name in _RESULTS:
        try:
            (path / name).unlink(missing_ok=True)
        except OSError as error:
            raise error_from_os(error, f"--overwrite: cannot remove '{path / name}'") from error


def _unused_default(label: str) -> Path:
    names = itertools.chain([label], (f"{label}-{number}" for number in itertools.count(2)))
    return next(path for name in names if not _has_results(path := DEFAULT_ROOT / name))


def _make_writable(path: Path) -> None:
    # LoadGen only prints a line when it cannot open its logs, and returns as if all were well.
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        doing = f"--output-dir: cannot write to '{path}', name a directory that you can write to"
        raise error_from_os(error, doing) from error


def copy_user_conf(source: Path, output_dir: Path) -> None:
    """Copy the user.conf beside the results, as a submission wants it."""
    target = output_dir / USER_CONF
    if target.exists() and target.samefile(source):
        return
    write_file(target, read_file(str(source), "the user.conf"), "the copy of the user.conf")
