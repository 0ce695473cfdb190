"""The vendor compiler's command line: options -> flags, and flags -> options.

Its grammar: long options with one dash, `-name=value`; a truth value is the bare flag or `=true`;
lists are joined by commas; `-onnx-define-symbol` and `-model-input` come once for each entry. Of an
option given twice the later wins, since scripts append to what they were given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qaickit import _option_kinds as kinds
from qaickit import options as table
from qaickit.errors import InvalidArgumentError
from qaickit.options import Group, Option, Options

_CONSTANTS = "quantization_schema_constants"
# One flag that stands for two options.
_BOTH: Mapping[str, tuple[str, ...]] = {
    "quantization_schema": ("quantization_schema_activations", _CONSTANTS)
}
# Constants have no such schema of their own; the one that differs from it by the scale alone.
_OF_CONSTANTS = {"symmetric_with_power2_scale": "symmetric"}
_NUMBERS = {"1": "true", "0": "false"}
_MODEL_INPUT = re.compile(r"(?P<name>.+?),(?P<type>[A-Za-z0-9_]+),\[(?P<shape>[\d,\s]*)\]")


@dataclass(slots=True)
class Flags:
    """A command line, read: options with the flag that set each, and what is no option of ours."""

    options: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    others: list[tuple[str, str | None]] = field(default_factory=list)

    def resolve(self) -> Options:
        """Checks the options. Errors: see `options.resolve`; they name the flag."""
        return table.resolve(self.options, self.origins)


def to_argv(options: Options) -> list[str]:
    """The flags of all compile options that were given, in the table's order."""
    return [
        text
        for option in table.OPTIONS
        if option.name in options.origins and option.flag is not None
        for text in flags_of(option, options[option.name])
    ]


def flags_of(option: Option, value: Any) -> Iterator[str]:
    """The flags that set one option; none for a truth value that is off anyway."""
    flag = option.flag
    if value is True:
        yield f"{flag}"
    elif value is False:
        if option.default is True:
            yield f"{flag}=false"
    elif isinstance(value, Mapping):
        yield from (f"{flag}={name},{size}" for name, size in value.items())
    elif option.kind is kinds.MODEL_INPUTS:
        for entry in value:
            shape = ",".join(map(str, entry["input_shape"]))
            yield f"{flag}={entry['input_name']},{entry['input_type']},[{shape}]"
    else:
        yield f"{flag}={table.as_text(value)}"


def from_argv(arguments: Sequence[str]) -> Flags:
    """Reads a command line; the checks are `Flags.resolve`'s. Empty arguments are skipped.

    What is no compile option goes to `others` as (name, value), where a bare flag's value is None
    and an argument that is no flag has the name "".
    """
    found = Flags()
    for argument in arguments:
        if not argument:
            continue
        name, value = _split(argument)
        options = _options_of(name)
        for option in options:
            is_shared = len(options) > 1 and option.name == _CONSTANTS
            of_option = _OF_CONSTANTS.get(value or "", value) if is_shared else value
            _add(found, option, of_option, argument)
        if not options:
            found.others.append((name, argument if not name else value))
    return found


def _split(argument: str) -> tuple[str, str | None]:
    if not argument.startswith("-"):
        return "", None
    name, separator, value = argument.lstrip("-").partition("=")
    return name, value if separator else None


def _options_of(name: str) -> list[Option]:
    names: Iterable[str] = _BOTH.get(name.replace("-", "_"), (name,))
    found = [table.find_option(entry) for entry in names if entry]
    return [option for option in found if option is not None and option.group is not Group.RUNTIME]


def _add(found: Flags, option: Option, value: str | None, argument: str) -> None:
    found.origins[option.name] = f"argument '{argument}'"
    takes_nothing = option.kind in (kinds.BOOL, kinds.ANY)
    if value is None and not takes_nothing:
        raise InvalidArgumentError(
            f"argument '{argument}': expected '{option.flag}=' and {option.expects}"
        )
    if option.kind is kinds.BOOL:
        found.options[option.name] = True if value is None else _NUMBERS.get(value, value)
    elif option.kind is kinds.ANY:
        found.options[option.name] = True if value is None else value
    elif option.kind in (kinds.SYMBOLS, kinds.MODEL_INPUTS):
        entries = found.options.setdefault(option.name, [])
        is_input = option.kind is kinds.MODEL_INPUTS
        entries.append(_model_input(value or "", argument) if is_input else value)
    else:
        found.options[option.name] = value


def _model_input(text: str, argument: str) -> dict[str, Any]:
    match = _MODEL_INPUT.fullmatch(text.strip())
    if match is None:
        raise InvalidArgumentError(
            f"argument '{argument}': expected name, type and shape, as -model-input=x,float,[1,3]"
        )
    shape = [int(size) for size in match["shape"].split(",") if size.strip()]
    return {"input_name": match["name"], "input_type": match["type"], "input_shape": shape}
