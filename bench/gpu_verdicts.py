"""What must hold on a GPU, checked on what bench/gpu.py measured; tables and the plot of it."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

OURS, LOOP, DEVICE = "qaickit", "onnxruntime", "device only"
OFFLINE, SINGLE, SERVER = "Offline", "SingleStream", "Server"
MOST_HOST_US = 20.0
MOST_GROWTH_MIB = 16.0


@dataclass
class Row:
    """The measurements of one peer: `values` one for each round.

    `unit`: "samples/s", of which more is better, or "us". `precision`: what was asked for; `ran`:
    what the session says it computed in. `note`: why there is no value, or what one means.
    `turns`: how often it was measured, or tried to.
    """

    net: str
    precision: str
    scenario: str
    batch: int
    peer: str
    unit: str
    values: list[float] = field(default_factory=list)
    ran: str = ""
    busy: list[float] = field(default_factory=list)
    used_mib: float | None = None
    note: str = ""
    turns: int = 0

    @property
    def key(self) -> tuple[str, str, str, int, str]:
        return (self.net, self.precision, self.scenario, self.batch, self.peer)

    @property
    def value(self) -> float | None:
        return statistics.median(self.values) if self.values else None


@dataclass(frozen=True)
class Verdict:
    """`holds` None: not measured, or not on a GPU."""

    what: str
    measured: str
    bound: str
    holds: bool | None


@dataclass
class Findings:
    """All that a run has found so far. `mark`: empty on a GPU, else what stood in for it."""

    device: str
    mark: str
    rows: list[Row] = field(default_factory=list)
    host_us: float | None = None
    copies: dict[str, Any] = field(default_factory=dict)
    soak: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def row(self, wanted: Row) -> Row:
        """The row of what `wanted` is of, which it becomes if there was none."""
        for row in self.rows:
            if row.key == wanted.key:
                return row
        self.rows.append(wanted)
        return wanted

    def take_over(self, earlier: dict[str, Any]) -> None:
        """What as_json() has written of an earlier run."""
        self.rows = [Row(**row) for row in earlier["rows"]]
        self.host_us = earlier["host_us_a_batch"]
        self.copies = earlier["copies"]
        self.soak = earlier["soak"]

    def find(self, net: str, precision: str, scenario: str, peer: str) -> list[Row]:
        wanted = (net, precision, scenario, peer)
        return [
            row
            for row in self.rows
            if (row.net, row.precision, row.scenario, row.peer) == wanted and row.values
        ]

    def as_json(self, about: dict[str, Any]) -> dict[str, Any]:
        return {
            **about,
            "device": self.device,
            "mark": self.mark,
            "rows": [asdict(row) for row in self.rows],
            "host_us_a_batch": self.host_us,
            "copies": self.copies,
            "soak": self.soak,
            "verdicts": [asdict(verdict) for verdict in verdicts(self)],
            "notes": self.notes,
        }


def verdicts(found: Findings) -> list[Verdict]:
    """One line for each bound and net; nothing is claimed where no GPU was measured."""
    nets = dict.fromkeys((row.net, row.precision) for row in found.rows)
    lines = [line for net, precision in nets for line in _of_net(found, net, precision)]
    title = "host overhead a batch: wall time a batch of a program that adds two numbers"
    lines.append(_line(title, found.host_us, MOST_HOST_US, "us"))
    lines.append(_of_copies(found.copies))
    lines += _of_soak(found.soak)
    if found.mark:
        return [Verdict(v.what, f"{v.measured} ({found.mark})", v.bound, None) for v in lines]
    return lines


def _of_net(found: Findings, net: str, precision: str) -> Iterable[Verdict]:
    ours = {row.batch: row.value for row in found.find(net, precision, OFFLINE, OURS)}
    loop = {row.batch: row.value for row in found.find(net, precision, OFFLINE, LOOP)}
    alone = {row.batch: row.value for row in found.find(net, precision, OFFLINE, DEVICE)}
    title = f"{net} {precision}"
    best = max(loop, key=lambda batch: loop[batch] or 0, default=None)
    yield _ratio(
        f"{title}, Offline against onnxruntime at its best batch, {best}", ours, loop, 1.0, best
    )
    best = max(ours, key=lambda batch: ours[batch] or 0, default=None)
    yield _ratio(
        f"{title}, Offline against the device alone, batch {best}", ours, alone, 0.95, best
    )
    mine = {row.batch: row.value for row in found.find(net, precision, SINGLE, OURS)}
    theirs = {row.batch: row.value for row in found.find(net, precision, SINGLE, LOOP)}
    if mine.get(1) and theirs.get(1):
        ratio = mine[1] / theirs[1]
        yield Verdict(
            f"{title}, SingleStream latency against it", f"{ratio:.3f}", "<= 1.03", ratio <= 1.03
        )
    else:
        yield Verdict(f"{title}, SingleStream latency against it", "not measured", "<= 1.03", None)


def _ratio(
    what: str,
    ours: dict[int, float | None],
    theirs: dict[int, float | None],
    bound: float,
    batch: int | None,
) -> Verdict:
    mine, peer = (values.get(batch) if batch else None for values in (ours, theirs))
    if not mine or not peer:
        return Verdict(what, "not measured", f">= {bound}", None)
    return Verdict(what, f"{mine / peer:.3f}", f">= {bound}", mine / peer >= bound)


def _line(what: str, value: float | None, most: float, unit: str) -> Verdict:
    if value is None:
        return Verdict(what, "not measured", f"<= {most:g} {unit}", None)
    return Verdict(what, f"{value:.1f} {unit}", f"<= {most:g} {unit}", value <= most)


def _of_copies(copies: dict[str, Any]) -> Verdict:
    what = "no copy that is not on a stream"
    if not copies:
        return Verdict(what, "not measured: it takes PyTorch's profiler", "none", None)
    wrong = copies["on_default_stream"] + copies["pageable"] + copies["waiting_calls"]
    text = (
        f"of {copies['copies']} copies {copies['on_default_stream']} on the default stream, "
        f"{copies['pageable']} of pageable memory, {copies['waiting_calls']} by calls that wait"
    )
    return Verdict(what, text, "none", wrong == 0 if copies["copies"] else None)


def _of_soak(soak: dict[str, Any]) -> Iterable[Verdict]:
    for key, what in (("used_mib", "memory of the GPU"), ("resident_mib", "memory of the host")):
        title = f"{what} steady over {soak.get('seconds', 600):g} s: growth after warm-up"
        yield _line(title, growth(soak.get(key, [])), MOST_GROWTH_MIB, "MiB")


def growth(series: Sequence[float]) -> float | None:
    """How much the most of the last fifth is over the most of the second; None for a short one."""
    fifth = len(series) // 5
    if not fifth:
        return None
    return max(series[-fifth:]) - max(series[fifth : 2 * fifth])


def show(found: Findings, console: Console) -> None:
    """The table of measurements and the list of verdicts."""
    title = f"{found.device}: medians; random weights, speed only"
    if found.mark:
        title += f"; '{found.mark}' stood in for a GPU: no claim is made"
    table = Table(title=title, title_justify="left")
    for column in ("net", "scenario", "peer", "precision", "mark"):
        table.add_column(column)
    for column in ("batch", "value", "spread", "GPU busy", "GPU MiB"):
        table.add_column(column, justify="right")
    for row in found.rows:
        value = "-" if row.value is None else f"{row.value:,.1f} {row.unit}"
        spread = ""
        if len(row.values) > 1 and row.value:
            spread = f"{(max(row.values) - min(row.values)) / row.value:.0%}"
        table.add_row(
            row.net, row.scenario, row.peer,
            row.precision if row.ran in ("", row.precision) else f"{row.precision}, ran {row.ran}",
            found.mark, str(row.batch), f"{value} {row.note}".strip(), spread,
            f"{statistics.fmean(row.busy):.0%}" if row.busy else "-",
            "-" if row.used_mib is None else f"{row.used_mib:,.0f}",
        )  # fmt: skip
    console.print(table)
    for verdict in verdicts(found):
        word = {True: "PASS", False: "FAIL", None: "----"}[verdict.holds]
        console.print(f"{word}  {verdict.what}: {verdict.measured} (bound {verdict.bound})")
    for note in found.notes:
        console.print(f"note: {note}")


def plot(found: Findings, path: Path) -> str:
    """Offline rates by batch size, one panel for each net; returns a note where it cannot."""
    try:
        import matplotlib
    except ImportError:
        return "no plot: pip install matplotlib"
    matplotlib.use("svg")
    from matplotlib import pyplot

    nets = list(dict.fromkeys((row.net, row.precision) for row in found.rows))
    if not nets:
        return "no plot: nothing was measured"
    figure, panels = pyplot.subplots(1, len(nets), figsize=(5 * len(nets), 4), squeeze=False)
    for panel, (net, precision) in zip(panels[0], nets, strict=True):
        peers = dict.fromkeys(row.peer for row in found.rows)
        for peer in peers:
            rows = sorted(found.find(net, precision, OFFLINE, peer), key=lambda row: row.batch)
            if rows:
                panel.plot([r.batch for r in rows], [r.value for r in rows], marker="o", label=peer)
        panel.set(title=f"{net} {precision} {found.mark}", xlabel="batch size", ylabel="samples/s")
        panel.set_xscale("log", base=2)
        panel.set_ylim(bottom=0)
        panel.legend()
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)
    return ""
