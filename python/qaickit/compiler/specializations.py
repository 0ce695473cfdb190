"""The file of `network_specialization_config`: several sets of sizes for the model's symbols.

    {"specializations": [{"batch_size": "1", "seq_len": "32"}, {"batch_size": "1", "seq_len": "1"}]}

Newer files give each set a name: {"name": "Prefill", "symbols": {"batch_size": "1", ...}}. Sizes
are texts or integers. The form is the vendor compiler's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qaickit._documents import parse_json, shown
from qaickit._files import read_file
from qaickit.errors import InvalidArgumentError

_KEY = "specializations"


def read_specializations(path: str) -> list[dict[str, int]]:
    """The sets, in the file's order: symbol -> size; all sets have the same symbols.

    Errors: NotFoundError, PermissionDeniedError; InvalidArgumentError saying which set is wrong.
    """
    where = f"the specialization file '{path}'"
    data = read_file(path, "the specialization file")
    try:
        content = parse_json(data)
    except ValueError as error:  # of JSON and of its encoding
        raise InvalidArgumentError(f"{where} is not valid JSON: {error}") from error
    entries = content.get(_KEY) if isinstance(content, Mapping) else None
    if not isinstance(entries, list) or not entries:
        raise InvalidArgumentError(f'{where}: expected {{"{_KEY}": [{{symbol: size, ...}}, ...]}}')
    found = [_read_set(entry, f"{where}, set {index}") for index, entry in enumerate(entries, 1)]
    for index, symbols in enumerate(found[1:], 2):
        if symbols.keys() != found[0].keys():
            raise InvalidArgumentError(
                f"{where}, set {index}: has the symbols {', '.join(sorted(symbols))}, set 1 has "
                f"{', '.join(sorted(found[0]))}"
            )
    return found


def _read_set(entry: Any, where: str) -> dict[str, int]:
    symbols = entry.get("symbols", entry) if isinstance(entry, Mapping) else None
    if not isinstance(symbols, Mapping) or not symbols:
        raise InvalidArgumentError(
            f"{where}: expected symbols with their sizes, got {shown(entry)}"
        )
    return {name: _read_size(value, f"{where}, '{name}'") for name, value in symbols.items()}


def _read_size(value: Any, where: str) -> int:
    try:
        size = int(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else 0
    except ValueError:
        size = 0
    if not 1 <= size < 2**31:
        raise InvalidArgumentError(f"{where}: expected a size of at least 1, got {shown(value)}")
    return size
