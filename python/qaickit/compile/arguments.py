"""The command line, read: options of the compiler's table, words of the tool, and the model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from qaickit._text import did_you_mean
from qaickit.compile.presets import Preset, resolve_preset
from qaickit.compiler.flags import Flags, from_argv
from qaickit.errors import InvalidArgumentError
from qaickit.options import OPTIONS


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the tool that is no option of the compiler. `value`: what it takes; "": nothing."""

    meaning: str
    value: str = ""
    aliases: tuple[str, ...] = ()


# fmt: off
GROUPS: Mapping[str, Mapping[str, Word]] = MappingProxyType({
    "model": {
        "model": Word("ONNX model, TensorFlow frozen graph (.pb) or SavedModel", "PATH", ("m",)),
        "register": Word("Take the QPC in this directory instead of compiling", "DIR"),
    },
    "recipes of MLPerf": {
        "preset": Word("Recipe, as resnet50,offline,nsp.14,bs.8", "WORDS"),
        "scenario": Word("Scenario of the preset", "NAME"),
        "nsp": Word("Cores of the preset's card", "N"),
        "batch-size": Word("Batch size of the preset", "N"),
        "percentile": Word("Percentile calibration, of the preset", "VALUE"),
        "calibration-filter-size": Word("Calibrate with so many samples (default: all)", "N"),
        "quantized": Word("Quantise, in the preset"),
        "no-quantized": Word("Do not quantise, in the preset"),
        "framework": Word("Where the preset's model is from: tf", "NAME"),
    },
    "what it costs": {
        "compare": Word("Compare with fp32 on data (digits, random, .npy, .npz), and end", "DATA"),
        "by-layer": Word("Compare all layers, worst first"),
        "plot": Word("Draw the comparison into a file (.png, .svg, .pdf)", "FILE"),
    },
    "one run of what was compiled, without -compile-only": {
        "device-id": Word("Device to run it on (default: 0)", "ID", ("d",)),
        "write-output-dir": Word("Directory for its outputs (default: not written)", "DIR"),
        "write-output-start-iter": Word("First run to write outputs of: 0, the only one", "0"),
        "write-output-num-samples": Word("Number of runs whose outputs are written: 1", "1"),
    },
    "what to show and write": {
        "help": Word("Show this, and end", aliases=("h",)),
        "usage": Word("Show all options with their defaults, and end", aliases=("u",)),
        "verbose": Word("Show what each pass did", aliases=("v", "vv", "vvv")),
        "print-options": Word("Show the resolved options, and end"),
        "operators-supported": Word("Show the operators that can be run, and end", "onnx"),
        "report": Word("Write what each pass did, as JSON", "FILE"),
        "env-file": Word("Write the variables that automation scripts read", "FILE"),
    },
})
# fmt: on
WORDS: Mapping[str, Word] = MappingProxyType(
    {name: word for words in GROUPS.values() for name, word in words.items()}
)

# What the tool does once, a script may have asked for more often.
_ONLY_VALUES: Mapping[str, str] = {"write-output-start-iter": "0", "write-output-num-samples": "1"}
_BY_NAME = {alias: name for name, word in WORDS.items() for alias in (name, *word.aliases)}
_FLAGS = tuple(option.flag[1:] for option in OPTIONS if option.flag is not None)
# Words whose values are integers, with the least ones.
_LEAST: Mapping[str, int] = {"device-id": 0, "calibration-filter-size": 1}
# Words that tell more of another, without which they would do nothing.
_BELONG_TO: Mapping[str, str] = {"by-layer": "compare", "plot": "compare"}
# What a comparison, which writes no QPC, leaves undone.
_NOT_WITH_COMPARE = ("report", "env-file", "register")
# Words that stand for one of the preset's.
_PRESET_WORDS: Mapping[str, str] = {
    "scenario": "{}",
    "nsp": "nsp.{}",
    "batch-size": "bs.{}",
    "percentile": "pc.{}",
    "calibration-filter-size": "filter-size.{}",
    "quantized": "quantized",
    "no-quantized": "no-quantized",
    "framework": "{}",
}


@dataclass(slots=True)
class Arguments:
    """A command line. `words`: name -> value ("" for those without); `warnings` for people."""

    words: dict[str, str] = field(default_factory=dict)
    flags: Flags = field(default_factory=Flags)
    warnings: list[str] = field(default_factory=list)

    def has(self, name: str) -> bool:
        """True when the word was given."""
        return name in self.words

    def number(self, name: str) -> int | None:
        """The value of a word of `_LEAST` as an integer; None where it was not given.

        Error: InvalidArgumentError for another text, or one that is too low.
        """
        low = _LEAST[name]
        if name not in self.words:
            return None
        text = self.words[name]
        value = int(text) if re.fullmatch(r"\d{1,9}", text, re.ASCII) else -1
        if value < low:
            raise InvalidArgumentError(
                f"argument '--{name}': expected an integer from {low} to 999999999, got '{text}'"
            )
        return value

    def preset(self) -> Preset | None:
        """The preset with what other words add to it. Errors: see `resolve_preset`."""
        added = [
            text.format(self.words[name].lower())
            for name, text in _PRESET_WORDS.items()
            if name in self.words
        ]
        if "preset" in self.words:
            return resolve_preset(",".join([self.words["preset"], *added]))
        alone = [name for name in _PRESET_WORDS if name in self.words]
        if alone and alone != ["calibration-filter-size"]:
            raise InvalidArgumentError(f"'--{alone[0]}' is part of a preset; give --preset too")
        return None


def read_arguments(arguments: Sequence[str]) -> Arguments:
    """Reads a command line; options are checked later, when the preset is known.

    Errors: InvalidArgumentError for a word without its value, and for a second model.
    """
    found = Arguments()
    rest: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        name, _, value = argument.lstrip("-").partition("=")
        word = _BY_NAME.get(name) if argument.startswith("-") else None
        if word is not None:
            found.words[word] = _value(word, argument, value, waiting)
        else:
            rest.append(argument)
    found.flags = from_argv(rest)
    for other, text in found.flags.others:
        _take_other(found, other, text)
    for name in _LEAST:
        found.number(name)
    for name, other in _BELONG_TO.items():
        if name in found.words and other not in found.words:
            raise InvalidArgumentError(f"'--{name}' is part of --{other}; give --{other} too")
    for name in _NOT_WITH_COMPARE:
        if name in found.words and "compare" in found.words:
            raise InvalidArgumentError(f"'--{name}' and '--compare' exclude each other")
    for name, only in _ONLY_VALUES.items():
        if found.words.get(name, only) != only:
            found.warnings.append(
                f"option '-{name}' is ignored: the model is run once here; see qaic-runner for more"
            )
    return found


def _value(word: str, argument: str, value: str, waiting: Iterator[str]) -> str:
    if not WORDS[word].value:
        return ""
    if "=" not in argument:
        value = next(waiting, "")
    if not value or (value.startswith("-") and "=" not in argument):
        raise InvalidArgumentError(
            f"argument '{argument}': expected a value after it: {WORDS[word].value}"
        )
    return value


def _take_other(found: Arguments, name: str, text: str | None) -> None:
    if name:
        hint = did_you_mean(name, [*_BY_NAME, *_FLAGS], cutoff=0.8)
        found.warnings.append(f"option '-{name}' is not known and is ignored{hint}")
    elif "model" in found.words:
        raise InvalidArgumentError(
            f"argument '{text}': there is a model already, '{found.words['model']}'"
        )
    else:
        found.words["model"] = text or ""
