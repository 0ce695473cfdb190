"""YAML and JSON of other people's: an error of one kind, and values shown in messages."""

from __future__ import annotations

import json
import reprlib
from typing import Any

_MAX_DEPTH = 100
_MAX_VALUES = 10_000_000
_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = 200
_SHOWN.maxlist = _SHOWN.maxdict = 20
_SHOWN.maxlevel = 3
_MAX_SHOWN = 300


def parse_yaml(text: bytes) -> Any:
    """What safe YAML holds: mappings, lists, texts, numbers, dates and such.

    Error: ValueError saying what is wrong.
    """
    import yaml

    # libyaml's is ten times as fast, and not in every build of PyYAML.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _refuse_bombs(yaml, text, loader)
        return yaml.load(text, Loader=loader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    except Exception as error:  # what "!!bool x" and its like trip PyYAML over has any class
        raise ValueError(f"a value cannot be what it is said to be: {error}") from error


def _refuse_bombs(yaml: Any, text: bytes, loader: Any) -> None:
    # Too deep is the end of the process: libyaml's loader recurses in C. Aliases are short to write
    # and long to read: what is made of them grows with every level.
    sizes: dict[str, int] = {}  # of what has an anchor, with its aliases written out
    open_anchors: list[str | None] = [None]
    open_sizes = [0]
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.CollectionStartEvent):
            open_anchors.append(event.anchor)
            open_sizes.append(1)
        elif isinstance(event, yaml.CollectionEndEvent):
            size = open_sizes.pop()
            sizes[open_anchors.pop() or ""] = size
            open_sizes[-1] += size
        elif isinstance(event, yaml.AliasEvent):
            open_sizes[-1] += sizes.get(event.anchor, 1)
        else:
            open_sizes[-1] += 1
        if len(open_sizes) > _MAX_DEPTH:
            raise yaml.YAMLError(f"more than {_MAX_DEPTH} lists and mappings within each other")
        if open_sizes[-1] > _MAX_VALUES:
            raise yaml.YAMLError(f"more than {_MAX_VALUES} values, with its aliases written out")


def parse_json(text: str | bytes) -> Any:
    """What JSON holds. Error: ValueError saying what is wrong."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("too many lists and mappings within each other") from None


def shown(value: object) -> str:
    """A value for a message, cut where it is long, deep, or refers to itself many times."""
    try:
        text = _SHOWN.repr(value)
    except ValueError:  # of an int with more digits than Python writes
        return f"a {type(value).__name__} that is too long"
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "..."
