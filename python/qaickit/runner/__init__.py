"""`qaic-runner`: runs a QPC over and over, with command line and output as the vendor's tool has.

    qaic-runner -t qpc_directory -n 1000 -a 4
    qaic-runner -t qpc -i image.raw --write-output-dir out
    qaic-runner -t qpc --aic-profiling-type latency --aic-profiling-num-samples 1000 --time 20

The same as ``python -m qaickit.runner``, and as `qaic-api-test`, to which public scripts pass the
same options. It runs on any device: `--backend` or `QAICKIT_BACKEND`
names one, else a card is used if one is there, else the CPU.

Without anything to be seen of single inferences (output files, latencies, several inputs) they are
submitted natively; with it, by one Python thread for each set of buffers. Stage times are measured
natively in both cases.

Files and options that count inferences do so for each activation: activation a of A runs the
inferences a, a + A, a + 2A and so on, which are its own 0, 1, 2. The profiles `latency`, `trace`
(also `_stream`: written anew while it runs) and `stats` can be made on any device; operators are
told on the CPU only. What a host cannot know is N/A. An option that has no meaning on a device, or
is not known, is a warning.

Ctrl-C ends the run and keeps what was finished: profiles, and the line with the rate.

Exit codes: 0; 1 for an error, or outputs that differ from what was expected; 2 for wrong usage;
130 after Ctrl-C.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the tool and returns its exit code."""
    from qaickit.runner.cli import main as run  # takes a while, in which Ctrl-C has its say too

    return run(argv)
