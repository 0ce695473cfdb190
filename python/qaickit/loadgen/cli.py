"""`python -m qaickit.loadgen`: from the command line to LoadGen and back to a result."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from qaickit import _core
from qaickit._files import write_file
from qaickit._plots import check_plot
from qaickit._table import console_on
from qaickit._tools import INTERRUPTED, outcome
from qaickit.errors import (
    DataLossError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    QaicKitError,
    UnavailableError,
    UnsupportedError,
)
from qaickit.loadgen.accuracy import (
    Accuracy,
    check_labels,
    read_accuracy_log,
    score,
    write_accuracy_file,
)
from qaickit.loadgen.advice import advice, format_time
from qaickit.loadgen.arguments import BUILT_IN, parse
from qaickit.loadgen.harness import RunningTest
from qaickit.loadgen.output_dir import (
    copy_user_conf,
    prepare_output_dir,
    refuse_audit_config,
)
from qaickit.loadgen.plan import check_memory, make_plan, memory_bytes
from qaickit.loadgen.plot import plot_report
from qaickit.loadgen.progress import Expected, follow
from qaickit.loadgen.python_harness import PythonTest
from qaickit.loadgen.report import (
    Report,
    Subject,
    as_json,
    print_report,
    summary_line,
)
from qaickit.loadgen.results import SUMMARY_LOG, DetailLog, performance, read_detail
from qaickit.loadgen.scenarios import Scenario
from qaickit.loadgen.settings import Flags, Settings, check_flags, needs_rate, resolve
from qaickit.loadgen.target import (
    Model,
    Placement,
    Target,
    find_choice,
    measure,
    open_target,
    warm_up,
)
from qaickit.loadgen.user_conf import ANY, Conf, check_audit, check_issue_same, read_conf

__all__ = ["main"]

EXIT_GOOD, EXIT_BAD_RESULT, EXIT_BAD_INPUT = 0, 1, 2

# The caller can put these right; others mean that the run itself went wrong.
_INPUT_ERRORS = (
    DataLossError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    UnavailableError,
    UnsupportedError,
)
# LoadGen's Python module has no abort, so waiting longer would not help.
_ABORT_TIMEOUT_S = {"native": 15.0, "python": 3.0}
_STDOUT = "-"


class _OneTest:
    """LoadGen keeps global state: of two tests in a process the second has other settings."""

    started = False


def main(argv: Sequence[str] | None = None) -> int:
    """Run one test and return the exit code. Once in a process."""
    args = parse(argv)

    def work() -> int:
        try:
            return _Run(args).run()
        except KeyboardInterrupt:
            print("interrupted before the test began", file=sys.stderr)
            return INTERRUPTED

    return outcome("error", work, _code_of)


def _code_of(error: QaicKitError) -> int:
    return EXIT_BAD_INPUT if isinstance(error, _INPUT_ERRORS) else EXIT_BAD_RESULT


class _Run:
    """One test, step by step."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        # The standard output may be asked for by JSON.
        self.out = console_on(sys.stderr if args.json == _STDOUT else sys.stdout)
        self.err = console_on(sys.stderr)

    def run(self) -> int:
        args = self.args
        if _OneTest.started:
            raise FailedPreconditionError(
                "LoadGen runs one test in a process; start another process for the next"
            )
        if args.audit_config is None:
            refuse_audit_config(Path())
        choice = find_choice(args.model)
        flags = _flags(args, choice.label)
        check_flags(flags)
        _check_plot(args.plot, flags)
        confs = _read_confs(flags)
        conf = next((conf for conf, _ in confs if conf.path == str(flags.user_conf)), None)
        target = open_target(choice, _model(args), _placement(args), flags.scenario)
        try:
            if flags.mode.has_accuracy:
                check_labels(target.dataset.labels, target.workload, target.dataset.name)
            in_memory = flags.performance_sample_count or len(target.dataset)
            check_issue_same(confs, flags.scenario, in_memory)
            settings = self._settings(flags, conf, target)
            return self._test(target, settings, _expected(settings, conf, len(target.dataset)))
        finally:
            target.session.close()

    def _settings(self, flags: Flags, conf: Conf | None, target: Target) -> Settings:
        samples = len(target.dataset)
        settings = resolve(flags, conf, None, samples)
        label = f"{target.label}-{flags.scenario.value}-{flags.mode.value}".lower()
        output_dir = prepare_output_dir(self.args.output_dir, label, overwrite=self.args.overwrite)
        _check_json_path(self.args.json)  # It may be in that directory.
        if flags.user_conf is not None:
            copy_user_conf(flags.user_conf, output_dir)
        if needs_rate(flags, conf):
            rate = measure(target)
            settings = resolve(flags, conf, rate, samples)
            self._note(
                f"measured {rate.samples_per_second:,.0f} samples/s at batch size "
                f"{rate.batch_size}{_target_note(settings)}"
            )
        else:
            warm_up(target)
        return dataclasses.replace(settings, output_dir=str(output_dir))

    def _note(self, text: str) -> None:
        if not self.args.quiet:
            self.err.print(text, markup=False, highlight=False, soft_wrap=True)

    def _test(self, target: Target, settings: Settings, expected: Expected) -> int:
        _OneTest.started = True
        with _loadgen_on_stderr():
            test = self._start(target, settings)
            interrupted, ended = self._follow(test, expected)
        report = _collect(target, settings, test, self.args.harness, interrupted, ended)
        self._publish(report)
        if not ended:
            _leave(INTERRUPTED)
        if interrupted:
            return INTERRUPTED
        return EXIT_GOOD if report.is_good else EXIT_BAD_RESULT

    def _start(self, target: Target, settings: Settings) -> RunningTest:
        if self.args.harness == "native":
            return _core.LoadgenTest(
                target.session, target.workload, target.arrays, settings.options()
            )
        return PythonTest(
            target.session,
            target.workload,
            target.dataset.inputs,
            settings,
            batch_size=target.batch_size,
            input_shapes=target.input_shapes,
            workers=target.activations,
        )

    def _follow(self, test: RunningTest, expected: Expected) -> tuple[bool, bool]:
        """Wait for the end. Return whether the user interrupted, and whether the test ended."""
        try:
            follow(test, expected, None if self.args.quiet else self.err)
            return False, True
        except KeyboardInterrupt:
            self._note("interrupted: ending the test")
            test.abort()
        deadline = time.monotonic() + _ABORT_TIMEOUT_S[self.args.harness]
        with contextlib.suppress(KeyboardInterrupt):  # A second one: do not wait.
            while time.monotonic() < deadline:
                if test.wait_ms(100):
                    return True, True
        return True, False

    def _publish(self, report: Report) -> None:
        if self.args.quiet:
            self.out.print(summary_line(report), markup=False, highlight=False, soft_wrap=True)
        else:
            print_report(report, self.out)
        if self.args.plot is not None and report.performance is not None:
            plot_report(report, self.args.plot)
        if self.args.json == _STDOUT:
            print(as_json(report), end="")
        elif self.args.json is not None:
            write_file(self.args.json, as_json(report).encode(), "the JSON report")


@contextlib.contextmanager
def _loadgen_on_stderr() -> Iterator[None]:
    """LoadGen prints (with `print_timestamps`, for instance); the output is the result's alone."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _leave(code: int) -> NoReturn:
    """End the process though a thread of LoadGen's still runs; leaving normally would wait."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _check_json_path(name: str | None) -> None:
    if name is None or name == _STDOUT:
        return
    path = Path(name)
    if path.is_dir():
        raise InvalidArgumentError(f"--json '{path}': expected a file, got a directory")
    if not path.absolute().parent.is_dir():
        raise NotFoundError(f"--json '{path}': no such directory as {path.parent}")
    if not os.access(path.absolute().parent, os.W_OK):
        raise PermissionDeniedError(f"--json '{path}': cannot write to {path.parent}")


def _check_plot(path: str | None, flags: Flags) -> None:
    if path is None:
        return
    if not flags.mode.has_performance:
        raise InvalidArgumentError("--plot: an accuracy run has no latencies to draw")
    check_plot(path)


def _flags(args: argparse.Namespace, label: str) -> Flags:
    built_in = args.mlperf_conf == BUILT_IN
    return Flags(
        scenario=args.scenario,
        mode=args.mode,
        target_qps=args.target_qps,
        target_latency_ms=args.target_latency,
        count=args.count,
        min_duration_s=args.min_duration,
        performance_sample_count=args.performance_sample_count,
        max_batch=args.max_batchsize,
        max_wait_us=args.max_wait_us,
        user_conf=args.user_conf,
        mlperf_conf=None if built_in else args.mlperf_conf,
        audit_config=args.audit_config,
        built_in_conf=built_in,
        conf_model=args.model_name or label,
    )


def _model(args: argparse.Namespace) -> Model:
    return Model(
        max_batch=args.max_batchsize,
        symbols=dict(args.onnx_define_symbol),
        workload=args.workload,
        dataset=args.dataset,
    )


def _placement(args: argparse.Namespace) -> Placement:
    return Placement(
        backend=args.backend,
        device_ids=tuple(number for ids in args.device_id for number in ids),
        device_settings=dict(args.device_setting),
        activations=args.activations,
        threads_per_activation=args.threads_per_activation,
        set_size=args.set_size,
    )


def _read_confs(flags: Flags) -> list[tuple[Conf, str]]:
    """Check the configuration files and return them, each with the model's name in it.

    The one that wins is first.
    """
    found = []
    if flags.audit_config is not None:
        audit = read_conf(flags.audit_config, strict=False)
        check_audit(audit, flags.scenario, flags.mode)
        found.append((audit, ANY))
    if flags.user_conf is not None:
        user = read_conf(flags.user_conf, models=(flags.conf_model,))
        found.append((user, flags.conf_model))
    if flags.mlperf_conf is not None:
        found.append((read_conf(flags.mlperf_conf, strict=False), flags.conf_model))
    return found


def _target_note(settings: Settings) -> str:
    if settings.sources.get("target_qps") == "measured":
        return f"; target {settings.target_qps:,.0f} samples/s"
    if settings.sources.get("target_latency_ns") == "measured":
        return f"; expecting queries of {format_time(settings.target_latency_ns)}"
    return ""


def _expected(settings: Settings, conf: Conf | None, samples: int) -> Expected:
    if not settings.mode.has_performance:
        return Expected(samples=samples)
    plan = make_plan(settings, conf)
    check_memory(plan, settings.scenario, memory_bytes())
    if settings.scenario is Scenario.OFFLINE:
        return Expected(samples=plan.queries)
    return Expected(seconds=plan.seconds)


def _collect(
    target: Target,
    settings: Settings,
    test: RunningTest,
    harness: str,
    interrupted: bool,
    ended: bool,
) -> Report:
    failure = _failure(test) if ended and not interrupted else ""
    output_dir = Path(settings.output_dir)
    log = _read_log(output_dir)
    if not log.values and not interrupted:
        failure = failure or f"LoadGen left no log in {output_dir}"
    measured = log if settings.mode.has_performance and not interrupted else None
    accuracy = None
    if settings.mode.has_accuracy and not interrupted and not failure:
        try:
            accuracy = _score(target, settings, log, output_dir)
        except QaicKitError as error:
            failure = str(error)
    measurement = performance(measured, settings.scenario) if measured else None
    return Report(
        subject=_subject(target, harness),
        settings=settings,
        stats=test.stats(),
        performance=measurement,
        advice=advice(log, measurement, settings) if measurement else (),
        accuracy=accuracy,
        error_count=0 if interrupted else log.count_errors(_read_summary(output_dir)),
        errors=log.errors,
        failure=failure,
        interrupted=interrupted,
    )


def _failure(test: RunningTest) -> str:
    try:
        test.result()
    except QaicKitError as error:
        return str(error)
    except Exception as error:  # From a session of someone else's: all that is known is its text.
        return f"{type(error).__name__}: {error}"
    return ""


def _read_log(output_dir: Path) -> DetailLog:
    try:
        return read_detail(output_dir)
    except DataLossError:
        return DetailLog()


def _read_summary(output_dir: Path) -> str:
    try:
        return (output_dir / SUMMARY_LOG).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _score(target: Target, settings: Settings, log: DetailLog, output_dir: Path) -> Accuracy:
    labels = check_labels(target.dataset.labels, target.workload, target.dataset.name)
    spare = 0
    if settings.scenario is Scenario.MULTI_STREAM:
        # LoadGen fills the last query of each set of samples in memory with ones it has had.
        in_memory = log.number("effective_performance_sample_count") or len(labels)
        per_query = log.number("effective_samples_per_query") or 1
        spare = math.ceil(len(labels) / in_memory) * (int(per_query) - 1)
    accuracy = score(read_accuracy_log(output_dir), labels, spare_entries=spare)
    write_accuracy_file(output_dir, accuracy)
    return accuracy


def _subject(target: Target, harness: str) -> Subject:
    session = target.session
    return Subject(
        model=target.label,
        qpc_path=target.qpc_path,
        backend=session.backend,
        devices=tuple(f"{device['id']} {device['name']}" for device in session.devices),
        precision=session.precision,
        batch_size=target.batch_size,
        activations=target.activations,
        threads_per_activation=target.threads_per_activation,
        set_size=target.set_size,
        workload=target.workload,
        dataset=target.dataset.name,
        samples=len(target.dataset),
        harness=harness,
        speed_only=target.speed_only(),
    )
