"""The one table of options: keyword arguments, YAML keys, compiler flags, checks and documentation.

Every option that a session knows is a row of `OPTIONS` (`_option_table.py`). Whatever needs to know
about options reads the table: `resolve()` checks keyword arguments and the YAML file of
`options_path` against it, `Options.recorded()` takes from it what goes into a QPC.

Keys may use dashes or underscores and may be the compiler's flag (`aic-binary-dir` for
`output_dir`). None means "not given". Numbers and truth values may come as text ("4", "true"),
since programs pass on what their own command line got.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from qaickit._documents import parse_yaml, shown
from qaickit._files import read_file
from qaickit._option_kinds import DATA, FILE_IN, FILE_OUT, as_text
from qaickit._option_table import CONTRADICTIONS, OPTIONS, Group, Host, Option
from qaickit._text import nearest
from qaickit.errors import InvalidArgumentError, UnsupportedError

__all__ = [
    "CONTRADICTIONS",
    "FILES_WRITTEN",
    "OPTIONS",
    "Group",
    "Host",
    "Option",
    "OptionWarning",
    "Options",
    "as_text",
    "find_option",
    "reads_file",
    "resolve",
]


class OptionWarning(UserWarning):
    """An option was accepted, but its result on this machine is not what a card would give."""


_LACKS = {
    Host.ACTED: "does not act on every device",
    Host.IGNORED: "does nothing here",
    Host.RECORDED: "is recorded in the QPC but not acted on",
}


def _normalised(key: str) -> str:
    return key.strip().lstrip("-").replace("-", "_").replace(" ", "_").lower()


def _keys_of(option: Option) -> set[str]:
    flag = () if option.flag is None else (option.flag,)
    return {_normalised(key) for key in (option.name, *option.aliases, *flag)}


_BY_NAME: Mapping[str, Option] = MappingProxyType({option.name: option for option in OPTIONS})
_BY_KEY: Mapping[str, Option] = MappingProxyType(
    {key: option for option in OPTIONS for key in _keys_of(option)}
)
# Names of the options that name a file to write.
FILES_WRITTEN: tuple[str, ...] = tuple(option.name for option in OPTIONS if option.kind is FILE_OUT)


@dataclass(frozen=True, slots=True)
class Options:
    """Checked options: `values` of all of them, `origins` of those that were given."""

    values: Mapping[str, Any]
    origins: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def is_set(self, name: str) -> bool:
        """True when the value differs from the default."""
        return bool(self.values[name] != _BY_NAME[name].default)

    def device_ids(self) -> list[int]:
        """`dev_id` as a list."""
        ids = self.values["dev_id"]
        return list(ids) if isinstance(ids, list) else [ids]

    def changeable(self) -> dict[str, Any]:
        """The options that a session can change later, with their values."""
        return {option.name: self.values[option.name] for option in OPTIONS if option.changeable}

    def recorded(self) -> dict[str, str]:
        """Compile options that differ from their defaults, as text, for a QPC's manifest."""
        return {
            option.name: as_text(self.values[option.name])
            for option in OPTIONS
            if option.group is not Group.RUNTIME
            and option.host in (Host.ACTED, Host.RECORDED)
            and option.name != "output_dir"
            and option.kind not in (FILE_OUT, DATA)
            and self.is_set(option.name)
        }

    def refuse(self, *, compiling: bool) -> None:
        """Raises UnsupportedError for the first option that is set and refused on a host.

        Options of the compiler have no effect on a QPC, so they count only when `compiling`.
        """
        for option in self._set_options(compiling):
            if option.host is Host.REFUSED:
                raise UnsupportedError(
                    f"option '{option.name}' ({self.origins[option.name]}): {option.note}"
                )

    def warnings(self, *, compiling: bool, backend: str = "") -> list[str]:
        """Texts about options that are set, and whose effect a user would miss here.

        `backend`: where the result is to run, if that is known.
        """
        return [
            f"option '{option.name}' ({self.origins[option.name]}) {_LACKS[option.host]}: "
            f"{option.note}"
            for option in self._set_options(compiling)
            if option.warns and not (backend and backend == option.acted_by)
        ]

    def updated(self, changes: Mapping[str, Any]) -> Options:
        """A copy with `changes`. InvalidArgumentError: not changeable, unknown, or a bad value."""
        known = {option.name for option in OPTIONS if option.changeable}
        for key in changes:
            option = find_option(key)
            if option is None or not option.changeable:
                raise InvalidArgumentError(
                    f"option '{key}' cannot be changed in a session{_did_you_mean(key, known)}; "
                    f"those that can: {', '.join(sorted(known))}"
                )
        found = _collect(
            (key, value, f"keyword argument '{key}'") for key, value in changes.items()
        )
        values = {name: value for name, (value, _) in found.items()}
        origins = {name: origin for name, (_, origin) in found.items()}
        return Options(
            values=MappingProxyType({**self.values, **values}),
            origins=MappingProxyType({**self.origins, **origins}),
        )

    def _set_options(self, compiling: bool) -> list[Option]:
        return [
            option
            for option in OPTIONS
            if (compiling or option.group is Group.RUNTIME) and self.is_set(option.name)
        ]


def resolve(kwargs: Mapping[str, Any], origins: Mapping[str, str] | None = None) -> Options:
    """Checks keyword arguments, and those of the YAML file that `options_path` names.

    Keyword arguments win over the file. `origins` says for messages where an argument comes from,
    where that is no keyword argument. Errors: InvalidArgumentError (unknown name, with the
    nearest known one; wrong type or range; contradiction), NotFoundError or PermissionDeniedError
    (the file); each says which argument or which key of which file is meant.
    """
    named = origins or {}
    arguments = _collect(
        (key, value, named.get(key, f"keyword argument '{key}'")) for key, value in kwargs.items()
    )
    path = arguments.get("options_path")
    from_file = {} if path is None else _read_yaml(path[0])
    given = {**from_file, **arguments}
    values = {option.name: option.default for option in OPTIONS}
    values.update({name: value for name, (value, _) in given.items()})
    options = Options(
        values=MappingProxyType(values),
        origins=MappingProxyType({name: origin for name, (_, origin) in given.items()}),
    )
    _refuse_contradictions(options)
    return options


def find_option(key: str) -> Option | None:
    """The option that a name, a known misspelling or a compiler flag means."""
    return _BY_KEY.get(_normalised(key))


def reads_file(name: str) -> bool:
    """True when the value of this option is the path of a file that the compiler reads."""
    return _BY_NAME[name].kind is FILE_IN


def _collect(entries: Iterable[tuple[Any, Any, str]]) -> dict[str, tuple[Any, str]]:
    """(key, value, origin) entries, checked: option name -> (value, origin). None is left out."""
    found: dict[str, tuple[Any, str]] = {}
    for key, value, origin in entries:
        option = find_option(key) if isinstance(key, str) else None
        if option is None:
            raise InvalidArgumentError(
                f"unknown option: {origin}{_did_you_mean(str(key), _BY_KEY)}"
            )
        if value is None:
            continue
        if option.name in found:
            raise InvalidArgumentError(
                f"option '{option.name}' is given twice: {found[option.name][1]} and {origin}"
            )
        found[option.name] = (_checked(option, value, origin), origin)
    return found


def _did_you_mean(key: str, known: Iterable[str]) -> str:
    found = nearest(_normalised(key), known)
    return "" if found is None else f"; did you mean '{_BY_KEY[found].name}'?"


def _checked(option: Option, value: Any, origin: str) -> Any:
    try:
        converted = option.kind.convert(value)
        fits = _fits(option, converted)
    except (TypeError, ValueError, KeyError, OverflowError):
        fits = False
    if not fits:
        raise InvalidArgumentError(
            f"option '{option.name}' ({origin}): expected {option.expects}, got "
            f"{shown(value)} ({type(value).__name__})"
        )
    return converted


def _fits(option: Option, value: Any) -> bool:
    if option.choices and value not in option.choices:
        return False
    if isinstance(value, Mapping):
        value = list(value.values())
    items = value if isinstance(value, list) else [value]
    too_low = option.low is not None and any(item < option.low for item in items)
    too_high = option.high is not None and any(item > option.high for item in items)
    return not (too_low or too_high)


def _refuse_contradictions(options: Options) -> None:
    for one, other in CONTRADICTIONS:
        if options.is_set(one) and options.is_set(other):
            raise InvalidArgumentError(
                f"options '{one}' ({options.origins[one]}) and '{other}' "
                f"({options.origins[other]}) exclude each other; give one of them"
            )


def _read_yaml(path: str) -> dict[str, tuple[Any, str]]:
    what = f"the option file '{path}'"
    text = read_file(path, "the option file")
    try:
        entries = parse_yaml(text)
    except ValueError as error:
        raise InvalidArgumentError(f"{what} is not valid YAML: {error}") from error
    if entries is None:
        return {}
    if not isinstance(entries, dict):
        raise InvalidArgumentError(
            f"{what}: expected a mapping of options to values, got {type(entries).__name__}"
        )
    keyed = [(key if isinstance(key, str) else shown(key), value) for key, value in entries.items()]
    found = _collect((key, value, f"'{path}': key '{key}'") for key, value in keyed)
    if "options_path" in found:
        raise InvalidArgumentError(
            f"{found['options_path'][1]}: an option file cannot name another"
        )
    return found


if __name__ == "__main__":
    from qaickit._option_page import main
    from qaickit._tools import as_process

    raise SystemExit(as_process(main))
