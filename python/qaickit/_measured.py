"""What a session has measured of its runs, in the layouts of the vendor's `Session`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qaickit._core import MetricsDict, RunProfileDict

# As Python's own profiler names what was called: file, line, function.
Function = tuple[str, int, str]
# Number of calls, seconds in the function itself, seconds with all that it called.
Times = tuple[int, float, float]

PROFILED_RUNS = 1000

_RUN: Function = ("~", 0, "<method 'run' of 'qaickit._core.Session' objects>")
_STAGES = {
    "wait": "wait for an idle ExecObj",
    "gather": "gather: inputs bound or copied",
    "device": "device: transfers and computing",
    "scatter": "scatter: outputs copied, ExecObj given back",
}
_PROFILE_HEADING = "|  File-Line-Function  | |  num calls  | |  func time  | |  tot time  |"


def metrics_text(metrics: MetricsDict) -> str:
    """The lines of `Session.print_metrics`; times in seconds."""
    average = f"Average latency / inference time observed is {metrics['avg_latency']} s"
    percentiles = {
        25: metrics["P25"], 50: metrics["P50"], 75: metrics["P75"], 90: metrics["P90"],
        99: metrics["P99"],
    }  # fmt: skip
    return "\n".join(
        [
            f"Number of inferences utilized for calculation are {metrics['num_of_inferences']}",
            f"Minimum latency observed {metrics['min_latency']} s",
            f"Maximum latency observed {metrics['max_latency']} s",
            average,
            *(
                f"P{percent} / {percent}% of inferences observed latency less than {value} s"
                for percent, value in percentiles.items()
            ),
            f"Sum of all the inference times {metrics['total_inference_time']} s",
            average,
        ]
    )


def profile_rows(run: RunProfileDict) -> dict[Function, Times]:
    """The stages of one run under the run itself, which has no time of its own beside them."""
    stages = {
        "wait": run["wait"], "gather": run["gather"], "device": run["device"],
        "scatter": run["scatter"],
    }  # fmt: skip
    rows: dict[Function, Times] = {_RUN: (1, 0.0, sum(stages.values()))}
    for name, seconds in stages.items():
        rows["~", 0, f"<{_STAGES[name]}>"] = (1, seconds, seconds)
    return rows


def profile_text(runs: Sequence[dict[Function, Times]]) -> str:
    """The lines of `Session.print_profile_data`: a table for each run; times in seconds."""
    return "\n\n".join(
        "\n\n".join(
            [
                _PROFILE_HEADING,
                *(
                    f"{function} {calls} {own:.9f} {total:.9f}"
                    for function, (calls, own, total) in rows.items()
                ),
            ]
        )
        for rows in runs
    )
