"""MLPerf LoadGen around a model.

`python -m qaickit.loadgen` runs a test with nothing but C++ in the timed path. For harnesses of
one's own in Python there are thin adapters over the `mlperf_loadgen` module:

    import mlperf_loadgen
    from qaickit.loadgen import QSL, SUT, run_test

    settings = mlperf_loadgen.TestSettings()
    settings.scenario = mlperf_loadgen.TestScenario.Offline
    settings.offline_expected_qps = 1000
    with QSL({"image": images}) as qsl, SUT(session, qsl, batch_size=8) as sut:
        run_test(sut, qsl, settings, "results")     # raises what went wrong in a sample
        print(sut.stats())

`session` is anything with `run(dict) -> dict`, such as `qaic.Session`.
"""

from __future__ import annotations

import importlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qaickit.loadgen.python_harness import run_test
    from qaickit.loadgen.qsl import QSL
    from qaickit.loadgen.sut import SUT, Responder, Runs, classification, raw

__all__ = ["QSL", "SUT", "Responder", "Runs", "classification", "raw", "run_test"]

_MODULES = MappingProxyType({"QSL": "qsl", "run_test": "python_harness"})  # else: sut


def __getattr__(name: str) -> Any:
    """Loads the adapters when they are asked for: the command line does without."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES.get(name, 'sut')}"), name)
