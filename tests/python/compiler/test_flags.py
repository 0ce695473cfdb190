"""Options to the vendor's flags and back, for every row of the table."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qaickit import _option_kinds as kinds
from qaickit.compiler.flags import Flags, from_argv, to_argv
from qaickit.errors import InvalidArgumentError
from qaickit.options import OPTIONS, Group, Option, resolve

# Names and paths: no commas, which part lists; no space at the ends, which lists drop.
TEXT = st.text("abcXYZ019_./-:", min_size=1, max_size=8)
FLAGGED = [option for option in OPTIONS if option.flag is not None]


def test_one_schema_for_both_where_constants_have_none_such() -> None:
    options = from_argv(["-quantization-schema=symmetric_with_power2_scale"]).resolve()
    assert options["quantization_schema_activations"] == "symmetric_with_power2_scale"
    assert options["quantization_schema_constants"] == "symmetric"
    with pytest.raises(InvalidArgumentError, match="quantization_schema_constants"):
        from_argv(["-quantization-schema-constants=symmetric_with_power2_scale"]).resolve()


def values_of(option: Option) -> st.SearchStrategy[Any]:
    if option.choices:
        return st.sampled_from(option.choices)
    low = 0 if option.low is None else int(option.low)
    high = 2**31 - 1 if option.high is None else int(option.high)
    numbers = st.integers(low, high)
    inputs = st.fixed_dictionaries(
        {
            "input_name": TEXT,
            "input_type": st.sampled_from(["float", "int64"]),
            "input_shape": st.lists(st.integers(0, 9), max_size=3),
        }
    )
    strategies: dict[str, st.SearchStrategy[Any]] = {
        kinds.BOOL.expects: st.booleans(),
        kinds.INT.expects: numbers,
        kinds.INTS.expects: st.lists(numbers, min_size=1, max_size=3),
        kinds.INT_OR_INTS.expects: numbers | st.lists(numbers, min_size=2, max_size=3),
        kinds.FLOAT.expects: st.floats(low, min(high, 100)),
        kinds.TEXTS.expects: st.lists(TEXT, min_size=1, max_size=3),
        kinds.SYMBOLS.expects: st.dictionaries(TEXT, st.integers(1, 999), min_size=1, max_size=3),
        kinds.MODEL_INPUTS.expects: st.lists(inputs, min_size=1, max_size=2),
        kinds.ANY.expects: st.just(True) | TEXT,
    }
    return strategies.get(option.kind.expects, TEXT)


@pytest.mark.parametrize("option", FLAGGED, ids=lambda option: option.name)
@settings(max_examples=20)
@given(data=st.data())
def test_every_option_there_and_back(option: Option, data: st.DataObject) -> None:
    value = data.draw(values_of(option))
    options = resolve({option.name: value})
    argv = to_argv(options)
    assert all(argument.startswith(option.flag or "?") for argument in argv)
    back = from_argv(argv).resolve()
    assert back[option.name] == options[option.name]
    assert to_argv(back) == argv
    assert dict(back.values) == dict(options.values)


def test_the_whole_table_is_flagged_but_for_runtime_options() -> None:
    without = {option.name for option in OPTIONS if option.flag is None}
    runtime = {option.name for option in OPTIONS if option.group is Group.RUNTIME}
    assert runtime <= without
    assert without - runtime <= {"enable_debug", "calibration_data"}


def read(line: str) -> Flags:
    return from_argv(shlex.split(line))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("-aic-hw-version=2.0 -aic-hw", {"aic_hw": True, "aic_hw_version": "2.0"}),
        ("-convert-to-fp16", {"convert_to_fp16": True}),
        ("-convert-to-fp16=true '' -mos=1,2", {"convert_to_fp16": True, "mos": [1, 2]}),
        ("-use-producer-dma=1", {"use_producer_dma": True}),
        ("-combine-inputs=false", {"combine_inputs": False}),
        ("-sdp-cluster-sizes=2,2", {"sdp_cluster_sizes": [2, 2]}),
        ("-custom-IO-list-file=io.yaml", {"custom_io_list_file": "io.yaml"}),
        ("-node-precision-info=p.yaml", {"node_precision_info_file": "p.yaml"}),
        ("-external-quantization=q.yaml", {"external_quantization_file": "q.yaml"}),
        ("-aic-binary-dir=elfs", {"output_dir": "elfs"}),
        ("-output-node-name=a,b", {"output_node_names": ["a", "b"]}),
        ("-allocator-dealloc-delay=2", {"allocator_dealloc_delay": 2}),
        ("--aic-num-cores=4", {"aic_num_cores": 4}),
        (
            "-onnx-define-symbol=batch_size,1 -onnx-define-symbol=seg_length,384",
            {"onnx_define_symbol": {"batch_size": 1, "seg_length": 384}},
        ),
        (
            "-quantization-schema=symmetric",
            {
                "quantization_schema_activations": "symmetric",
                "quantization_schema_constants": "symmetric",
            },
        ),
        (
            "-quantization-calibration=None -quantization-calibration=Percentile",
            {"quantization_calibration": "Percentile"},
        ),
        (
            "-model-input=x,float,[1,3,224,224]",
            {
                "model_inputs": [
                    {"input_name": "x", "input_type": "float", "input_shape": [1, 3, 224, 224]}
                ]
            },
        ),
    ],
)
def test_command_lines(line: str, expected: dict[str, Any]) -> None:
    options = read(line).resolve()
    assert {name: options[name] for name in options.origins} == expected


def test_what_is_no_option_is_kept_apart() -> None:
    flags = read("-m=a.onnx -vvv '' -some-new-flag=3 stray -dev-id=1")
    assert flags.others == [
        ("m", "a.onnx"),
        ("vvv", None),
        ("some-new-flag", "3"),
        ("", "stray"),
        ("dev-id", "1"),
    ]
    assert flags.options == {}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-aic-num-cores", "expected '-aic-num-cores=' and a 32-bit integer of at least 1"),
        ("-aic-num-cores=many", "argument '-aic-num-cores=many'.*expected a 32-bit integer"),
        ("-convert-to-fp16=perhaps", "expected true or false"),
        ("-quantization-schema=round", "expected one of asymmetric"),
        ("-onnx-define-symbol=batch", "argument '-onnx-define-symbol=batch'"),
        ("-onnx-define-symbol=b,1 -onnx-define-symbol=b,2", "each given once"),
        ("-model-input=x", "expected name, type and shape"),
        ("-host-preproc -aic-preproc", "exclude each other"),
    ],
)
def test_bad_command_lines(line: str, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        read(line).resolve()
