"""The figure of `qaic-runner --plot`: how long inferences took, and what they spent it on."""

from __future__ import annotations

import threading
from array import array
from typing import TYPE_CHECKING

import numpy as np

from qaickit._plots import draw_histogram, draw_stages, save_plot
from qaickit.runner.engine import STAGES, Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIZE = (10.0, 4.5)


class Plot:
    """The times of all inferences, by activation."""

    def __init__(self, path: str, activations: int) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._times = [{stage: array("d") for stage in STAGES} for _ in range(activations)]

    def add(self, record: Record) -> None:
        """An inference that has ended; from any thread."""
        times = self._times[record.place.activation]
        with self._lock:
            for stage in STAGES:
                times[stage].append(getattr(record, stage))

    def write(self, title: str) -> None:
        """Draws and writes the figure. Errors: see `save_plot`."""

        def draw(figure: Figure) -> None:
            left, right = figure.subplots(1, 2)
            totals = [sum(np.asarray(times[stage]) for stage in STAGES) for times in self._times]
            figure.suptitle(title, fontsize=9)
            draw_histogram(left, np.concatenate(totals), "all inferences")
            means = {
                stage: [float(np.mean(t[stage])) if t[stage] else 0.0 for t in self._times]
                for stage in STAGES
            }
            draw_stages(right, means, "where the time went, on average")

        save_plot(self._path, _SIZE, draw)
