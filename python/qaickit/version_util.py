"""`qaic-version-util`: which versions the installation says it has, as the vendor's tool prints it.

    qaic-version-util               # also: python -m qaickit.version_util
    qaic-version-util --prefix DIR  # of an installation elsewhere

They are read from `versions/platform.xml`, `apps.xml` and `factory.xml` in the vendor's directory,
which are the vendor's own, or those that `python -m qaickit.links install` has laid.

Exit codes: 0, also where a file is not there; 1 when one cannot be read; 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import os
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

from qaickit._files import read_file
from qaickit._tools import as_process, outcome
from qaickit.errors import DataLossError, QaicKitError
from qaickit.links import PREFIX

__all__ = ["main", "version_of"]

PROG = "qaic-version-util"
_KINDS = ("platform", "apps", "factory")
_FIELDS = ("base_name", "base_version", "build_id")
_EPILOG = """\
exit code
  0, also where a file is not there    1 one cannot be read    2 wrong usage

examples
  qaic-version-util
  qaic-version-util --prefix ~/qti-aic
"""
_MAX_BYTES = 1 << 16  # the vendor's have some two hundred


def version_of(path: Path) -> str | None:
    """The version in such a file, "AIC.1.6.80"; None where there is none.

    Errors: DataLossError (another kind of file), and those of the file system.
    """
    try:
        size = os.path.getsize(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if size > _MAX_BYTES:
        raise DataLossError(f"'{path}' has {size} bytes, a version file at most {_MAX_BYTES}")
    try:
        root = ElementTree.fromstring(read_file(str(path), "the version file"))
    except ElementTree.ParseError as error:
        raise DataLossError(f"'{path}' is no version file: {error}") from error
    fields = [(root.findtext(f".//{field}") or "").strip() for field in _FIELDS]
    if not all(fields):
        missing = _FIELDS[fields.index("")]
        raise DataLossError(f"'{path}' is no version file: it has no {missing}")
    return ".".join(fields)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the tool and returns its exit code."""
    parser = argparse.ArgumentParser(
        prog=PROG,
        description="Tell which versions the installation says it has: platform, apps, factory.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--prefix",
        type=Path,
        default=Path(PREFIX),
        metavar="DIR",
        help=f"directory of the installation (default: {PREFIX})",
    )
    args = parser.parse_args(argv)
    return outcome(f"{PROG}: error", lambda: _show(args.prefix))


def _show(prefix: Path) -> int:
    """One that cannot be read leaves the others."""
    errors = []
    for kind in _KINDS:
        try:
            version = version_of(prefix / "versions" / f"{kind}.xml")
        except QaicKitError as error:
            errors.append(f"{PROG}: error: {error}")
            continue
        print(f"{kind}:{'not found' if version is None else version}")
    print("".join(f"{line}\n" for line in errors), end="", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    raise SystemExit(as_process(main))
