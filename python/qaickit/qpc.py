"""Looks into a QPC, also with the command lines of the vendor's `qaic-qpc`.

    qaic-qpc info|verify|extract FILE         # also: python -m qaickit.qpc ...
    qaic-qpc validate -i FILE
    qaic-qpc extract --qpc FILE --output-dir DIR -s '*networkdesc.bin_dir/networkdesc.json'

`extract` also writes each network descriptor as JSON, in a directory beside it. As the vendor's,
`extract --qpc` overwrites what an earlier call has left; `extract FILE` needs --force for that.

Exit codes: 0 all is well, 1 the file is bad or something could not be read or written,
2 wrong usage.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from qaickit import _core
from qaickit._files import QPC_FILE_NAME, check_utf8, make_directory, write_file
from qaickit._table import console_on
from qaickit._text import printable
from qaickit._tools import as_process, outcome
from qaickit.errors import DataLossError, InvalidArgumentError, NotFoundError, QaicKitError

if TYPE_CHECKING:
    from qaickit._core import ProgramDict, QpcDict, SegmentDict

__all__ = ["main"]

PROG = "qaic-qpc"
_EPILOG = """\
exit code
  0 all is well    1 the file is bad, or cannot be read or written    2 wrong usage

examples
  qaic-qpc info qpc/programqpc.bin
  qaic-qpc verify --json qpc
  qaic-qpc validate -i qpc
  qaic-qpc extract --qpc qpc --output-dir out -s '*networkdesc.bin_dir/networkdesc.json'
"""
DESCRIPTOR = "networkdesc.bin"
DECODED_SUFFIX = "_dir/networkdesc.json"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the tool and returns its exit code."""
    args = _parser().parse_args(argv)
    return outcome(f"{PROG}: error", lambda: int(args.run(args)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROG,
        description="Look into a QPC file. COMMAND --help tells of one command.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    info = commands.add_parser("info", help="show the program, its tensors and the segments")
    info.set_defaults(run=_info)
    verify = commands.add_parser("verify", help="check the structure and every digest")
    verify.set_defaults(run=_verify)
    for command in (info, verify):
        command.add_argument("--json", action="store_true", help="print JSON")

    what = f"a QPC, or a directory that holds {QPC_FILE_NAME}"
    validate = commands.add_parser("validate", help="check it, and tell what a card needs for it")
    validate.set_defaults(run=_validate)
    validate.add_argument("-i", "--input", required=True, dest="file", metavar="FILE", help=what)

    extract = commands.add_parser("extract", help="write segments to files")
    extract.set_defaults(run=_extract)
    extract.add_argument(
        "-s",
        "--segment",
        action="append",
        metavar="NAME",
        help="only this segment, or those that match this pattern (may be repeated); default: all",
    )
    extract.add_argument("--output-dir", default=".", metavar="DIR", help="default: here")
    extract.add_argument("--force", action="store_true", help="overwrite files")

    source = extract.add_mutually_exclusive_group(required=True)
    source.add_argument("--qpc", metavar="FILE", help="the same as FILE, with --force")
    source.add_argument("file", nargs="?", metavar="FILE", help=what)
    for command in (info, verify):
        command.add_argument("file", metavar="FILE", help=what)
    return parser


def _resolve(path: str) -> str:
    if not os.path.isdir(check_utf8(path)):
        return path
    inside = os.path.join(path, QPC_FILE_NAME)
    if not os.path.exists(inside):
        raise NotFoundError(f"{path}: is a directory without {QPC_FILE_NAME}")
    return inside


def _cell(value: object) -> Text:
    return Text(printable(str(value)).replace("\n", "\\n"), overflow="fold")


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2))


def _info(args: argparse.Namespace) -> int:
    info = _core.read_qpc(_resolve(args.file))
    if args.json:
        _print_json(info)
        return 0
    console = console_on(sys.stdout)
    console.print(_summary(info))
    console.print(_tensor_table(info["program"]))
    console.print(_segment_table(info["segments"]))
    return 0


def _summary(info: QpcDict) -> Table:
    program = info["program"]
    manifest = info["manifest"]
    grid = Table.grid(padding=(0, 2))
    grid.add_row("file", _cell(f"{info['path']} ({info['file_bytes']:,} bytes)"))
    grid.add_row("program", _cell(program["name"] or "(no name)"))
    grid.add_row("cores", _cell(program["num_cores"]))
    grid.add_row("batch size", _cell(program["batch_size"]))
    grid.add_row("card half", "yes" if info["has_card_half"] else "no")
    grid.add_row("host half", "yes" if info["has_host_half"] else "no")
    if manifest is not None:
        grid.add_row("compiled by", _cell(manifest["producer"] or "(not said)"))
        grid.add_row("precision", _cell(manifest["precision"] or "(not said)"))
        for name, value in sorted(manifest["options"].items()):
            grid.add_row("option", _cell(f"{name}={value}"))
        for name, value in sorted(manifest["calibration"].items()):
            grid.add_row("calibration", _cell(f"{name}={value}"))
        for name, value in sorted(manifest["node_precision"].items()):
            grid.add_row("node", _cell(f"{name}: {value}"))
        if manifest["random_weights"]:
            grid.add_row("weights", "random: the answers mean nothing")
    return grid


def _tensor_table(program: ProgramDict) -> Table:
    table = Table(title="Inputs and outputs", title_justify="left")
    for heading in ("", "name", "dtype", "dims"):
        table.add_column(heading)
    for heading in ("bytes", "scale", "offset"):
        table.add_column(heading, justify="right")
    for side, tensors in (("input", program["inputs"]), ("output", program["outputs"])):
        for tensor in tensors:
            table.add_row(
                side,
                _cell(tensor["name"]),
                _cell(tensor["dtype"]),
                _cell(list(tensor["dims"])),
                _cell(f"{tensor['bytes']:,}"),
                _cell(f"{tensor['scale']:g}"),
                _cell(tensor["offset"]),
            )
    return table


def _segment_table(segments: Iterable[SegmentDict]) -> Table:
    table = Table(title="Segments", title_justify="left")
    table.add_column("name")
    table.add_column("bytes", justify="right")
    table.add_column("SHA-256")
    for segment in segments:
        table.add_row(
            _cell(segment["name"]),
            _cell(f"{segment['bytes']:,}"),
            _cell(segment["sha256"][:16] + "..."),
        )
    return table


def _verify(args: argparse.Namespace) -> int:
    try:
        qpc = _core.Qpc(_resolve(args.file))
        qpc.verify()
    except QaicKitError as error:
        if args.json:
            _print_json({"path": args.file, "ok": False, "error": str(error)})
        raise
    info = qpc.describe()
    result = {
        "path": info["path"],
        "ok": True,
        "file_bytes": info["file_bytes"],
        "segments": len(info["segments"]),
        "has_host_half": info["has_host_half"],
        "has_card_half": info["has_card_half"],
        "digests_checked": info["has_host_half"],
    }
    if args.json:
        _print_json(result)
    elif result["digests_checked"]:
        print(f"{printable(info['path'])}: ok, all {result['segments']} segments are intact")
    else:
        print(
            f"{printable(info['path'])}: ok, the structure is sound; "
            "without a host half there are no digests to check"
        )
    return 0


def _validate(args: argparse.Namespace) -> int:
    info = _core.read_qpc(_resolve(args.file))
    program = info["program"]
    rows = {
        "QPC": info["path"],
        "Size": f"{info['file_bytes']} bytes",
        "Network name": program["name"],
        "Batch size": program["batch_size"],
        "Number of NSP required": program["num_cores"],
        "Number of inputs": len(program["inputs"]),
        "Number of outputs": len(program["outputs"]),
        "Program for a card": "yes" if info["has_card_half"] else "no",
        "Program for a host": "yes" if info["has_host_half"] else "no",
    }
    for key, value in rows.items():
        print(f"{key}: {printable(str(value))}")
    print("The QPC is valid")
    return 0


def _extract(args: argparse.Namespace) -> int:
    path = _resolve(args.qpc or args.file)
    segments = [segment["name"] for segment in _core.read_qpc(path)["segments"]]
    decoded = {
        name + DECODED_SUFFIX: name for name in segments if name.split("/")[-1] == DESCRIPTOR
    }
    names = _chosen(args.segment, [*segments, *decoded], path)
    targets = {name: _target(args.output_dir, name) for name in names}
    if not args.force and args.qpc is None:
        for target in targets.values():
            if os.path.lexists(target):
                raise InvalidArgumentError(
                    f"{target}: exists already; give --force to overwrite it"
                )
    for name, target in targets.items():
        if os.path.exists(target) and os.path.samefile(target, path):
            raise InvalidArgumentError(
                f"{path}: segment {name!r} would replace this file; give another --output-dir"
            )
    make_directory(args.output_dir, "the output directory")
    for name, target in targets.items():
        data = _core.qpc_segment(path, decoded.get(name, name))
        if name in decoded:
            data = _decoded(data, path, name)
        make_directory(str(target.parent), "the directory of a segment")
        write_file(target, data, "the segment")
        print(f"{printable(str(target))} ({len(data):,} bytes)")
    return 0


def _chosen(wanted: Sequence[str] | None, present: Sequence[str], path: str) -> list[str]:
    """Names without doubles. Error: NotFoundError where one that is wanted is not there.

    A pattern may match nothing: public scripts ask for segments that only some QPCs have.
    """
    if not wanted:
        return list(dict.fromkeys(present))
    found: dict[str, None] = {}
    for name in wanted:
        # A name may hold brackets, so one that is there wins over its reading as a pattern.
        matches = [name] if name in present else fnmatch.filter(present, name)
        if not matches and ("*" in name or "?" in name):
            print(f"{PROG}: {path}: no segment matches {printable(name)!r}", file=sys.stderr)
        elif not matches:
            have = ", ".join(map(repr, present))
            raise NotFoundError(f"{path}: has no segment {name!r}; it has {have}")
        found.update(dict.fromkeys(matches))
    return list(found)


def _decoded(data: bytes, path: str, name: str) -> bytes:
    from qaickit.network_desc import decode  # protobuf, which nothing else here needs

    try:
        return (json.dumps(decode(data), indent=2) + "\n").encode()
    except DataLossError as error:
        raise DataLossError(f"{path}: {name}: {error}") from error


def _target(directory: str, name: str) -> Path:
    """Where a segment goes; a name from the file must not lead out of the directory."""
    parts = name.split("/")
    if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
        raise InvalidArgumentError(
            f"segment {name!r} cannot be a file name; choose other segments with --segment"
        )
    return Path(directory, *parts)


if __name__ == "__main__":
    raise SystemExit(as_process(main))
