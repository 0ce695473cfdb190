"""`python -m qaickit.loadgen`: settings as pure logic, and whole runs, each in a process."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qaickit import util
from qaickit.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
)
from qaickit.loadgen.arguments import parse
from qaickit.loadgen.output_dir import (
    DEFAULT_ROOT,
    prepare_output_dir,
    refuse_audit_config,
)
from qaickit.loadgen.plan import check_memory, make_plan
from qaickit.loadgen.progress import Expected
from qaickit.loadgen.results import ACCURACY_LOG, DETAIL_LOG, LOG_FILES, SUMMARY_LOG, read_detail
from qaickit.loadgen.scenarios import Mode, Scenario
from qaickit.loadgen.settings import Flags, Rate, Settings, check_flags, needs_rate, resolve
from qaickit.loadgen.target import _BestWindow
from qaickit.loadgen.user_conf import Conf

OFFLINE, SERVER = Scenario.OFFLINE, Scenario.SERVER
SINGLE, MULTI = Scenario.SINGLE_STREAM, Scenario.MULTI_STREAM
STREAMS = (SINGLE, MULTI)

# Settings.


def chosen(flags: Flags, rate: Rate | None = None, conf: Conf | None = None) -> Settings:
    return resolve(flags, conf, rate, total_samples=360)


def test_options_have_the_names_of_the_core() -> None:
    options = chosen(Flags(scenario=SINGLE, mode=Mode.SUBMISSION)).options()
    assert (options["scenario"], options["mode"]) == ("singlestream", "submission")
    assert set(options) == {
        "scenario", "mode", "model_name", "mlperf_conf", "user_conf", "audit_config",
        "built_in_conf",
        "target_qps", "target_latency_ns", "min_duration_ms", "min_query_count",
        "performance_sample_count", "max_batch", "max_delay_ns", "output_dir", "caller_runs",
    }  # fmt: skip


def test_a_rate_says_how_long_a_query_takes() -> None:
    rate = Rate(inferences_per_second=1000, batch_size=4, activations=2)
    assert rate.samples_per_second == 4000
    assert rate.inference_ns == 2e6
    assert rate.query_ns(1) == rate.query_ns(8) == 2e6
    assert rate.query_ns(9) == 4e6


def test_quick_defaults_follow_the_measured_rate() -> None:
    rate = Rate(1000)
    offline = chosen(Flags(), rate)
    assert (offline.target_qps, offline.min_duration_ms) == (1600, 5000)
    assert offline.sources["target_qps"] == "measured"
    server = chosen(Flags(scenario=SERVER), rate)
    assert (server.target_qps, server.target_latency_ns) == (500, 100_000_000)
    assert server.min_query_count == 662
    single = chosen(Flags(scenario=SINGLE), rate)
    assert (single.target_latency_ns, single.min_query_count) == (700_000, 64)
    multi = chosen(Flags(scenario=MULTI), rate)
    assert (multi.target_latency_ns, multi.min_query_count) == (5_600_000, 662)


def test_a_rate_at_its_best_holds_where_too_slow_an_estimate_would_spoil_the_test() -> None:
    disturbed = Rate(1000, best_inferences_per_second=4000)
    assert chosen(Flags(), disturbed).target_qps == 6400
    assert chosen(Flags(scenario=SINGLE), disturbed).target_latency_ns == 175_000
    assert chosen(Flags(scenario=MULTI), disturbed).target_latency_ns == 1_400_000
    assert chosen(Flags(scenario=SERVER), disturbed).target_qps == 500


def test_the_best_while_of_a_measurement() -> None:
    clock = iter([0.0, 0.03, 0.06, 0.10, 0.12, 0.30])
    best = _BestWindow(lambda: next(clock))
    for inferences in (10, 30, 190, 240, 260):
        assert best.tick(inferences)
    # 30 in 0.06 s, then 210 in the next 0.06 s.
    assert best.rate == pytest.approx(3500)
    few = iter([0.0, 0.5, 1.0])
    best = _BestWindow(lambda: next(few))
    assert best.tick(5)
    assert best.tick(10)
    assert best.rate == 0


def test_quick_defaults_bound_what_loadgen_must_hold() -> None:
    fast = Rate(1e8)
    offline = chosen(Flags(), fast)
    assert offline.target_qps * offline.min_duration_ms / 1e3 <= 2_100_000
    assert chosen(Flags(scenario=SERVER), fast).target_qps == 10_000
    single = chosen(Flags(scenario=SINGLE), fast)
    assert single.min_duration_ms * 1e6 / single.target_latency_ns <= 550_000


def test_a_slow_model_has_a_bound_that_it_can_meet() -> None:
    assert chosen(Flags(scenario=SERVER), Rate(2)).target_latency_ns == 5_000_000_000


def test_flags_come_first() -> None:
    conf = Conf("c", {"*.Offline.target_qps": "7", "*.Offline.min_duration": "9"})
    flags = Flags(
        target_qps=50, min_duration_s=0.5, count=3, performance_sample_count=10, max_batch=4,
        max_wait_us=20, user_conf=Path("c"),
    )  # fmt: skip
    settings = chosen(flags, None, conf)
    assert (settings.target_qps, settings.min_duration_ms, settings.min_query_count) == (50, 500, 3)
    assert (settings.max_batch, settings.max_delay_ns) == (4, 20_000)
    assert settings.performance_sample_count == 10


def test_conf_files_come_before_the_quick_defaults() -> None:
    conf = Conf("c", {"digits.Server.target_qps": "7"})
    flags = Flags(scenario=SERVER, user_conf=Path("c"), conf_model="digits")
    assert not needs_rate(flags, conf)
    settings = chosen(flags, Rate(1000), conf)
    assert settings.built_in_conf
    assert (settings.target_qps, settings.target_latency_ns) == (0, 0)
    assert (settings.min_duration_ms, settings.min_query_count) == (0, 0)


def test_a_target_that_no_file_sets_is_measured() -> None:
    conf = Conf("c", {"*.Offline.min_duration": "9", "other.Offline.target_qps": "7"})
    flags = Flags(user_conf=Path("c"), conf_model="digits")
    assert needs_rate(flags, conf)
    settings = chosen(flags, Rate(1000), conf)
    assert (settings.target_qps, settings.min_duration_ms) == (1600, 0)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (Flags(), True),
        (Flags(target_qps=1), False),
        (Flags(count=5), False),
        (Flags(count=5, min_duration_s=1), True),
        (Flags(count=5, built_in_conf=True), True),
        (Flags(mode=Mode.ACCURACY), False),
        (Flags(mode=Mode.SUBMISSION), True),
        (Flags(scenario=SERVER, mode=Mode.ACCURACY), True),
        (Flags(scenario=SERVER, count=5), True),
        (Flags(scenario=SERVER, target_latency_ms=5), True),
        (Flags(scenario=SINGLE, target_latency_ms=5), False),
    ],
)
def test_needs_rate(flags: Flags, expected: bool) -> None:
    assert needs_rate(flags, None) is expected


def test_count_alone_decides_the_length() -> None:
    offline = chosen(Flags(count=77))
    assert (offline.min_query_count, offline.min_duration_ms, offline.target_qps) == (77, 1, 0)
    single = chosen(Flags(scenario=SINGLE, count=77))
    assert (single.min_query_count, single.min_duration_ms) == (77, 1)
    # So that LoadGen makes more than 77 queries should they take less than 1 ms together.
    assert single.target_latency_ns == 100


def test_accuracy_has_no_length() -> None:
    settings = chosen(Flags(mode=Mode.ACCURACY))
    assert (settings.min_query_count, settings.min_duration_ms, settings.target_qps) == (0, 0, 0)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (Flags(scenario=SINGLE, target_qps=1), "--target-qps: SingleStream .* --target-latency"),
        (Flags(scenario=MULTI, target_qps=1), "--target-qps: MultiStream"),
        (Flags(target_latency_ms=1), "--target-latency: Offline has no bound"),
        (Flags(mode=Mode.FIND_PEAK), "--mode findpeak: .* Server scenario only"),
        (Flags(mode=Mode.ACCURACY, count=1), "--count: not for --mode accuracy"),
        (Flags(mode=Mode.ACCURACY, min_duration_s=1), "--min-duration: not for --mode accuracy"),
    ],
)
def test_flags_that_say_nothing_are_refused(flags: Flags, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        check_flags(flags)


def test_more_samples_in_memory_than_there_are_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="has 360 samples, got 361"):
        chosen(Flags(performance_sample_count=361))


def test_a_plan_says_how_many_queries_and_how_long() -> None:
    offline = make_plan(chosen(Flags(target_qps=100, min_duration_s=10)), None)
    assert (offline.queries, offline.seconds) == (1100, 11)
    server = make_plan(chosen(Flags(scenario=SERVER, target_qps=10, min_duration_s=10)), None)
    assert (server.queries, server.seconds) == (662, 66.2)
    single = make_plan(chosen(Flags(scenario=SINGLE, target_latency_ms=1)), None)
    assert (single.queries, single.seconds) == (10_000, 5)
    conf = Conf("c", {"*.Server.target_qps": "0x10", "*.*.min_query_count": "32000"})
    limits = make_plan(chosen(Flags(scenario=SERVER, user_conf=Path("c")), None, conf), conf)
    assert (limits.queries, limits.seconds) == (32_000, 2000)


def test_a_test_that_does_not_fit_the_memory_is_refused() -> None:
    plan = make_plan(chosen(Flags(target_qps=1e6, min_duration_s=600)), None)
    check_memory(plan, OFFLINE, 2**40)
    check_memory(plan, OFFLINE, 0)
    with pytest.raises(InvalidArgumentError, match=r"660,000,000 samples .* 68 GiB,.* 16 GiB"):
        check_memory(plan, OFFLINE, 2**34)


def test_expected_fraction() -> None:
    assert Expected(samples=10).fraction(5, 99.0) == 0.5
    assert Expected(seconds=10).fraction(5, 2.5) == 0.25
    assert Expected(seconds=1).fraction(5, 2.5) == 1.0
    assert Expected().fraction(5, 2.5) is None


# The command line.


@pytest.mark.parametrize(
    ("word", "scenario"),
    [
        ("Offline", OFFLINE), ("OFFLINE", OFFLINE), ("server", SERVER), ("SingleStream", SINGLE),
        ("singlestream", SINGLE), ("single-stream", SINGLE), ("multi_stream", MULTI),
    ],
)  # fmt: skip
def test_scenarios_in_any_case(word: str, scenario: Scenario) -> None:
    assert parse(["--scenario", word]).scenario is scenario


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--senario", "x"], "unknown flag --senario; did you mean '--scenario'?"),
        (["--target-qpss=5"], "unknown flag --target-qpss; did you mean '--target-qps'?"),
        (["--target", "5"], "unknown flag --target"),
        (["stray"], "unexpected argument 'stray'"),
        (["--scenario", "offlin"], "got 'offlin'; did you mean 'Offline'?"),
        (["--mode", "perf"], "expected one of performance, accuracy, submission"),
        (["--target-qps", "0"], "--target-qps: expected a number above 0, got '0'"),
        (["--target-qps", "nan"], "expected a number above 0"),
        (["--target-qps", "inf"], "expected a number above 0"),
        (["--target-latency", "fast"], "--target-latency: expected milliseconds, above 0"),
        (["--count", "1.5"], "--count: expected an integer of at least 1"),
        (["--max-batchsize", "0"], "--max-batchsize: expected an integer from 1"),
        (["--max-wait-us", "-1"], "--max-wait-us: expected an integer from 0"),
        (["--device-id", "0,x"], "--device-id: expected an integer from 0 to 2147483647, got 'x'"),
        (["--device-setting", "x"], "expected NAME=VALUE, got 'x'"),
        (["--onnx-define-symbol", "n=0"], "expected an integer of at least 1"),
        (["--harness", "rust"], "'rust'"),
        (["--count"], "expected one argument"),
    ],
)
def test_bad_flags_end_with_code_2(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(argv)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_lists_of_devices_and_settings() -> None:
    args = parse(["--device-id", "0,1", "--device-id", "4", "--device-setting", "a=b=c"])
    assert args.device_id == [[0, 1], [4]]
    assert args.device_setting == [("a", "b=c")]


def test_help_says_which_setting_holds(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(["--help"])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    assert "flags, then user.conf, then mlperf.conf, then quick defaults" in printed
    assert "exit code" in printed


# The output directory.


def test_the_default_directory_replaces_a_result_only_where_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = prepare_output_dir(None, "digits-offline-performance")
    assert first == tmp_path / DEFAULT_ROOT / "digits-offline-performance"
    (first / SUMMARY_LOG).touch()
    second = prepare_output_dir(None, "digits-offline-performance")
    assert second.name == "digits-offline-performance-2"
    assert prepare_output_dir(None, "digits-offline-performance", overwrite=True) == first
    assert not (first / SUMMARY_LOG).exists()


def test_a_directory_with_a_result_wants_overwrite(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert prepare_output_dir(out, "x") == out
    for name in (DETAIL_LOG, "accuracy.txt", "mine.txt"):
        (out / name).touch()
    with pytest.raises(InvalidArgumentError, match="--overwrite"):
        prepare_output_dir(out, "x")
    prepare_output_dir(out, "x", overwrite=True)
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


def test_a_directory_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidArgumentError, match="got a file"):
        prepare_output_dir(tmp_path / "file", "x")
    with pytest.raises((InvalidArgumentError, NotFoundError), match="cannot write to"):
        prepare_output_dir(tmp_path / "file" / "out", "x")
    if os.geteuid() != 0:
        (tmp_path / "closed").mkdir(mode=0o500)
        with pytest.raises(PermissionDeniedError, match="cannot write to"):
            prepare_output_dir(tmp_path / "closed" / "out", "x")


def test_a_stray_audit_config_is_refused(tmp_path: Path) -> None:
    refuse_audit_config(tmp_path)
    (tmp_path / "audit.config").symlink_to("nowhere")
    with pytest.raises(FailedPreconditionError, match=r"audit\.config: .*move it away"):
        refuse_audit_config(tmp_path)


# Whole runs.


@pytest.fixture(autouse=True)
def shared_cache(
    cache_dir: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One cache of compiled models for all runs, in place of one for each test."""
    shared = tmp_path_factory.getbasetemp() / "loadgen-cache"
    monkeypatch.setenv("QAICKIT_CACHE_DIR", str(shared))


def loadgen(cwd: Path, *flags: object, code: int | None = 0) -> subprocess.CompletedProcess[str]:
    """A run that ends with `code`; None: with a result, whether LoadGen calls it valid or not."""
    done = subprocess.run(
        [sys.executable, "-m", "qaickit.loadgen", *map(str, flags)],
        capture_output=True, text=True, timeout=240, cwd=cwd, check=False,
    )  # fmt: skip
    assert done.returncode in ((0, 1) if code is None else (code,)), done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def result_of(cwd: Path, *flags: object, code: int | None = 0) -> dict[str, Any]:
    loadgen(cwd, *flags, "--quiet", "--json", "result.json", "--output-dir", "out", code=code)
    content: dict[str, Any] = json.loads((cwd / "result.json").read_text())
    return content


TRIES = 4


def valid_result_of(cwd: Path, *flags: object) -> dict[str, Any]:
    """Of a test that LoadGen calls VALID.

    It does not where the machine stood still meanwhile, or became faster than it was just before:
    then it is done again, a few times.
    """
    for _ in range(TRIES):
        result = result_of(cwd, *flags, "--overwrite", code=None)
        assert result["errors"] == {"count": 0, "messages": []}
        if result["good"]:
            break
    assert result["performance"]["validity"] == "VALID", result["performance"]
    return result


def refusal_of(cwd: Path, *flags: object) -> str:
    """The message of a run that is refused, which must leave no result behind."""
    done = loadgen(cwd, *flags, "--output-dir", "refused", code=2)
    assert not any((cwd / "refused" / name).exists() for name in LOG_FILES)
    return done.stderr


def test_the_set_size_reaches_the_session(tmp_path: Path) -> None:
    flags = ("--backend", "null", "--device-setting", "async=1", "--count", 5000)
    assert result_of(tmp_path, *flags, "--set-size", 3)["subject"]["set_size"] == 3
    assert "set_size is 65; expected 1 to 64" in refusal_of(tmp_path, *flags, "--set-size", 65)


AUDIT = """# Compliance test
*.*.mode = 2
*.*.accuracy_log_rng_seed = 720381539243781796
*.*.accuracy_log_sampling_target = 64
"""


@pytest.mark.parametrize("harness", ["native", "python"])
def test_a_compliance_test_logs_answers_of_a_performance_run(tmp_path: Path, harness: str) -> None:
    def answers() -> dict[int, str]:
        log = json.loads((tmp_path / "out" / ACCURACY_LOG).read_text())
        return {entry["qsl_idx"]: entry["data"] for entry in log}

    flags = ("--harness", harness, "--overwrite")
    result_of(tmp_path, *flags, "--mode", "accuracy")
    expected = answers()
    assert len(expected) == 360
    (tmp_path / "audit.config").write_text(AUDIT)
    result = result_of(tmp_path, *flags, "--count", 5000, "--audit-config", "audit.config")
    assert result["performance"]["validity"] == "VALID"
    found = answers()
    assert 0 < len(found) < 360
    assert found.items() <= expected.items()


def test_an_audit_config_must_fit_the_test(tmp_path: Path) -> None:
    assert "none.config" in refusal_of(tmp_path, "--audit-config", "none.config")
    (tmp_path / "a").write_text(AUDIT)
    error = refusal_of(tmp_path, "--audit-config", "a", "--mode", "accuracy")
    assert "it is for mode 2, which is --mode performance, and the test is --mode accuracy" in error


def test_the_defaults_are_valid(tmp_path: Path) -> None:
    for _ in range(TRIES):
        done = loadgen(tmp_path, "--overwrite", code=None)
        if done.returncode == 0:
            break
    rows = dict(line.split("  ", 1) for line in done.stdout.splitlines() if "  " in line)
    rows = {label.strip(): text.strip() for label, text in rows.items()}
    assert (rows["scenario"], rows["result"]) == ("Offline", "VALID")
    assert rows["throughput"].endswith("samples/s")
    assert rows["device"].startswith("cpu: ")
    assert rows["LoadGen errors"] == "0"
    assert {"latency p50", "latency p99.9", "batches", "precision", "activations"} <= rows.keys()
    assert "\x1b" not in done.stdout + done.stderr
    out = tmp_path / DEFAULT_ROOT / "digits-offline-performance"
    assert all((out / name).is_file() for name in LOG_FILES)


@pytest.mark.parametrize("harness", ["native", "python"])
@pytest.mark.parametrize("scenario", [scenario.value for scenario in Scenario])
def test_a_short_performance_run(tmp_path: Path, scenario: str, harness: str) -> None:
    result = valid_result_of(
        tmp_path, "--scenario", scenario.upper(), "--harness", harness, "--min-duration", 0.5
    )
    measured = result["performance"]
    assert measured["metric"]["value"] > 0
    log = read_detail(tmp_path / "out")
    samples = log.values["effective_samples_per_query"] * measured["query_count"]
    assert result["stats"]["samples_ok"] == samples
    assert result["stats"]["samples_failed"] == 0
    assert result["subject"]["harness"] == harness
    assert result["subject"]["speed_only"] == ""
    assert (tmp_path / "out" / "mlperf_log_trace.json").stat().st_size == 0


@pytest.mark.parametrize("harness", ["native", "python"])
@pytest.mark.parametrize("scenario", [scenario.value for scenario in Scenario])
def test_accuracy_is_that_of_the_log(tmp_path: Path, scenario: str, harness: str) -> None:
    flags = ["--scenario", scenario, "--mode", "accuracy", "--harness", harness]
    result = result_of(tmp_path, *flags, "--performance-sample-count", 100)
    assert result["performance"] is None
    assert result["accuracy"]["total"] == 360
    assert result["accuracy"]["percent"] >= 98
    text = (tmp_path / "out" / "accuracy.txt").read_text()
    assert text == "accuracy={percent:.3f}%, good={good}, total={total}\n".format(
        **result["accuracy"]
    )


def test_submission_has_both(tmp_path: Path) -> None:
    result = result_of(tmp_path, "--mode", "submission", "--count", 5000)
    assert result["accuracy"]["percent"] >= 98
    assert result["performance"]["validity"] == "VALID"


def test_count_is_what_is_issued(tmp_path: Path) -> None:
    flags = ("--scenario", "server", "--count", 900, "--target-qps", 3000)
    result = result_of(tmp_path, *flags, code=None)
    assert result["performance"]["query_count"] == 900


def test_a_qpc_runs_as_it_is(tmp_path: Path) -> None:
    first = result_of(tmp_path, "--count", 5000, "--max-batchsize", 4)
    qpc = Path(first["subject"]["qpc_path"])
    (tmp_path / "mine.bin").write_bytes(qpc.read_bytes())
    flags = ["--model", "mine.bin", "--workload", "classification", "--dataset", "digits"]
    result = result_of(tmp_path, *flags, "--mode", "accuracy", "--overwrite")
    assert result["accuracy"]["percent"] >= 98
    assert result["subject"]["batch_size"] == 4
    sizes = result["stats"]["batch_sizes"]
    assert sum(n * count for n, count in enumerate(sizes)) == 360
    message = refusal_of(tmp_path, *flags, "--max-batchsize", 8)
    assert "--max-batchsize: 'mine.bin' has a batch size of 4, got 8" in message


@pytest.mark.parametrize(
    ("setting", "device"),
    [("skip_stage=dma", "0 "), ("dev_mapping=0:1", "each of qaic:0:1: ")],
)
def test_settings_of_simulated_cards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, device: str
) -> None:
    """Buffers as the card has them, and a program over two cards: the same answers."""
    monkeypatch.setenv("QAIC_LIB", str(util.sim_path()))
    monkeypatch.setenv("QAICKIT_SIM_DEVICES", "2")
    flags = ["--backend", "qaic", "--device-setting", setting, "--max-batchsize", 4]
    result = result_of(tmp_path, *flags, "--mode", "accuracy")
    assert result["accuracy"]["total"] == 360
    assert result["accuracy"]["percent"] >= 98
    assert device in result["subject"]["devices"][0]


def test_an_onnx_model_runs_on_random_data(tmp_path: Path, linear_onnx: Path) -> None:
    result = result_of(tmp_path, "--model", linear_onnx, "--count", 20_000)
    assert result["subject"]["workload"] == "raw"
    assert result["subject"]["speed_only"] == "the samples are random"
    done = loadgen(tmp_path, "--model", linear_onnx, "--count", 20_000)
    assert done.stdout.splitlines()[-1].startswith("speed only: the samples are random")


def test_null_says_speed_only(tmp_path: Path) -> None:
    result = result_of(tmp_path, "--backend", "null")
    assert "'null' computes nothing" in result["subject"]["speed_only"]
    assert result["subject"]["backend"] == "null"


def test_an_invalid_run_is_an_error(tmp_path: Path) -> None:
    result = result_of(tmp_path, "--target-qps", 1, "--min-duration", 60, "--count", 50, code=1)
    assert result["performance"]["validity"] == "INVALID"
    assert [check["name"] for check in result["performance"]["failed"]] == ["min duration"]
    assert result["good"] is False


def test_a_loadgen_error_is_an_error(tmp_path: Path) -> None:
    flags = ["--scenario", "singlestream", "--target-latency", 1000, "--min-duration", 5]
    result = result_of(tmp_path, *flags, code=1)
    assert result["errors"]["count"] == 1
    assert "Ran out of generated queries" in result["errors"]["messages"][0]


@pytest.mark.parametrize("harness", ["native", "python"])
def test_a_failed_sample_is_an_error(tmp_path: Path, harness: str) -> None:
    flags: list[object] = ["--backend", "null", "--count", 5000, "--max-batchsize", 1]
    # A seed that spares the warm-up, of which there is as much as there are activations.
    flags += ["--device-setting", "fault_rate=0.002", "--device-setting", "seed=1"]
    flags += ["--activations", 2]
    result = result_of(tmp_path, *flags, "--harness", harness, code=1)
    assert result["stats"]["samples_failed"] > 0
    assert result["stats"]["samples_failed"] + result["stats"]["samples_ok"] == 5000
    assert result["failure"]


def test_a_user_conf_holds_and_is_copied(tmp_path: Path) -> None:
    conf = tmp_path / "mine.conf"
    conf.write_text(
        "# quick\n*.Offline.target_qps = 2000\n*.Offline.min_duration = 700\n"
        "digits.Offline.min_query_count = 1000\n"
    )
    result = result_of(tmp_path, "--user-conf", "mine.conf", code=1)
    log = read_detail(tmp_path / "out")
    assert log.values["effective_min_duration_ms"] == 700
    assert log.values["effective_target_qps"] == 2000
    assert log.values["effective_samples_per_query"] == 1540
    # The built-in conf was read before it.
    assert log.values["effective_qsl_rng_seed"] > 0
    assert log.errors == ()
    assert (tmp_path / "out" / "user.conf").read_text() == conf.read_text()
    assert result["performance"]["failed"][0]["name"] == "min duration"


@pytest.mark.parametrize("harness", ["native", "python"])
def test_flags_win_over_conf_files(tmp_path: Path, harness: str) -> None:
    (tmp_path / "u.conf").write_text("*.Server.target_qps = 10\n*.*.min_duration = 60000\n")
    flags = ["--scenario", "server", "--target-qps", 2000, "--target-latency", 40]
    flags += ["--min-duration", 0.3, "--count", 800, "--harness", harness]
    result_of(tmp_path, *flags, "--user-conf", "u.conf", code=None)
    log = read_detail(tmp_path / "out")
    assert log.values["effective_target_qps"] == 2000
    assert log.values["effective_min_duration_ms"] == 300
    assert log.values["effective_target_latency_ns"] == 40_000_000
    assert log.values["effective_sample_index_rng_seed"] > 0


def test_the_built_in_conf_has_mlperfs_limits(tmp_path: Path) -> None:
    flags = ["--mlperf-conf", "builtin", "--model-name", "resnet50", "--scenario", "server"]
    flags += ["--min-duration", 0.2, "--target-qps", 3000, "--count", 700]
    result_of(tmp_path, *flags, code=None)
    log = read_detail(tmp_path / "out")
    assert log.values["effective_target_latency_ns"] == 15_000_000
    assert log.values["requested_performance_sample_count_override"] == 1024


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["performance_issue_same = 1", "performance_issue_same_index = 360"],
         "performance_issue_same_index is 360, and 360 samples are in memory; write a number from "
         "0 to 359"),
        (["performance_issue_same = 1", "performance_issue_same_index = 40",
          "performance_sample_count_override = 40"], "and 40 samples are in memory"),
        (["performance_sample_count_override = 18446744073709551615"], "at most 2147483647"),
        (["samples_per_query = 1000000000"], "LoadGen would make "),
    ],
)  # fmt: skip
def test_what_would_end_the_process_within_loadgen_is_refused(
    tmp_path: Path, lines: list[str], message: str
) -> None:
    text = "".join(f"*.MultiStream.{line}\n" for line in [*lines, "min_duration = 20"])
    (tmp_path / "user.conf").write_text(text)
    flags = ("--scenario", "multistream", "--user-conf", "user.conf", "--backend", "null")
    assert message in loadgen(tmp_path, *flags, code=2).stderr


def test_a_sample_that_is_there_may_be_the_only_one(tmp_path: Path) -> None:
    text = "*.*.performance_issue_same = 1\n*.*.performance_issue_same_index = 359\n"
    (tmp_path / "audit.config").write_text(text)
    flags = (
        "--scenario", "singlestream", "--count", 100, "--audit-config", "audit.config", "--quiet",
        "--backend", "null", "--device-setting", "latency_us=100",
    )  # fmt: skip
    assert "SingleStream; VALID" in loadgen(tmp_path, *flags).stdout


def test_what_loadgen_prints_is_not_among_the_results(tmp_path: Path) -> None:
    (tmp_path / "user.conf").write_text(
        "*.*.print_timestamps = 1\n*.*.min_duration = 1\n*.*.min_query_count = 64\n"
    )
    flags = ("--scenario", "singlestream", "--user-conf", "user.conf", "--json", "-", "--quiet")
    done = loadgen(tmp_path, *flags, "--target-latency", 0.0001)
    assert json.loads(done.stdout)["good"] is True
    assert "Timestamp" in done.stderr


def test_a_bad_user_conf_is_refused_line_by_line(tmp_path: Path) -> None:
    (tmp_path / "u.conf").write_text("*.*.min_duration=5\n\n*.Offline.target_qps = 5 # x\n")
    message = refusal_of(tmp_path, "--user-conf", "u.conf")
    assert "u.conf:1: no blanks around '='" in message
    assert "u.conf:3: a comment after a value" in message


def test_a_stray_audit_config_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "audit.config").write_text("*.*.mode = 2\n")
    assert f"{tmp_path / 'audit.config'}: " in refusal_of(tmp_path)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model", "digit"], "did you mean 'digits'?"),
        (["--model", "none.onnx"], "none.onnx"),
        (["--model", "garbage.bin"], "garbage.bin"),
        (["--model", "garbage.onnx"], "garbage.onnx"),
        (["--model", "empty.bin"], "empty.bin"),
        (["--dataset", "digts"], "did you mean 'digits'?"),
        (["--dataset", "none.npz"], "none.npz"),
        (["--workload", "classificatoin"], "expected one of classification, raw"),
        (["--backend", "gpux"], "gpux"),
        (["--device-setting", "zzz=1"], "zzz"),
        (["--mode", "accuracy", "--workload", "raw"], "no accuracy is defined"),
        (["--mode", "accuracy", "--dataset", "random"], "has no labels"),
        (["--user-conf", "none.conf"], "none.conf: no such file"),
        (["--mlperf-conf", "none.conf"], "none.conf: no such file"),
        (["--json", "none/x.json"], "--json"),
        (["--performance-sample-count", 361], "has 360 samples"),
        (["--onnx-define-symbol", "seq=5"], "seq"),
    ],
)
def test_bad_input_is_an_error_without_traceback(
    tmp_path: Path, flags: list[object], message: str
) -> None:
    (tmp_path / "garbage.bin").write_bytes(b"not a QPC" * 100)
    (tmp_path / "garbage.onnx").write_bytes(b"\x00garbage" * 100)
    (tmp_path / "empty.bin").touch()
    assert message in refusal_of(tmp_path, *flags)


def test_a_result_is_not_replaced_unasked(tmp_path: Path) -> None:
    result_of(tmp_path, "--count", 5000)
    before = (tmp_path / "out" / DETAIL_LOG).read_bytes()
    done = loadgen(tmp_path, "--output-dir", "out", code=2)
    assert "--overwrite" in done.stderr
    assert (tmp_path / "out" / DETAIL_LOG).read_bytes() == before
    result_of(tmp_path, "--count", 5000, "--overwrite")
    assert (tmp_path / "out" / DETAIL_LOG).read_bytes() != before


def test_a_second_test_in_a_process_is_refused(tmp_path: Path) -> None:
    code = "from qaickit.loadgen.cli import main; f = ['--count', '5000']; print(main(f), main(f))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, timeout=60, cwd=tmp_path, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "0 2"
    assert "one test in a process" in done.stderr


def test_json_may_go_into_the_output_directory(tmp_path: Path) -> None:
    loadgen(tmp_path, "--count", 5000, "--output-dir", "out", "--json", "out/result.json")
    assert json.loads((tmp_path / "out" / "result.json").read_text())["good"] is True


def test_json_on_the_standard_output_is_alone_there(tmp_path: Path) -> None:
    done = loadgen(tmp_path, "--count", 5000, "--json", "-")
    assert json.loads(done.stdout)["performance"]["validity"] == "VALID"
    assert "throughput" in done.stderr


def test_a_dataset_file_is_scored(tmp_path: Path) -> None:
    from qaickit.datasets import InputSpec, load_dataset

    digits = load_dataset("digits", [InputSpec("image", np.dtype("float32"), (1, 8, 8))])
    assert digits.labels is not None
    wrong = (digits.labels[:50] + 1) % 10
    np.savez(tmp_path / "mine.npz", image=digits.inputs["image"][:50], labels=wrong)
    result = result_of(tmp_path, "--dataset", "mine.npz", "--mode", "accuracy")
    assert result["accuracy"] == {"percent": 0.0, "good": 0, "total": 50}


TIMEOUT_S = 120  # for a message in place of a hang


def start(cwd: Path, *flags: object, terminal: int | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "qaickit.loadgen", *map(str, flags)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE if terminal is None else terminal,
        text=True, cwd=cwd,
    )  # fmt: skip


@pytest.mark.parametrize("harness", ["native", "python"])
@pytest.mark.parametrize("scenario", ["offline", "server", "singlestream"])
def test_ctrl_c_ends_the_run_and_keeps_what_is_there(
    tmp_path: Path, scenario: str, harness: str
) -> None:
    flags: list[object] = ["--scenario", scenario, "--harness", harness, "--output-dir", "out"]
    flags += ["--backend", "null", "--device-setting", "latency_us=1000"]
    flags += ["--target-qps", 500] if scenario != "singlestream" else ["--target-latency", 0.5]
    running = start(tmp_path, *flags, "--min-duration", 60, "--max-batchsize", 1)
    wait_for(lambda: (tmp_path / "out" / DETAIL_LOG).exists())
    time.sleep(1.0)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=TIMEOUT_S)
    assert running.returncode == 130, out + err
    assert "Traceback" not in err
    assert "interrupted" in out
    assert all((tmp_path / "out" / name).is_file() for name in (SUMMARY_LOG, ACCURACY_LOG))


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_before_the_test_is_clean(tmp_path: Path, number: int, code: int) -> None:
    fifo = tmp_path / "user.conf"
    os.mkfifo(fifo)  # whose end does not come, so that the tool waits
    running = start(tmp_path, "--user-conf", fifo)
    writer = os.open(fifo, os.O_WRONLY)  # returns when the tool has opened it
    running.send_signal(number)
    _, err = running.communicate(timeout=TIMEOUT_S)
    os.close(writer)
    assert (running.returncode, err) == (code, "interrupted before the test began\n")


def test_progress_shows_on_a_terminal(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    running = start(tmp_path, "--scenario", "server", "--min-duration", 1.5, terminal=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    running.communicate(timeout=TIMEOUT_S)
    os.close(ours)
    assert running.returncode in (0, 1)  # on a busy machine not VALID
    assert b"samples," in shown
    assert b"/s" in shown
