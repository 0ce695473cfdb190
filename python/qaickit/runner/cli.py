"""`qaic-runner` itself: arguments in, a run, files and the line with the rate out."""

from __future__ import annotations

import argparse
import bisect
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from qaickit._plots import check_plot
from qaickit._tools import outcome
from qaickit.errors import InvalidArgumentError
from qaickit.runner import engine, inputs, profiles
from qaickit.runner.arguments import DEFAULT_ITERATIONS, PROG, parse
from qaickit.runner.interrupts import Interrupts
from qaickit.runner.live import Live
from qaickit.runner.opening import open_session
from qaickit.runner.plot import Plot
from qaickit.runner.reports import Reports, existing_directory
from qaickit.session import Session

# Programs in fp16 are compared with answers in fp32.
_RELATIVE, _ABSOLUTE = 1e-2, 1e-3
_MISMATCHES_TOLD = 10
_MB = 1 << 20


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the tool and returns its exit code."""
    args = parse(sys.argv[1:] if argv is None else argv)
    for text in args.warnings:
        _warn(text)

    def work() -> int:
        if args.plot is not None:
            check_plot(args.plot)
        if args.aic_lib_path is not None:
            os.environ["QAIC_LIB"] = args.aic_lib_path
        with open_session(args, _warn) as session:
            return _Job(args, session).run()

    return outcome(f"{PROG}: error", work)


def _warn(text: str) -> None:
    print(f"WARNING: {text}", file=sys.stderr)


class _Job:
    """One run of the tool."""

    def __init__(self, args: argparse.Namespace, session: Session) -> None:
        self._args = args
        self._session = session
        samples = inputs.read_samples(args, session)
        self._is_batch = samples != [] and not args.input_file
        if samples:
            self._feeds = inputs.load_feeds(
                samples, session, stack=bool(args.auto_batch_input),
                max_bytes=args.max_memory * _MB,
            )  # fmt: skip
        else:
            _tell_bindings_json(args.test_data)
            self._feeds = inputs.Feeds([inputs.random_feed(session, any_bytes=args.unbound_random)])
        self._sample_count = len(samples)
        self._length = engine.Length(self._inferences(), args.time)
        self._written = self._range_of_outputs()
        self._reports = Reports(args, session, self._feeds)
        self._plot = None if args.plot is None else Plot(args.plot, args.num_activations)
        self._outputs_written = 0
        self._lock = threading.Lock()
        self._mismatches: list[tuple[int, str]] = []  # the first ones, by inference
        self._mismatch_count = 0

    def run(self) -> int:
        self._tell_inputs()
        if self._args.dump_input_buffers:
            self._dump_inputs()
        with Interrupts() as interrupts:
            run = self._run(interrupts)
        for text in self._reports.write():
            _warn(text)
        if self._written and not self._outputs_written:
            _warn(
                f"no outputs were written: no activation came to inference {self._written.start}; "
                "see --write-output-start-iter"
            )
        if self._plot is not None:
            self._plot.write(self._summary(run))
        print(" ---- Stats ----")
        print(self._summary(run))
        sys.stdout.flush()
        for index, text in self._mismatches:
            print(f"{PROG}: error: inference {index}: {text}", file=sys.stderr)
        if self._mismatch_count > len(self._mismatches):
            left = self._mismatch_count - len(self._mismatches)
            print(f"{PROG}: error: and {left} more outputs that differ", file=sys.stderr)
        if interrupts.number is not None:
            name = signal.Signals(interrupts.number).name
            print(f"{PROG}: ended by {name}; the above is what was finished", file=sys.stderr)
            return 128 + interrupts.number
        return 1 if self._mismatches else 0

    def _run(self, interrupts: Interrupts) -> engine.Run:
        args = self._args
        live = Live(args.live_period / 1e3, rate=args.live_reporting, latencies=args.stats)

        def tick(inferences: int) -> bool:
            live.tick(inferences)
            self._reports.tick()
            return interrupts.number is None

        def look(record: engine.Record, outputs: dict[str, inputs.Array]) -> None:
            live.add(record)
            self._reports.add(record)
            if self._plot is not None:
                self._plot.add(record)
            self._look(record.place, outputs)

        seen = args.profiles or args.stats or args.plot or self._written or self._feeds.has_expected
        if not seen and len(self._feeds) == 1:
            return engine.run_natively(self._session, self._feeds, self._length, tick)
        observed = engine.Observed(
            self._session, self._feeds, args.num_activations, args.set_size, look
        )
        return observed.run(self._length, tick)

    # --- before

    def _inferences(self) -> int:
        if self._args.num_iter is not None:
            return int(self._args.num_iter)
        return len(self._feeds) if self._is_batch else DEFAULT_ITERATIONS

    def _range_of_outputs(self) -> range:
        args = self._args
        given = (args.write_output_dir, args.write_output_start_iter, args.write_output_num_samples)
        if given == (None, None, None):
            return range(0)
        start, number = args.write_output_start_iter or 0, args.write_output_num_samples or 1
        if args.time is None and start + number > self._length.inferences:
            raise InvalidArgumentError(
                f"outputs of inferences {start} to {start + number - 1} are to be written, but "
                f"there are {self._length.inferences}; give a greater --num-iter"
            )
        self._output_dir()
        return range(start, start + number)

    def _output_dir(self) -> Path:
        return existing_directory(self._args.write_output_dir or ".", "--write-output-dir")

    def _tell_inputs(self) -> None:
        if self._args.verbose:
            print(self._session.describe())
        if self._is_batch:
            print(f"Number of Files(as per batch input):{self._sample_count}")
        for path in self._args.input_file:
            print(f"Input file: {path}")
        if not self._sample_count:
            bounds = "unbounded" if self._args.unbound_random else "bounded"
            print(f"Using {bounds} random inputs")
        sys.stdout.flush()

    def _dump_inputs(self) -> None:
        for index in range(self._feeds.in_memory):
            for name, value in self._feeds[index].inputs.items():
                self._write(f"{_file_name(name)}-inf-{index}.bin", value)

    # --- during

    def _look(self, place: engine.Place, outputs: dict[str, inputs.Array]) -> None:
        self._compare(place, outputs)
        if place.number in self._written:
            self._outputs_written += 1
            for name, value in outputs.items():
                activation, number = place.activation, place.number
                file = f"{_file_name(name)}-activation-{activation}-inf-{number}.bin"
                self._write(file, value)

    def _compare(self, place: engine.Place, outputs: dict[str, inputs.Array]) -> None:
        if not self._feeds.has_expected:
            return
        for name, expected in self._feeds[place.index % len(self._feeds)].expected.items():
            found = outputs[name]
            if found.shape != expected.shape:
                text = f"has shape {found.shape}, expected {expected.shape}"
            elif np.allclose(found, expected, rtol=_RELATIVE, atol=_ABSOLUTE, equal_nan=True):
                continue
            else:
                gap = np.max(np.abs(found.astype(np.float64) - expected.astype(np.float64)))
                text = f"differs from what was expected by up to {gap:g}"
            with self._lock:
                self._mismatch_count += 1
                bisect.insort(self._mismatches, (place.index, f"output '{name}' {text}"))
                del self._mismatches[_MISMATCHES_TOLD:]

    def _write(self, name: str, value: inputs.Array) -> None:
        profiles.replace_file(self._output_dir(), name, value.tobytes())

    # --- after

    def _summary(self, run: engine.Run) -> str:
        batch = self._session.batch_size
        rate = run.inferences * batch / run.seconds if run.seconds > 0 else 0.0
        return (
            f"InferenceCnt {run.inferences} TotalDuration {run.seconds * 1e6:.0f}us "
            f"BatchSize {batch} Inf/Sec {rate:.3f}"
        )


def _tell_bindings_json(test_data: str) -> None:
    """Older compilers of the vendor's have left a list of inputs beside the program."""
    path = Path(test_data, "bindings.json")
    if path.is_file():
        _warn(f"'{path}' is not read, since its form is not public; give the inputs with -i")


def _file_name(tensor: str) -> str:
    """A tensor's name as a file's: it comes from the QPC and must not lead elsewhere."""
    return tensor.replace("/", "_").replace("\0", "_")
