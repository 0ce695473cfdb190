"""The command line of `qaic-runner`: one table of options, long ones with one dash or two."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
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
    # Counts go into 32 bits.
    high, what = (
        (2**31, f"an integer from {low:g} to {2**31 - 1}")
        if kind is int
        else (math.inf, f"a number of at least {low:g}")
    )

    def convert(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value < high:
            raise argparse.ArgumentTypeError(f"expected {what}, got {text!r}")
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

_DESCRIPTION = """\
Run a QPC over and over on any device, and tell how many inferences it did in a second. Options,
files and lines are those of the vendor's tool; long options may be written with one dash.
"""
_EPILOG = """\
what is written where
  OUT/NAME-activation-A-inf-N.bin         output NAME of inference N of activation A, raw
  PROF/aic-profiling-program-A-latency.txt   latencies of activation A in microseconds, as CSV
  PROF/aic-profiling-program-A-trace.json    for chrome://tracing or Perfetto
  PROF/aic-profiling-program-0-activation-A-inf-N.txt   stages and operators of one inference
  Inferences are counted for each activation: activation a of A runs a, a + A, a + 2A and so on.
  Inf/Sec counts samples: inferences x batch size / seconds.

exit code
  0 done    1 an error, or outputs that differ from those expected (by over 1e-3 + 1e-2 |expected|)
  2 wrong usage    130 after Ctrl-C, 143 after SIGTERM; what was finished is kept and told

examples
  qaic-runner -t qpc -n 1000 -a 4
  qaic-runner -t qpc -i image.raw --write-output-dir out
  qaic-runner -t qpc -a 2 --time 20 --aic-profiling-type latency --aic-profiling-num-samples 10000
  qaic-runner -t qpc --backend cpu --time 5 --plot latency.svg
"""

# fmt: off
GROUPS: Mapping[str, tuple[Row, ...]] = {
    "program and device": (
        Row(("-t", "--test-data"), "directory with programqpc.bin, or a QPC",
            {**_PATH, "required": True}),
        Row(("--backend",), "kind of device (default: $QAICKIT_BACKEND, else a card if one is "
            "there, else the CPU)", {"metavar": "NAME"}),
        Row(("-d", "--aic-device-id", "--dev"), "device (default: the first with room for it)",
            {**_INDEX, "dest": "device"}),
        Row(("-D", "--aic-device-map", "--dev-list"), "0,1: the first of these with room for it; "
            "0:1: a program over several cards", {"metavar": "LIST", "dest": "device_list"}),
        Row(("--aic-lib-path",), "the vendor's library; as the variable QAIC_LIB", _PATH),
    ),
    "how much to run": (
        Row(("-n", "--num-iter"), f"inferences (default: {DEFAULT_ITERATIONS}, or one for each "
            "batch input)", _INDEX),
        Row(("--time",), "submit inferences for so many seconds instead",
            {"type": _number(0.001, float), "metavar": "SECONDS"}),
        Row(("-a", "--aic-num-of-activations"), "instances side by side (default: 1)",
            {**_COUNT, "default": 1, "dest": "num_activations"}),
        Row(("-S", "--set-size"), "inferences in flight of each activation (default: 10)",
            {**_COUNT, "default": 10}),
        Row(("-T", "--aic-threads-per-queue"), "threads of each queue of a card (default: 4)",
            {**_COUNT, "dest": "threads_per_queue"}),
        Row(("--submit-timeout",), "milliseconds that a card may take to accept an inference "
            "(default: 0, no bound)", {**_INDEX, "dest": "submit_retry_timeout_ms"}),
        Row(("--submit-retry-count",), "how often it is asked again (default: 5)",
            {**_INDEX, "dest": "submit_num_retries"}),
        Row(("-p", "--pre-post-processing"), "off: buffers as the card has them, after the last "
            "stage of pre-processing and before the first of post-processing (default: on)",
            {"choices": ("on", "off"), "default": "on"}),
    ),
    "inputs (default: random, always the same)": (
        Row(("-i", "--input-file"), "raw data, for each input in binding order", _PATHS),
        Row(("-o", "--output-file"), "with -i: expected output, for each output in binding order, "
            "to compare all inferences with", _PATHS),
        Row(("-c", "--aic-batch-json-input"), "JSON file that lists the buffers of each inference",
            {**_PATH, "nargs": "?", "dest": "batch_json", "action": _GivenValue}),
        Row(("--aic-batch-input-directory",), "every file in it is the input of one inference",
            {**_PATH, "dest": "batch_directory"}),
        Row(("--aic-batch-input-file-list",), "each line has the comma-separated files of one "
            "inference", {**_PATH, "dest": "batch_list"}),
        Row(("--aic-batch-max-memory",), "MB of input files to load beforehand; those beyond are "
            "read whenever they are used (default: 1024)",
            {**_COUNT, "default": 1024, "dest": "max_memory"}),
        Row(("--auto-batch-input",), "1: inputs for batch size 1 are stacked (default: 1)",
            {"type": int, "choices": (0, 1), "default": 1}),
        Row(("--bound-random",), "random inputs in range (the default)", _FLAG),
        Row(("--unbound-random",), "random inputs of any bytes", _FLAG),
        Row(("--dump-input-buffers",), "write the inputs beside the outputs", _FLAG),
    ),
    "outputs": (
        Row(("--write-output-dir",), "existing directory for output files (default: here, where "
            "one of the next two is given; else none are written)", _PATH),
        Row(("--write-output-start-iter",), "first inference of each activation whose outputs are "
            "written (default: 0)", _INDEX),
        Row(("--write-output-num-samples",), "number of inferences of each activation whose "
            "outputs are written (default: 1)", _COUNT),
    ),
    "profiles, of each activation": (
        Row(("--aic-profiling-type", "--aic-profiling-format"), "latency, trace or stats; "
            "latency_stream and trace_stream are written anew while it runs; can be given again",
            {"choices": _PROFILES, "action": "append", "default": [], "dest": "profiles",
             "metavar": "TYPE"}),
        Row(("--aic-profiling-out-dir",), "existing directory for them (default: here)",
            {**_PATH, "default": ".", "dest": "profile_dir"}),
        Row(("--aic-profiling-start-iter",), "first inference (default: 0)",
            {**_INDEX, "default": 0, "dest": "profile_start"}),
        Row(("--aic-profiling-num-samples",), "number of inferences (default: 1)",
            {**_COUNT, "default": 1, "dest": "profile_samples"}),
        Row(("--aic-profiling-start-delay",), "milliseconds before they begin (default: 0)",
            {**_TIME, "default": 0.0, "dest": "profile_delay"}),
        Row(("--aic-profiling-duration",), "milliseconds that they cover (default: all)",
            {**_TIME, "dest": "profile_duration"}),
        Row(("--aic-profiling-sampling-rate",), f"share of the inferences: {', '.join(SAMPLING)} "
            "(default: full)", {"choices": tuple(SAMPLING), "default": "full",
                                "dest": "profile_rate", "metavar": "SHARE"}),
        Row(("--aic-profiling-reporting-rate",), "milliseconds after which streaming ones are "
            "written anew (default: 500)",
            {**_PERIOD, "default": 500.0, "dest": "profile_period"}),
    ),
    "what to show": (
        Row(("-l", "--live-reporting"), "tell how far it is while it runs", _FLAG),
        Row(("-s", "--stats"), "tell the latencies while it runs", _FLAG),
        Row(("-r", "--live-reporting-period"), "milliseconds between reports (default: 1000)",
            {**_PERIOD, "default": 1000.0, "dest": "live_period"}),
        Row(("--plot",), "draw the latencies and stages of all inferences into a .png, .svg or "
            ".pdf file", {"metavar": "FILE"}),
        Row(("-v", "--verbose"), "tell what it runs on", _FLAG),
    ),
}
# fmt: on
OPTIONS: tuple[Row, ...] = tuple(row for rows in GROUPS.values() for row in rows)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Checked arguments, with `warnings`: texts about options that are unknown or do nothing.

    Public scripts pass tuning flags of many versions, so an unknown option is no error.
    """
    parser = argparse.ArgumentParser(
        prog=PROG,
        usage="%(prog)s -t DIRECTORY [options]; --help lists them",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        epilog=_EPILOG,
    )
    for title, rows in GROUPS.items():
        group = parser.add_argument_group(title)
        for row in rows:
            group.add_argument(*row.names, help=row.help, **row.settings)
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


# The first is nothing without one of the others.
_NEEDS = (("output_file", ("input_file",)),)
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
    given = {row.dest for row in OPTIONS if getattr(args, row.dest) not in (None, False, [])}
    for one, other in _EXCLUSIVE:
        if {one, other} <= given:
            parser.error(f"{names[one]} and {names[other]} exclude each other; give one of them")
    for one, others in _NEEDS:
        if one in given and not given.intersection(others):
            parser.error(f"{names[one]} goes with {' or '.join(names[name] for name in others)}")
