"""The command line of `python -m qaickit.loadgen`: flags, their checks and their help."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import NoReturn, TypeVar

from qaickit._text import did_you_mean, nearest
from qaickit.loadgen.scenarios import Mode, Scenario

__all__ = ["BUILT_IN", "build_parser", "parse"]

BUILT_IN = "builtin"

_Choice = TypeVar("_Choice", bound=Enum)

_DESCRIPTION = """\
Run an MLPerf LoadGen test of a model. Without any flag: the Offline scenario on the small model
'digits', a few seconds, nothing to download.
"""

_EPILOG = """\
which setting holds
  flags, then user.conf, then mlperf.conf, then quick defaults of our own (about 5 seconds, and as
  many queries as early stopping wants). The quick defaults hold only where neither --user-conf nor
  --mlperf-conf is given; with one of them MLPerf's own limits apply, such as 600 seconds.
  A target that no flag and no user.conf gives is measured on the model first, for half a second:
  the rate for Offline, half of it (at most 10,000/s) for Server, the latency for the streams.
  An --audit-config wins over all of them, as LoadGen has it.

exit code
  0 valid, no errors    1 INVALID, LoadGen errors or failed samples
  2 bad flags or input  130 interrupted (143 by SIGTERM)

files in the output directory
  mlperf_log_summary.txt, mlperf_log_detail.txt, mlperf_log_accuracy.json   LoadGen's own logs
  accuracy.txt   top-1, of --mode accuracy and submission    user.conf   the one that was used

examples
  python -m qaickit.loadgen
  python -m qaickit.loadgen --mode accuracy --scenario SingleStream
  python -m qaickit.loadgen --model resnet50.onnx --scenario Server --target-qps 99 --plot run.svg
  python -m qaickit.loadgen --model qpc/programqpc.bin --model-name resnet50 \\
      --user-conf user.conf --dataset images.npz --workload classification --output-dir run_1
"""


class _Parser(argparse.ArgumentParser):
    """Names the nearest flag where one is not known."""

    def fail_unknown(self, words: Sequence[str]) -> NoReturn:
        word = words[0].partition("=")[0]
        if not word.startswith("-"):
            self.error(f"unexpected argument '{word}'")
        self.error(f"unknown flag {word}{did_you_mean(word, self._option_string_actions)}")


def _of_enum(kind: type[_Choice]) -> Callable[[str], _Choice]:
    by_word = {str(member.value).lower(): member for member in kind}

    def convert(text: str) -> _Choice:
        word = text.lower().replace("-", "").replace("_", "")
        if word in by_word:
            return by_word[word]
        found = nearest(word, by_word)
        hint = "" if found is None else f"; did you mean '{by_word[found].value}'?"
        names = ", ".join(str(member.value) for member in kind)
        raise argparse.ArgumentTypeError(f"expected one of {names}, got '{text}'{hint}")

    return convert


def _number(
    text: str, kind: Callable[[str], float], low: float, expects: str, high: float = math.inf
) -> float:
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if not (low <= value < high):
        raise argparse.ArgumentTypeError(f"expected {expects}, got '{text}'")
    return value


def _positive(text: str) -> float:
    return _number(text, float, math.ulp(0.0), "a number above 0")


def _count(text: str) -> int:
    return int(_number(text, int, 1, "an integer of at least 1"))


def _size(text: str) -> int:
    return int(_number(text, int, 1, "an integer from 1 to 2147483647", 2**31))


def _milliseconds(text: str) -> float:
    return _number(text, float, math.ulp(0.0), "milliseconds, above 0 and below 1e12", 1e12)


def _whole(text: str) -> int:
    return int(_number(text, int, 0, "an integer from 0 to 2147483647", 2**31))


def _ids(text: str) -> list[int]:
    return [_whole(word) for word in text.split(",")]


def _setting(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, got '{text}'")
    return name.strip(), value.strip()


def _symbol(text: str) -> tuple[str, int]:
    name, value = _setting(text)
    return name, _count(value)


def _conf(text: str) -> Path | str:
    return BUILT_IN if text.lower() == BUILT_IN else Path(text)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = _Parser(
        prog="python -m qaickit.loadgen",
        usage="python -m qaickit.loadgen [flags]; --help lists them",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_test(parser.add_argument_group("test").add_argument)
    _add_confs(parser.add_argument_group("configuration files of MLPerf").add_argument)
    _add_model(parser.add_argument_group("model and samples").add_argument)
    _add_device(parser.add_argument_group("device").add_argument)
    _add_output(parser.add_argument_group("output").add_argument)
    return parser


_Add = Callable[..., argparse.Action]


def _add_test(add: _Add) -> None:
    scenarios = "|".join(scenario.value for scenario in Scenario)
    modes = "|".join(mode.value for mode in Mode)
    add(
        "--scenario",
        type=_of_enum(Scenario),
        default=Scenario.OFFLINE,
        metavar="NAME",
        help=f"{scenarios}, in any case (default Offline)",
    )
    add(
        "--mode",
        type=_of_enum(Mode),
        default=Mode.PERFORMANCE,
        metavar="NAME",
        help=f"{modes}; submission is accuracy, then performance (default performance)",
    )
    add("--target-qps", type=_positive, metavar="N", help="Offline, Server: samples a second")
    add(
        "--target-latency",
        type=_milliseconds,
        metavar="MS",
        help="Server: bound on the 99th percentile; SingleStream, MultiStream: what a query is "
        "expected to take, no more than it really takes",
    )
    add(
        "--count",
        type=_count,
        metavar="N",
        help="issue N queries (Offline: one query of N samples) and stop there, or after the "
        "millisecond that LoadGen takes at the least; --min-duration or a conf file make it longer",
    )
    add("--min-duration", type=_positive, metavar="S", help="at least this many seconds")
    add(
        "--performance-sample-count",
        type=_count,
        metavar="N",
        help="samples that are in memory in a performance test (default all of the dataset)",
    )
    add(
        "--harness",
        choices=("native", "python"),
        default="native",
        help="native has no Python in the timed path; python goes through mlperf_loadgen",
    )


def _add_confs(add: _Add) -> None:
    add("--user-conf", type=Path, metavar="FILE", help="MLPerf's user.conf; checked before use")
    add(
        "--mlperf-conf",
        type=_conf,
        metavar="FILE",
        help="over the mlperf.conf inside LoadGen, whose seeds hold in any case; "
        f"'{BUILT_IN}' means that one alone",
    )
    add(
        "--audit-config",
        type=Path,
        metavar="FILE",
        help="audit.config of a compliance test (TEST01, TEST04), over everything else",
    )
    add(
        "--model-name",
        metavar="NAME",
        help="the model's section in conf files, such as resnet50 (default the model's name)",
    )


def _add_model(add: _Add) -> None:
    add(
        "--model",
        default="digits",
        metavar="NAME|PATH",
        help="a model of python -m qaickit.models, an .onnx file or a QPC (default digits)",
    )
    add(
        "--max-batchsize",
        type=_size,
        metavar="N",
        help="samples in one inference: what an ONNX model is compiled for (default 8 for Offline, "
        "else 1); of a QPC at most its own",
    )
    add("--max-wait-us", type=_whole, metavar="US", help="how long a part-filled batch waits")
    add(
        "--onnx-define-symbol",
        type=_symbol,
        action="append",
        default=[],
        metavar="NAME=SIZE",
        help="size of another symbol in an ONNX model's shapes; may be repeated",
    )
    add("--workload", metavar="NAME", help="classification or raw (default the model's, else raw)")
    add(
        "--dataset",
        metavar="NAME|PATH",
        help="digits, random, a .npz or .npy file or a directory (default the model's, else "
        "random)",
    )


def _add_device(add: _Add) -> None:
    add(
        "--backend",
        default="",
        metavar="NAME",
        help="kind of device; then nothing else is tried (default a card if one is there, else "
        "the CPU)",
    )
    add(
        "--device-id",
        type=_ids,
        action="append",
        default=[],
        metavar="N[,N...]",
        help="devices to use; may be repeated (default 0)",
    )
    add(
        "--device-setting",
        type=_setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of the backend; may be repeated",
    )
    add(
        "--activations",
        type=_size,
        metavar="N",
        help="inferences side by side on each device (default on a CPU: one for each CPU and 1 for "
        "SingleStream; else 1)",
    )
    add("--threads-per-activation", type=_size, metavar="N", help="CPU threads of one inference")
    add(
        "--set-size",
        type=_size,
        metavar="N",
        help="inferences in flight of each activation of a card (default 10)",
    )


def _add_output(add: _Add) -> None:
    add(
        "--output-dir",
        type=Path,
        metavar="DIR",
        help="for LoadGen's logs; made if need be (default loadgen-results/MODEL-SCENARIO-MODE, "
        "numbered where that holds a result)",
    )
    add("--overwrite", action="store_true", help="replace an earlier result there")
    add(
        "--plot",
        metavar="FILE",
        help="draw the latencies by percentile and the batch sizes into a .png, .svg or .pdf file",
    )
    add("--json", metavar="FILE", help="write the result as JSON; '-' is the standard output")
    add("--quiet", action="store_true", help="no progress, and one line in place of the table")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line. Ends the process with code 2, and a message, where it is wrong."""
    parser = build_parser()
    args, unknown = parser.parse_known_args(argv)
    if unknown and isinstance(parser, _Parser):
        parser.fail_unknown(unknown)
    return args
