"""What a compilation did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qaickit.compiler.quantise import Layer


@dataclass(frozen=True, slots=True)
class GraphSize:
    """`nodes` of the top graph, and `weight_bytes` of its initializers."""

    nodes: int
    weight_bytes: int


@dataclass(frozen=True, slots=True)
class PassReport:
    """One pass: its name, what it changed or found, how long it took, and the graph's sizes."""

    name: str
    notes: tuple[str, ...]
    seconds: float
    before: GraphSize
    after: GraphSize


@dataclass(frozen=True, slots=True)
class CompileReport:
    """A finished compilation. `program` is as `qaickit._core.read_qpc` has it.

    `layers`: what quantising did to each node that it changed.
    """

    model_path: str
    qpc_path: str
    program: dict[str, Any]
    precision: str
    passes: tuple[PassReport, ...]
    weight_bytes: int
    layers: tuple[Layer, ...] = ()

    @property
    def seconds(self) -> float:
        """Time of all passes together."""
        return sum(entry.seconds for entry in self.passes)
