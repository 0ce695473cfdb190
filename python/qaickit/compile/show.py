"""What the tool shows of itself: help, options, reports."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from onnxruntime.capi.onnxruntime_pybind11_state import get_all_opkernel_def
from rich.console import Console
from rich.table import Table
from rich.text import Text

from qaickit import options as table
from qaickit._files import write_file
from qaickit.compile.arguments import WORDS, Arguments
from qaickit.compile.presets import CORES, MODELS, SCENARIOS
from qaickit.compiler.report import CompileReport
from qaickit.errors import InvalidArgumentError
from qaickit.options import OPTIONS, Group, Host, Options

if TYPE_CHECKING:
    from qaickit.compiler.quantise import Layer

_PUBLIC_DOMAINS = ("", "ai.onnx.ml", "com.microsoft")  # others are ONNX Runtime's own
_NEWEST = 2**31 - 1  # ONNX Runtime's word for "and later"
_ABOUT = (
    "Compiles an ONNX model to a QPC: python -m qaickit.compile -m=MODEL -aic-binary-dir=DIR "
    "[options]\nAlso as qaic-exec and qaic-compile, with the vendor's command lines."
)


def help_text() -> None:
    """The tool's own words, and where the options are."""
    print(_ABOUT)
    print()
    for name, word in WORDS.items():
        left = f"--{name} {word.value}".rstrip()
        print(f"  {left:<32}{word.meaning}")
    print()
    print(f"  models of presets: {', '.join(MODELS)}")
    print(f"  scenarios: {', '.join(SCENARIOS)}; cores: {', '.join(CORES)}")
    print("  all options of the compiler: --usage")


def usage() -> None:
    """All options of the compiler, with defaults and what a host does with them."""
    print(_ABOUT)
    for option in OPTIONS:
        if option.flag is None or option.group is Group.RUNTIME:
            continue
        print(f"\n  {option.flag}: {option.expects}; default: {table.as_text(option.default)}")
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
    Console().print(grid)


def report(arguments: Arguments, done: CompileReport) -> None:
    """The passes: as a table with -v, as a file with --report."""
    if arguments.has("report"):
        text = json.dumps(asdict(done), indent=2, default=str)
        write_file(arguments.words["report"], text.encode(), "the report")
    if not arguments.has("v"):
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
    Console().print(grid)
    if done.layers:
        Console().print(_layers(done.layers))


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
