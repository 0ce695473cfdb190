"""`python -m qaickit.compile`, `qaic-exec`, `qaic-compile`: public command lines as they stand."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SaveOnnx
from onnx import TensorProto, helper, numpy_helper

from qaickit import _core
from qaickit.compile import cli
from qaickit.compile.cli import main
from qaickit.compiler.calibration.data import Arrays, FirstSamples, ModelInput
from qaickit.compiler.calibration.feeds import feeds
from qaickit.errors import ResourceExhaustedError
from qaickit.models import MODELS
from qaickit.session import Session

FLOAT = TensorProto.FLOAT
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of its own, as scripts have, and none of their variables."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("CM_"):
            monkeypatch.delenv(name)
    return tmp_path


def run(line: str) -> int:
    return main(shlex.split(line))


def options_of(path: Path | str) -> dict[str, str]:
    manifest = _core.read_qpc(str(path))["manifest"]
    assert manifest is not None
    return manifest["options"]


def as_program(name: str, monkeypatch: pytest.MonkeyPatch, line: str) -> int:
    """As the console script of that name."""
    monkeypatch.setattr(sys, "argv", [f"/usr/bin/{name}", *shlex.split(line)])
    return main()


# --- public command lines ------------------------------------------------------------------------


def test_a_plain_compile(linear_onnx: Path, capsys: Capture) -> None:
    line = (
        f"-m={linear_onnx} -aic-hw -aic-hw-version=2.0 -aic-binary-dir=elfs -compile-only "
        "-onnx-define-symbol=batch,4 -aic-num-cores=4 -mos=1,2 -ols=4 -convert-to-fp16 '' "
        "-stats-level=70 -ddr-stats -vvv -aic-perf-metrics -time-passes -some-new-tuning=3"
    )
    assert run(line) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"Reading ONNX Model from {linear_onnx}\nloading compiler from: ")
    assert "Compile started ............... \n" in out
    assert "Compiling model with FP16 precision.\n" in out
    assert out.rstrip().endswith("Generated binary is present at elfs")
    assert "simplify" in out  # -vvv shows the passes
    assert "WARNING: option '-some-new-tuning' is not known and is ignored\n" in err
    assert "WARNING: option 'convert_to_fp16' (argument '-convert-to-fp16') does not act on" in err
    assert options_of("elfs/programqpc.bin")["mos"] == "1,2"


def test_the_form_of_the_program_builders(linear_onnx: Path) -> None:
    """Keywords turned into flags, with -m and -aic-binary-dir apart."""
    line = (
        f"-m={linear_onnx} -compile-only -aic-hw -aic-hw-version=ai100 -aic-num-cores=16 "
        "-mxfp6-matmul -retained-state -allow-mxint8-mdp-io -mdp-dump-partition-config=mdp.json "
        "-onnx-define-symbol=batch,1 -aic-binary-dir=qpc --aic-enable-depth-first"
    )
    assert run(line) == 0
    assert options_of("qpc/programqpc.bin")["mxfp6_matmul"] == "true"


def test_output_directory(linear_onnx: Path, capsys: Capture) -> None:
    line = f"-m={linear_onnx} -onnx-define-symbol=batch,1 -aic-binary-dir=out"
    os.mkdir("out")
    assert run(line) == 0  # an empty one will do
    assert run(line) == 1
    assert "-aic-binary-dir=out exists already; remove it" in capsys.readouterr().err
    assert run(f"-m {linear_onnx} -onnx-define-symbol=batch,1") == 0
    assert "cache" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        ("-aic-num-cores=many -m=a.onnx", 2, "expected a 32-bit integer"),
        ("-aic-num-cores=2", 2, "no model: give -m=MODEL"),
        ("-m=none.onnx -aic-binary-dir=x", 1, "none.onnx"),
        ("-m", 2, "expected a value after it: PATH"),
        ("--env-file -m=a.onnx", 2, "expected a value after it: FILE"),
        ("a.onnx b.onnx", 2, "there is a model already, 'a.onnx'"),
        ("--preset resnet50,server", 2, "there is no recipe"),
        ("--preset resnet50", 2, "give -load-profile=FILE, or data"),
        ("--preset retinanet -load-profile=p.yaml", 2, "give -node-precision-info=FILE"),
        ("--scenario offline -m=a.onnx", 2, "give --preset too"),
        ("-m=a.onnx --by-layer", 2, "'--by-layer' is part of --compare; give --compare too"),
        ("-m=a.onnx --plot p.svg", 2, "'--plot' is part of --compare; give --compare too"),
        ("-m=a.onnx --compare digits --report r", 2, "'--report' and '--compare' exclude each"),
        ("-m=a.onnx --compare digits --env-file e", 2, "'--env-file' and '--compare' exclude"),
        ("-m=a.onnx --report r.json", 2, "without -aic-binary-dir the QPC may"),
        ("--register x --report r -aic-binary-dir=q", 2, "with --register it is"),
        ("-m=a.onnx -dynamic-shape-input=x -aic-binary-dir=x", 1, "dynamic_shape_input"),
        ("-m=graph.pb -output-node-name=ArgMax", 1, "pip install 'qaickit[tensorflow]'"),
        ("-m=a.onnx -compile-only=maybe", 2, "option 'compile_only'"),
        ("--calibration-filter-size x -m=a.onnx", 2, "expected an integer from 1 to"),
        ("--calibration-filter-size=0 -m=a.onnx", 2, "expected an integer from 1 to"),
        ("--device-id=x -m=a.onnx", 2, "'--device-id': expected an integer from 0 to"),
        ("--compare random --plot p.gif -m=a.onnx", 2, "that ends in .png, .svg, .pdf"),
        ("--register nowhere", 1, "--register nowhere: it has no programqpc.bin"),
    ],
)
def test_errors(line: str, status: int, message: str, capsys: Capture) -> None:
    Path("a.onnx").touch()
    assert run(line) == status
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert sorted(os.listdir()) == ["a.onnx"]


def test_operators(capsys: Capture) -> None:
    assert run("-operators-supported=onnx") == 0
    lines = capsys.readouterr().out.splitlines()
    assert {"ai.onnx MatMul 1+", "ai.onnx Conv 1+"} <= set(lines)
    assert len(lines) > 150
    assert run("-operators-supported=caffe2") == 2
    assert "expected onnx" in capsys.readouterr().err


def test_help_and_usage(capsys: Capture) -> None:
    assert run("-h") == 0
    assert "--preset WORDS" in capsys.readouterr().out
    assert run("-usage") == 0
    out = capsys.readouterr().out
    assert "-aic-num-cores: a 32-bit integer of at least 1; default: 1" in out
    assert main([]) == 2


def test_run_once_with_listed_inputs(
    linear_onnx: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Without -compile-only the vendor's tool runs the model once."""
    line = f"-m={linear_onnx} -onnx-define-symbol=batch,2 -aic-binary-dir=a"
    assert as_program("qaic-exec", monkeypatch, f"{line} -write-output-dir=outputs") == 0
    written = Path("outputs/y-activation-0-inf-0.bin")
    assert f"Writing file:{written}" in capsys.readouterr().out
    assert np.fromfile(written, np.float32).shape == (2 * 4,)
    line = line.replace("dir=a", "dir=b")
    assert as_program("qaic-compile", monkeypatch, f"{line} -compile-only") == 0
    assert os.listdir("outputs") == [written.name]


def test_dump_profile_stops_after_it(linear_onnx: Path, capsys: Capture) -> None:
    line = (
        f"-m={linear_onnx} -onnx-define-symbol=batch,2 -use-random-input-data=gaussian "
        "-dump-profile=profile.yaml"
    )
    assert run(line) == 0
    out = capsys.readouterr().out
    assert "Profile is present at profile.yaml" in out
    assert "Generated binary" not in out
    load = f"-m={linear_onnx} -onnx-define-symbol=batch,2 -load-profile=profile.yaml"
    assert run(f"{load} -aic-binary-dir=q -quantization-schema=symmetric_with_uint8") == 0
    manifest = _core.read_qpc("q/programqpc.bin")["manifest"]
    assert manifest is not None
    assert manifest["precision"] == "int8"


# --- presets, env file, register -----------------------------------------------------------------


@pytest.fixture
def resnet_like(save_onnx: SaveOnnx) -> Path:
    """A convolution with the outputs' name that the resnet50 recipe expects."""
    weights = np.random.default_rng(1).standard_normal((4, 3, 3, 3)).astype(np.float32)
    return save_onnx(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], strides=[2, 2]),
            helper.make_node("GlobalAveragePool", ["c"], ["p"]),
            helper.make_node("Flatten", ["p"], ["f"]),
            helper.make_node("ArgMax", ["f"], ["ArgMax"], axis=1, keepdims=0),
        ],
        [("x", FLOAT, ["batch", 3, 8, 8])],
        [("ArgMax", TensorProto.INT64, None)],
        [numpy_helper.from_array(weights, "w")],
    )


def test_preset_to_qpc_and_env_file(resnet_like: Path, capsys: Capture) -> None:
    line = (
        f"--preset resnet50,offline,nsp.14,bs.8 -m={resnet_like} -aic-binary-dir=elfs "
        "-use-random-input-data=uniform --env-file out.env --report report.json -v"
    )
    assert run(line) == 0
    out = capsys.readouterr().out
    assert "Layers in int8" in out
    assert "sdp_cluster_sizes" in out  # the resolved options
    recorded = options_of("elfs/programqpc.bin")
    assert recorded["sdp_cluster_sizes"] == "2,2"
    assert recorded["convert_to_quantize"] == "true"
    assert _core.read_qpc("elfs/programqpc.bin")["program"]["batch_size"] == 8
    variables = dict(
        item.split("=", 1)
        for text in Path("out.env").read_text().splitlines()
        for item in shlex.split(text)
    )
    path = str(Path("elfs/programqpc.bin").absolute())
    assert variables["CM_QAIC_MODEL_COMPILED_BINARY_WITH_PATH"] == path
    assert variables["CM_ML_MODEL_FILE_WITH_PATH"] == path
    assert variables["CM_QAIC_MODEL_QUANTIZATION"] == "yes"
    assert "resnet50,offline,nsp.14,bs.8" in variables["CM_QAIC_MODEL_FINAL_COMPILATION_CMD"]
    report = json.loads(Path("report.json").read_text())
    assert "quantise" in [entry["name"] for entry in report["passes"]]
    assert report["layers"][0]["operator"] == "Conv"
    assert report["layers"][0]["weights_sqnr"] > 20


def test_words_beside_the_preset(resnet_like: Path, capsys: Capture) -> None:
    line = (
        "--preset resnet50 --scenario Offline --nsp=14 --batch-size 4 --no-quantized "
        f"--print-options -aic-num-cores=2 -m={resnet_like}"
    )
    assert run(line) == 0
    argv = capsys.readouterr().out.splitlines()[-1]
    assert "-batchsize=4" in argv
    assert "-sdp-cluster-sizes=2,2" in argv
    assert "-aic-num-cores=2" in argv  # given beside the preset, so it wins
    assert not Path("elfs").exists()


def test_model_and_precision_file_from_the_environment(
    linear_onnx: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    Path("precision.yaml").write_text("FP16NodeInstanceNames: []\n")
    monkeypatch.setenv("CM_ML_MODEL_FILE_WITH_PATH", str(linear_onnx))
    monkeypatch.setenv("CM_ML_MODEL_RETINANET_QAIC_NODE_PRECISION_INFO_FILE_PATH", "precision.yaml")
    line = "--preset retinanet,offline -use-random-input-data=uniform -aic-binary-dir=elfs"
    assert run(f"{line} --print-options") == 0
    # The file is part of the recipe, and has to be given only where it is quantised.
    line = "--preset retinanet,offline,no-quantized --print-options"
    capsys.readouterr()
    assert run(line) == 0
    assert "-node-precision-info=precision.yaml" in capsys.readouterr().out
    monkeypatch.delenv("CM_ML_MODEL_RETINANET_QAIC_NODE_PRECISION_INFO_FILE_PATH")
    assert run(line) == 0
    assert "-node-precision-info" not in capsys.readouterr().out
    assert run("-onnx-define-symbol=batch,1 -aic-binary-dir=elfs") == 0


def test_register_takes_what_is_there(linear_onnx: Path) -> None:
    assert run(f"-m={linear_onnx} -onnx-define-symbol=batch,1 -aic-binary-dir=elfs") == 0
    assert run("--register elfs -aic-binary-dir=copy --env-file e") == 0
    assert Path("copy/programqpc.bin").read_bytes() == Path("elfs/programqpc.bin").read_bytes()
    assert "copy/programqpc.bin" in Path("e").read_text()


def test_register_takes_only_a_qpc_and_leaves_nothing_half_done(
    linear_onnx: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    os.mkdir("junk")
    Path("junk/programqpc.bin").write_bytes(b"no QPC")
    assert run("--register junk -aic-binary-dir=copy") == 1
    assert "junk/programqpc.bin" in capsys.readouterr().err
    assert run(f"-m={linear_onnx} -onnx-define-symbol=batch,1 -aic-binary-dir=elfs") == 0

    def full(*_: object) -> None:
        raise ResourceExhaustedError("no space left")

    monkeypatch.setattr(cli, "copy_file", full)
    assert run("--register elfs -aic-binary-dir=a/copy") == 1
    assert "no space left" in capsys.readouterr().err
    assert sorted(name for name in os.listdir() if name in ("a", "copy")) == []


def test_first_samples() -> None:
    inputs = [ModelInput("x", np.dtype(np.float32), (2, 3))]
    values = np.arange(30, dtype=np.float32).reshape(10, 3)
    source = FirstSamples(Arrays([{"x": values}], text="test"), 5)
    batches = [feed["x"][:count] for _, feed, count in feeds(source, [inputs])]
    np.testing.assert_array_equal(np.concatenate(batches), values[:5])
    assert source.digest() != FirstSamples(Arrays([{"x": values}], text="test"), 6).digest()


# --- TensorFlow ----------------------------------------------------------------------------------

# In place of tf2onnx: checks its arguments, and writes the ONNX file beside the graph.
TF2ONNX = """
import shutil, sys
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
assert options["--inputs"] == "input_tensor:0[1,224,224,3]", options
assert options["--outputs"] == "ArgMax:0", options
if "broken" in options["--graphdef"]:
    sys.exit("no such node")
shutil.copyfile(options["--graphdef"], options["--output"])
"""


@pytest.fixture
def tf2onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = tmp_path / "packages"
    for name in ("tf2onnx", "tensorflow"):
        (packages / name).mkdir(parents=True)
        (packages / name / "__init__.py").touch()
    (packages / "tf2onnx" / "convert.py").write_text(TF2ONNX)
    monkeypatch.syspath_prepend(str(packages))
    path = os.pathsep.join([str(packages), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)


@pytest.mark.usefixtures("tf2onnx")
def test_a_tensorflow_graph_is_converted(resnet_like: Path, capsys: Capture) -> None:
    graph = resnet_like.rename("frozen.pb")
    inputs = "-model-input=input_tensor,float,[1,224,224,3]"
    line = f"--preset resnet50,tf,no-quantized,bs.1 -m={graph} -aic-binary-dir=elfs"
    assert run(f"{line} {inputs}") == 0
    assert _core.read_qpc("elfs/programqpc.bin")["program"]["batch_size"] == 1
    assert run(line.replace("elfs", "b")) == 1
    assert "name its inputs and outputs" in capsys.readouterr().err
    broken = graph.rename("broken.pb")
    assert run(f"-m={broken} {inputs} -output-node-name=ArgMax") == 1
    assert "tf2onnx failed with status 1: no such node" in capsys.readouterr().err


# --- compare -------------------------------------------------------------------------------------

DIGITS = str(MODELS["digits"].path)
QUANTISED = f"-m={DIGITS} -batchsize=16 -convert-to-quantize -calibration-data=digits"


def test_compare_as_a_table_and_a_plot(capsys: Capture) -> None:
    pytest.importorskip("matplotlib")
    line = f"{QUANTISED} --calibration-filter-size=64 --compare digits --by-layer --plot p.svg"
    assert run(line) == 0
    out = capsys.readouterr().out
    assert "fp32 against compiled" in out
    assert "Relu" in out
    assert "Gemm" in out
    assert Path("p.svg").read_text().lstrip().startswith("<?xml")


def test_compare_sees_no_difference_where_there_is_none(capsys: Capture) -> None:
    assert run(f"-m={DIGITS} -batchsize=16 --compare digits") == 0
    out = capsys.readouterr().out
    assert "1.000000" in out
    assert "inf" in out
    assert "100.00%" in out


def test_compare_counts_as_numpy_does(linear_onnx: Path) -> None:
    """int8 against fp32, by the definitions of cosine, SQNR, error and top-1."""
    from qaickit.compile.compare import compare
    from qaickit.compiler import CompileSettings

    x = np.random.default_rng(5).standard_normal((7, 16)).astype(np.float32)
    settings = CompileSettings.of(
        onnx_define_symbol={"batch": 4}, convert_to_quantize=True, calibration_data={"x": x}
    )
    (found,) = compare(str(linear_onnx), settings, {"x": x}, by_layer=False).differences
    outputs = []
    for chosen in (settings, CompileSettings.of(onnx_define_symbol={"batch": 4})):
        from qaickit.compiler import ensure_qpc

        with Session(ensure_qpc(linear_onnx, chosen).path) as session:
            padded = np.concatenate([x, x[:1]]).reshape(2, 4, 16)
            runs = [session.run({"x": part})["y"] for part in padded]
        outputs.append(np.concatenate(runs)[:7].astype(np.float64))
    b, a = outputs
    assert found.cosine == pytest.approx((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))
    assert found.sqnr == pytest.approx(10 * np.log10((a**2).sum() / ((a - b) ** 2).sum()))
    assert found.max_error == pytest.approx(np.abs(a - b).max())
    assert found.top1 == pytest.approx((a.argmax(1) == b.argmax(1)).mean())
    assert 0 < found.max_error < 1


@pytest.mark.parametrize("option", ["network-specialization-config", "custom-IO-list-file"])
def test_a_directory_in_place_of_a_file(option: str, linear_onnx: Path, capsys: Capture) -> None:
    """It is no file of the wrong kind, but none."""
    line = f"-m={linear_onnx} -onnx-define-symbol=batch,1 -aic-binary-dir=q -{option}=."
    assert run(line) == 1
    err = capsys.readouterr().err
    assert err.endswith("file '.': Is a directory\n")
    assert "not valid" not in err


def test_a_symbol_without_a_size_comes_with_the_flag(linear_onnx: Path, capsys: Capture) -> None:
    assert run(f"-m={linear_onnx} -aic-binary-dir=q") == 1
    assert capsys.readouterr().err.endswith(", on a command line -onnx-define-symbol=batch,1\n")


def test_a_misspelt_option_is_told(linear_onnx: Path, capsys: Capture) -> None:
    assert run(f"-m={linear_onnx} -onnx-define-symbol=batch,1 -compile-onli -aic-num-core=2") == 0
    err = capsys.readouterr().err
    assert "'-compile-onli' is not known and is ignored; did you mean 'compile-only'?" in err
    assert "'-aic-num-core' is not known and is ignored; did you mean 'aic-num-cores'?" in err


def test_a_truth_value_that_is_false(
    linear_onnx: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    line = f"-m={linear_onnx} -onnx-define-symbol=batch,1 -write-output-dir=out -compile-only="
    assert as_program("qaic-exec", monkeypatch, line + "true -aic-binary-dir=q1") == 0
    assert not Path("out").exists()
    assert as_program("qaic-exec", monkeypatch, line + "false -aic-binary-dir=q2") == 0
    assert Path("out/y-activation-0-inf-0.bin").exists()


def test_compare_without_matplotlib(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert run(f"-m={DIGITS} -batchsize=16 --compare digits --plot p.svg") == 1
    assert "pip install 'qaickit[plot]'" in capsys.readouterr().err


IMAGES = """
- {IOName: x, Layout: NHWC, Precision: uint8, Scale: 0.05, Offset: 100}
- {IOName: c, Layout: NHWC, Precision: float16}
- {IOName: y, Precision: int8, Scale: 0.02, Offset: -3}
"""


@pytest.mark.parametrize("quantised", [False, True])
def test_compare_undoes_custom_io(save_onnx: SaveOnnx, quantised: bool) -> None:
    """By the data and the numbers of the model itself, as someone would who converts by hand."""
    from qaickit.compile.compare import compare
    from qaickit.compiler import CompileSettings, ensure_qpc

    random = np.random.default_rng(1)
    path = save_onnx(
        [
            helper.make_node("Conv", ["x", "w"], ["c"]),
            helper.make_node("GlobalAveragePool", ["c"], ["p"]),
            helper.make_node("Flatten", ["p"], ["y"]),
        ],
        [("x", FLOAT, [2, 3, 6, 5])],
        [("c", FLOAT, None), ("y", FLOAT, None)],
        [numpy_helper.from_array(random.standard_normal((4, 3, 3, 3)).astype(np.float32), "w")],
    )
    Path("io.yaml").write_text(IMAGES)
    x = random.standard_normal((6, 3, 6, 5)).astype(np.float32)
    options = {"convert_to_quantize": True, "calibration_data": {"x": x}} if quantised else {}
    settings = CompileSettings.of(custom_io_list_file="io.yaml", **options)
    found = compare(str(path), settings, {"x": x}, by_layer=True)
    assert [entry.name for entry in found.differences[:2]] == ["c", "y"]

    with Session(ensure_qpc(path, settings).path) as ours, Session(path) as plain:
        bytes_in = np.clip(np.rint(x / np.float32(0.05)) + 100, 0, 255).astype(np.uint8)
        runs = [ours.run({"x": b}) for b in np.split(bytes_in.transpose(0, 2, 3, 1).copy(), 3)]
        wanted = [plain.run({"x": part}) for part in np.split(x, 3)]
    c = np.concatenate([run["c"] for run in runs]).transpose(0, 3, 1, 2).astype(np.float64)
    y = 0.02 * (np.concatenate([run["y"] for run in runs]).astype(np.float64) + 3)
    for entry, values in zip(found.differences, (c, y), strict=False):
        a = np.concatenate([run[entry.name] for run in wanted]).astype(np.float64)
        assert entry.max_error == pytest.approx(np.abs(a - values).max(), rel=1e-4)
        noise = ((a - values) ** 2).sum()
        assert entry.sqnr == pytest.approx(10 * np.log10((a**2).sum() / noise), rel=1e-3)
        assert entry.sqnr > 20


def test_compare_with_data_that_the_model_fails_on(save_onnx: SaveOnnx, capfd: Any) -> None:
    path = save_onnx(
        [helper.make_node("Gather", ["w", "i"], ["y"])], [("i", TensorProto.INT64, [3])],
        [("y", FLOAT, None)], [numpy_helper.from_array(np.ones((1, 4), np.float32), "w")],
    )  # fmt: skip
    np.savez("i.npz", i=np.array([0, 5, 0]))
    assert run(f"-m={path} --compare i.npz") == 1
    err = capfd.readouterr().err
    assert "dataset 'i.npz', sample 0: onnxruntime fails on it: " in err
    assert "idx=5" in err
    assert err.count("\n") == 1


def test_compare_without_a_sample(save_onnx: SaveOnnx, capsys: Capture) -> None:
    path = save_onnx(
        [helper.make_node("Relu", ["x"], ["y"])], [("x", FLOAT, [0, 4])], [("y", FLOAT, [0, 4])]
    )
    assert run(f"-m={path} --compare random") == 1
    assert "expected fixed sample dims of 1 or more, got 0" in capsys.readouterr().err


def test_differences_that_are_no_numbers() -> None:
    from qaickit.compile.compare import Difference

    mask = np.array([0.0, -np.inf], np.float32)
    same = Difference("m", "Where", is_output=False)
    same.add(mask, mask)
    assert (same.max_error, same.noise) == (0.0, 0.0)
    broken = Difference("b", "Div", is_output=False)
    broken.add(np.ones(2, np.float32), np.array([1.0, np.nan], np.float32))
    broken.add(np.ones(2, np.float32), np.ones(2, np.float32))
    assert np.isnan(broken.max_error)
    assert np.isnan(broken.sqnr)


def test_what_stays_without_effect_is_told(linear_onnx: Path, capsys: Capture) -> None:
    np.save("x.npy", np.ones((2, 16), np.float32))
    line = f"-m={linear_onnx} -onnx-define-symbol=batch,2 -aic-binary-dir=q"
    assert run(f"{line} --compare x.npy") == 0
    assert "WARNING: --compare writes no QPC" in capsys.readouterr().err
    assert not Path("q").exists()
    assert run(f"{line} -write-output-dir=outputs") == 0
    assert "WARNING: -write-output-dir is ignored" in capsys.readouterr().err
    assert not Path("outputs").exists()


def test_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "qaickit.compile", "-m=none.onnx", "-aic-binary-dir=x"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert "none.onnx" in done.stderr
