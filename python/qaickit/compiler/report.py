"""What a compilation is told, and what it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class CompileSettings:
    """What a compilation is told besides the model.

    `define_symbols`: sizes of the symbols in the inputs' shapes; a dimension without a name is
    called `<input>:<axis>`. `num_cores`: of a card. `precision`: the policy for the manifest
    ("fp32", "fp16", "int8"); empty: what the graph holds. `options`: for the manifest, as they are.
    """

    define_symbols: Mapping[str, int] = field(default_factory=dict)
    num_cores: int = 1
    precision: str = ""
    options: Mapping[str, str] = field(default_factory=dict)

    def for_digest(self) -> list[Any]:
        """All of it as JSON can hold it."""
        return [dict(self.define_symbols), self.num_cores, self.precision, dict(self.options)]


@dataclass(frozen=True, slots=True)
class PassReport:
    """One pass: its name, what it changed or found, and how long it took."""

    name: str
    notes: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class CompileReport:
    """A finished compilation. `program` is as `qaickit._core.read_qpc` has it."""

    model_path: str
    qpc_path: str
    program: dict[str, Any]
    precision: str
    passes: tuple[PassReport, ...]
    model_bytes: int

    @property
    def seconds(self) -> float:
        """Time of all passes together."""
        return sum(entry.seconds for entry in self.passes)
