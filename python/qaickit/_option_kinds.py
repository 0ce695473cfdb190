"""Types of option values: what they expect, and how text and near relatives become one of them."""

from __future__ import annotations

import json
import math
import numbers
import operator
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of value: `expects` for people; `convert` raises an error on others."""

    expects: str
    convert: Callable[[Any], Any]


def as_text(value: Any) -> str:
    """One text for a value, as the compiler's command line would have it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return ",".join(f"{name}={as_text(item)}" for name, item in value.items())
    if isinstance(value, (list, tuple)):
        if any(isinstance(item, Mapping) for item in value):
            return json.dumps(value, sort_keys=True, default=str)
        return ",".join(map(as_text, value))
    return str(value)


# What a QPC and the native side hold.
_MAX_INT = 2**31 - 1


def _to_bool(value: Any) -> bool:
    if isinstance(value, str):
        return {"true": True, "false": False}[value.strip().lower()]
    # numpy's truth value is no bool; known by its name, it need not be imported.
    if isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"):
        return bool(value)
    raise TypeError


def _to_int(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError
    number = int(value) if isinstance(value, str) else operator.index(value)
    if abs(number) > _MAX_INT:
        raise OverflowError
    return number


def _to_float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (str, numbers.Real)):
        raise TypeError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _to_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    if not value:
        raise ValueError
    return value


def _to_path(value: Any) -> str:
    return _to_text(os.fspath(value))


def _items(value: Any) -> Sequence[Any]:
    """The items of a list, a tuple or a comma-separated text."""
    if isinstance(value, str):
        return [item.strip() for item in value.split(",")]
    if isinstance(value, (list, tuple)):
        return value
    raise TypeError


def _to_texts(value: Any) -> list[str]:
    return [_to_text(item) for item in _items(value)]


def _to_int_list(value: Any) -> list[int]:
    items = [_to_int(item) for item in _items(value)]
    if not items:
        raise ValueError
    return items


def _to_int_or_ints(value: Any) -> int | list[int]:
    if isinstance(value, (list, tuple)) or (isinstance(value, str) and "," in value):
        return _to_int_list(value)
    return _to_int(value)


def _pair(item: Any) -> tuple[Any, Any]:
    if isinstance(item, str):
        name, separator, value = item.partition("=" if "=" in item else ",")
        if not separator:
            raise ValueError
        return name.strip(), value
    name, value = item
    return name, value


def _to_symbols(value: Any) -> dict[str, int]:
    if isinstance(value, Mapping):
        pairs: Iterable[Any] = value.items()
    elif isinstance(value, str):
        pairs = [value]
    elif isinstance(value, (list, tuple)):
        pairs = value
    else:
        raise TypeError
    symbols: dict[str, int] = {}
    for name, number in map(_pair, pairs):
        text, size = _to_text(name), _to_int(number)
        if symbols.setdefault(text, size) != size:
            raise ValueError
    return dict(sorted(symbols.items()))


def _to_settings(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise TypeError
    return {_to_text(name): as_text(setting) for name, setting in value.items()}


def _to_data(value: Any) -> Any:
    if isinstance(value, (str, os.PathLike)):
        return _to_path(value)
    if isinstance(value, Iterable) or hasattr(value, "inputs"):
        return value
    raise TypeError


_MODEL_INPUT_KEYS = {"input_name", "input_type", "input_shape"}


def _to_model_inputs(value: Any) -> list[dict[str, Any]]:
    entries = [value] if isinstance(value, Mapping) else value
    if not isinstance(entries, (list, tuple)):
        raise TypeError
    for entry in entries:
        if not isinstance(entry, Mapping) or set(entry) != _MODEL_INPUT_KEYS:
            raise ValueError
    return [dict(entry) for entry in entries]


BOOL = Kind("true or false", _to_bool)
INT = Kind("a 32-bit integer", _to_int)
INTS = Kind("a list of 32-bit integers", _to_int_list)
INT_OR_INTS = Kind("a 32-bit integer or a list of 32-bit integers", _to_int_or_ints)
FLOAT = Kind("a number", _to_float)
TEXT = Kind("a non-empty text", _to_text)
TEXTS = Kind("a list of non-empty texts", _to_texts)
PATH = Kind("a path", _to_path)
# Files that the compiler reads, or writes besides the QPC.
FILE_IN = Kind("a path of a file to read", _to_path)
FILE_OUT = Kind("a path of a file to write", _to_path)
SYMBOLS = Kind(
    "symbols with their sizes, as {'batch': 1}, [('batch', 1)] or ['batch=1'], each given once "
    "and each a 32-bit integer",
    _to_symbols,
)
SETTINGS = Kind("a mapping of names to values", _to_settings)
MODEL_INPUTS = Kind(
    "a dict, or a list of them, with the keys input_name, input_type, input_shape", _to_model_inputs
)
# Not recorded: what it holds may be any number of arrays.
DATA = Kind(
    "the name or path of a dataset, a dict of arrays, or an iterable of such dicts", _to_data
)
ANY = Kind("anything", lambda value: value)
