"""What the benchmark scripts share: peers measured in turn, medians, ratios against a floor.

The spread is the distance of the quartiles over the median: so close together lies the middle half
of the rounds, whatever a stall of the machine did to one of them. The interval is where the ratio
comes out in 90% of all draws of as many rounds from those measured (the percentile bootstrap of
Efron, 1979); a bound inside it needs more rounds, or a quieter machine.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

DRAWS = 2000


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
    def spread(self) -> float:
        return max(quartile_distance(self.ours), quartile_distance(self.theirs))

    @property
    def interval(self) -> tuple[float, float]:
        """Where the ratio lies in 90% of the draws, the same each time it is asked."""
        rng = np.random.default_rng(0)
        ours, theirs = (
            np.median(rng.choice(values, (DRAWS, len(values))), axis=1)
            for values in (self.ours, self.theirs)
        )
        low, high = np.percentile(ours / theirs, (5, 95))
        return float(low), float(high)

    @property
    def verdict(self) -> str:
        low, high = self.interval
        unclear = " (unclear)" if low < self.bound < high else ""
        return ("yes" if self.holds else "NO") + unclear

    @property
    def holds(self) -> bool:
        return self.ratio >= self.bound if self.at_least else self.ratio <= self.bound


def quartile_distance(values: list[float]) -> float:
    """Of the quartiles, over the median."""
    low, middle, high = np.percentile(values, (25, 50, 75))
    return float((high - low) / middle)


def in_turn(
    peers: Mapping[str, Callable[[], float]], rounds: int, what: str
) -> dict[str, list[float]]:
    """Measures each peer once a round, to and fro, so that a noisy minute hits all of them."""
    results: dict[str, list[float]] = {name: [] for name in peers}
    for i in range(rounds):
        if sys.stderr.isatty():
            print(f"\r{what}: round {i + 1} of {rounds} ", end="", file=sys.stderr, flush=True)
        for name in list(peers) if i % 2 == 0 else reversed(list(peers)):
            results[name].append(peers[name]())
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    return results


def report(title: str, rows: list[Row]) -> int:
    """Prints the table; returns the number of bounds that do not hold, for an exit code."""
    table = Table(title=title, title_justify="left")
    table.add_column("what")
    for column in ("ours", "peer", "rounds", "spread", "ratio", "90% interval", "bound"):
        table.add_column(column, justify="right")
    table.add_column("holds")
    for row in rows:
        low, high = row.interval
        table.add_row(
            row.what,
            f"{statistics.median(row.ours):,.4g} {row.unit}",
            f"{statistics.median(row.theirs):,.4g} {row.unit}",
            str(len(row.ours)),
            f"{row.spread:.0%}",
            f"{row.ratio:.2f}",
            f"{low:.2f} to {high:.2f}",
            f"{'>=' if row.at_least else '<='} {row.bound}",
            row.verdict,
        )
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    return sum(not row.holds for row in rows)
