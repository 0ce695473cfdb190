"""Checks MLPerf's configuration files before LoadGen reads them.

LoadGen drops what it does not understand without a word: `key=value` without blanks sets nothing,
one comment after a value makes it refuse the whole file, and `1.5e3` becomes 1 where an integer is
wanted. `read_conf` finds all of that first, and looks settings up the way LoadGen does.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from qaickit._text import nearest
from qaickit.errors import InvalidArgumentError, NotFoundError, PermissionDeniedError
from qaickit.loadgen.scenarios import Mode, Scenario

__all__ = [
    "ANY",
    "LOADGEN_MODELS",
    "Conf",
    "ConfError",
    "ConfProblem",
    "check_audit",
    "check_conf_text",
    "check_issue_same",
    "read_conf",
]

ANY = "*"

SCENARIO_NAMES = tuple(scenario.value for scenario in Scenario)

# The sections of the mlperf.conf inside LoadGen 6.0.
LOADGEN_MODELS = (
    "resnet50",
    "retinanet",
    "bert",
    "3d-unet",
    "deepseek-r1",
    "deepseek-r1-interactive",
    "dlrm",
    "dlrm-v2",
    "dlrm-v3",
    "gpt-oss-120b",
    "gpt-oss-120b-interactive",
    "gptj",
    "llama2-70b",
    "llama2-70b-interactive",
    "llama3_1-405b",
    "llama3_1-405b-interactive",
    "llama3_1-8b",
    "llama3_1-8b-edge",
    "llama3_1-8b-interactive",
    "mixtral-8x7b",
    "pointpainting",
    "qwen3-vl-235b-a22b",
    "rgat",
    "rnnt",
    "ssd-mobilenet",
    "stable-diffusion-xl",
    "wan-2.2-t2v-a14b",
    "whisper",
    "yolo",
)

_ALL = frozenset(SCENARIO_NAMES)
_STREAMS = frozenset({"SingleStream", "MultiStream"})
_SERVER = frozenset({"Server"})
_MAX_DIGITS = 100  # of a number that could be in any range; Python refuses to read thousands


class _Key(NamedTuple):
    """What LoadGen does with one key of a user.conf."""

    scenarios: frozenset[str] = _ALL
    integer_in: frozenset[str] = _ALL
    low: float = 0
    low_excluded: bool = False
    high: float = math.inf
    high_excluded: bool = False


_COUNT = _Key()
_FLAG = _Key(high=1)
_TOKENS = _Key(scenarios=_SERVER)

KEYS: Mapping[str, _Key] = {
    "target_latency": _Key(_STREAMS | _SERVER, integer_in=_SERVER, low_excluded=True),
    "target_qps": _Key(frozenset({"Server", "Offline"}), frozenset(), low_excluded=True),
    "target_latency_percentile": _Key(
        _STREAMS | _SERVER, frozenset(), low_excluded=True, high=100, high_excluded=True
    ),
    "samples_per_query": _Key(frozenset({"MultiStream"}), low=1),
    "coalesce_queries": _Key(_SERVER, high=1),
    "max_async_queries": _Key(_SERVER, high=2**31 - 1),
    "min_duration": _COUNT,
    "max_duration": _COUNT,
    "min_query_count": _COUNT,
    "max_query_count": _COUNT,
    # LoadGen makes room for so many at once, and ends the process where it cannot.
    "performance_sample_count_override": _Key(high=2**31 - 1),
    "accuracy_sample_count_override": _Key(high=2**31 - 1),
    "performance_issue_unique": _FLAG,
    "performance_issue_same": _FLAG,
    "performance_issue_same_index": _COUNT,
    "sample_concatenate_permutation": _FLAG,
    "print_timestamps": _FLAG,
    "accuracy_log_rng_seed": _COUNT,
    "accuracy_log_sampling_target": _COUNT,
    "use_token_latencies": _FLAG,
    "infer_token_latencies": _FLAG,
    "token_latency_scaling_factor": _COUNT,
    "ttft_latency": _TOKENS,
    "tpot_latency": _TOKENS,
}

# Read from the mlperf.conf inside LoadGen only: a user.conf cannot set them.
BUILT_IN_ONLY = frozenset(
    {
        "qsl_rng_seed",
        "sample_index_rng_seed",
        "schedule_rng_seed",
        "accuracy_log_probability",
        "test05",
        "test05_qsl_rng_seed",
        "test05_sample_index_rng_seed",
        "test05_schedule_rng_seed",
    }
)

_UINT64_MAX = 2**64 - 1
# LoadGen reads words with std::istream, which knows these blanks and no others.
_BLANKS = re.compile(r"[ \t\n\v\f\r]+")
_INTEGER = re.compile(r"[+-]?(0[xX][0-9a-fA-F]+|[0-9]+)")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class ConfProblem:
    """One line that LoadGen would drop or misread."""

    path: str
    line: int
    what: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}; {self.instead}"


class ConfError(InvalidArgumentError):
    """A file has lines that LoadGen would drop or misread; `problems` has all of them."""

    def __init__(self, problems: Iterable[ConfProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass(frozen=True)
class Conf:
    """The settings of one file, by LoadGen's full key `model.scenario.key`."""

    path: str
    entries: Mapping[str, str] = field(default_factory=dict)

    def find(self, model: str, scenario: str, key: str) -> str | None:
        """Return the value that LoadGen would take, as text; None where the file has none."""
        for section in (
            f"{model}.{scenario}",
            f"{ANY}.{scenario}",
            f"{model}.{ANY}",
            f"{ANY}.{ANY}",
        ):
            if (found := self.entries.get(f"{section}.{key}")) is not None:
                return found
        return None


class _Line(NamedTuple):
    number: int
    key: str
    value: str


def _nearest(word: str, known: Iterable[str]) -> str | None:
    by_lower = {name.lower(): name for name in known}
    found = nearest(word.lower(), by_lower)
    return None if found is None else by_lower[found]


def _write_nearest(word: str, known: Iterable[str], otherwise: str) -> str:
    found = _nearest(word, known)
    return f"write '{found}'" if found else otherwise


def _plain(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else repr(number)


class _Checker:
    """Reads one file; `strict` also checks names and values, not just the grammar."""

    def __init__(self, path: str, models: Iterable[str], strict: bool) -> None:
        self.path = path
        self.models = tuple(dict.fromkeys(models))
        self.strict = strict
        self.problems: list[ConfProblem] = []

    def add(self, line: int, what: str, instead: str) -> None:
        self.problems.append(ConfProblem(self.path, line, what, instead))

    def read(self, text: str) -> dict[str, str]:
        entries: dict[str, str] = {}
        seen_at: dict[str, int] = {}
        for line in self._settings(text):
            if self.strict:
                self._check_setting(line)
                if line.key in seen_at:
                    self.add(
                        line.number,
                        f"'{line.key}' is set again and line {seen_at[line.key]} has no effect",
                        "keep one of the two",
                    )
            seen_at[line.key] = line.number
            entries[line.key] = line.value
        return entries

    def _settings(self, text: str) -> Iterator[_Line]:
        for number, raw in enumerate(text.split("\n"), start=1):
            words = [word for word in _BLANKS.split(raw) if word]
            if words and words[0] != "#":
                setting = self._grammar(number, words)
                if setting is not None:
                    yield setting

    def _grammar(self, number: int, words: list[str]) -> _Line | None:
        """Return the setting of a line, or None after naming what is wrong with it."""
        first = words[0]
        if first.startswith("\ufeff"):
            self.add(
                number, "the file starts with a byte-order mark", "save it as UTF-8 without one"
            )
            words = [first.lstrip("\ufeff"), *words[1:]]
            first = words[0]
        if first.startswith("#"):
            self.add(
                number,
                f"'{first}' is read as a key, not as a comment",
                f"write '# {' '.join([first.lstrip('#'), *words[1:]]).strip()}'",
            )
            return None
        if "=" in first or (len(words) > 1 and "=" in words[1] and words[1] != "="):
            self.add(number, *self._unspaced(" ".join(words)))
            return None
        if len(words) == 1 or words[1] != "=":
            self.add(
                number,
                f"expected '=' after '{first}', got {self._got(words[1:])}",
                "write 'model.scenario.key = value'",
            )
            return None
        return self._value(number, first, words[2:])

    @staticmethod
    def _got(words: list[str]) -> str:
        return f"'{words[0]}'" if words else "the end of the line"

    @staticmethod
    def _unspaced(joined: str) -> tuple[str, str]:
        key, _, value = joined.partition("=")
        key, value = key.strip(), (value.split() or ["VALUE"])[0]
        if not joined.isascii():
            return (
                "there is a character beyond ASCII, perhaps a blank that LoadGen does not know",
                f"write '{key} = {value}' with plain blanks",
            )
        return "no blanks around '=': LoadGen ignores this line", f"write '{key} = {value}'"

    def _value(self, number: int, key: str, words: list[str]) -> _Line | None:
        if not words:
            self.add(
                number, f"'{key}' has no value: LoadGen ignores this line", f"write '{key} = VALUE'"
            )
            return None
        value, rest = words[0], words[1:]
        if value.startswith("#"):
            self.add(number, f"'{key}' has no value before the comment", f"write '{key} = VALUE'")
            return None
        if rest and rest[0].startswith("#"):
            self.add(
                number,
                "a comment after a value: LoadGen refuses the whole file",
                f"write '{key} = {value}' and put the comment on a line of its own",
            )
            return None
        if rest:
            self.add(
                number,
                f"'{key}' has {len(words)} values and LoadGen takes the last",
                f"write '{key} = {value}'",
            )
            return None
        if not (_INTEGER.fullmatch(value) or _DECIMAL.fullmatch(value)):
            self.add(
                number,
                f"'{value}' is not a number: LoadGen refuses the whole file",
                self._number_instead(key, value),
            )
            return None
        return _Line(number, key, value)

    @staticmethod
    def _number_instead(key: str, value: str) -> str:
        bare = value.strip("'\"").replace(",", "").replace("_", "").rstrip("%")
        words = {"true": "1", "yes": "1", "on": "1", "false": "0", "no": "0", "off": "0"}
        bare = words.get(bare.lower(), bare)
        if _DECIMAL.fullmatch(bare):
            return f"write '{key} = {bare}'"
        return "write an integer or a decimal number; times are in ms"

    def _check_setting(self, line: _Line) -> None:
        parts = line.key.rsplit(".", 2)
        if len(parts) != 3 or not all(parts):
            self.add(
                line.number,
                f"'{line.key}' is not of the form model.scenario.key: LoadGen ignores it",
                f"write '*.*.{parts[-1] or 'KEY'} = {line.value}' for every model and scenario",
            )
            return
        model, scenario, key = parts
        known_model = self._check_model(line, model)
        known_scenario = self._check_scenario(line, scenario)
        if self._check_key(line, key) and known_model and known_scenario:
            self._check_use(line, model, scenario, key)

    def _check_model(self, line: _Line, model: str) -> bool:
        if model == ANY or model in self.models:
            return True
        self.add(
            line.number,
            f"unknown model '{model}': LoadGen ignores this line",
            _write_nearest(model, self.models, f"write '{ANY}' for every model"),
        )
        return False

    def _check_scenario(self, line: _Line, scenario: str) -> bool:
        if scenario == ANY or scenario in _ALL:
            return True
        self.add(
            line.number,
            f"unknown scenario '{scenario}': LoadGen ignores this line",
            _write_nearest(
                scenario, SCENARIO_NAMES, f"write '{ANY}' or one of {', '.join(SCENARIO_NAMES)}"
            ),
        )
        return False

    def _check_key(self, line: _Line, key: str) -> bool:
        if key in KEYS:
            return True
        if key in BUILT_IN_ONLY:
            self.add(
                line.number,
                f"'{key}' is read from LoadGen's built-in mlperf.conf only",
                "remove this line",
            )
        elif key == "mode":
            self.add(line.number, "the mode is set by --mode", "remove this line")
        else:
            self.add(
                line.number,
                f"unknown key '{key}': LoadGen ignores this line",
                _write_nearest(key, KEYS, f"write one of {', '.join(KEYS)}"),
            )
        return False

    def _check_use(self, line: _Line, model: str, scenario: str, key: str) -> None:
        rule = KEYS[key]
        used_in = rule.scenarios if scenario == ANY else rule.scenarios & {scenario}
        if not used_in:
            self.add(
                line.number,
                f"LoadGen does not read '{key}' for {scenario}",
                f"remove this line, or write '{model}.{' or '.join(sorted(rule.scenarios))}.{key}'",
            )
            return
        integer_in = sorted(used_in & rule.integer_in)
        number = self._as_integer(line, key, integer_in) if integer_in else float(self._dec(line))
        if number is not None:
            self._check_range(line, rule, number)

    @staticmethod
    def _dec(line: _Line) -> float:
        if "x" not in line.value.lower():
            return float(line.value)
        number = int(line.value, 16)
        if abs(number) <= _UINT64_MAX:
            return float(number)
        return math.inf if number > 0 else -math.inf

    def _as_integer(self, line: _Line, key: str, integer_in: list[str]) -> float | None:
        value = line.value
        if len(value) > _MAX_DIGITS:
            return -math.inf if value.startswith("-") else math.inf
        if not _INTEGER.fullmatch(value):
            read_as = re.match(r"[+-]?[0-9]*", value)
            digits = read_as.group() if read_as and read_as.group().strip("+-") else "0"
            where = "" if set(integer_in) == _ALL else f" for {' and '.join(integer_in)}"
            exact = min(float(value), _UINT64_MAX)  # of 1e400, too
            self.add(
                line.number,
                f"'{key}' is an integer{where}: LoadGen reads '{value}' as {int(digits)}",
                f"write '{line.key} = {max(1, round(exact)) if exact > 0 else 0}'",
            )
            return None
        digits = value.lstrip("+-")
        if digits.lower().startswith("0x"):
            return int(value, 16)
        if len(digits) > 1 and digits.startswith("0"):
            self.add(
                line.number,
                f"a leading zero makes LoadGen read '{value}' as an octal number",
                f"write '{line.key} = {int(value, 10)}'",
            )
            return None
        return int(value, 10)

    def _check_range(self, line: _Line, rule: _Key, number: float) -> None:
        low_ok = number > rule.low if rule.low_excluded else number >= rule.low
        high = min(rule.high, _UINT64_MAX)
        high_ok = number < high if rule.high_excluded else number <= high
        if low_ok and high_ok:
            return
        low_text = f"{'above' if rule.low_excluded else 'at least'} {_plain(rule.low)}"
        high_text = f" and {'below' if rule.high_excluded else 'at most'} {_plain(high)}"
        self.add(
            line.number,
            f"'{line.value}' is out of range",
            f"write a number {low_text}{high_text if rule.high < math.inf else ''}",
        )


def check_conf_text(
    text: str, path: str, *, models: Iterable[str] = (), strict: bool = True
) -> tuple[Conf, list[ConfProblem]]:
    """Check the text of a configuration file.

    Args:
        text: the file's content.
        path: its name, for messages.
        models: model names that are right besides LoadGen's own.
        strict: also check names and values (user.conf). False checks the grammar only, for an
            mlperf.conf, which holds keys and sections that a user.conf cannot have.

    Returns:
        The settings, and the problems found, in the order of lines.
    """
    checker = _Checker(path, (*models, *LOADGEN_MODELS), strict)
    entries = checker.read(text)
    problems = sorted(checker.problems, key=lambda problem: problem.line)
    return Conf(path, entries), problems


def read_conf(path: Path, *, models: Iterable[str] = (), strict: bool = True) -> Conf:
    """Read and check a configuration file; see `check_conf_text`.

    Raises:
        ConfError: lines that LoadGen would drop or misread, all of them at once.
        NotFoundError: there is no such file.
        PermissionDeniedError: it cannot be read.
        InvalidArgumentError: it is a directory or not text.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise NotFoundError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InvalidArgumentError(f"{path}: expected a file, got a directory") from None
    except PermissionError:
        raise PermissionDeniedError(f"{path}: no permission to read it") from None
    except UnicodeDecodeError:
        raise InvalidArgumentError(f"{path}: expected a text file in UTF-8") from None
    conf, problems = check_conf_text(text, str(path), models=models, strict=strict)
    if problems:
        raise ConfError(problems)
    return conf


# LoadGen's numbers of the modes, in the key `mode`.
_MODES = {"0": Mode.SUBMISSION, "1": Mode.ACCURACY, "2": Mode.PERFORMANCE, "3": Mode.FIND_PEAK}


def check_audit(conf: Conf, scenario: Scenario, mode: Mode) -> None:
    """Refuses an audit.config that would turn the test into one of another mode.

    LoadGen reads it under the model name `*`. Error: InvalidArgumentError.
    """
    text = conf.find(ANY, scenario.value, "mode")
    wanted = mode if text is None else _MODES.get(text)
    if wanted is None:
        raise InvalidArgumentError(f"{conf.path}: mode {text}: expected 0 to 3")
    if wanted is not mode:
        raise InvalidArgumentError(
            f"{conf.path}: it is for mode {text}, which is --mode {wanted.value}, and the test is "
            f"--mode {mode.value}"
        )


def check_issue_same(confs: Sequence[tuple[Conf, str]], scenario: Scenario, samples: int) -> None:
    """Refuses a sample that is not there as the only one to issue: LoadGen would read beyond.

    Args:
        confs: the files that LoadGen reads, with the model's name in each; the winning one first.
        scenario: of the test.
        samples: how many the dataset has.

    Raises:
        InvalidArgumentError: naming the file and the number.
    """

    def find(key: str) -> tuple[str, int] | None:
        for conf, model in confs:
            if (text := conf.find(model, scenario.value, key)) is not None:
                return conf.path, int(text, 16) if "x" in text.lower() else int(float(text))
        return None

    same, index = find("performance_issue_same"), find("performance_issue_same_index")
    in_memory = find("performance_sample_count_override")
    if same is None or index is None or not same[1]:
        return
    most = min(samples, in_memory[1] or samples) if in_memory else samples
    if not 0 <= index[1] < most:
        raise InvalidArgumentError(
            f"{index[0]}: performance_issue_same_index is {index[1]}, and {most} samples are in "
            f"memory; write a number from 0 to {most - 1}, or give a bigger dataset"
        )
