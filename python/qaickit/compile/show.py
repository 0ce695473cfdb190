"""What the tool shows of itself: help, options, reports."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from onnxruntime.capi.onnxruntime_pybind11_state import get_all_opkernel_def
from rich.table import Table
from rich.text import Text

from qaickit import options as table
from qaickit._files import write_file
from qaickit._table import console_on
from qaickit.compile.arguments import GROUPS, Arguments
from qaickit.compile.presets import CORES, MODELS, SCENARIOS
from qaickit.compiler.report import CompileReport
from qaickit.errors import InvalidArgumentError
from qaickit.options import OPTIONS, Group, Host, Option, Options

if TYPE_CHECKING:
    from qaickit.compiler.quantise import Layer

_PUBLIC_DOMAINS = ("", "ai.onnx.ml", "com.microsoft")  # others are ONNX Runtime's own
_NEWEST = 2**31 - 1  # ONNX Runtime's word for "and later"
_ABOUT = """\
usage: qaic-exec -m=MODEL -aic-binary-dir=DIR [options]

Compile an ONNX model to a QPC, DIR/programqpc.bin. Also called qaic-compile and python -m
qaickit.compile. Options are those of the vendor's compiler, written -name=value or -name; unknown
ones are a warning, and of one given twice the later holds."""
_END = """\
exit code
  0 done    1 it failed, with a line on stderr    2 wrong usage    130 after Ctrl-C

examples
  qaic-exec -m=model.onnx -onnx-define-symbol=batch,8 -aic-binary-dir=qpc -compile-only
  qaic-exec -m=model.onnx -aic-binary-dir=qpc -convert-to-quantize -calibration-data=images.npy
  qaic-exec -m=model.onnx -convert-to-quantize -calibration-data=images.npy --compare images.npy \\
      --by-layer --plot layers.svg
  qaic-exec --preset resnet50,offline,nsp.14,bs.8 -m=resnet50.onnx -load-profile=profile.yaml \\
      -aic-binary-dir=elfs"""
# The options of the compiler that most command lines have.
_OFTEN = (
    "output_dir", "onnx_define_symbol", "batchsize", "aic_num_cores", "compile_only",
    "convert_to_fp16", "convert_to_quantize", "calibration_data", "input_list_file",
    "dump_profile", "load_profile",
)  # fmt: skip
_LEFT = 34


def help_text() -> None:
    """The tool's own words, the options used most, and where the others are."""
    print(_ABOUT)
    for title, words in GROUPS.items():
        print(f"\n{title}")
        for name, word in words.items():
            names = ", ".join([*(f"-{alias}" for alias in word.aliases), f"--{name}"])
            _row(f"{names} {word.value}".rstrip(), word.meaning)
    print(f"  models of presets: {', '.join(MODELS)}")
    print(f"  scenarios: {', '.join(SCENARIOS)}; cores: {', '.join(CORES)}")
    print("\noptions of the compiler that are used most; --usage has all")
    for name in _OFTEN:
        option = table.find_option(name)
        assert option is not None
        default = table.as_text(option.default) if option.default else ""
        _row(_flag(option), option.meaning + (f" (default: {default})" if default else ""))
    print(f"\n{_END}")


def _row(left: str, right: str) -> None:
    if len(left) >= _LEFT:
        print(f"  {left}")
        left = ""
    print(f"  {left:<{_LEFT}}{right}")


def _flag(option: Option) -> str:
    """The flag; for what the vendor's compiler does not have, the one that it would have."""
    return option.flag or f"-{option.name.replace('_', '-')}"


def usage() -> None:
    """All options of the compiler, with defaults and what a host does with them."""
    print(_ABOUT)
    for option in OPTIONS:
        if option.group is Group.RUNTIME:
            continue
        print(f"\n  {_flag(option)}: {option.expects}; default: {table.as_text(option.default)}")
        host = "" if option.host is Host.ACTED else f" [{option.host.value}]"
        print(f"      {option.meaning}{host}")


def operators(framework: str) -> None:
    """The ONNX operators for which ONNX Runtime's CPU has a kernel: domain, name, versions.

    A card's own operators are its compiler's to tell. Error: InvalidArgumentError.
    """
    if framework != "onnx":
        raise InvalidArgumentError(
            f"-operators-supported={framework}: expected onnx; models of other frameworks are "
            "converted to it first"
        )
    versions: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for kernel in get_all_opkernel_def():
        if kernel.provider == "CPUExecutionProvider" and kernel.domain in _PUBLIC_DOMAINS:
            versions[kernel.domain or "ai.onnx", kernel.op_name].append(kernel.version_range)
    for (domain, name), ranges in sorted(versions.items()):
        first, last = min(r[0] for r in ranges), max(r[1] for r in ranges)
        print(f"{domain} {name} {first}{'+' if last >= _NEWEST else f'-{last}'}")


def options(chosen: Options) -> None:
    """The options that were given, with where they are from."""
    grid = Table("option", "value", "from", title="Options", title_justify="left")
    for name, origin in chosen.origins.items():
        grid.add_row(Text(name), Text(table.as_text(chosen[name])), Text(origin))
    console_on(sys.stdout).print(grid)


def report(arguments: Arguments, done: CompileReport) -> None:
    """The passes: as a table with -v, as a file with --report."""
    if arguments.has("report"):
        text = json.dumps(asdict(done), indent=2, default=str)
        write_file(arguments.words["report"], text.encode(), "the report")
    if not arguments.has("verbose"):
        return
    grid = Table("pass", title="Passes", title_justify="left")
    for heading in ("nodes", "weight bytes", "seconds"):
        grid.add_column(heading, justify="right")
    grid.add_column("notes")
    for entry in done.passes:
        grid.add_row(
            Text(entry.name),
            str(entry.after.nodes),
            f"{entry.after.weight_bytes:,}",
            f"{entry.seconds:.3f}",
            Text("\n".join(entry.notes)),
        )
    console_on(sys.stdout).print(grid)
    if done.layers:
        console_on(sys.stdout).print(_layers(done.layers))


def _layers(layers: Sequence[Layer]) -> Table:
    """What quantising did, layer by layer."""
    grid = Table("layer", "operator", title="Layers in int8", title_justify="left")
    for heading in ("low", "high", "clipped", "SQNR, dB", "of weights, dB"):
        grid.add_column(heading, justify="right")
    for layer in layers:
        grid.add_row(
            Text(layer.node),
            layer.operator,
            _number(layer.low, ".4g"),
            _number(layer.high, ".4g"),
            _number(layer.clipped, ".2%"),
            _number(layer.result_sqnr, ".1f"),
            _number(layer.weights_sqnr, ".1f"),
        )
    return grid


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
