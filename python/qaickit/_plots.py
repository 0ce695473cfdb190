"""Figures, for those who would rather look, by matplotlib, which nothing else needs."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from qaickit._files import check_writable, write_file
from qaickit.errors import InvalidArgumentError, UnsupportedError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "check_plot",
    "draw_bars",
    "draw_histogram",
    "draw_latencies",
    "draw_stages",
    "save_plot",
    "scale_of",
]

_FORMATS = (".png", ".svg", ".pdf")
_SCALES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"))
_BINS = 60
_PERCENTILES = {50: "tab:green", 90: "tab:orange", 99: "tab:red"}


def check_plot(path: str) -> None:
    """Says before a long run what would keep the figure from being written.

    Errors: UnsupportedError without matplotlib; InvalidArgumentError for another suffix; those of
    the file system where the directory is missing or cannot be written to.
    """
    if Path(path).suffix.lower() not in _FORMATS:
        raise InvalidArgumentError(
            f"--plot '{path}': expected a file that ends in {', '.join(_FORMATS)}"
        )
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise UnsupportedError(
            "--plot needs matplotlib: pip install 'qaickit[plot]'; the tables need nothing"
        ) from error
    check_writable(path, "--plot")


def save_plot(path: str, size: tuple[float, float], draw: Callable[[Figure], None]) -> None:
    """Has a figure of `size` inches drawn and writes it; the suffix of `path` says the format.

    Errors: those of `check_plot` and `write_file`.
    """
    check_plot(path)
    from matplotlib.figure import Figure  # takes longer to load than many a tool runs

    figure = Figure(figsize=size, layout="constrained")
    draw(figure)
    image = io.BytesIO()
    figure.savefig(image, format=Path(path).suffix.lower()[1:])
    write_file(path, image.getvalue(), "the plot")


def scale_of(seconds: float) -> tuple[float, str]:
    """The unit that suits a time: its seconds, and its name."""
    return next(((size, unit) for size, unit in _SCALES if seconds >= size), _SCALES[-1])


def draw_histogram(axes: Axes, seconds: npt.NDArray[np.float64], title: str) -> None:
    """How often a latency took how long, with percentiles as lines.

    On a logarithmic axis: some are hundreds of times as long as most.
    """
    axes.set_title(title, fontsize=9)
    axes.set_ylabel("inferences")
    size, unit = scale_of(float(np.median(seconds)) if len(seconds) else 1.0)
    axes.set_xlabel(f"latency in {unit}")
    if not len(seconds):
        return
    values = np.maximum(seconds, 1e-9) / size
    axes.hist(values, bins=list(np.geomspace(values.min() * 0.99, values.max() * 1.01, _BINS)))
    axes.set_xscale("log")
    for percent, colour in _PERCENTILES.items():
        value = float(np.percentile(values, percent))
        text = format(value, ",.0f" if value >= 1000 else ".4g")
        axes.axvline(value, color=colour, linestyle="--", label=f"p{percent} {text} {unit}")
    axes.legend(fontsize=8)


def draw_stages(axes: Axes, stages: Mapping[str, Sequence[float]], title: str) -> None:
    """Mean times of stages, one bar for each activation; `stages`: name -> seconds of each."""
    rows = np.array([list(values) for values in stages.values()])
    size, unit = scale_of(float(rows.sum(axis=0).max(initial=0.0)))
    left = np.zeros(rows.shape[1])
    for name, values in zip(stages, rows / size, strict=True):
        axes.barh(range(len(left)), values, left=left, label=name)
        left += values
    axes.set_yticks(range(len(left)), [f"activation {number}" for number in range(len(left))])
    axes.invert_yaxis()
    axes.set_xlabel(f"mean time in {unit}")
    axes.set_title(title, fontsize=9)
    axes.legend(fontsize=8, ncols=len(stages), loc="upper center", bbox_to_anchor=(0.5, -0.15))


def draw_latencies(
    axes: Axes, seconds: Mapping[str, float], title: str, bound: float | None = None
) -> None:
    """Latencies by percentile, as bars with their values; `bound`, in seconds, as a line.

    On a logarithmic axis: the longest are hundreds of times as long as the shortest.
    """
    size, unit = scale_of(max(seconds.values(), default=1.0))
    values = [value / size for value in seconds.values()]
    draw_bars(axes, dict(zip(seconds, values, strict=True)), f"latency in {unit}", title, ".4g")
    axes.set_yscale("log")
    if bound is not None:
        own, own_unit = scale_of(bound)
        label = f"bound {bound / own:.4g} {own_unit}"
        axes.axhline(bound / size, color="tab:red", linestyle="--", label=label)
        axes.legend(fontsize=8)


def draw_bars(
    axes: Axes, values: Mapping[str, Any], unit: str, title: str, form: str = ",.0f"
) -> None:
    """One bar for each name, with its value over it."""
    bars = axes.bar(range(len(values)), list(values.values()), color="tab:blue")
    axes.bar_label(bars, [format(value, form) for value in values.values()], fontsize=7)
    axes.set_xticks(range(len(values)), list(values), fontsize=8)
    axes.set_ylabel(unit)
    axes.set_title(title, fontsize=9)
