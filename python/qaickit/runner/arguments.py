"""The command line of `qaic-runner`: one table of options, long ones with one dash or two."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

PROG = "qaic-runner"
DEFAULT_ITERATIONS = 40

# Profiles that can be made here, by the vendor's names; the streaming ones give the same files.
LATENCY = "latency"
TRACE = "trace"
_STREAM = "_stream"
_PROFILES = (
    LATENCY, TRACE, LATENCY + _STREAM, TRACE + _STREAM, "stats", "raw_device_stats",
)  # fmt: skip
# Every so many inferences of a profile are kept.
SAMPLING = {"full": 1, "half": 2, "fourth": 4, "eighth": 8, "sixteenth": 16}


@dataclass(frozen=True)
class Row:
    """An option: its names, what argparse is told, and why it does nothing here, if so."""

    names: tuple[str, ...]
    help: str
    settings: dict[str, Any] = field(default_factory=dict)
    no_effect: str = ""

    @property
    def dest(self) -> str:
        """The name of the attribute that the value ends up in."""
        long = next(name for name in self.names if name.startswith("--"))
        return str(self.settings.get("dest", long[2:].replace("-", "_")))


def _number(low: float, kind: type) -> Any:
    what = "an integer" if kind is int else "a number"

    def convert(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value < math.inf:
            raise argparse.ArgumentTypeError(f"expected {what} of at least {low:g}, got {text!r}")
        return value

    return convert


_COUNT = {"type": _number(1, int), "metavar": "N"}
_INDEX = {"type": _number(0, int), "metavar": "N"}
_TIME = {"type": _number(0, float), "metavar": "T"}
_FLAG = {"action": "store_true"}
_PATH = {"metavar": "PATH"}
_PATHS = {"metavar": "PATH", "action": "append", "default": []}

_NO_LIVE = "there are no live reports here; the rate is printed at the end"
_ALL_STAGES = "all stages of pre- and post-processing are run"

# fmt: off
OPTIONS: tuple[Row, ...] = (
    Row(("-t", "--test-data"), "directory with programqpc.bin, or a QPC",
        {**_PATH, "required": True}),
    Row(("--backend",), "kind of device; not given: $QAICKIT_BACKEND, else a card if one is there, "
        "else the CPU", {"metavar": "NAME"}),
    Row(("-d", "--aic-device-id", "--dev"), "device (0)", {**_INDEX, "dest": "device"}),
    Row(("-D", "--aic-device-map", "--dev-list"), "devices; the first of a comma-separated list is "
        "taken", {"metavar": "LIST", "dest": "device_list"}),
    Row(("-i", "--input-file"), "input data, for each input in binding order; none: random",
        _PATHS),
    Row(("-o", "--output-file"), "expected output of inference 0, for each output in binding "
        "order, to compare with", _PATHS),
    # Also without a value in public scripts, where it changes nothing.
    Row(("-c", "--aic-batch-json-input"), "JSON file that lists the buffers of each inference",
        {**_PATH, "nargs": "?", "dest": "batch_json"}),
    Row(("--aic-batch-input-directory",), "every file in it is the input of one inference",
        {**_PATH, "dest": "batch_directory"}),
    Row(("--aic-batch-input-file-list",), "each line has the comma-separated files of one "
        "inference", {**_PATH, "dest": "batch_list"}),
    Row(("--aic-batch-max-memory",), "MB for input files", _COUNT,
        "input files are mapped, which needs no limit"),
    Row(("--auto-batch-input",), "1: inputs for batch size 1 are stacked (1)",
        {"type": int, "choices": (0, 1), "default": 1}),
    Row(("-n", "--num-iter"), f"inferences ({DEFAULT_ITERATIONS}, or one for each batch input)",
        _COUNT),
    Row(("--time",), "seconds to submit inferences for", _TIME),
    Row(("-a", "--aic-num-of-activations"), "activations (1)",
        {**_COUNT, "default": 1, "dest": "num_activations"}),
    Row(("-S", "--set-size"), "inferences in flight of each activation (10)",
        {**_COUNT, "default": 10}),
    Row(("-T", "--aic-threads-per-queue"), "threads of each queue of a card",
        {**_COUNT, "dest": "threads_per_queue"}),
    Row(("--submit-timeout",), "milliseconds to wait for a card",
        {**_INDEX, "dest": "submit_retry_timeout_ms"}),
    Row(("--submit-retry-count",), "waits for a card before giving up",
        {**_INDEX, "dest": "submit_num_retries"}),
    Row(("--write-output-dir",), "existing directory for output files", _PATH),
    Row(("--write-output-start-iter",), "first inference whose outputs are written (0)", _INDEX),
    Row(("--write-output-num-samples",), "number of inferences whose outputs are written (1)",
        _COUNT),
    Row(("--dump-input-buffers",), "write the first inference's inputs there too", _FLAG),
    Row(("--unbound-random",), "random inputs of any bytes", _FLAG),
    Row(("--bound-random",), "random inputs in range (the default)", _FLAG),
    Row(("--aic-profiling-type", "--aic-profiling-format"), "profile to write: latency or trace",
        {"choices": _PROFILES, "action": "append", "default": [], "dest": "profiles"}),
    Row(("--aic-profiling-out-dir",), "existing directory for profiles (.)",
        {**_PATH, "default": ".", "dest": "profile_dir"}),
    Row(("--aic-profiling-start-iter",), "first inference of a profile (0)",
        {**_INDEX, "default": 0, "dest": "profile_start"}),
    Row(("--aic-profiling-start-delay",), "milliseconds before a profile begins",
        {**_TIME, "default": 0.0, "dest": "profile_delay"}),
    Row(("--aic-profiling-num-samples",), "number of inferences in a profile (1)",
        {**_COUNT, "default": 1, "dest": "profile_samples"}),
    Row(("--aic-profiling-duration",), "milliseconds that a profile covers",
        {**_TIME, "dest": "profile_duration"}),
    Row(("--aic-profiling-sampling-rate",), "share of the inferences in a profile (full)",
        {"choices": tuple(SAMPLING), "default": "full", "dest": "profile_rate"}),
    Row(("--aic-profiling-reporting-rate",), "milliseconds between reports", _COUNT,
        "a profile is written once, at the end"),
    Row(("-l", "--live-reporting"), "report while running", _FLAG, _NO_LIVE),
    Row(("-r", "--live-reporting-period"), "milliseconds between such reports", _COUNT, _NO_LIVE),
    Row(("-s", "--stats"), "report statistics while running", _FLAG, _NO_LIVE),
    Row(("-p", "--pre-post-processing"), "on or off", {"choices": ("on", "off")}, _ALL_STAGES),
    Row(("--aic-lib-path",), "the vendor's library; as the variable QAIC_LIB", _PATH),
    Row(("-v", "--verbose"), "tell what it runs on", _FLAG),
)
# fmt: on


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Checked arguments, with `warnings`: texts about options that do nothing here."""
    parser = argparse.ArgumentParser(
        prog=PROG,
        description="Run a QPC over and over, on any device.",
        allow_abbrev=False,
        epilog="Long options may also be written with one dash.",
    )
    for row in OPTIONS:
        parser.add_argument(*row.names, help=row.help, **row.settings)
    args = parser.parse_args(_with_two_dashes(argv))
    _refuse_pairs(parser, args)
    args.warnings = [
        f"{row.names[-1]} has no effect: {row.no_effect}"
        for row in OPTIONS
        if row.no_effect and getattr(args, row.dest) not in (None, False, "on")
    ]
    args.profiles = list(dict.fromkeys(name.removesuffix(_STREAM) for name in args.profiles))
    for name in [name for name in args.profiles if name not in (LATENCY, TRACE)]:
        args.profiles.remove(name)
        args.warnings.append(f"profile '{name}': only a card has such statistics; none is written")
    return args


def _with_two_dashes(argv: Sequence[str]) -> list[str]:
    """Long options with one dash become the usual ones, also when cut short, as by getopt."""
    longs = [name[2:] for row in OPTIONS for name in row.names if name.startswith("--")]
    words = []
    for word in argv:
        name, equals, value = word.lstrip("-").partition("=")
        dashes = len(word) - len(word.lstrip("-"))
        if dashes in (1, 2) and len(name) > 1:
            matches = [name] if name in longs else [long for long in longs if long.startswith(name)]
            if len(matches) == 1:
                word = f"--{matches[0]}{equals}{value}"
        words.append(word)
    return words


_EXCLUSIVE = (
    ("num_iter", "time"),
    ("device", "device_list"),
    ("bound_random", "unbound_random"),
    ("input_file", "batch_json"),
    ("input_file", "batch_directory"),
    ("input_file", "batch_list"),
    ("batch_json", "batch_directory"),
    ("batch_json", "batch_list"),
    ("batch_directory", "batch_list"),
)


def _refuse_pairs(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    names = {row.dest: row.names[-1] for row in OPTIONS}
    for one, other in _EXCLUSIVE:
        if getattr(args, one) not in (None, False, []) and getattr(args, other) not in (
            None, False, [],
        ):  # fmt: skip
            parser.error(f"{names[one]} and {names[other]} exclude each other; give one of them")
