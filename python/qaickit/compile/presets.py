"""Compile recipes of the MLPerf models, by scenario and number of cores.

A preset is a list of words, `resnet50,offline,nsp.14,bs.8`: a model and variations. Each recipe has
three blocks of options, of the model, of the combination and of the machine; of several rows that
fit, the one with the most words holds for its block, as in the automation scripts that the numbers
are from (README of the script compile-model-for.qaic in mlcommons/ck). bert-99.9 is of a later
version of those.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qaickit._text import did_you_mean
from qaickit.errors import InvalidArgumentError

MODELS = ("bert-99", "bert-99.9", "resnet50", "retinanet")
SCENARIOS = ("singlestream", "multistream", "offline", "server")
CORES = ("nsp.8", "nsp.9", "nsp.14", "nsp.16")
QUANTISATION = ("quantized", "no-quantized")
FRAMEWORKS = ("tf",)
BLOCKS = ("base", "args", "sut")

# Words of a group exclude each other.
_GROUPS = (MODELS, SCENARIOS, CORES, QUANTISATION)
# Words with a value: pattern -> what it sets.
_VALUES: Mapping[str, re.Pattern[str]] = {
    "batch_size": re.compile(r"bs\.(\d+)"),
    "percentile": re.compile(r"pc\.(\d+(?:\.\d+)?)"),
    "filter_size": re.compile(r"filter-size\.(\d+)"),
}

_ALL = {"aic_hw": True, "aic_hw_version": "2.0", "compile_only": True}
_BERT_SHAPES = {"batch_size": 1, "seg_length": 384}
_BERT_IN_FP16 = (
    "Mul,Sqrt,Div,Add,ReduceMean,Softmax,Sub,Gather,Erf,Pow,Concat,Tile,LayerNormalization"
)
_SCHEMA = {
    "quantization_schema_activations": "symmetric_with_uint8",
    "quantization_schema_constants": "symmetric_with_uint8",
    "quantization_precision": "Int8",
}
_BERT_TILES = {
    "allocator_dealloc_delay": 2,
    "size_split_granularity": 1536,
    "vtcm_working_set_limit_ratio": 1,
}


@dataclass(frozen=True, slots=True)
class Row:
    """Options of one block, for a preset that has all of `words` (model first)."""

    words: tuple[str, ...]
    block: str
    options: Mapping[str, Any]


def _row(words: str, block: str, **options: Any) -> Row:
    return Row(tuple(words.split(",")), block, options)


def _cores(
    cores: int, mos: int | list[int] | None = None, ols: int | None = None
) -> dict[str, Any]:
    chosen = {"aic_num_cores": cores, "mos": mos, "ols": ols}
    return {name: value for name, value in chosen.items() if value is not None}


# fmt: off
RECIPES: tuple[Row, ...] = (
    _row("bert-99", "base", **_ALL, **_SCHEMA, execute_nodes_in_fp16=_BERT_IN_FP16,
         quantization_precision_bias="Int32", onnx_define_symbol=_BERT_SHAPES,
         multicast_weights=True, combine_inputs=False, combine_outputs=False),
    _row("bert-99", "args"),
    _row("bert-99,offline", "args", **_BERT_TILES),
    _row("bert-99,offline", "sut", **_cores(1, 1, 3)),
    _row("bert-99,server", "args", **_BERT_TILES),
    _row("bert-99,server", "sut", **_cores(1, 1, 3)),
    _row("bert-99,singlestream", "sut", **_cores(8, 8, 1)),

    _row("bert-99.9", "base", **_ALL, convert_to_fp16=True, onnx_define_symbol=_BERT_SHAPES,
         combine_inputs=False, combine_outputs=False),
    _row("bert-99.9", "args"),
    _row("bert-99.9,offline", "sut", **_cores(2, 1, 2)),
    _row("bert-99.9,server", "sut", **_cores(2)),

    _row("resnet50", "base", **_ALL, **_SCHEMA, output_node_names=["ArgMax"],
         use_producer_dma=True),
    _row("resnet50,multistream", "args", sdp_cluster_sizes=[4, 4], mos=[1, 4]),
    _row("resnet50,multistream,nsp.14", "sut", **_cores(4)),
    _row("resnet50,offline", "args", sdp_cluster_sizes=[2, 2], multicast_weights=True),
    _row("resnet50,offline", "sut", **_cores(4, [1, 2], 4)),
    _row("resnet50,server,nsp.14", "args", sdp_cluster_sizes=[2, 2], mos=[1, 2],
         multicast_weights=True),
    _row("resnet50,server,nsp.14", "sut", **_cores(4, ols=4)),
    _row("resnet50,server,nsp.16", "args", sdp_cluster_sizes=[4, 4], mos=[1, 4]),
    _row("resnet50,server,nsp.16", "sut", **_cores(4, ols=4)),
    _row("resnet50,singlestream", "args", aic_num_of_instances=1),
    _row("resnet50,singlestream", "sut", **_cores(8, 1, 1)),

    _row("retinanet", "base", **_ALL, enable_channelwise=True, onnx_define_symbol={"batch_size": 1},
         quantization_schema_constants="symmetric_with_uint8",
         quantization_schema_activations="asymmetric", quantization_calibration="None"),
    _row("retinanet", "args", aic_enable_depth_first=True),
    _row("retinanet,offline", "sut", **_cores(1, 1, 1)),
    _row("retinanet,singlestream", "args"),
    _row("retinanet,singlestream", "sut", **_cores(8, 1, 1)),
)
# fmt: on

_DEFAULT_SCENARIO = "singlestream"
# Compiled in fp16: there is no profile to load.
_NEVER_QUANTISED = ("bert-99.9",)
# Names nodes that stay in fp16; the file comes with the model.
_TAKES_NODE_PRECISION = ("retinanet",)


@dataclass(frozen=True, slots=True)
class Preset:
    """A preset, resolved. `options`: compile options by name; the rest is for the calibration."""

    model: str
    words: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    quantised: bool = True
    filter_size: int | None = None
    from_tensorflow: bool = False

    @property
    def takes_node_precision(self) -> bool:
        """True where `node_precision_info_file` belongs to it; quantised, it must be given."""
        return self.model in _TAKES_NODE_PRECISION


def resolve_preset(text: str) -> Preset:
    """The recipe for words such as `resnet50,offline,nsp.14`; a leading `_` of a word is dropped.

    Without a scenario: singlestream; quantised unless it says no-quantized. Errors:
    InvalidArgumentError for an unknown word, two of a group, or a combination without a recipe.
    """
    words = tuple(word.strip().lstrip("_") for word in text.split(",") if word.strip())
    plain, values = _sorted_out(words, text)
    model = _one_of(plain, MODELS, text)
    if model is None:
        raise InvalidArgumentError(
            f"preset '{text}' names no model; begin with one of {', '.join(MODELS)}"
        )
    scenario = _one_of(plain, SCENARIOS, text) or _DEFAULT_SCENARIO
    _one_of(plain, CORES, text)
    wanted = _one_of(plain, QUANTISATION, text)
    quantised = wanted != "no-quantized" and (wanted is not None or model not in _NEVER_QUANTISED)
    if quantised and model in _NEVER_QUANTISED:
        raise InvalidArgumentError(f"preset '{text}': {model} is compiled in fp16, not quantised")
    present = {*plain, model, scenario}
    options: dict[str, Any] = {}
    for block in BLOCKS:
        options.update(_block(model, block, present, text))
    if "batch_size" in values:
        options["batchsize"] = int(values["batch_size"])
    if "percentile" in values:
        options["quantization_calibration"] = "Percentile"
        options["percentile_calibration_value"] = float(values["percentile"])
    filter_size = values.get("filter_size")
    return Preset(
        model=model,
        words=words,
        options=options,
        quantised=quantised,
        filter_size=None if filter_size is None else int(filter_size),
        from_tensorflow="tf" in plain,
    )


def _sorted_out(words: Sequence[str], text: str) -> tuple[set[str], dict[str, str]]:
    """Words without a value, and the values of those with one."""
    known = [word for group in (*_GROUPS, FRAMEWORKS) for word in group]
    plain: set[str] = set()
    values: dict[str, str] = {}
    for word in words:
        matches = {name: pattern.fullmatch(word) for name, pattern in _VALUES.items()}
        found = {name: match[1] for name, match in matches.items() if match}
        if any(name in values for name in found):
            raise InvalidArgumentError(f"preset '{text}': '{word}' is given a second value")
        values.update(found)
        if not found and word not in known:
            raise InvalidArgumentError(
                f"preset '{text}': unknown word '{word}'{did_you_mean(word, known)}; known: "
                f"{', '.join(known)}, bs.N, pc.N, filter-size.N"
            )
        if not found:
            plain.add(word)
    return plain, values


def _one_of(words: set[str], group: Sequence[str], text: str) -> str | None:
    found = [word for word in group if word in words]
    if len(found) > 1:
        raise InvalidArgumentError(
            f"preset '{text}': {' and '.join(found)} exclude each other; give one of them"
        )
    return found[0] if found else None


def _block(model: str, block: str, present: set[str], text: str) -> Mapping[str, Any]:
    rows = [row for row in RECIPES if row.words[0] == model and row.block == block]
    fitting = [row for row in rows if present.issuperset(row.words)]
    if fitting:
        return max(fitting, key=lambda row: len(row.words)).options
    if block == "sut":
        return {}
    shown = "; ".join(",".join(row.words) for row in rows)
    raise InvalidArgumentError(f"preset '{text}': there is no recipe for it; there are: {shown}")
