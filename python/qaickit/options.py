"""The one table of options: keyword arguments, YAML keys, compiler flags, checks and documentation.

Every option that a session knows is a row of `OPTIONS`. Whatever needs to know about options reads
the table: `resolve()` checks keyword arguments and the YAML file of `options_path` against it,
`Options.recorded()` takes from it what goes into a QPC. To add an option, add a row.

Keys may use dashes or underscores and may be the compiler's flag (`aic-binary-dir` for
`output_dir`). None means "not given". Numbers and truth values may come as text ("4", "true"),
since programs pass on what their own command line got.
"""

from __future__ import annotations

import json
import math
import numbers
import operator
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from types import MappingProxyType
from typing import Any

from qaickit._files import read_file
from qaickit._text import nearest
from qaickit.errors import InvalidArgumentError, UnsupportedError


class OptionWarning(UserWarning):
    """An option was accepted, but its result on this machine is not what a card would give."""


class Group(Enum):
    """What an option is about. All groups but `RUNTIME` matter only when a model is compiled."""

    RUNTIME = "runtime"
    COMPILE = "compile"
    PRECISION = "precision"
    QUANTISE = "quantise"
    DEVICES = "several devices"
    TUNING = "tuning"
    STATISTICS = "statistics"


class Host(Enum):
    """What an option does on a host device."""

    ACTED = "acted on"
    RECORDED = "recorded for the card"
    REFUSED = "refused"
    IGNORED = "accepted, no effect"


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of value: `expects` for people; `convert` raises an error on others."""

    expects: str
    convert: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Option:
    """One row of the table.

    `low` and `high` bound numbers, each element of lists and each value of mappings, inclusive.
    `flag` is the vendor compiler's. `note` says what happens on a host, or why it is refused.
    `warns`: a user would miss the effect here, so he is told, but for the backend `acted_by`.
    `changeable`: may be given to `Session.update_backend_options`.
    """

    name: str
    kind: Kind
    group: Group
    host: Host
    meaning: str
    default: Any = None
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    flag: str | None = None
    note: str = ""
    aliases: tuple[str, ...] = ()
    warns: bool = False
    acted_by: str = ""
    changeable: bool = False

    @property
    def expects(self) -> str:
        """What values are allowed, for people: "an integer of at least 1"."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.low is not None and self.high is not None:
            return f"{self.kind.expects} from {self.low:g} to {self.high:g}"
        if self.low is not None:
            return f"{self.kind.expects} of at least {self.low:g}"
        return self.kind.expects


# --- kinds ---------------------------------------------------------------------------------------


# What a QPC and the native side hold.
_MAX_INT = 2**31 - 1


def _to_bool(value: Any) -> bool:
    if isinstance(value, str):
        return {"true": True, "false": False}[value.strip().lower()]
    # numpy's truth value is no bool; known by its name, it need not be imported.
    if isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"):
        return bool(value)
    raise TypeError


def _to_int(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError
    number = int(value) if isinstance(value, str) else operator.index(value)
    if abs(number) > _MAX_INT:
        raise OverflowError
    return number


def _to_float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (str, numbers.Real)):
        raise TypeError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _to_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    if not value:
        raise ValueError
    return value


def _to_path(value: Any) -> str:
    return _to_text(os.fspath(value))


def _items(value: Any) -> Sequence[Any]:
    """The items of a list, a tuple or a comma-separated text."""
    if isinstance(value, str):
        return [item.strip() for item in value.split(",")]
    if isinstance(value, (list, tuple)):
        return value
    raise TypeError


def _to_texts(value: Any) -> list[str]:
    return [_to_text(item) for item in _items(value)]


def _to_int_list(value: Any) -> list[int]:
    items = [_to_int(item) for item in _items(value)]
    if not items:
        raise ValueError
    return items


def _to_int_or_ints(value: Any) -> int | list[int]:
    if isinstance(value, (list, tuple)) or (isinstance(value, str) and "," in value):
        return _to_int_list(value)
    return _to_int(value)


def _pair(item: Any) -> tuple[Any, Any]:
    if isinstance(item, str):
        name, separator, value = item.partition("=" if "=" in item else ",")
        if not separator:
            raise ValueError
        return name.strip(), value
    name, value = item
    return name, value


def _to_symbols(value: Any) -> dict[str, int]:
    if isinstance(value, Mapping):
        pairs: Iterable[Any] = value.items()
    elif isinstance(value, str):
        pairs = [value]
    elif isinstance(value, (list, tuple)):
        pairs = value
    else:
        raise TypeError
    symbols: dict[str, int] = {}
    for name, number in map(_pair, pairs):
        text, size = _to_text(name), _to_int(number)
        if symbols.setdefault(text, size) != size:
            raise ValueError
    return dict(sorted(symbols.items()))


def _to_settings(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise TypeError
    return {_to_text(name): as_text(setting) for name, setting in value.items()}


def _to_data(value: Any) -> Any:
    if isinstance(value, (str, os.PathLike)):
        return _to_path(value)
    if isinstance(value, Iterable) or hasattr(value, "inputs"):
        return value
    raise TypeError


_MODEL_INPUT_KEYS = {"input_name", "input_type", "input_shape"}


def _to_model_inputs(value: Any) -> list[dict[str, Any]]:
    entries = [value] if isinstance(value, Mapping) else value
    if not isinstance(entries, (list, tuple)):
        raise TypeError
    for entry in entries:
        if not isinstance(entry, Mapping) or set(entry) != _MODEL_INPUT_KEYS:
            raise ValueError
    return [dict(entry) for entry in entries]


BOOL = Kind("true or false", _to_bool)
INT = Kind("a 32-bit integer", _to_int)
INTS = Kind("a list of 32-bit integers", _to_int_list)
INT_OR_INTS = Kind("a 32-bit integer or a list of 32-bit integers", _to_int_or_ints)
FLOAT = Kind("a number", _to_float)
TEXT = Kind("a non-empty text", _to_text)
TEXTS = Kind("a list of non-empty texts", _to_texts)
PATH = Kind("a path", _to_path)
# Files that the compiler reads, or writes besides the QPC.
FILE_IN = Kind("a path of a file to read", _to_path)
FILE_OUT = Kind("a path of a file to write", _to_path)
SYMBOLS = Kind(
    "symbols with their sizes, as {'batch': 1}, [('batch', 1)] or ['batch=1'], each given once "
    "and each a 32-bit integer",
    _to_symbols,
)
SETTINGS = Kind("a mapping of names to values", _to_settings)
MODEL_INPUTS = Kind(
    "a dict, or a list of them, with the keys input_name, input_type, input_shape", _to_model_inputs
)
# Not recorded: what it holds may be any number of arrays.
DATA = Kind(
    "the name or path of a dataset, a dict of arrays, or an iterable of such dicts", _to_data
)
ANY = Kind("anything", lambda value: value)


# --- the table -----------------------------------------------------------------------------------

_EMPTY: Mapping[str, Any] = MappingProxyType({})
_SCHEMATA = ("asymmetric", "symmetric", "symmetric_with_uint8", "symmetric_with_power2_scale")
_CALIBRATIONS = ("None", "KLMinimization", "KLMinimizationV2", "Percentile", "MSE", "SQNR")
_PMU_RECIPES = ("AxiRd", "AxiWr", "AxiRdWr", "KernelUtil", "HmxMacs")

# What happens on a host, for the rows that share it.
_BACKEND = (
    "not given, or 'aic', which is all that the vendor's programs pass: what QAICKIT_BACKEND in "
    "the environment names, else a card if one is there, else the CPU"
)
_TURNS = (
    "they take turns; where a card has too few cores for all of them, one that idles gives its "
    "activations up to the one whose turn it is"
)
_ONE_SHAPE = (
    "a QPC has fixed shapes; define the symbols with onnx_define_symbol, or several sets of them "
    "with network_specialization_config"
)
_SETS = (
    "one profile and one custom IO file serve all sets; calibration data may be of any of them. "
    "Refused where batchsize and a set give one symbol two sizes, since neither can win"
)
_NO_CUSTOM_OPS = (
    "operators of one's own are built for cards; write them as functions of the ONNX model, which "
    "run everywhere"
)
_STATELESS = "outputs named as retained inputs are plain outputs here; pass them on yourself"
_ONNX_ONLY = "only ONNX models that hold their own weights can be compiled here"
_ONNX_SAYS = "needed for other kinds of model; an ONNX file describes its own"
_NOT_QUANTISED = "such nodes are not quantised; a GPU computes in fp16 as asked, a CPU in fp32"
_OWN_PRECISION = "a host computes in the model's own precision; Session.precision tells which"
_FP16 = (
    "the QPC gets a graph in fp16, which a GPU runs; a CPU computes in fp32; Session.precision "
    "tells which; constants are clipped to fp16's range"
)
_DATA = "used where a profile is made: with convert_to_quantize or dump_profile"
_ONLY_QUANTISED = "tells how to quantise; without quantising it changes nothing"
_VENDOR_WRITES = "only the vendor's compiler writes it"
_VENDOR_REPORTS = "only the vendor's compiler or a card can report it; nothing is reported here"


_LACKS = {
    Host.ACTED: "does not act on every device",
    Host.IGNORED: "does nothing here",
    Host.RECORDED: "is recorded in the QPC but not acted on",
}


def _row(group: Group, host: Host, name: str, kind: Kind, meaning: str, **rest: Any) -> Option:
    # A truth value is off unless given; a compile option's flag follows from its name.
    derived = {
        "default": False if kind is BOOL else None,
        "flag": None if group is Group.RUNTIME else "-" + name.replace("_", "-"),
    }
    return Option(name, kind, group, host, meaning, **{**derived, **rest})


_run = partial(_row, Group.RUNTIME, Host.ACTED)
_compile = partial(_row, Group.COMPILE, Host.ACTED)
_compile_ignored = partial(_row, Group.COMPILE, Host.IGNORED)
_compile_recorded = partial(_row, Group.COMPILE, Host.RECORDED)
_compile_refused = partial(_row, Group.COMPILE, Host.REFUSED)
_precision = partial(_row, Group.PRECISION, Host.RECORDED)
_precise = partial(_row, Group.PRECISION, Host.ACTED, note=_NOT_QUANTISED)
_quantises = partial(_row, Group.QUANTISE, Host.ACTED)
_quantiser = partial(_row, Group.QUANTISE, Host.ACTED, note=_ONLY_QUANTISED)
_devices = partial(_row, Group.DEVICES, Host.RECORDED)
_tuning = partial(_row, Group.TUNING, Host.RECORDED)
_reports = partial(_row, Group.STATISTICS, Host.RECORDED, note=_VENDOR_REPORTS, warns=True)

# fmt: off
OPTIONS: tuple[Option, ...] = (
    _run("options_path", PATH, "YAML file with any of these options; arguments win over it"),
    _run("backend", TEXT, "Kind of device to run on; then nothing else is tried", note=_BACKEND),
    _run("dev_id", INT_OR_INTS, "Device, or list of devices", default=0, low=0, changeable=True),
    _run("num_activations", INT, "Ready instances of the network, on each device",
         default=1, low=1, changeable=True),
    _run("set_size", INT, "ExecObjs (sets of buffers) of each activation",
         default=10, low=1, changeable=True, note="used by asynchronous devices"),
    _run("threads_per_activation", INT, "CPU threads that one inference may use", default=1, low=1),
    _run("device_settings", SETTINGS, "Settings of the backend by name", default=_EMPTY),
    _run("oversubscription_name", TEXT, "Sessions of one name, in one process, share their cores",
         note=_TURNS),
    _run("enable_metrics", BOOL, "Measure the latency of each run, for get_metrics()"),
    _run("enable_profiling", BOOL, "The same, and the stages of the first runs"),

    _compile("output_dir", PATH, "Directory for programqpc.bin; not given: a cache",
             flag="-aic-binary-dir"),
    _compile("onnx_define_symbol", SYMBOLS, "Sizes of the symbols in the shapes of the inputs",
             default=_EMPTY, low=1),
    _compile("aic_num_cores", INT, "NSP cores that the program uses on a card", default=1, low=1,
             note="written into the QPC; a host uses threads_per_activation"),
    _compile("batchsize", INT, "First dim of every input, instead of the model's", low=1),
    _compile("network_specialization_config", FILE_IN,
             "JSON file with several sets of sizes of the symbols; a run chooses by its inputs",
             note=_SETS),
    _compile_recorded("output_node_names", TEXTS, "Names of the outputs",
                      flag="-output-node-name", note=_ONNX_SAYS),
    _compile_recorded("model_inputs", MODEL_INPUTS, "Name, type and shape of the inputs",
                      flag="-model-input", note=_ONNX_SAYS, aliases=("model_inputs_list",)),
    _compile("always_expand_onnx_functions", BOOL,
             "Write out operators that ONNX defines by others"),
    _compile("sub_functions", BOOL, "Keep the model's own functions instead of writing them out"),
    _compile_recorded("host_preproc", BOOL, "Pre- and post-processing on the host"),
    _compile_recorded("aic_preproc", BOOL, "Pre- and post-processing on the card"),
    _compile_recorded("enable_debug", BOOL, "Debug mode of the compiler", flag=None),
    _compile_recorded("compile_threads", INT, "Threads of the compiler", low=1),
    _compile_refused("dynamic_shape_input", TEXTS, "Inputs of a dynamic shape", note=_ONE_SHAPE),
    _compile("custom_io_list_file", FILE_IN, "File with layout, precision and scale of IO",
             flag="-custom-IO-list-file"),
    _compile("dump_custom_io_config_template_file", FILE_OUT, "Template to write for it",
             flag="-dump-custom-IO-config-template-file"),
    _compile_refused("load_embedding_tables", FILE_IN, "Zip file with embedding tables to load",
                     note=_ONNX_ONLY),
    _compile_refused("dump_embedding_tables", FILE_OUT, "Zip file to write embedding tables to",
                     note=_ONNX_ONLY),
    _compile_refused("register_custom_op", FILE_IN, "File that describes operators of one's own",
                     note=_NO_CUSTOM_OPS),
    _compile_recorded("retained_state", BOOL, "Keep outputs on the card as the next run's inputs",
                      note=_STATELESS, warns=True),
    _compile_ignored("compile_only", BOOL, "Of the compiler's command line: do not run the model"),
    _compile_ignored("aic_hw", ANY, "Of the compiler's command line: for a card"),
    _compile_ignored("aic_hw_version", ANY, "Of the compiler's command line: kind of card"),

    _row(Group.PRECISION, Host.ACTED, "convert_to_fp16", BOOL, "Run all floating point in fp16",
         warns=True, acted_by="cuda", note=_FP16),
    _precision("mxfp6_matmul", BOOL, "Keep weights of matrix products in MXFP6",
               warns=True, note=_OWN_PRECISION),
    _precision("allow_mxint8_mdp_io", BOOL, "Pass data between cards in MXINT8",
               note="one host passes none"),
    _precise("execute_nodes_in_fp16", TEXTS, "Operators to run in fp16"),
    _precise("node_precision_info_file", FILE_IN, "File that names nodes to run in fp16 or fp32",
             flag="-node-precision-info"),
    _precise("keep_original_precision_for_nodes", TEXTS, "Operators not to quantise"),

    _quantises("input_list_file", FILE_IN, "Text file that names raw input files to calibrate with",
               note=_DATA),
    _quantises("calibration_data", DATA, "The same as a dataset, a .npy or .npz file, or arrays",
               flag=None, note=_DATA),
    _quantises("use_random_input_data", TEXT, "Calibrate with random values of a distribution",
               choices=("uniform", "gaussian")),
    _quantises("convert_to_quantize", BOOL, "Profile the input data and quantise"),
    _quantises("load_profile", FILE_IN, "Quantise with the profile that dump_profile wrote"),
    _quantises("dump_profile", FILE_OUT, "Profile the graph, write the result, then compile"),
    _quantises("external_quantization_file", FILE_IN, "Quantise with a profile from elsewhere",
               flag="-external-quantization"),
    _quantiser("quantization_schema_activations", TEXT, "Schema of the activations",
               default="symmetric_with_uint8", choices=_SCHEMATA),
    _quantiser("quantization_schema_constants", TEXT, "Schema of the constants",
               default="symmetric_with_uint8", choices=_SCHEMATA[:3]),
    _quantiser("quantization_calibration", TEXT, "Calibration method; None is MinMax",
               default="None", choices=_CALIBRATIONS),
    _quantiser("percentile_calibration_value", FLOAT, "Percentile, of the method of that name",
               default=100.0, low=90, high=100),
    _quantiser("num_histogram_bins", INT, "Bins of each node's histogram", default=512, low=1,
               high=8192),
    _quantiser("quantization_precision", TEXT, "Precision to quantise to", default="Int8",
               choices=("Int8",)),
    _quantiser("quantization_precision_bias", TEXT, "The same for the bias", default="Int32",
               choices=("Int8", "Int32")),
    _quantiser("enable_rowwise", BOOL, "Quantise FullyConnected and SparseLengthsSum by rows"),
    _quantiser("enable_channelwise", BOOL, "Quantise Convolution by channels"),
    _quantiser("profiling_threads", INT, "Threads for the quantisation profile", low=1),

    _devices("mdp_load_partition_config", FILE_IN, "File that parts the graph between cards"),
    _devices("mdp_dump_partition_config", FILE_OUT, "File to write the partition of the graph to",
             warns=True, note=_VENDOR_WRITES),
    _devices("mdts_mos", INT, "Effort to reduce on-chip memory, over several cards", low=0),
    _devices("aic_num_of_instances", INT, "Instances to compile for", low=1),
    _devices("sdp_cluster_sizes", INTS, "Part one card, in clusters of so many cores", low=1),

    _tuning("mos", INT_OR_INTS, "Effort to reduce on-chip memory", low=0),
    _tuning("ols", INT, "Factor for splitting the network for parallelism", low=0),
    # The vendor's documentation spells it as the alias does.
    _tuning("allocator_dealloc_delay", INT, "Lifetime of buffers, against false dependencies",
            low=0, high=10, aliases=("allocator_dealloac_delay",)),
    _tuning("size_split_granularity", INT, "Largest tile, in KiB, of a large operation",
            low=512, high=2048),
    _tuning("vtcm_working_set_limit_ratio", FLOAT, "Share of fast memory for one instruction",
            low=0, high=1),
    _tuning("aic_enable_depth_first", BOOL, "Depth-first scheduling with the default memory size"),
    _tuning("aic_depth_first_mem", INT, "Memory size of depth-first scheduling", low=8, high=32),
    _tuning("use_producer_dma", BOOL, "Start DMA from the thread that makes the data"),
    _tuning("multicast_weights", BOOL, "Load weights once for all cores that use them"),
    _tuning("combine_inputs", BOOL, "Combine the inputs into fewer buffers", default=True),
    _tuning("combine_outputs", BOOL, "Combine the outputs into one buffer", default=True),
    _tuning("io_crc", BOOL, "Check the network's inputs and outputs by CRC"),
    _tuning("io_crc_stride", INT, "Stride of that CRC", low=1),

    _reports("stats_batchsize", INT, "Batch size that statistics are divided by", low=1),
    _reports("stats_level", INT, "Detail of the statistics that a card keeps", low=0, high=100),
    _reports("aic_profiling_type", TEXT, "What a card is to profile",
             choices=("stats", "trace", "latency")),
    _reports("time_passes", BOOL, "Print how long each pass of the compiler took"),
    _reports("aic_perf_warnings", BOOL, "Print the compiler's performance warnings"),
    _reports("aic_perf_metrics", BOOL, "Print the compiler's performance metrics"),
    _reports("aic_pmu_recipe", TEXT, "Built-in selection of performance counters",
             choices=_PMU_RECIPES),
    _reports("aic_pmu_events", TEXT, "Performance counters to track, up to 8"),
    _reports("ddr_stats", BOOL, "Collect memory traffic by core"),
)
# fmt: on

# Pairs that exclude each other when both are set.
CONTRADICTIONS: tuple[tuple[str, str], ...] = (
    ("enable_metrics", "enable_profiling"),
    ("host_preproc", "aic_preproc"),
    ("dump_profile", "load_profile"),
    ("convert_to_quantize", "dump_profile"),
    ("convert_to_quantize", "load_profile"),
    ("convert_to_quantize", "external_quantization_file"),
    ("dump_profile", "external_quantization_file"),
    ("load_profile", "external_quantization_file"),
    ("calibration_data", "input_list_file"),
    ("calibration_data", "use_random_input_data"),
    ("input_list_file", "use_random_input_data"),
)


def _normalised(key: str) -> str:
    return key.strip().lstrip("-").replace("-", "_").replace(" ", "_").lower()


def _keys_of(option: Option) -> set[str]:
    flag = () if option.flag is None else (option.flag,)
    return {_normalised(key) for key in (option.name, *option.aliases, *flag)}


_BY_NAME: Mapping[str, Option] = MappingProxyType({option.name: option for option in OPTIONS})
_BY_KEY: Mapping[str, Option] = MappingProxyType(
    {key: option for option in OPTIONS for key in _keys_of(option)}
)
# Names of the options that name a file to write.
FILES_WRITTEN: tuple[str, ...] = tuple(option.name for option in OPTIONS if option.kind is FILE_OUT)


# --- looking up and checking ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Options:
    """Checked options: `values` of all of them, `origins` of those that were given."""

    values: Mapping[str, Any]
    origins: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def is_set(self, name: str) -> bool:
        """True when the value differs from the default."""
        return bool(self.values[name] != _BY_NAME[name].default)

    def device_ids(self) -> list[int]:
        """`dev_id` as a list."""
        ids = self.values["dev_id"]
        return list(ids) if isinstance(ids, list) else [ids]

    def changeable(self) -> dict[str, Any]:
        """The options that a session can change later, with their values."""
        return {option.name: self.values[option.name] for option in OPTIONS if option.changeable}

    def recorded(self) -> dict[str, str]:
        """Compile options that differ from their defaults, as text, for a QPC's manifest."""
        return {
            option.name: as_text(self.values[option.name])
            for option in OPTIONS
            if option.group is not Group.RUNTIME
            and option.host in (Host.ACTED, Host.RECORDED)
            and option.name != "output_dir"
            and option.kind not in (FILE_OUT, DATA)
            and self.is_set(option.name)
        }

    def refuse(self, *, compiling: bool) -> None:
        """Raises UnsupportedError for the first option that is set and refused on a host.

        Options of the compiler have no effect on a QPC, so they count only when `compiling`.
        """
        for option in self._set_options(compiling):
            if option.host is Host.REFUSED:
                raise UnsupportedError(
                    f"option '{option.name}' ({self.origins[option.name]}): {option.note}"
                )

    def warnings(self, *, compiling: bool, backend: str = "") -> list[str]:
        """Texts about options that are set, and whose effect a user would miss here.

        `backend`: where the result is to run, if that is known.
        """
        return [
            f"option '{option.name}' ({self.origins[option.name]}) {_LACKS[option.host]}: "
            f"{option.note}"
            for option in self._set_options(compiling)
            if option.warns and not (backend and backend == option.acted_by)
        ]

    def updated(self, changes: Mapping[str, Any]) -> Options:
        """A copy with `changes`. InvalidArgumentError: not changeable, unknown, or a bad value."""
        origins = {name: f"keyword argument '{name}'" for name in changes}
        known = {option.name for option in OPTIONS if option.changeable}
        for key in changes:
            if key not in known:
                raise InvalidArgumentError(
                    f"option '{key}' cannot be changed in a session{_did_you_mean(key, known)}; "
                    f"those that can: {', '.join(sorted(known))}"
                )
        checked = {
            name: _checked(_BY_NAME[name], value, origins[name])
            for name, value in changes.items()
            if value is not None
        }
        return Options(
            values=MappingProxyType({**self.values, **checked}),
            origins=MappingProxyType({**self.origins, **origins}),
        )

    def _set_options(self, compiling: bool) -> list[Option]:
        return [
            option
            for option in OPTIONS
            if (compiling or option.group is Group.RUNTIME) and self.is_set(option.name)
        ]


def resolve(kwargs: Mapping[str, Any], origins: Mapping[str, str] | None = None) -> Options:
    """Checks keyword arguments, and those of the YAML file that `options_path` names.

    Keyword arguments win over the file. `origins` says for messages where an argument comes from,
    where that is no keyword argument. Errors: InvalidArgumentError (unknown name, with the
    nearest known one; wrong type or range; contradiction), NotFoundError or PermissionDeniedError
    (the file); each says which argument or which key of which file is meant.
    """
    named = origins or {}
    arguments = _collect(
        (key, value, named.get(key, f"keyword argument '{key}'")) for key, value in kwargs.items()
    )
    path = arguments.get("options_path")
    from_file = {} if path is None else _read_yaml(path[0])
    given = {**from_file, **arguments}
    values = {option.name: option.default for option in OPTIONS}
    values.update({name: value for name, (value, _) in given.items()})
    options = Options(
        values=MappingProxyType(values),
        origins=MappingProxyType({name: origin for name, (_, origin) in given.items()}),
    )
    _refuse_contradictions(options)
    return options


def find_option(key: str) -> Option | None:
    """The option that a name, a known misspelling or a compiler flag means."""
    return _BY_KEY.get(_normalised(key))


def reads_file(name: str) -> bool:
    """True when the value of this option is the path of a file that the compiler reads."""
    return _BY_NAME[name].kind is FILE_IN


def as_text(value: Any) -> str:
    """One text for a value, as the compiler's command line would have it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return ",".join(f"{name}={as_text(item)}" for name, item in value.items())
    if isinstance(value, (list, tuple)):
        if any(isinstance(item, Mapping) for item in value):
            return json.dumps(value, sort_keys=True, default=str)
        return ",".join(map(as_text, value))
    return str(value)


def _collect(entries: Iterable[tuple[Any, Any, str]]) -> dict[str, tuple[Any, str]]:
    """(key, value, origin) entries, checked: option name -> (value, origin). None is left out."""
    found: dict[str, tuple[Any, str]] = {}
    for key, value, origin in entries:
        option = find_option(key) if isinstance(key, str) else None
        if option is None:
            raise InvalidArgumentError(
                f"unknown option: {origin}{_did_you_mean(str(key), _BY_KEY)}"
            )
        if value is None:
            continue
        if option.name in found:
            raise InvalidArgumentError(
                f"option '{option.name}' is given twice: {found[option.name][1]} and {origin}"
            )
        found[option.name] = (_checked(option, value, origin), origin)
    return found


def _did_you_mean(key: str, known: Iterable[str]) -> str:
    found = nearest(_normalised(key), known)
    return "" if found is None else f"; did you mean '{_BY_KEY[found].name}'?"


def _checked(option: Option, value: Any, origin: str) -> Any:
    try:
        converted = option.kind.convert(value)
        fits = _fits(option, converted)
    except (TypeError, ValueError, KeyError, OverflowError):
        fits = False
    if not fits:
        raise InvalidArgumentError(
            f"option '{option.name}' ({origin}): expected {option.expects}, got "
            f"{value!r} ({type(value).__name__})"
        )
    return converted


def _fits(option: Option, value: Any) -> bool:
    if option.choices and value not in option.choices:
        return False
    if isinstance(value, Mapping):
        value = list(value.values())
    items = value if isinstance(value, list) else [value]
    too_low = option.low is not None and any(item < option.low for item in items)
    too_high = option.high is not None and any(item > option.high for item in items)
    return not (too_low or too_high)


def _refuse_contradictions(options: Options) -> None:
    for one, other in CONTRADICTIONS:
        if options.is_set(one) and options.is_set(other):
            raise InvalidArgumentError(
                f"options '{one}' ({options.origins[one]}) and '{other}' "
                f"({options.origins[other]}) exclude each other; give one of them"
            )


def _read_yaml(path: str) -> dict[str, tuple[Any, str]]:
    import yaml

    what = f"the option file '{path}'"
    text = read_file(path, "the option file")
    try:
        entries = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidArgumentError(f"{what} is not valid YAML: {error}") from error
    if entries is None:
        return {}
    if not isinstance(entries, dict):
        raise InvalidArgumentError(
            f"{what}: expected a mapping of options to values, got {type(entries).__name__}"
        )
    found = _collect((key, value, f"'{path}': key '{key}'") for key, value in entries.items())
    if "options_path" in found:
        raise InvalidArgumentError(
            f"{found['options_path'][1]}: an option file cannot name another"
        )
    return found


if __name__ == "__main__":
    from qaickit._option_page import main
    from qaickit._tools import as_process

    raise SystemExit(as_process(main))
