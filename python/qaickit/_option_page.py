"""The page about options, from their table: ``python -m qaickit.options > docs/options.md``."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from qaickit.options import CONTRADICTIONS, OPTIONS, Group, Option, as_text

_HEAD = """\
# Options of a session

<!-- Made by `python -m qaickit.options > docs/options.md` from python/qaickit/_option_table.py. -->

Every option is a keyword argument of `qaic.Session` and a key of the YAML file that `options_path`
names, with underscores or dashes, or by the compiler's flag; arguments win over the file. Numbers
and truth values may come as text.

**On a host** tells what an option does where no card is: acted on; recorded for the card, which
changes nothing here; accepted, no effect; refused with a reason.
"""
_TITLES: Mapping[Group, str] = MappingProxyType(
    {
        Group.RUNTIME: "Running",
        Group.COMPILE: "Compiling (no effect on a QPC, like all that follow)",
        Group.PRECISION: "Precision",
        Group.QUANTISE: "Quantising",
        Group.DEVICES: "Several devices",
        Group.TUNING: "Tuning",
        Group.STATISTICS: "Statistics",
    }
)
_HEADING = (
    "| option | value | default | meaning | compiler's flag | on a host |",
    "|---|---|---|---|---|---|",
)


def option_page() -> str:
    """The page, in Markdown."""
    parts = [_HEAD]
    for group in Group:
        rows = [_row(option) for option in OPTIONS if option.group is group]
        if rows:
            parts.append("\n".join([f"## {_TITLES[group]}", "", *_HEADING, *rows, ""]))
    pairs = "\n".join(f"- `{one}` and `{other}`" for one, other in CONTRADICTIONS)
    parts.append(f"## Options that exclude each other\n\n{pairs}\n")
    return "\n".join(parts)


def _row(option: Option) -> str:
    names = ", ".join(f"`{name}`" for name in (option.name, *option.aliases))
    host = option.host.value + (f": {option.note}" if option.note else "")
    cells = (
        names,
        option.expects,
        _default(option),
        option.meaning + (" (can be changed later)" if option.changeable else ""),
        f"`{option.flag}`" if option.flag else "",
        host,
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(option: Option) -> str:
    if option.default is None or option.default == {}:
        return ""
    return f"`{as_text(option.default)}`"


def main() -> int:
    """Prints the page."""
    print(option_page(), end="")
    return 0
