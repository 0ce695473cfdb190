"""What the benchmark scripts share: peers measured in turn, medians, ratios against a floor."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Row:
    """One comparison: `ratio` of medians of `ours` to `theirs`, and the bound it must keep."""

    what: str
    unit: str
    ours: list[float]
    theirs: list[float]
    bound: float
    at_least: bool  # the ratio must be at least `bound`, else at most

    @property
    def ratio(self) -> float:
        return statistics.median(self.ours) / statistics.median(self.theirs)

    @property
    def holds(self) -> bool:
        return self.ratio >= self.bound if self.at_least else self.ratio <= self.bound


def in_turn(
    peers: Mapping[str, Callable[[], float]], rounds: int, what: str
) -> dict[str, list[float]]:
    """Measures each peer once a round, so that a noisy minute hits all of them."""
    results: dict[str, list[float]] = {name: [] for name in peers}
    for i in range(rounds):
        if sys.stderr.isatty():
            print(f"\r{what}: round {i + 1} of {rounds} ", end="", file=sys.stderr, flush=True)
        for name, measure in peers.items():
            results[name].append(measure())
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    return results


def report(title: str, rows: list[Row]) -> int:
    """Prints the table; returns the number of bounds that do not hold, for an exit code."""
    table = Table(title=title, title_justify="left")
    table.add_column("what")
    for column in ("ours", "peer", "spread", "ratio", "bound"):
        table.add_column(column, justify="right")
    table.add_column("holds")
    for row in rows:
        spread = max(
            (max(values) - min(values)) / statistics.median(values)
            for values in (row.ours, row.theirs)
        )
        table.add_row(
            row.what,
            f"{statistics.median(row.ours):,.4g} {row.unit}",
            f"{statistics.median(row.theirs):,.4g} {row.unit}",
            f"{spread:.0%}",
            f"{row.ratio:.2f}",
            f"{'>=' if row.at_least else '<='} {row.bound}",
            "yes" if row.holds else "NO",
        )
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    return sum(not row.holds for row in rows)
