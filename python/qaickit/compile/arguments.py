"""The command line, read: options of the compiler's table, words of the tool, and the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from qaickit._text import did_you_mean
from qaickit.compile.presets import Preset, resolve_preset
from qaickit.compiler.flags import Flags, from_argv
from qaickit.errors import InvalidArgumentError


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the tool that is no option of the compiler. `value`: what it takes; "": nothing."""

    meaning: str
    value: str = ""
    aliases: tuple[str, ...] = ()


# fmt: off
WORDS: Mapping[str, Word] = MappingProxyType({
    "model": Word("ONNX model, TensorFlow frozen graph (.pb) or SavedModel", "PATH", ("m",)),
    "help": Word("Show this, and end", aliases=("h",)),
    "usage": Word("Show all options with their defaults, and end", aliases=("u",)),
    "v": Word("Show what each pass did", aliases=("vv", "vvv", "verbose")),
    "print-options": Word("Show the resolved options, and end"),
    "preset": Word("Recipe, as resnet50,offline,nsp.14,bs.8", "WORDS"),
    "scenario": Word("Scenario of the preset", "NAME"),
    "nsp": Word("Cores of the preset's card", "N"),
    "batch-size": Word("Batch size of the preset", "N"),
    "percentile": Word("Percentile calibration, of the preset", "VALUE"),
    "calibration-filter-size": Word("Calibrate with so many samples", "N"),
    "quantized": Word("Quantise, in the preset"),
    "no-quantized": Word("Do not quantise, in the preset"),
    "framework": Word("Where the preset's model is from: tf", "NAME"),
    "register": Word("Take the QPC in this directory instead of compiling", "DIR"),
    "env-file": Word("Write the variables that automation scripts read", "FILE"),
    "compare": Word("Compare with fp32 on data: a dataset, .npy, .npz", "DATA"),
    "by-layer": Word("Compare all layers, worst first"),
    "plot": Word("Draw the comparison into a file (.png, .svg, .pdf)", "FILE"),
    "report": Word("Write what each pass did, as JSON", "FILE"),
    "device-id": Word("Device to run the model once on", "ID", ("d",)),
    "write-output-dir": Word("Directory for the outputs of that run", "DIR"),
    "write-output-start-iter": Word("First run whose outputs are written: 0, the only one", "0"),
    "write-output-num-samples": Word("Number of runs whose outputs are written: 1", "1"),
    "operators-supported": Word("Show the operators that can be run, and end", "onnx"),
})
# fmt: on

# What the tool does once, a script may have asked for more often.
_ONLY_VALUES: Mapping[str, str] = {"write-output-start-iter": "0", "write-output-num-samples": "1"}
_BY_NAME = {alias: name for name, word in WORDS.items() for alias in (name, *word.aliases)}
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
        hint = did_you_mean(name, _BY_NAME, cutoff=0.8)
        found.warnings.append(f"option '-{name}' is not known and is ignored{hint}")
    elif "model" in found.words:
        raise InvalidArgumentError(
            f"argument '{text}': there is a model already, '{found.words['model']}'"
        )
    else:
        found.words["model"] = text or ""
