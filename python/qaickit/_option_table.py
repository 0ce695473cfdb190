"""The rows: every option that a session knows. To add one, add a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from types import MappingProxyType
from typing import Any

from qaickit._option_kinds import (
    ANY,
    BOOL,
    DATA,
    FILE_IN,
    FILE_OUT,
    FLOAT,
    INT,
    INT_OR_INTS,
    INTS,
    MODEL_INPUTS,
    PATH,
    SETTINGS,
    SYMBOLS,
    TEXT,
    TEXTS,
    Kind,
)


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
