"""`qaic-runner`: runs a QPC over and over, with command line and output as the vendor's tool has.

    qaic-runner -t qpc_directory -n 1000 -a 4
    qaic-runner -t qpc -i image.raw --write-output-dir out
    qaic-runner -t qpc --aic-profiling-type latency --aic-profiling-num-samples 1000 --time 20

The same as ``python -m qaickit.runner``. It runs on any device: `--backend` or `QAICKIT_BACKEND`
names one, else a card is used if one is there, else the CPU.

Without anything to be seen of single inferences (output files, latencies, several inputs) they are
submitted natively; with it, by one Python thread for each set of buffers.

Exit codes: 0, 1 for an error, 2 for wrong usage.
"""

from __future__ import annotations

from qaickit.runner.cli import main

__all__ = ["main"]
