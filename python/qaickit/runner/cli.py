"""`qaic-runner` itself: arguments in, a run, files and the line with the rate out."""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qaickit._files import error_from_os
from qaickit.errors import InvalidArgumentError, QaicKitError, UnsupportedError
from qaickit.runner import engine, inputs, profiles
from qaickit.runner.arguments import DEFAULT_ITERATIONS, LATENCY, PROG, SAMPLING, TRACE, parse
from qaickit.session import Session

# Programs in fp16 are compared with answers in fp32.
_RELATIVE, _ABSOLUTE = 1e-2, 1e-3
_CARD_SETTINGS = ("threads_per_queue", "submit_retry_timeout_ms", "submit_num_retries")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the tool and returns its exit code."""
    args = parse(sys.argv[1:] if argv is None else argv)
    for text in args.warnings:
        print(f"WARNING: {text}", file=sys.stderr)
    try:
        if args.aic_lib_path is not None:
            os.environ["QAIC_LIB"] = args.aic_lib_path
        with _open(args) as session:
            return _Job(args, session).run()
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except OSError as error:
        found = error if isinstance(error, QaicKitError) else error_from_os(error, "cannot write")
        print(f"{PROG}: error: {found}", file=sys.stderr)
        return 1
    except QaicKitError as error:
        print(f"{PROG}: error: {error}", file=sys.stderr)
        return 1


def _open(args: argparse.Namespace) -> Session:
    """The session, set up. A card is told what only cards know; for others it is left out."""
    arguments: dict[str, Any] = {
        "backend": args.backend,
        "dev_id": _device(args),
        "num_activations": args.num_activations,
        "set_size": args.set_size,
    }
    settings = {name: getattr(args, name) for name in _CARD_SETTINGS}
    settings = {name: value for name, value in settings.items() if value is not None}
    session = Session(args.test_data, **arguments)
    session.setup()
    if settings and session.backend == "qaic":
        session.close()
        session = Session(args.test_data, device_settings=settings, **arguments)
        session.setup()
    return session


def _device(args: argparse.Namespace) -> int:
    if args.device_list is None:
        return args.device or 0
    ids = args.device_list.replace(",", ":").split(":")
    if not all(id.isascii() and id.isdigit() for id in ids):
        raise InvalidArgumentError(
            f"device list '{args.device_list}': expected ids such as 0,1 (one of them is taken)"
        )
    if ":" in args.device_list:
        raise UnsupportedError(
            f"device map '{args.device_list}': programs across several cards cannot be run yet; "
            "give -d for one card"
        )
    return int(ids[0])


class _Job:
    """One run of the tool."""

    def __init__(self, args: argparse.Namespace, session: Session) -> None:
        self._args = args
        self._session = session
        samples = inputs.read_samples(args, session)
        self._is_batch = samples != [] and not args.input_file
        self._feeds = inputs.load_feeds(samples, session, stack=bool(args.auto_batch_input))
        if not samples:
            self._feeds = [inputs.random_feed(session, any_bytes=args.unbound_random)]
        self._sample_count = len(samples)
        self._count = self._inferences()
        self._written = self._range_of_outputs()
        self._mismatches: list[str] = []

    def run(self) -> int:
        self._tell_inputs()
        if self._args.dump_input_buffers:
            for name, value in self._feeds[0].inputs.items():
                self._write(f"{_file_name(name)}-inf-0.bin", value)
        args, session = self._args, self._session
        observed = (
            bool(args.profiles)
            or len(self._feeds) > 1
            or len(self._written) > 0
            or any(feed.expected for feed in self._feeds)
        )
        if observed:
            lanes = args.num_activations * args.set_size
            lanes = lanes if args.time is not None else min(lanes, self._count)
            run = engine.run_observed(
                session, self._feeds, self._count, args.time, lanes, self._look
            )
        else:
            run = engine.run_natively(session, self._feeds[0], self._count, args.time)
        self._write_profiles(run)
        self._tell_rate(run)
        for text in self._mismatches:
            print(f"{PROG}: error: {text}", file=sys.stderr)
        return 1 if self._mismatches else 0

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
        if args.time is None and start + number > self._count:
            raise InvalidArgumentError(
                f"outputs of inferences {start} to {start + number - 1} are to be written, but "
                f"there are {self._count}; give a greater --num-iter"
            )
        self._output_dir()
        return range(start, start + number)

    def _output_dir(self) -> Path:
        return _writable(self._args.write_output_dir or ".", "--write-output-dir")

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

    # --- during

    def _look(self, index: int, outputs: dict[str, inputs.Array]) -> None:
        if index < len(self._feeds):
            self._compare(index, outputs)
        if index in self._written:
            for name, value in outputs.items():
                # Which activation computed it is not known; all compute the same.
                self._write(f"{_file_name(name)}-activation-0-inf-{index}.bin", value)

    def _compare(self, index: int, outputs: dict[str, inputs.Array]) -> None:
        for name, expected in self._feeds[index].expected.items():
            found = outputs[name]
            if found.shape != expected.shape:
                text = f"expected shape {expected.shape}, got {found.shape}"
            elif np.allclose(found, expected, rtol=_RELATIVE, atol=_ABSOLUTE, equal_nan=True):
                continue
            else:
                gap = np.max(np.abs(found.astype(np.float64) - expected.astype(np.float64)))
                text = f"differs from what was expected by up to {gap:g}"
            self._mismatches.append(f"output '{name}' of inference {index}: {text}")

    def _write(self, name: str, value: inputs.Array) -> None:
        profiles.replace_file(self._output_dir(), name, value.tobytes())

    # --- after

    def _write_profiles(self, run: engine.Run) -> None:
        args = self._args
        if not args.profiles:
            return
        directory = _writable(args.profile_dir, "--aic-profiling-out-dir")
        records = self._profiled(run)
        name = self._session.describe().splitlines()[1]
        texts = {
            LATENCY: (
                "latency.txt",
                profiles.latency_table(
                    (
                        "Latency of single inferences, in microseconds",
                        name,
                        f"device: {self._session.backend}:{_device(args)}",
                        f"activations: {args.num_activations}, set size: {args.set_size}",
                    ),
                    records,
                    args.set_size,
                ),
            ),
            TRACE: ("trace.json", profiles.trace_json(name, records)),
        }
        for profile in args.profiles:
            suffix, text = texts[profile]
            profiles.replace_file(
                directory, f"aic-profiling-program-0-{suffix}", text.encode("utf-8")
            )

    def _profiled(self, run: engine.Run) -> list[engine.Record]:
        args = self._args
        first = args.profile_delay * 1e6
        length = math.inf if args.profile_duration is None else args.profile_duration * 1e6
        step = SAMPLING[args.profile_rate]
        chosen = [
            record
            for record in run.records
            if record.index >= args.profile_start
            and (record.index - args.profile_start) % step == 0
            and first <= record.start_ns < first + length
        ]
        return chosen[: args.profile_samples]

    def _tell_rate(self, run: engine.Run) -> None:
        batch = self._session.batch_size
        rate = run.inferences * batch / run.seconds if run.seconds > 0 else 0.0
        print(" ---- Stats ----")
        print(
            f"InferenceCnt {run.inferences} TotalDuration {run.seconds * 1e6:.0f}us "
            f"BatchSize {batch} Inf/Sec {rate:.3f}"
        )
        sys.stdout.flush()


def _file_name(tensor: str) -> str:
    """A tensor's name as a file's: it comes from the QPC and must not lead elsewhere."""
    return tensor.replace("/", "_").replace("\0", "_")


def _writable(directory: str, option: str) -> Path:
    path = Path(directory)
    if not path.is_dir() or not os.access(path, os.W_OK | os.X_OK):
        raise InvalidArgumentError(f"{option} '{directory}': expected a directory to write to")
    return path
