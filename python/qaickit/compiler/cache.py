"""Where compiled models are kept: `<cache>/qpc/<digest of model and options>/programqpc.bin`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from qaickit._files import QPC_FILE_NAME
from qaickit.errors import NotFoundError, QaicKitError

CACHE_VARIABLE = "QAICKIT_CACHE_DIR"


def cache_root() -> Path:
    """`$QAICKIT_CACHE_DIR`, else `qaickit` in `$XDG_CACHE_HOME` or `~/.cache`. It may not exist."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).absolute()
    # The XDG rule: a relative path in the variable is to be ignored.
    base = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):
        return Path(base) / "qaickit"
    try:
        return Path.home() / ".cache" / "qaickit"
    except RuntimeError as error:
        raise NotFoundError(f"no home directory to keep compiled models in; {_hint()}") from error


def cached_qpc_path(digest: str) -> str:
    """The file for the model and options of that digest. It may not exist."""
    return str(cache_root() / "qpc" / digest / QPC_FILE_NAME)


@contextlib.contextmanager
def explain_cache_errors() -> Iterator[None]:
    """Adds to our errors how to choose another place."""
    try:
        yield
    except QaicKitError as error:
        raise type(error)(f"{error}; {_hint()}") from error.__cause__


def _hint() -> str:
    return f"set {CACHE_VARIABLE} to a directory that can be written, or pass output_dir"
