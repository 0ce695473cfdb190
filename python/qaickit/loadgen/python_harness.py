"""LoadGen's Python module around the adapters: `--harness python`, and `run_test` for others."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qaickit.errors import InvalidArgumentError, NotFoundError
from qaickit.loadgen.output_dir import refuse_audit_config
from qaickit.loadgen.qsl import QSL, Array, loadgen_module
from qaickit.loadgen.scenarios import Scenario
from qaickit.loadgen.settings import Settings
from qaickit.loadgen.sut import RESPONDERS, SUT, Runs, Stats

__all__ = ["PythonTest", "apply_conf", "run_test", "test_settings"]

# LoadGen's FromConfig(..., conf_type): what it reads. There is a type 1, the built-in conf and a
# file, but a second call of it in a process leaves the built-in one out.
_BUILT_IN, _FILE_ONLY = 0, 2


def run_test(
    sut: SUT,
    qsl: QSL,
    settings: Any,
    output_dir: str | os.PathLike[str],
    *,
    audit_config: str | os.PathLike[str] = "",
) -> None:
    """Run one LoadGen test to its end, its logs in `output_dir`, which must exist.

    Runs on the calling thread and, once LoadGen has started, cannot be interrupted. `settings` is
    an `mlperf_loadgen.TestSettings`. LoadGen's trace is off: it doubles the cost of a query.
    `audit_config` is the file of a compliance test, which LoadGen applies over the settings.

    Raises:
        FailedPreconditionError: an audit.config lies in the current directory, and none is named.
        NotFoundError: `output_dir` or `audit_config` is not there.
        QaicKitError and others: the first failure of a sample, once the test has ended.
    """
    audit = os.fspath(audit_config)
    if not audit:
        refuse_audit_config(Path())
    elif not os.path.isfile(audit):
        raise NotFoundError(f"audit_config '{audit}': no such file")
    if not os.path.isdir(output_dir):
        raise NotFoundError(f"output_dir '{os.fspath(output_dir)}': no such directory")
    loadgen = loadgen_module()
    log_settings = loadgen.LogSettings()
    log_settings.enable_trace = False
    output = loadgen.LogOutputSettings()
    output.outdir = os.fspath(output_dir)
    log_settings.log_output = output
    loadgen.StartTestWithLogSettings(sut.handle, qsl.handle, settings, log_settings, audit)
    sut.result()


def _from_config(target: Any, path: str, settings: Settings, kind: int) -> None:
    code = target.FromConfig(path, settings.model_name, settings.scenario.value, kind)
    if code == 0:
        return
    name = path or "LoadGen's built-in mlperf.conf"
    if code == -errno.ENOENT:
        raise NotFoundError(f"{name}: LoadGen cannot open it")
    raise InvalidArgumentError(f"{name}: LoadGen refuses it ({errno.errorcode.get(-code, code)})")


def apply_conf(target: Any, settings: Settings) -> None:
    """Apply the configuration files to an `mlperf_loadgen.TestSettings`.

    Raises:
        InvalidArgumentError, NotFoundError: LoadGen's return code says so.
    """
    if settings.built_in_conf:
        _from_config(target, "", settings, _BUILT_IN)
    for path in (settings.mlperf_conf, settings.user_conf):
        if path:
            _from_config(target, path, settings, _FILE_ONLY)


def _target_fields(settings: Settings) -> dict[str, float]:
    """LoadGen's fields for the target rate and latency, by scenario."""
    qps, latency_ns = settings.target_qps, settings.target_latency_ns
    fields: dict[Scenario, dict[str, float]] = {
        Scenario.OFFLINE: {"offline_expected_qps": qps},
        Scenario.SERVER: {"server_target_qps": qps, "server_target_latency_ns": latency_ns},
        Scenario.SINGLE_STREAM: {"single_stream_expected_latency_ns": latency_ns},
        Scenario.MULTI_STREAM: {"multi_stream_expected_latency_ns": latency_ns},
    }
    return fields[settings.scenario]


def test_settings(settings: Settings) -> Any:
    """Return an `mlperf_loadgen.TestSettings` with these settings.

    Raises:
        InvalidArgumentError, NotFoundError: LoadGen refuses a configuration file.
    """
    loadgen = loadgen_module()
    target = loadgen.TestSettings()
    target.scenario = getattr(loadgen.TestScenario, settings.scenario.value)
    apply_conf(target, settings)
    # After the files, as a conf can set the mode too.
    target.mode = getattr(loadgen.TestMode, settings.mode.loadgen_name)
    fields = _target_fields(settings) | {
        "min_duration_ms": settings.min_duration_ms,
        "min_query_count": settings.min_query_count,
        "performance_sample_count_override": settings.performance_sample_count,
    }
    for name, value in fields.items():
        if value:
            setattr(target, name, value)
    return target


class PythonTest:
    """A test through `mlperf_loadgen`, on a thread of its own. A `RunningTest`."""

    def __init__(
        self,
        session: Runs,
        workload: str,
        inputs: Mapping[str, Array],
        settings: Settings,
        *,
        batch_size: int = 1,
        input_shapes: Mapping[str, Sequence[int]] | None = None,
        workers: int = 1,
    ) -> None:
        """Check the settings and start.

        Raises:
            InvalidArgumentError: a workload without an adapter, or settings that LoadGen refuses.
        """
        if workload not in RESPONDERS:
            raise InvalidArgumentError(
                f"--harness python: expected a workload of {', '.join(RESPONDERS)}, "
                f"got '{workload}'; use --harness native"
            )
        loadgen_settings = test_settings(settings)
        # LoadGen's own thread waits for the answer in the streams, so a hop gains nothing.
        is_alone = settings.scenario is Scenario.SINGLE_STREAM
        self._qsl = QSL(inputs)
        self._sut = SUT(
            session,
            self._qsl,
            respond=RESPONDERS[workload],
            batch_size=batch_size,
            workers=0 if is_alone and batch_size == 1 else workers,
            max_wait_us=settings.max_delay_ns // 1_000,
            input_shapes=input_shapes,
        )
        self._failure: BaseException | None = None
        # Not Thread.join: interrupted by Ctrl-C it takes the thread for ended (before Python 3.13).
        self._ended = threading.Event()
        # A daemon: a test that cannot be ended must not keep the process.
        threading.Thread(target=self._run, args=(loadgen_settings, settings), daemon=True).start()

    def _run(self, loadgen_settings: Any, settings: Settings) -> None:
        try:
            run_test(
                self._sut, self._qsl, loadgen_settings, settings.output_dir,
                audit_config=settings.audit_config,
            )  # fmt: skip
        except BaseException as error:  # Handed to result().
            self._failure = error
        finally:
            self._ended.set()

    def wait_ms(self, timeout_ms: int, /) -> bool:
        """Wait up to `timeout_ms` for the end; True when it has ended."""
        return self._ended.wait(timeout_ms / 1e3)

    @property
    def samples_issued(self) -> int:
        """Samples that LoadGen has asked for."""
        return self._sut.samples_issued

    @property
    def samples_done(self) -> int:
        """Samples that were answered."""
        return self._sut.samples_done

    def abort(self) -> None:
        """Answer everything at once from now on. LoadGen's Python module has no abort."""
        self._sut.abandon()

    def result(self) -> None:
        """Raise the first failure, if any. Call it after the end."""
        self._sut.close()
        self._qsl.close()
        if self._failure is not None:
            raise self._failure

    def stats(self) -> Stats:
        """Return the counters of batches and samples."""
        return self._sut.stats()
