"""The profile of a model: what values its tensors take. Written and read as YAML.

    format: qaickit-profile-1
    model: 3f9a...           # digest of the ONNX file; a profile serves its own model only
    data: dataset 'digits'
    samples: 360
    random: false            # true: made from noise
    tensors:
      conv0:
        low: -1.75           # least and greatest value seen
        high: 6.5
        exponent: -6         # bins are 2**exponent wide
        first: -112          # the first bin begins at first * 2**exponent
        counts: 1 4 2 0x9 7  # values in each bin; 0x9: nine empty ones

A tensor without `exponent`, `first` and `counts` has its range from `low` and `high` alone, by no
method: that is how a range is set by hand, and what profiles from elsewhere hold.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
import yaml

from qaickit._documents import parse_yaml, shown
from qaickit._files import read_file, write_file
from qaickit.compiler.calibration.histogram import Counts, Histogram
from qaickit.errors import DataLossError, InvalidArgumentError

FORMAT = "qaickit-profile-1"
_HISTOGRAM_KEYS = ("exponent", "first", "counts")
_MAX_BINS = 1 << 16
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_EXPONENTS = range(-200, 200)
_NUMBER = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+")
_COUNT = re.compile(r"(0x)?([0-9]{1,18})")


@dataclass(frozen=True)
class FixedRange:
    """A range that was given, not found."""

    low: float
    high: float


@dataclass(frozen=True)
class Profile:
    """What a data pass found. `tensors`: name -> histogram, or a range that was given.

    `model`: digest of the ONNX file; empty for a profile that does not say.
    """

    model: str
    data: str
    samples: int
    random: bool
    tensors: Mapping[str, Histogram | FixedRange] = field(default_factory=dict)


def write_profile(profile: Profile, path: str) -> None:
    """Writes YAML; the file is whole or untouched. Errors: those of the file system."""
    content = {
        "format": FORMAT,
        "model": profile.model,
        "data": profile.data,
        "samples": profile.samples,
        "random": profile.random,
        "tensors": {name: _entry(tensor) for name, tensor in profile.tensors.items()},
    }
    text = yaml.dump(content, Dumper=_dumper(), sort_keys=False, width=100, allow_unicode=True)
    write_file(path, text.encode(), "the profile")


def read_profile(path: str) -> Profile:
    """Reads what `write_profile` wrote, or an edited form of it.

    Errors: NotFoundError, PermissionDeniedError, DataLossError (not YAML, or not a profile; says
    which key of which tensor is wrong).
    """
    text = read_file(path, "the profile")
    try:
        content = parse_yaml(text)
    except ValueError as error:
        raise DataLossError(f"'{path}': not a profile: not valid YAML: {error}") from error
    reader = _Reader(path)
    top = reader.mapping(content, "the file")
    if top.get("format") != FORMAT:
        raise DataLossError(
            f"'{path}': expected a profile with 'format: {FORMAT}', got "
            f"{shown(top.get('format'))}; write one with dump_profile"
        )
    tensors = reader.mapping(top.get("tensors"), "'tensors'")
    return Profile(
        model=str(top.get("model") or ""),
        data=str(top.get("data") or "unknown"),
        samples=reader.integer(top, "samples", "the file", 0, 2**62) if "samples" in top else 0,
        random=top.get("random") is True,
        tensors={str(name): reader.tensor(str(name), entry) for name, entry in tensors.items()},
    )


def _entry(tensor: Histogram | FixedRange) -> dict[str, Any]:
    entry: dict[str, Any] = {"low": tensor.low, "high": tensor.high}
    if isinstance(tensor, Histogram):
        entry.update(
            exponent=tensor.exponent, first=tensor.first, counts=_counts_text(tensor.counts)
        )
    return entry


def _counts_text(counts: Counts) -> str:
    words = []
    for value, group in groupby(counts.tolist()):
        length = len(list(group))
        words += [f"0x{length}"] if value == 0 and length > 1 else [str(value)] * length
    return " ".join(words)


_MAX_WORD = 24  # of a count below 2**62, with its repeats


class _Reader:
    """Checks what YAML held; a file of people may hold anything."""

    def __init__(self, path: str) -> None:
        self._path = path

    def mapping(self, value: object, where: str) -> Mapping[Any, Any]:
        if not isinstance(value, Mapping):
            raise self._error(where, "expected a mapping", type(value).__name__)
        return value

    def number(self, entry: Mapping[Any, Any], key: str, where: str) -> float:
        value: Any = entry.get(key)
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            value = float(value)  # 1e-3, which YAML 1.1 takes for a text
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        # What float32 holds; a greater int would not even be a float.
        if not is_number or not abs(value) <= _FLOAT32_MAX:
            raise self._error(f"{where}, '{key}'", "expected a finite number", shown(value))
        return float(value)

    def integer(self, entry: Mapping[Any, Any], key: str, where: str, low: int, high: int) -> int:
        value = entry.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            expected = f"expected an integer from {low} to {high}"
            raise self._error(f"{where}, '{key}'", expected, shown(value))
        return value

    def tensor(self, name: str, value: object) -> Histogram | FixedRange:
        where = f"tensor '{name}'"
        entry = self.mapping(value, where)
        low, high = self.number(entry, "low", where), self.number(entry, "high", where)
        if low > high:
            raise self._error(where, "expected low <= high", f"{low} and {high}")
        if not any(key in entry for key in _HISTOGRAM_KEYS):
            return FixedRange(low, high)
        exponent = self.integer(entry, "exponent", where, _EXPONENTS[0], _EXPONENTS[-1])
        first = self.integer(entry, "first", where, -_MAX_BINS, _MAX_BINS)
        counts = self._counts(entry.get("counts"), where)
        if int(counts.sum()) == 0:
            raise self._error(f"{where}, 'counts'", "expected at least one value", "none")
        return Histogram(counts, first, exponent, low, high)

    def _counts(self, value: object, where: str) -> Counts:
        where = f"{where}, 'counts'"
        counts: list[int] = []
        for word in (value if isinstance(value, str) else shown(value)).split():
            match = _COUNT.fullmatch(word) if len(word) <= _MAX_WORD else None
            if match is None:
                raise self._error(where, "expected numbers, or 0x9 for nine zeros", word[:40])
            repeats, number = match.groups()
            if (int(number) if repeats else 1) + len(counts) > _MAX_BINS:
                raise self._error(where, f"expected at most {_MAX_BINS} bins", "more")
            counts += [0] * int(number) if repeats else [int(number)]
        # Sums of all counts stay within int64.
        if sum(counts) >= 2**62:
            raise self._error(where, "expected counts of less than 2**62 in all", "more")
        return np.array(counts, np.int64)

    def _error(self, where: str, expected: str, got: str) -> InvalidArgumentError | DataLossError:
        return DataLossError(f"'{self._path}': {where}: {expected}, got {got}")


def _dumper() -> Any:
    # libyaml's is ten times as fast, and not in every build of PyYAML.
    return getattr(yaml, "CSafeDumper", yaml.SafeDumper)
