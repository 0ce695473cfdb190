"""The table of options: what it holds, how kwargs and YAML files are checked against it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qaickit._option_page import option_page
from qaickit.errors import InvalidArgumentError, NotFoundError, UnsupportedError
from qaickit.options import CONTRADICTIONS, OPTIONS, Group, Host, find_option, resolve

# The keyword arguments that the vendor documents for Session, with its spelling.
# fmt: off
DOCUMENTED = (
    "dev_id", "num_activations", "set_size", "mos", "ols", "aic_num_cores", "convert_to_fp16",
    "onnx_define_symbol", "output_dir", "output_node_names", "model_inputs",
    "allocator_dealloac_delay", "size_split_granularity", "vtcm_working_set_limit_ratio",
    "execute_nodes_in_fp16", "node_precision_info_file", "keep_original_precision_for_nodes",
    "custom_io_list_file", "dump_custom_io_config_template_file", "external_quantization_file",
    "quantization_schema_activations", "quantization_schema_constants",
    "quantization_calibration", "percentile_calibration_value", "num_histogram_bins",
    "quantization_precision", "quantization_precision_bias", "enable_rowwise",
    "enable_channelwise", "dump_profile", "load_profile", "convert_to_quantize",
    "load_embedding_tables", "dump_embedding_tables", "mdp_load_partition_config",
    "mdp_dump_partition_config", "host_preproc", "aic_preproc", "aic_enable_depth_first",
    "aic_depth_first_mem", "stats_batchsize", "always_expand_onnx_functions", "enable_debug",
    "time_passes", "io_crc", "io_crc_stride", "sdp_cluster_sizes", "profiling_threads",
    "compile_threads", "use_producer_dma", "aic_perf_warnings", "aic_perf_metrics",
    "aic_pmu_recipe", "aic_pmu_events", "dynamic_shape_input", "multicast_weights", "ddr_stats",
    "combine_inputs", "combine_outputs", "enable_metrics", "enable_profiling", "options_path",
    "backend", "oversubscription_name",
)
# fmt: on


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_documented_argument_is_known(name: str) -> None:
    assert find_option(name) is not None
    assert find_option(name.replace("_", "-")) is find_option(name)


def test_table_is_consistent() -> None:
    names = [option.name for option in OPTIONS]
    assert len(names) == len(set(names))
    for option in OPTIONS:
        assert option.meaning
        assert option.note or option.host is not Host.REFUSED, option.name
        assert option.note or not option.warns, option.name
        assert (option.flag is None) or option.group is not Group.RUNTIME, option.name
        for key in (option.name, *option.aliases, *filter(None, [option.flag])):
            assert find_option(key) is option
        if option.default is not None:
            assert option.kind.convert(option.default) == option.default
    assert {name for pair in CONTRADICTIONS for name in pair} <= set(names)


def test_defaults() -> None:
    options = resolve({})
    assert options["num_activations"] == 1
    assert options["set_size"] == 10
    assert options.device_ids() == [0]
    assert options.recorded() == {}
    options.refuse(compiling=True)
    assert options.warnings(compiling=True) == []


def test_none_means_not_given() -> None:
    assert resolve({"num_activations": None, "options_path": None})["num_activations"] == 1


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ({"dev_id": [0, 1]}, [0, 1]),
        ({"dev_id": "2"}, 2),
        ({"dev_id": "0,3"}, [0, 3]),
        ({"num_activations": np.int64(4)}, 4),
        ({"convert_to_fp16": "true"}, True),
        ({"convert_to_fp16": np.True_}, True),
        ({"vtcm_working_set_limit_ratio": 1}, 1.0),
        ({"output_dir": Path("a/b")}, "a/b"),
        ({"execute_nodes_in_fp16": "Add, Mul"}, ["Add", "Mul"]),
        ({"sdp_cluster_sizes": (2, 2)}, [2, 2]),
        ({"onnx_define_symbol": [("batch", 2), ("seq", "128")]}, {"batch": 2, "seq": 128}),
        ({"onnx_define_symbol": {"batch": 2}}, {"batch": 2}),
        ({"onnx_define_symbol": ["batch=2", "seq,3"]}, {"batch": 2, "seq": 3}),
        ({"onnx_define_symbol": "batch=2"}, {"batch": 2}),
        (
            {"device_settings": {"latency_us": 5, "async": True}},
            {"latency_us": "5", "async": "true"},
        ),
        (
            {"model_inputs": {"input_name": "x", "input_type": "float", "input_shape": [1]}},
            [{"input_name": "x", "input_type": "float", "input_shape": [1]}],
        ),
    ],
)
def test_values_are_converted(given: dict[str, Any], value: Any) -> None:
    (name,) = given
    result = resolve(given)[name]
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"num_activations": 0}, "integer of at least 1"),
        ({"num_activations": "four"}, "integer of at least 1"),
        ({"num_activations": True}, "integer of at least 1"),
        ({"num_activations": 1.5}, "integer of at least 1"),
        ({"num_activations": 10**10}, "32-bit integer"),
        ({"dev_id": -1}, "integers of at least 0"),
        ({"dev_id": []}, "list of 32-bit integers"),
        ({"convert_to_fp16": 1}, "true or false"),
        ({"convert_to_fp16": "yes"}, "true or false"),
        ({"percentile_calibration_value": 89.9}, "from 90 to 100"),
        ({"percentile_calibration_value": float("nan")}, "from 90 to 100"),
        ({"size_split_granularity": 4096}, "from 512 to 2048"),
        ({"allocator_dealloac_delay": 11}, "from 0 to 10"),
        ({"quantization_calibration": "KL"}, "KLMinimizationV2"),
        ({"output_dir": ""}, "a path"),
        ({"output_dir": 3}, "a path"),
        ({"execute_nodes_in_fp16": [1]}, "list of non-empty texts"),
        ({"onnx_define_symbol": {"batch": 0}}, "batch"),
        ({"onnx_define_symbol": ["batch"]}, "batch=1"),
        ({"onnx_define_symbol": [("b", 1), ("b", 2)]}, "each given once"),
        ({"model_inputs": {"input_name": "x"}}, "input_shape"),
        ({"device_settings": "latency_us=5"}, "mapping"),
    ],
)
def test_bad_values_name_option_expected_and_got(given: dict[str, Any], expected: str) -> None:
    (name,) = given
    with pytest.raises(InvalidArgumentError) as caught:
        resolve(given)
    assert f"keyword argument '{name}'" in str(caught.value)
    assert expected in str(caught.value)
    assert repr(given[name]) in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("num_activation", "num_activations"),
        ("numactivations", "num_activations"),
        ("aic_num_core", "aic_num_cores"),
        ("onnx_define_symbols", "onnx_define_symbol"),
        ("convert-to-fp-16", "convert_to_fp16"),
        ("allocator_dealoc_delay", "allocator_dealloc_delay"),
    ],
)
def test_unknown_argument_names_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"'{name}'; did you mean '{nearest}'"):
        resolve({name: 1})


def test_unknown_argument_without_a_neighbour() -> None:
    with pytest.raises(InvalidArgumentError, match=r"'zzzzz'$"):
        resolve({"zzzzz": 1})


@pytest.mark.parametrize(("one", "other"), CONTRADICTIONS)
def test_contradictions(one: str, other: str) -> None:
    rows = {option.name: option for option in OPTIONS}
    values = {
        name: True if rows[name].default is False else (*rows[name].choices, "file")[0]
        for name in (one, other)
    }
    with pytest.raises(InvalidArgumentError, match="exclude each other"):
        resolve(values)


# --- YAML ----------------------------------------------------------------------------------------


@pytest.fixture
def write_yaml(tmp_path: Path) -> Any:
    def write(text: str) -> str:
        path = tmp_path / "options.yaml"
        path.write_text(text)
        return str(path)

    return write


def test_yaml_as_in_the_documentation(write_yaml: Any) -> None:
    path = write_yaml(
        "aic_num_cores: 4\nnum_activations: 1\nconvert_to_fp16: true\n"
        "onnx_define_symbol:\n  batch: 1\n  sequence: 128\noutput_dir: './resnet_qpc'\n"
    )
    options = resolve({"options_path": path})
    assert options["aic_num_cores"] == 4
    assert options["onnx_define_symbol"] == {"batch": 1, "sequence": 128}
    assert options["output_dir"] == "./resnet_qpc"
    assert options.recorded() == {
        "aic_num_cores": "4",
        "convert_to_fp16": "true",
        "onnx_define_symbol": "batch=1,sequence=128",
    }


def test_yaml_takes_dashes_flags_and_command_line_keys(write_yaml: Any) -> None:
    path = write_yaml(
        "multicast-weights: true\nstats-batchsize: 8\ncompile-only: true\naic-hw: true\n"
        "aic-hw-version: 2.0\naic-binary-dir: out\nmos: 1,2\naic_num_cores: 2\n"
        "onnx-define-symbol: [[batch, 8]]\nquantization-calibration: None\n"
    )
    options = resolve({"options_path": path})
    assert options["multicast_weights"] is True
    assert options["stats_batchsize"] == 8
    assert options["output_dir"] == "out"
    assert options["mos"] == [1, 2]
    assert options["onnx_define_symbol"] == {"batch": 8}
    assert not options.is_set("quantization_calibration")
    assert "compile_only" not in options.recorded()


def test_arguments_win_over_yaml(write_yaml: Any) -> None:
    path = write_yaml("num_activations: 2\nset-size: 3\n")
    options = resolve({"options_path": path, "num_activations": 5})
    assert options["num_activations"] == 5
    assert options["set_size"] == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("num_activation: 2\n", "options.yaml': key 'num_activation'; did you mean"),
        ("num_activations: two\n", "options.yaml': key 'num_activations'"),
        ("set_size: 1\nset-size: 2\n", "given twice"),
        ("- num_activations\n", "expected a mapping"),
        ("just text\n", "expected a mapping"),
        ("a: [1\n", "not valid YAML"),
        ("options_path: other.yaml\n", "cannot name another"),
        ("1: 2\n", "key '1'"),
        ("\x00\x01", "not valid YAML"),
    ],
)
def test_bad_yaml(write_yaml: Any, text: str, message: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        resolve({"options_path": write_yaml(text)})
    assert message in str(caught.value)


def test_binary_file_as_yaml(tmp_path: Path) -> None:
    path = tmp_path / "options.yaml"
    path.write_bytes(b"\x89PNG\xff\x00")
    with pytest.raises(InvalidArgumentError, match="not valid YAML"):
        resolve({"options_path": path})


def test_empty_yaml_gives_nothing(write_yaml: Any) -> None:
    assert resolve({"options_path": write_yaml("# nothing\n")})["num_activations"] == 1


def test_missing_yaml() -> None:
    with pytest.raises(NotFoundError, match=r"nowhere\.yaml"):
        resolve({"options_path": "nowhere.yaml"})


# --- what options do -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        {"dynamic_shape_input": ["x"]},
    ],
)
def test_compile_options_that_would_change_results_are_refused(given: dict[str, Any]) -> None:
    (name,) = given
    options = resolve(given)
    options.refuse(compiling=False)  # on a QPC they have no effect
    with pytest.raises(UnsupportedError, match=f"'{name}'"):
        options.refuse(compiling=True)


def test_tuning_is_recorded_in_silence() -> None:
    options = resolve({"mos": 2, "ols": 1, "multicast_weights": True, "sdp_cluster_sizes": [2, 2]})
    options.refuse(compiling=True)
    assert options.warnings(compiling=True) == []
    assert options.recorded() == {
        "mos": "2",
        "ols": "1",
        "multicast_weights": "true",
        "sdp_cluster_sizes": "2,2",
    }


def test_what_a_user_would_miss_is_told() -> None:
    options = resolve({"convert_to_fp16": True, "time_passes": True})
    texts = options.warnings(compiling=True)
    assert len(texts) == 2
    assert "convert_to_fp16" in texts[0]
    assert options.warnings(compiling=False) == []
    # A GPU does compute in fp16.
    assert not any("fp16" in text for text in options.warnings(compiling=True, backend="cuda"))
    assert len(options.warnings(compiling=True, backend="cpu")) == 2


def test_where_the_result_goes_is_not_recorded() -> None:
    assert resolve({"output_dir": "a", "dev_id": 1, "num_activations": 3}).recorded() == {}


def test_updated() -> None:
    options = resolve({"dev_id": 1})
    changed = options.updated({"num_activations": "2", "dev_id": [0, 1]})
    assert changed.changeable() == {"dev_id": [0, 1], "num_activations": 2, "set_size": 10}
    assert options["dev_id"] == 1
    with pytest.raises(InvalidArgumentError, match="did you mean 'num_activations'"):
        options.updated({"num_activation": 2})
    with pytest.raises(InvalidArgumentError, match="cannot be changed"):
        options.updated({"backend": "cpu"})
    with pytest.raises(InvalidArgumentError, match="at least 1"):
        options.updated({"set_size": 0})


def test_the_page_is_that_of_the_table() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "options.md"
    assert page.read_text() == option_page(), "run: python -m qaickit.options > docs/options.md"


def test_the_page_has_every_option() -> None:
    rows = [line for line in option_page().splitlines() if line.startswith("| `")]
    assert len(rows) == len(OPTIONS)
    assert all(row.count(" | ") == rows[0].count(" | ") for row in rows)
