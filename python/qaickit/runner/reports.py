"""Which profiles of a run are written, and when."""

from __future__ import annotations

import argparse
import itertools
import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from qaickit._files import write_file
from qaickit.errors import InvalidArgumentError, UnsupportedError
from qaickit.runner import opstats, profiles
from qaickit.runner.arguments import LATENCY, SAMPLING, STATS, TRACE
from qaickit.runner.engine import Record
from qaickit.runner.inputs import Feeds
from qaickit.session import Session

Write = Callable[[str, bytes], None]


def existing_directory(directory: str, option: str) -> Path:
    """The directory. Error: InvalidArgumentError where it is none, or cannot be written to."""
    path = Path(directory)
    if not path.is_dir() or not os.access(path, os.W_OK | os.X_OK):
        raise InvalidArgumentError(f"{option} '{directory}': expected a directory to write to")
    return path


class Reports:
    """The profile files that the arguments ask for, in the vendor's names.

    Latencies and traces have a file for each activation, statistics one for each inference.
    """

    def __init__(self, args: argparse.Namespace, session: Session, feeds: Feeds) -> None:
        self._args = args
        self._feeds = feeds
        self._session = session
        self._program = session.describe().splitlines()[1]
        device = session.devices[0]
        self._device = f"device: {device['backend']}:{device['id']} {device['name']}"
        self._operators: dict[int, Sequence[opstats.Operator] | str] = {}
        self._next = time.monotonic() + args.profile_period / 1e3
        self._first = args.profile_delay / 1e3
        self._end = math.inf
        if args.profile_duration is not None:
            self._end = self._first + args.profile_duration / 1e3
        self._lock = threading.Lock()
        self._kept: list[list[Record]] = [[] for _ in range(args.num_activations)]
        if args.profiles:
            self._directory = existing_directory(args.profile_dir, "--aic-profiling-out-dir")

    def add(self, record: Record) -> None:
        """An inference that has ended; kept where a profile has it. From any thread."""
        if self._args.profiles and self._is_wanted(record):
            kept = self._kept[record.place.activation]
            with self._lock:
                if len(kept) < self._args.profile_samples:
                    kept.append(record)

    def tick(self) -> None:
        """Writes the files of a streaming profile anew where their time has come."""
        now = time.monotonic()
        if not self._args.streams or now < self._next:
            return
        self._next = now + self._args.profile_period / 1e3
        self._write_tables(lambda name, data: write_file(self._directory / name, data, "a profile"))

    def write(self) -> list[str]:
        """Writes all files; to be called at the end. Returns what is to be warned of."""
        if not self._args.profiles:
            return []

        def write(name: str, data: bytes) -> None:
            profiles.replace_file(self._directory, name, data)

        if STATS in self._args.profiles:
            by_index = sorted(itertools.chain(*self._kept), key=lambda record: record.place.index)
            for record in by_index:
                place = record.place
                text = opstats.stats_text(self._program, record, self._operators_of(record))
                write(
                    f"aic-profiling-program-0-activation-{place.activation}-inf-{place.number}.txt",
                    text.encode(),
                )
        self._write_tables(write)
        empty = [str(activation) for activation, kept in enumerate(self._kept) if not kept]
        if not empty:
            return []
        return [
            f"the profiles of activation {', '.join(empty)} are empty: no inference came to "
            f"--aic-profiling-start-iter {self._args.profile_start} in the time that they cover"
        ]

    def _write_tables(self, write: Write) -> None:
        for activation, kept in enumerate(self._kept):
            with self._lock:
                own = sorted(kept, key=lambda record: record.place.number)
            for profile in self._args.profiles:
                prefix = f"aic-profiling-program-{activation}"
                if profile == LATENCY:
                    text = profiles.latency_table(self._head(activation), own)
                    write(f"{prefix}-latency.txt", text.encode())
                elif profile == TRACE:
                    text = profiles.trace_json(self._program, own)
                    write(f"{prefix}-trace.json", text.encode())

    def _head(self, activation: int) -> tuple[str, str, str]:
        args = self._args
        return (
            f"Latencies in us: activation {activation} of {args.num_activations}, set size "
            f"{args.set_size}",
            self._program,
            self._device,
        )

    def _is_wanted(self, record: Record) -> bool:
        """Whether the options mean it: by its number, or by when it began."""
        args, step = self._args, SAMPLING[self._args.profile_rate]
        number = record.place.number - args.profile_start
        if number < 0 or number % step or not self._first <= record.start < self._end:
            return False
        # Those in a window of time are counted as they end.
        return self._first > 0 or self._end < math.inf or number // step < args.profile_samples

    def _operators_of(self, record: Record) -> Sequence[opstats.Operator] | str:
        """Once for each feed: the same inputs take the same operators."""
        feed = record.place.index % len(self._feeds)
        if feed not in self._operators:
            try:
                self._operators[feed] = opstats.operators(self._session, self._feeds[feed].inputs)
            except UnsupportedError as error:
                self._operators[feed] = str(error)
        return self._operators[feed]
