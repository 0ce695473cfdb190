"""The figure of `--plot`: latencies by percentile, and how full the batches were.

Both are LoadGen's and the harness's own numbers. LoadGen tells percentiles, not single latencies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qaickit._plots import draw_bars, draw_latencies, save_plot
from qaickit.loadgen.report import Report, latency_label, summary_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_report"]

_SIZE = (10.0, 4.5)


def plot_report(report: Report, path: str) -> None:
    """Draws and writes the figure. Errors: see `save_plot`."""

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        measured = report.performance
        latencies = measured.latencies_ns if measured else {}
        bound = measured.target_latency_ns / 1e9 if measured else 0.0
        draw_latencies(
            left,
            {latency_label(name): ns / 1e9 for name, ns in latencies.items()},
            f"{report.subject.model} on {report.subject.backend}",
            bound or None,
        )
        filled = {str(n): count for n, count in enumerate(report.stats["batch_sizes"]) if count}
        draw_bars(right, filled, "batches", "samples in a batch")
        figure.suptitle(summary_line(report), fontsize=9, wrap=True)

    save_plot(path, _SIZE, draw)
