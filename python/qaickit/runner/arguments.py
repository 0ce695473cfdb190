"""The command line of `qaic-runner`: one table of options, long ones with one dash or two."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from qaickit._text import did_you_mean

PROG = "qaic-runner"
DEFAULT_ITERATIONS = 40

# Profiles by the vendor's names. The streaming ones give the same files, also while it runs.
LATENCY = "latency"
TRACE = "trace"
STATS = "stats"
_STREAM = "_stream"
_RAW = "raw_device_stats"
_PROFILES = (LATENCY, TRACE, STATS, LATENCY + _STREAM, TRACE + _STREAM, _RAW)
# Every so many inferences of a profile are kept.
SAMPLING = {"full": 1, "half": 2, "fourth": 4, "eighth": 8, "sixteenth": 16}


@dataclass(frozen=True)
class Row:
    """An option: its names, and what argparse is told."""

    names: tuple[str, ...]
    help: str
    settings: dict[str, Any] = field(default_factory=dict)

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


class _GivenValue(argparse.Action):
    """Public scripts also write -c alone, beside the option with its value: it changes nothing."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        if values is not None:
            setattr(namespace, self.dest, values)


_COUNT = {"type": _number(1, int), "metavar": "N"}
_PERIOD = {"type": _number(1, float), "metavar": "MS"}
_INDEX = {"type": _number(0, int), "metavar": "N"}
_TIME = {"type": _number(0, float), "metavar": "T"}
_FLAG = {"action": "store_true"}
_PATH = {"metavar": "PATH"}
_PATHS = {"metavar": "PATH", "action": "append", "default": []}

# fmt: off
OPTIONS: tuple[Row, ...] = (
    Row(("-t", "--test-data"), "directory with programqpc.bin, or a QPC",
        {**_PATH, "required": True}),
    Row(("--backend",), "kind of device; not given: $QAICKIT_BACKEND, else a card if one is there, "
        "else the CPU", {"metavar": "NAME"}),
    Row(("-d", "--aic-device-id", "--dev"), "device; not given: the first with room for it",
        {**_INDEX, "dest": "device"}),
    Row(("-D", "--aic-device-map", "--dev-list"), "0,1: the first of these with room for it; 0:1: "
        "a program over several cards", {"metavar": "LIST", "dest": "device_list"}),
    Row(("-i", "--input-file"), "input data, for each input in binding order; none: random",
        _PATHS),
    Row(("-o", "--output-file"), "expected output, for each output in binding order, to compare "
        "all inferences with", _PATHS),
    Row(("-c", "--aic-batch-json-input"), "JSON file that lists the buffers of each inference",
        {**_PATH, "nargs": "?", "dest": "batch_json", "action": _GivenValue}),
    Row(("--aic-batch-input-directory",), "every file in it is the input of one inference",
        {**_PATH, "dest": "batch_directory"}),
    Row(("--aic-batch-input-file-list",), "each line has the comma-separated files of one "
        "inference", {**_PATH, "dest": "batch_list"}),
    Row(("--aic-batch-max-memory",), "MB of input files to load beforehand; those beyond are read "
        "whenever they are used (1024)", {**_COUNT, "default": 1024, "dest": "max_memory"}),
    Row(("--auto-batch-input",), "1: inputs for batch size 1 are stacked (1)",
        {"type": int, "choices": (0, 1), "default": 1}),
    Row(("-n", "--num-iter"), f"inferences ({DEFAULT_ITERATIONS}, or one for each batch input)",
        _INDEX),
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
    Row(("--write-output-start-iter",), "first inference of each activation whose outputs are "
        "written (0)", _INDEX),
    Row(("--write-output-num-samples",), "number of inferences of each activation whose outputs "
        "are written (1)", _COUNT),
    Row(("--dump-input-buffers",), "write the inputs that are loaded there too", _FLAG),
    Row(("--unbound-random",), "random inputs of any bytes", _FLAG),
    Row(("--bound-random",), "random inputs in range (the default)", _FLAG),
    Row(("--aic-profiling-type", "--aic-profiling-format"), "profile to write, for each "
        "activation; can be given again",
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
    Row(("--aic-profiling-reporting-rate",), "milliseconds after which the files of a streaming "
        "profile are written anew (500)", {**_PERIOD, "default": 500.0, "dest": "profile_period"}),
    Row(("-l", "--live-reporting"), "tell how far it is while it runs", _FLAG),
    Row(("-r", "--live-reporting-period"), "milliseconds between reports (1000)",
        {**_PERIOD, "default": 1000.0, "dest": "live_period"}),
    Row(("-s", "--stats"), "tell the latencies while it runs", _FLAG),
    Row(("-p", "--pre-post-processing"), "off: buffers as the card has them, after the last stage "
        "of pre-processing and before the first of post-processing (on)",
        {"choices": ("on", "off"), "default": "on"}),
    Row(("--aic-lib-path",), "the vendor's library; as the variable QAIC_LIB", _PATH),
    Row(("-v", "--verbose"), "tell what it runs on", _FLAG),
)
# fmt: on


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Checked arguments, with `warnings`: texts about options that are unknown or do nothing.

    Public scripts pass tuning flags of many versions, so an unknown option is no error.
    """
    parser = argparse.ArgumentParser(
        prog=PROG,
        usage="%(prog)s -t DIRECTORY [options]; --help lists them",
        description="Run a QPC over and over, on any device.",
        allow_abbrev=False,
        epilog="Long options may also be written with one dash.",
    )
    for row in OPTIONS:
        parser.add_argument(*row.names, help=row.help, **row.settings)
    args, left = parser.parse_known_args(_with_two_dashes(argv))
    args.warnings = _unknown(parser, left)
    _refuse_pairs(parser, args)
    if args.num_iter == 0:
        print("--num-iter 0 is less than the least, which is taken: 1")
        args.num_iter = 1
    if _RAW in args.profiles:
        args.warnings.append(f"profile '{_RAW}': {_NO_RAW}; none is written")
    args.streams = any(name.endswith(_STREAM) for name in args.profiles)
    names = dict.fromkeys(name.removesuffix(_STREAM) for name in args.profiles if name != _RAW)
    args.profiles = list(names)
    return args


_VENDORS = "aic-"
_NO_RAW = "it is the card firmware's own counters, in a form that is not public"


def _unknown(parser: argparse.ArgumentParser, left: Sequence[str]) -> list[str]:
    """Warnings about options that are not known, each with the words that seem to be its values.

    A word that follows none is a mistake in the usage.
    """
    known = [name for row in OPTIONS for name in row.names]
    groups: list[list[str]] = []
    for word in left:
        if word.startswith("-"):
            groups.append([word])
        elif not word.strip():
            continue  # an empty word between options is common in scripts
        elif groups:
            groups[-1].append(word)
        else:
            parser.error(f"{word!r} is no option")
    return [
        f"{' '.join(group)}: unknown, and ignored"
        + did_you_mean("--" + group[0].lstrip("-").partition("=")[0], known)
        for group in groups
    ]


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
            elif name.startswith(_VENDORS):  # an unknown one, not -a with a value
                word = f"--{name}{equals}{value}"
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
