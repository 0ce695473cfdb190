"""Links to the tools where scripts with hard-coded paths look for them.

    python -m qaickit.links install                    # under /opt/qti-aic, which needs the rights
    python -m qaickit.links install --prefix DIR       # to try it elsewhere
    python -m qaickit.links show
    python -m qaickit.links remove

Nothing that is there already is touched: where one of the places is taken by anything else, an
installation of the vendor's or a file of yours, nothing is laid at all. A record of what was laid
is kept in the prefix; `remove` takes away that and no more, and only as far as it is unchanged.

`versions/apps.xml` and `platform.xml` are laid too. They tell qaickit's version, or the one given
with --sdk-version, for scripts that insist on the version that they were written for.

Exit codes: 0, 1 for an error, 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from qaickit._documents import parse_json
from qaickit._files import error_from_os, write_file
from qaickit._tools import as_process, outcome
from qaickit.errors import DataLossError, InvalidArgumentError, NotFoundError, QaicKitError

__all__ = ["install", "laid", "main", "remove", "tools"]

PREFIX = "/opt/qti-aic"
RECORD = ".qaickit-links.json"
_PACKAGE = "qaickit"
# The vendor's other tools lie in `tools`.
_IN_EXEC = ("qaic-exec", "qaic-compile", "qaic-runner", "qaic-api-test")
_VERSION_FILES = ("versions/apps.xml", "versions/platform.xml")


_EPILOG = """\
exit code
  0 done    1 an error, then nothing was changed    2 wrong usage

examples
  sudo python -m qaickit.links install
  python -m qaickit.links install --prefix ~/qti-aic --sdk-version 1.20.2
  python -m qaickit.links remove
"""


@dataclass(frozen=True)
class Laid:
    """One thing that was laid: a link with its target, or a file with its SHA-256."""

    path: str  # below the prefix
    target: str = ""
    sha256: str = ""

    def is_at(self, prefix: Path) -> bool:
        """True when it is still there as it was laid."""
        path = prefix / self.path
        if self.target:
            return path.is_symlink() and os.readlink(path) == self.target
        return (
            path.is_file()
            and not path.is_symlink()
            and hashlib.sha256(path.read_bytes()).hexdigest() == self.sha256
        )


@dataclass(frozen=True)
class Record:
    """What was laid in a prefix, and the directories that were made for it, outermost first."""

    things: tuple[Laid, ...] = ()
    directories: tuple[str, ...] = ()


def tools() -> dict[str, Path]:
    """The installed commands whose names the vendor uses. Error: NotFoundError."""
    try:
        distribution = importlib.metadata.distribution(_PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise NotFoundError(
            "qaickit is not installed as a package here, so it has no commands to link to; "
            "install it with pip"
        ) from None
    names = {entry.name for entry in distribution.entry_points if entry.group == "console_scripts"}
    return {
        file.name: Path(str(file.locate())).resolve()
        for file in distribution.files or ()
        if file.name in names and file.name.startswith("qaic-")
    }


def install(prefix: Path, commands: Mapping[str, Path], sdk_version: str) -> tuple[Laid, ...]:
    """Lays links to `commands` and the version files. Returns what lies there now.

    What an earlier call has laid is replaced. Errors: InvalidArgumentError (a place is taken, or
    the version is none), then nothing has changed; those of the file system, then nothing of ours
    is left.
    """
    texts = {path: _version_xml(sdk_version) for path in _VERSION_FILES}
    links = {
        f"{'exec' if name in _IN_EXEC else 'tools'}/{name}": str(target)
        for name, target in sorted(commands.items())
    }
    record = _read_record(prefix)
    known = {thing.path: thing for thing in record.things}
    taken = [
        str(prefix / path)
        for path in (*links, *texts)
        if os.path.lexists(prefix / path) and not (path in known and known[path].is_at(prefix))
    ]
    if taken:
        raise InvalidArgumentError(
            f"{', '.join(taken)}: there already, and not laid by qaickit; nothing was done. Where "
            "this is the vendor's installation, its own tools are what scripts should find; else "
            "move it away, or give another --prefix"
        )
    remove(prefix)
    made: list[str] = []
    things: list[Laid] = []
    try:
        for path, target in links.items():
            _make_directories(prefix, path, made)
            os.symlink(target, prefix / path)
            things.append(Laid(path, target=target))
        for path, text in texts.items():
            _make_directories(prefix, path, made)
            write_file(prefix / path, text.encode(), "the version file")
            things.append(Laid(path, sha256=hashlib.sha256(text.encode()).hexdigest()))
        record_text = _record_text(Record(tuple(things), tuple(made)))
        write_file(prefix / RECORD, record_text.encode(), "the record of what was laid")
    except (OSError, QaicKitError) as error:
        _take_away(prefix, Record(tuple(things), tuple(made)))
        if isinstance(error, QaicKitError):
            raise
        raise error_from_os(error, f"cannot lay links in '{prefix}'") from error
    return tuple(things)


def laid(prefix: Path) -> tuple[Laid, ...]:
    """What was laid in the prefix and is there unchanged."""
    return tuple(thing for thing in _read_record(prefix).things if thing.is_at(prefix))


def remove(prefix: Path) -> tuple[Laid, ...]:
    """Takes away what was laid in the prefix and is unchanged; returns it."""
    record = _read_record(prefix)
    try:
        return _take_away(prefix, record)
    except OSError as error:
        raise error_from_os(error, f"cannot remove links from '{prefix}'") from error


def _take_away(prefix: Path, record: Record) -> tuple[Laid, ...]:
    gone = tuple(thing for thing in record.things if thing.is_at(prefix))
    for thing in gone:
        (prefix / thing.path).unlink()
    (prefix / RECORD).unlink(missing_ok=True)
    for directory in reversed(record.directories):
        with suppress(OSError):  # somebody else's files are in it by now
            os.rmdir(directory)
    return gone


def _make_directories(prefix: Path, path: str, made: list[str]) -> None:
    """The directory of `prefix / path`; those that were not there are added to `made`."""
    directory = (prefix / path).parent
    missing = [place for place in (directory, *directory.parents) if not place.exists()]
    for place in reversed(missing):
        place.mkdir()
        made.append(str(place.absolute()))


def _version_xml(version: str) -> str:
    """One element a line: public scripts take the base version from line 4, the build from 5."""
    match = re.fullmatch(r"(\d+\.\d+(?:\.\d+)*?)\.(\d+)", version)
    if not match:
        raise InvalidArgumentError(
            f"version '{version}': expected numbers such as 1.12.2, the last one being the build"
        )
    lines = (
        "<versions>",
        "  <ci_build>",
        "    <base_name>AIC</base_name>",
        f"    <base_version>{match[1]}</base_version>",
        f"    <build_id>{match[2]}</build_id>",
        "  </ci_build>",
        "</versions>",
    )
    return "\n".join(lines) + "\n"


def _record_text(record: Record) -> str:
    return json.dumps(asdict(record), indent=2) + "\n"


def _read_record(prefix: Path) -> Record:
    """Error: DataLossError for a record that is not one of ours, or leads out of the prefix."""
    path = prefix / RECORD
    try:
        fields = parse_json(path.read_bytes())
        things = tuple(Laid(**thing) for thing in fields["things"])
        directories = tuple(map(str, fields["directories"]))
    except (FileNotFoundError, NotADirectoryError):
        return Record()
    except OSError as error:
        raise error_from_os(error, f"cannot read '{path}'") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataLossError(f"'{path}' is damaged ({error}); remove the links by hand") from error
    for thing in things:
        parts = Path(thing.path).parts
        if os.path.isabs(thing.path) or ".." in parts or not (thing.target or thing.sha256):
            raise DataLossError(f"'{path}' is damaged: it names '{thing.path}'")
    whole = prefix.absolute()
    for directory in directories:
        if Path(directory) not in (whole, *whole.parents) and whole not in Path(directory).parents:
            raise DataLossError(f"'{path}' is damaged: it names '{directory}'")
    return Record(things, directories)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the tool and returns its exit code."""
    args = _parser().parse_args(argv)
    return outcome("qaickit.links: error", lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    prefix: Path = args.prefix
    if args.command == "install":
        things, what = install(prefix, tools(), args.sdk_version or _own_version()), "laid"
    elif args.command == "remove":
        things, what = remove(prefix), "removed"
    else:
        things, what = laid(prefix), "there"
    for thing in things:
        print(f"{what}: {prefix / thing.path}" + (f" -> {thing.target}" if thing.target else ""))
    if not things:
        print(f"nothing {what} in {prefix}")
    return 0


def _own_version() -> str:
    return importlib.metadata.version(_PACKAGE)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m qaickit.links",
        description="Links to the tools in the vendor's directory, for scripts that look there. "
        "Nothing that is there already is touched.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "command",
        choices=("install", "show", "remove"),
        help="lay links and version files, show which there are, or take them away again",
    )
    parser.add_argument(
        "--prefix",
        type=Path,
        default=Path(PREFIX),
        metavar="DIR",
        help=f"the vendor's directory (default: {PREFIX})",
    )
    parser.add_argument(
        "--sdk-version",
        metavar="X.Y.Z",
        help="with install: version for the version files (default: qaickit's)",
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(as_process(main))
