"""Which profiles of a run are written, and when."""

from __future__ import annotations

import argparse
import math
import os
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
        if args.profiles:
            self._directory = existing_directory(args.profile_dir, "--aic-profiling-out-dir")

    def tick(self, records: Sequence[Record]) -> None:
        """Writes the files of a streaming profile anew where their time has come."""
        now = time.monotonic()
        if not self._args.streams or now < self._next:
            return
        self._next = now + self._args.profile_period / 1e3
        self._write_tables(
            list(records), lambda name, data: write_file(self._directory / name, data, "a profile")
        )

    def write(self, records: Sequence[Record]) -> None:
        """Writes all files; to be called at the end."""
        if not self._args.profiles:
            return

        def write(name: str, data: bytes) -> None:
            profiles.replace_file(self._directory, name, data)

        if STATS in self._args.profiles:
            for record in self._chosen(records):
                place = record.place
                text = opstats.stats_text(self._program, record, self._operators_of(record))
                write(
                    f"aic-profiling-program-0-activation-{place.activation}-inf-{place.number}.txt",
                    text.encode(),
                )
        self._write_tables(records, write)

    def _write_tables(self, records: Sequence[Record], write: Write) -> None:
        chosen = self._chosen(records)
        for activation in range(self._args.num_activations):
            own = [record for record in chosen if record.place.activation == activation]
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

    def _chosen(self, records: Sequence[Record]) -> list[Record]:
        """Those of each activation that the options mean, in order."""
        args = self._args
        first = args.profile_delay / 1e3
        length = math.inf if args.profile_duration is None else args.profile_duration / 1e3
        step = SAMPLING[args.profile_rate]
        left = dict.fromkeys(range(args.num_activations), args.profile_samples)
        chosen = []
        for record in sorted(records, key=lambda record: record.place.index):
            number = record.place.number - args.profile_start
            if number < 0 or number % step or not first <= record.start < first + length:
                continue
            if left[record.place.activation] > 0:
                left[record.place.activation] -= 1
                chosen.append(record)
        return chosen

    def _operators_of(self, record: Record) -> Sequence[opstats.Operator] | str:
        """Once for each feed: the same inputs take the same operators."""
        feed = record.place.index % len(self._feeds)
        if feed not in self._operators:
            try:
                self._operators[feed] = opstats.operators(self._session, self._feeds[feed].inputs)
            except UnsupportedError as error:
                self._operators[feed] = str(error)
        return self._operators[feed]
