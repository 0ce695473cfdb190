"""`qaic-runner`: what public scripts pass to it, and what they read from it."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import qaic
from qaickit import util
from qaickit.errors import InvalidArgumentError
from qaickit.runner import inputs, main

WEIGHTS = np.random.default_rng(7).standard_normal((16, 4)).astype(np.float32)
RATE = re.compile(r"InferenceCnt (\d+) TotalDuration (\d+)us BatchSize (\d+) Inf/Sec (\d+\.\d{3})")


@dataclass
class Done:
    code: int
    out: str
    err: str

    @property
    def rate(self) -> tuple[int, int, int, float]:
        """Count, microseconds, batch size, samples a second: as scripts find them."""
        (line,) = [line for line in self.out.splitlines() if "Inf/Sec" in line]
        match = RATE.fullmatch(line)
        assert match, line
        assert float(line.split()[-1]) == float(match[4])
        return int(match[1]), int(match[2]), int(match[3]), float(match[4])


Run = Callable[..., Done]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the tool in this process, in a directory of its own."""
    monkeypatch.chdir(tmp_path)

    def call(*argv: object) -> Done:
        try:
            code = main([str(word) for word in argv])
        except SystemExit as exit:
            code = int(exit.code or 0)
        return Done(code, *capfd.readouterr())

    return call


@pytest.fixture
def qpc(tmp_path: Path) -> Callable[[int], Path]:
    """The directory of `y/out = x W, m = -n` at a batch size."""

    def make(batch: int) -> Path:
        model = onnx.parser.parse_model(
            '<ir_version: 8, opset_import: ["": 17]>'
            "two (float[B,16] x, int64[B] n) => (float[B,4] y, int64[B] m)"
            "{ y = MatMul(x, w)  m = Neg(n) }"
        )
        model.graph.initializer.append(numpy_helper.from_array(WEIGHTS, "w"))
        model.graph.node[0].output[0] = model.graph.output[0].name = "y/out"
        onnx.save(model, str(tmp_path / "two.onnx"))
        directory = tmp_path / f"qpc{batch}"
        qaic.Session(
            tmp_path / "two.onnx", onnx_define_symbol={"B": batch}, output_dir=directory
        ).close()
        return directory

    return make


def save(path: Path, value: Any, dtype: Any) -> np.ndarray[Any, Any]:
    array = np.asarray(value, dtype)
    array.tofile(path)
    return array


def floats(rows: int, seed: int = 1) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal((rows, 16)).astype(np.float32)


# --- rate ----------------------------------------------------------------------------------------


def test_random_inputs_and_the_line_with_the_rate(run: Run, qpc: Callable[[int], Path]) -> None:
    done = run("-t", qpc(4), "-n", 200, "-a", 2, "-d", 0)
    assert (done.code, done.err) == (0, "")
    count, microseconds, batch, rate = done.rate
    assert (count, batch) == (200, 4)
    assert rate == pytest.approx(200 * 4 / (microseconds / 1e6), rel=0.02)
    lines = done.out.splitlines()
    assert lines[:2] == ["Using bounded random inputs", " ---- Stats ----"]


def test_defaults(run: Run, qpc: Callable[[int], Path]) -> None:
    assert run("-t", f"{qpc(1)}/").rate[0] == 40


def test_for_a_time(run: Run, qpc: Callable[[int], Path]) -> None:
    for more in ([], ["--aic-profiling-type", "latency"]):
        count, microseconds, _, _ = run("-t", qpc(1), "--time", "0.2", "-S", 2, *more).rate
        assert count > 1
        assert microseconds > 20_000


@pytest.mark.parametrize(
    "words",
    [
        ["-n", "7"], ["-n7"], ["--num-iter", "7"], ["-num-iter", "7"], ["--num-iter=7"],
        ["-num-iter=7"], ["-num-it", "7"],
    ],
)  # fmt: skip
def test_ways_to_write_an_option(
    run: Run, qpc: Callable[[int], Path], words: Sequence[str]
) -> None:
    assert run("-test-data", qpc(1), *words).rate[0] == 7


def test_everything_that_a_benchmark_script_passes(
    run: Run, qpc: Callable[[int], Path], tmp_path: Path
) -> None:
    (tmp_path / "stats").mkdir()
    done = run(
        "-t", qpc(1), "-d", 0, "-a", 2, "-S", 3, "-T", 2, "-n", 30, "-c", "-l", "-r", 500,
        "--submit-timeout", 60000, "--submit-retry-count", 5, "-p", "on", "--auto-batch-input", 1,
        "--aic-profiling-format", "latency", "--aic-profiling-out-dir", "stats",
        "--aic-profiling-start-iter", 5, "--aic-profiling-num-samples", 99999,
        "--aic-profiling-type", "raw_device_stats", "--aic-batch-max-memory", 4096,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert done.rate[0] == 30
    warned = [line for line in done.err.splitlines() if line.startswith("WARNING: ")]
    assert len(warned) == len(done.err.splitlines()) == 2, done.err
    assert "raw_device_stats" in warned[0]
    assert "--aic-threads-per-queue, --submit-timeout, --submit-retry-count: only a" in warned[1]
    assert sorted(path.name for path in (tmp_path / "stats").iterdir()) == [
        "aic-profiling-program-0-latency.txt",
        "aic-profiling-program-1-latency.txt",
    ]


# --- inputs and outputs --------------------------------------------------------------------------


def test_input_files_and_output_files(run: Run, qpc: Callable[[int], Path], tmp_path: Path) -> None:
    x, n = save(tmp_path / "x.raw", floats(1), np.float32), save(tmp_path / "n.raw", [5], np.int64)
    (tmp_path / "out").mkdir()
    stale = tmp_path / "out" / "m-activation-0-inf-1.bin"
    stale.write_bytes(b"old")
    done = run(
        "-t", qpc(1), "-i", "x.raw", "-i", "n.raw", "-write-output-dir", "out",
        "--write-output-start-iter", 1, "--write-output-num-samples", 2, "-n", 3,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "Input file: x.raw\nInput file: n.raw\n" in done.out
    assert f"Deleting previous file: {Path('out') / stale.name}\n" in done.out
    assert f"Writing file:{Path('out') / stale.name}\n" in done.out
    names = {f"{name}-activation-0-inf-{i}.bin" for name in ("y_out", "m") for i in (1, 2)}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    y = np.fromfile(tmp_path / "out" / "y_out-activation-0-inf-2.bin", np.float32)
    np.testing.assert_allclose(y, (x @ WEIGHTS)[0], rtol=1e-5)
    np.testing.assert_array_equal(np.fromfile(stale, np.int64), -n)


def batch_json(tmp_path: Path, rows: list[dict[str, Any]]) -> Path:
    """The files of each inference in tmp_path/data, and the JSON file that lists them."""
    data = tmp_path / "data"
    data.mkdir()
    entries = []
    for at, row in enumerate(rows):
        entries.append([])
        for name, value in row.items():
            direction = "out" if name in ("y/out", "m") else "in"
            path = data / f"{name.replace('/', '_')}_{at}.raw"
            value.tofile(path)
            entries[-1].append(
                {
                    "path": path.name, "io-direction": direction, "elem-size": value.itemsize,
                    "map-to": name, "dims": list(value.shape),
                }
            )  # fmt: skip
    path = data / "aic_batch_io.json"
    path.write_text(json.dumps({"IO-files": entries}))
    return path


def row(seed: int, batch: int = 1) -> dict[str, Any]:
    x, n = floats(batch, seed), np.full(batch, seed, np.int64)
    return {"x": x, "n": n, "y/out": x @ WEIGHTS, "m": -n}


def test_batch_json_runs_each_and_compares(
    run: Run, qpc: Callable[[int], Path], tmp_path: Path
) -> None:
    rows = [row(seed) for seed in range(5)]
    path = batch_json(tmp_path, rows)
    arguments = ("-t", qpc(1), "--aic-batch-json-input", path, "--write-output-dir", ".",
                 "--write-output-num-samples", 5)  # fmt: skip
    done = run(*arguments)
    assert done.code == 0, done.err
    assert "Number of Files(as per batch input):5\n" in done.out
    assert done.rate[0] == 5
    assert run(*arguments, "-c", "-S", 1).out.startswith("Number of Files(as per batch input):5\n")
    for at, expected in enumerate(rows):
        m = np.fromfile(tmp_path / f"m-activation-0-inf-{at}.bin", np.int64)
        np.testing.assert_array_equal(m, expected["m"])
    save(path.parent / "m_3.raw", [12], np.int64)  # in place of -3
    done = run(*arguments)
    assert done.code == 1
    assert "inference 3: output 'm' differs from what was expected by up to 15" in done.err
    assert done.rate[0] == 5
    for name in ("m_3.raw", "y_out_0.raw"):
        (path.parent / name).unlink()
    assert run(*arguments).code == 0


def test_more_iterations_than_inputs_go_round(
    run: Run, qpc: Callable[[int], Path], tmp_path: Path
) -> None:
    path = batch_json(tmp_path, [row(seed) for seed in range(3)])
    done = run("-t", qpc(1), "-c", path, "-n", 8, "-write-output-start-iter", 7, "-S", 2)
    assert done.code == 0, done.err
    assert done.rate[0] == 8
    assert np.fromfile(tmp_path / "m-activation-0-inf-7.bin", np.int64) == [-1]


def test_inputs_for_one_sample_are_stacked(
    run: Run, qpc: Callable[[int], Path], tmp_path: Path
) -> None:
    rows = [{key: row(seed)[key] for key in ("x", "n")} for seed in range(6)]
    path = batch_json(tmp_path, rows)
    done = run("-t", qpc(4), "-c", path, "--write-output-dir", ".", "--write-output-num-samples", 2)
    assert done.code == 0, done.err
    assert done.rate[0:3:2] == (2, 4)
    found = [np.fromfile(tmp_path / f"m-activation-0-inf-{i}.bin", np.int64) for i in (0, 1)]
    np.testing.assert_array_equal(np.concatenate(found), [0, -1, -2, -3, -4, -5, -5, -5])
    done = run("-t", qpc(4), "-c", path, "--auto-batch-input", 0)
    assert done.code == 1
    assert "dims" in done.err or "expected" in done.err


def test_samples_of_several_shapes(run: Run, qpc: Callable[[int], Path], tmp_path: Path) -> None:
    qpc(1)
    sizes = [1, 4, 1]
    sets = {"specializations": [{"B": str(size)} for size in (1, 4)]}
    (tmp_path / "sets.json").write_text(json.dumps(sets))
    qaic.Session(
        tmp_path / "two.onnx", network_specialization_config=tmp_path / "sets.json",
        output_dir=tmp_path / "several",
    ).close()  # fmt: skip
    path = batch_json(tmp_path, [row(seed, size) for seed, size in enumerate(sizes)])
    for dims in (True, False):
        document = json.loads(path.read_text())
        for entry in (entry for entries in document["IO-files"] for entry in entries):
            if not dims:
                del entry["dims"]
        path.write_text(json.dumps(document))
        done = run("-t", "several", "-c", path, "--write-output-num-samples", 3)
        assert done.code == 0, done.err
        for seed, size in enumerate(sizes):
            m = np.fromfile(tmp_path / f"m-activation-0-inf-{seed}.bin", np.int64)
            assert m.tolist() == [-seed] * size


def test_what_memory_has_no_room_for_is_read_when_it_is_used(
    qpc: Callable[[int], Path], tmp_path: Path
) -> None:
    rows = [row(seed) for seed in range(7)]
    read = argparse.Namespace(
        batch_json=str(batch_json(tmp_path, rows)), output_file=[], input_file=[],
        batch_directory=None, batch_list=None,
    )  # fmt: skip
    with qaic.Session(qpc(4)) as session:
        samples = inputs.read_samples(read, session)
        limit = 4 * (16 * 4 + 8)  # one batch
        for max_bytes, in_memory in ((0, 0), (limit, 1), (2 * limit, 2), (1 << 30, 2)):
            feeds = inputs.load_feeds(samples, session, stack=True, max_bytes=max_bytes)
            assert (len(feeds), feeds.in_memory) == (2, in_memory)
            assert feeds[1].inputs["n"].tolist() == [4, 5, 6, 6]
            np.testing.assert_array_equal(
                feeds[0].inputs["x"], np.concatenate([row["x"] for row in rows[:4]])
            )
    with qaic.Session(qpc(1)) as session:
        feeds = inputs.load_feeds(samples, session, stack=False, max_bytes=0)
        assert feeds.has_expected
        np.testing.assert_array_equal(feeds[6].expected["m"], [-6])
        (tmp_path / "data" / "n_6.raw").write_bytes(b"12345678" * 2)
        with pytest.raises(InvalidArgumentError, match=r"n_6.raw.*changed"):
            feeds[6]


def test_lists_and_directories(run: Run, qpc: Callable[[int], Path], tmp_path: Path) -> None:
    for seed in range(2):
        save(tmp_path / f"x{seed}", floats(1, seed), np.float32)
        save(tmp_path / f"n{seed}", [seed + 10], np.int64)
    (tmp_path / "list").write_text(f"{tmp_path}/x0,{tmp_path}/n0\n{tmp_path}/x1, {tmp_path}/n1\n\n")
    done = run("-t", qpc(1), "--aic-batch-input-file-list", "list", "--write-output-start-iter", 1)
    assert done.code == 0, done.err
    assert np.fromfile(tmp_path / "m-activation-0-inf-1.bin", np.int64) == [-11]
    done = run("-t", qpc(1), "--aic-batch-input-directory", tmp_path)
    assert done.code == 1
    assert "expected 2 files, in the order x, n; got 1" in done.err


def test_expected_output_files(run: Run, qpc: Callable[[int], Path], tmp_path: Path) -> None:
    data = row(3)
    for name, value in data.items():
        value.tofile(tmp_path / name.replace("/", "_"))
    arguments = ("-t", qpc(1), "-i", "x", "-i", "n", "-o", "y_out", "-o", "m")
    assert run(*arguments).code == 0
    (data["y/out"] + 1).tofile(tmp_path / "y_out")
    done = run(*arguments)
    assert done.code == 1
    lines = done.err.splitlines()
    # In the order of inferences, however the threads took turns.
    assert lines[:2] == [
        f"qaic-runner: error: inference {index}: output 'y/out' differs from what was expected by "
        "up to 1"
        for index in (0, 1)
    ]


def test_what_was_to_be_compared_is_compared_or_refused(
    run: Run, qpc: Callable[[int], Path], tmp_path: Path
) -> None:
    """An end with 0 would say that the outputs are right."""
    for name, value in row(3).items():
        value.tofile(tmp_path / name.replace("/", "_"))
    done = run("-t", qpc(1), "-o", "y_out", "-o", "m")
    assert (done.code, done.err.splitlines()[-1]) == (
        2, "qaic-runner: error: --output-file goes with --input-file",
    )  # fmt: skip
    done = run("-t", qpc(1), "-i", "x", "-i", "n", "-o", "y_out", "-o", "nowhere")
    assert (done.code, done.err) == (
        1, "qaic-runner: error: cannot read 'nowhere': No such file or directory\n",
    )  # fmt: skip
    done = run("-t", qpc(4), "-i", "x", "-i", "n", "-o", "y_out", "-o", "m")
    assert done.code == 1
    assert "stacked to a batch of 4" in done.err


@pytest.mark.parametrize(
    ("content", "found"), [(b"", "nothing"), (b"\n \n", "nothing"), (b"\0\xff\n", "binary data")]
)
def test_a_list_that_is_none(
    content: bytes, found: str, run: Run, qpc: Callable[[int], Path], tmp_path: Path
) -> None:
    (tmp_path / "list").write_bytes(content)
    done = run("-t", qpc(1), "--aic-batch-input-file-list", "list")
    assert done.code == 1
    assert done.out == ""
    assert done.err.endswith(f"the comma-separated files of each inference, got {found}\n")


def test_nothing_was_written_is_told(run: Run, qpc: Callable[[int], Path], tmp_path: Path) -> None:
    done = run(
        "-t", qpc(1), "-n", 4, "-a", 2, "--aic-profiling-type", "latency",
        "--aic-profiling-start-iter", 2, "--write-output-start-iter", 3,
    )  # fmt: skip
    assert done.code == 0
    assert "WARNING: the profiles of activation 0, 1 are empty: no inference came to" in done.err
    assert "WARNING: no outputs were written: no activation came to inference 3" in done.err


def test_plot(run: Run, qpc: Callable[[int], Path], tmp_path: Path) -> None:
    """The words in the figure are the run's: its rate, its activations, its stages."""
    done = run("-t", qpc(1), "-n", 30, "-a", 2, "--plot", "run.svg")
    assert done.code == 0, done.err
    text = (tmp_path / "run.svg").read_text()
    (line,) = [line for line in done.out.splitlines() if "Inf/Sec" in line]
    for words in (line, "p50", "p99", "activation 1", "wait", "gather", "device", "scatter"):
        assert f"<!-- {words}" in text, words


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("run.gif", "expected a file that ends in .png, .svg, .pdf"),
        ("none/run.png", "cannot write there: No such file or directory"),
        ("there.svg", "expected the name of a file"),
    ],
)
def test_a_plot_that_cannot_be_is_refused_before_the_run(
    name: str, message: str, run: Run, qpc: Callable[[int], Path], tmp_path: Path
) -> None:
    (tmp_path / "there.svg").mkdir()
    done = run("-t", qpc(1), "--plot", name)
    assert (done.code, done.out, done.err) == (
        1, "", f"qaic-runner: error: --plot '{name}': {message}\n",
    )  # fmt: skip


def test_inputs_are_dumped_and_unbounded_ones_are_any_bytes(
    run: Run, qpc: Callable[[int], Path], tmp_path: Path
) -> None:
    assert run("-t", qpc(1), "--dump-input-buffers").code == 0
    assert np.fromfile(tmp_path / "n-inf-0.bin", np.int64)[0] in (0, 1)
    done = run("-t", qpc(1), "--dump-input-buffers", "--unbound-random")
    assert "Using unbounded random inputs" in done.out
    assert np.fromfile(tmp_path / "n-inf-0.bin", np.int64)[0] not in (0, 1)


# --- profiles ------------------------------------------------------------------------------------


def test_latency_file_as_scripts_parse_it(
    run: Run, qpc: Callable[[int], Path], tmp_path: Path
) -> None:
    done = run(
        "-t", qpc(1), "-n", 50, "-S", 3, "-aic-profiling-type", "latency",
        "-aic-profiling-start-iter", 10, "-aic-profiling-num-samples", 20,
        "--aic-profiling-sampling-rate", "half",
    )  # fmt: skip
    assert done.code == 0, done.err
    (path,) = tmp_path.glob("*latency.txt")
    lines = path.read_text().splitlines()[4:]
    heading, rows = lines[0].split(","), [line.split(",") for line in lines[1:]]
    assert heading[0] == "Sample"
    assert heading[-3:] == ["totalRoundtripTimeUs", "queueDepth", "numInfInQueue"]
    assert [int(row[0]) for row in rows] == list(range(10, 50, 2))
    assert all(len(row) == len(heading) for row in rows)
    for cells in rows:
        row = dict(zip(heading, cells, strict=True))
        assert 0 < float(cells[-3]) < 60e6
        assert 0 <= int(row["queueDepth"]) < 3
        assert int(row["numInfInQueue"]) == int(row["queueDepth"]) + 1
        stages = ("enqTimeUs", "preProcTimeUs", "execTotalUs", "postProcUs")
        assert sum(float(row[stage]) for stage in stages) == pytest.approx(
            float(row["totalRoundtripTimeUs"]), abs=0.01
        )
        assert float(row["execTotalUs"]) > 0
        assert row["hostRoundTripUs"] == row["exectoVcUs"] == "N/A"


def test_each_activation_has_its_files(
    run: Run, qpc: Callable[[int], Path], tmp_path: Path
) -> None:
    path = batch_json(tmp_path, [row(seed) for seed in range(6)])
    done = run(
        "-t", qpc(1), "-a", 3, "-S", 2, "-c", path, "-n", 12, "--write-output-start-iter", 1,
        "--write-output-num-samples", 2, "--aic-profiling-type", "latency",
        "--aic-profiling-type", "trace", "--aic-profiling-start-iter", 1,
        "--aic-profiling-num-samples", 99,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert len(list(tmp_path.glob("m-activation-*"))) == 6
    for activation in range(3):
        for number in (1, 2):
            m = np.fromfile(tmp_path / f"m-activation-{activation}-inf-{number}.bin", np.int64)
            assert m == [-((number * 3 + activation) % 6)]
        program = tmp_path / f"aic-profiling-program-{activation}"
        lines = Path(f"{program}-latency.txt").read_text().splitlines()
        assert [line.split(",")[0] for line in lines[5:]] == ["1", "2", "3"]
        events = json.loads(Path(f"{program}-trace.json").read_text())["traceEvents"]
        assert {event["pid"] for event in events} == {activation}


def test_statistics_tell_the_operators(
    run: Run, qpc: Callable[[int], Path], tmp_path: Path
) -> None:
    arguments = ("-t", qpc(1), "-n", 6, "--aic-profiling-type", "stats",
                 "--aic-profiling-start-iter", 5)  # fmt: skip
    assert run(*arguments).code == 0
    (path,) = tmp_path.glob("aic-profiling-program-*")
    assert path.name == "aic-profiling-program-0-activation-0-inf-5.txt"
    text = path.read_text()
    for kind in ("MatMul", "Neg"):
        assert re.search(rf"^  {kind} +1 +\d+ +\d+\.\d\d%$", text, re.MULTILINE), text
    assert re.search(r"^  device +\d+\.\d+$", text, re.MULTILINE), text
    assert run(*arguments, "--backend", "null").code == 0
    assert "operators are not known: they are timed on the device cpu only" in path.read_text()


def test_a_streaming_profile_is_there_while_it_runs(
    run: Run, qpc: Callable[[int], Path], tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [
            sys.executable, "-m", "qaickit.runner", "-t", str(qpc(1)), "--backend", "null",
            "--time", "60", "--aic-profiling-type", "latency_stream",
            "--aic-profiling-num-samples", "5", "--aic-profiling-reporting-rate", "50",
        ],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        path = tmp_path / "aic-profiling-program-0-latency.txt"
        wait_for(lambda: path.exists() and len(path.read_text().splitlines()) == 10)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 128 + signal.SIGTERM, err
    assert "Inf/Sec" in out
    assert "ended by SIGTERM" in err


@pytest.mark.parametrize("more", [[], ["-s"]])
def test_ctrl_c_keeps_what_was_finished(
    qpc: Callable[[int], Path], tmp_path: Path, more: list[str]
) -> None:
    process = subprocess.Popen(
        [
            sys.executable, "-m", "qaickit.runner", "-t", str(qpc(1)), "-n", "1000000000",
            "-l", "-r", "20", *more,
        ],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    finished, live = 0, []
    with_latencies = False
    try:
        # On a busy machine the first reports tell of none.
        while finished == 0 or len(live) < 4 or (more and not with_latencies):
            live.append(process.stdout.readline())
            assert live[-1], live
            with_latencies |= live[-1].startswith("Latency of ")
            rate = re.fullmatch(
                r"Inferences completed (\d+), \d+\.\d\d inf/s, \d+\.\d s\n", live[-1]
            )
            finished = int(rate[1]) if rate else finished
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 128 + signal.SIGINT
    assert with_latencies == bool(more)
    match = RATE.search(out.splitlines()[-1])
    assert match, out
    assert int(match[1]) >= finished
    assert err == "qaic-runner: ended by SIGINT; the above is what was finished\n"


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_latencies_are_those_of_the_device(qpc: Callable[[int], Path], tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "qaickit.runner", "-t", str(qpc(1)), "--backend", "qaic",
            "-n", "6", "-S", "1", "-T", "2", "--aic-profiling-type", "latency",
            "--aic-profiling-num-samples", "6", "-v",
        ],
        env={**os.environ, "QAIC_LIB": str(util.sim_path()), "QAICKIT_SIM_LATENCY_US": "20000"},
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "qaic:0" in done.stdout
    (path,) = tmp_path.glob("*latency.txt")
    totals = [float(line.split(",")[-3]) for line in path.read_text().splitlines()[5:]]
    assert len(totals) == 6
    assert min(totals) >= 20_000


def test_trace(run: Run, qpc: Callable[[int], Path], tmp_path: Path) -> None:
    assert run("-t", qpc(1), "--aic-profiling-type", "trace", "--aic-profiling-num-samples", 4,
               "-n", 9).code == 0  # fmt: skip
    trace = json.loads((tmp_path / "aic-profiling-program-0-trace.json").read_text())
    events = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    whole = [event for event in events if event["cat"] == "inference"]
    assert [event["args"]["inference"] for event in whole] == [0, 1, 2, 3]
    assert all(event["dur"] > 0 for event in events)
    for inference in whole:
        end = inference["ts"] + inference["dur"]
        stages = [
            event for event in events
            if event["cat"] == "stage" and event["tid"] == inference["tid"]
            and inference["ts"] - 0.01 <= event["ts"] <= end
        ]  # fmt: skip
        assert "device" in {event["name"] for event in stages}
        assert sum(event["dur"] for event in stages) == pytest.approx(inference["dur"], abs=0.01)


# --- device --------------------------------------------------------------------------------------


def test_backend_is_named_by_option_or_variable(
    run: Run, qpc: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "cpu:0" in run("-t", qpc(1), "-v").out
    assert "null:0" in run("-t", qpc(1), "-v", "--backend", "null").out
    monkeypatch.setenv("QAICKIT_BACKEND", "null")
    assert "null:0" in run("-t", qpc(1), "-v").out
    assert "cpu:0" in run("-t", qpc(1), "-v", "--backend", "cpu").out


def test_options_that_do_nothing_here_say_so(run: Run, qpc: Callable[[int], Path]) -> None:
    done = run("-t", qpc(1), "-n", 3, "-D", "0:1", "-p", "off")
    assert done.code == 0
    assert re.findall("WARNING: (.*?):", done.err) == [
        "device map", "--pre-post-processing off",
    ]  # fmt: skip
    done = run("-t", qpc(1), "--num-itr", 5, "-aic-zoom=3", "", "-n", 3)
    assert done.rate[0] == 3
    assert done.err.splitlines() == [
        "WARNING: --num-itr 5: unknown, and ignored; did you mean '--num-iter'?",
        "WARNING: --aic-zoom=3: unknown, and ignored",
    ]
    assert "--num-iter 0 is less" in run("-t", qpc(1), "-n", 0).out
    (qpc(1) / "bindings.json").write_text("{}")
    assert "bindings.json' is not read" in run("-t", qpc(1), "-n", 1).err


def test_cards(qpc: Callable[[int], Path], tmp_path: Path) -> None:
    def on_cards(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable, "-m", "qaickit.runner", "-t", str(qpc(4)), "--backend", "qaic",
                "-n", "8", *words,
            ],
            env={
                **os.environ, "QAIC_LIB": str(util.sim_path()), "QAICKIT_SIM_DEVICES": "2",
                **variables,
            },
            cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    done = on_cards("-D", "5,1", "-v", "-p", "off", "--write-output-dir", ".")
    assert done.returncode == 0, done.stderr
    assert "WARNING: device 5 is passed over" in done.stderr
    assert "qaic:1" in done.stdout
    # As the card has them: the program's copies to and from its own buffers are left out.
    assert (tmp_path / "m-activation-0-inf-0.bin").stat().st_size == 4 * 8
    # The only NSPs of the first card are not enough.
    done = on_cards("-v", "-a", "2", QAICKIT_SIM_NSPS="1,16")
    assert done.returncode == 0, done.stderr
    assert "WARNING: device 0 is passed over" in done.stderr
    assert "qaic:1" in done.stdout
    done = on_cards("-D", "0,1", "-a", "17")
    assert done.returncode == 1
    assert "WARNING: device 0 is passed over" in done.stderr
    assert "qaic-runner: error: " in done.stderr
    done = on_cards("-D", "1:0", "-v")
    assert done.returncode == 0, done.stderr
    assert "qaic:1:0" in done.stdout
    done = on_cards("-D", "0:5")
    assert done.returncode == 1
    assert "device 5 does not exist" in done.stderr


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "-t/--test-data"),
        (["-t", "nowhere"], 1, "nowhere"),
        (["-t", "QPC", "-n", "-1"], 2, "integer from 0 to 2147483647, got '-1'"),
        (["-t", "QPC", "-n", "2147483648"], 2, "to 2147483647, got '2147483648'"),
        (["-t", "QPC", "--time", "0"], 2, "--time: expected a number of at least 0.001, got '0'"),
        (["-t", "QPC", "stray"], 2, "'stray' is no option"),
        (["-t", "QPC", "-i", "short", "-i", "nowhere"], 1, "expected 64 bytes, float32 [1, 16]"),
        (["-t", "QPC", "-i", "short", "-i", "nowhere"], 1, "cannot read 'nowhere'"),
        (["-t", "QPC", "-n", "5", "--time", "1"], 2, "exclude each other"),
        (["-t", "QPC", "-i", "missing", "-i", "n"], 1, "missing"),
        (["-t", "QPC", "-i", "short", "-i", "short"], 1, "expected 64 bytes, float32 [1, 16], got"),
        (["-t", "QPC", "-i", "odd", "-i", "odd"], 1, "float32 [1, 16], got 5"),
        (["-t", "QPC", "-i", "short"], 1, "expected 2 files, in the order x, n; got 1"),
        (["-t", "QPC", "--write-output-dir", "nowhere"], 1, "--write-output-dir 'nowhere'"),
        (["-t", "QPC", "--write-output-start-iter", "40"], 1, "greater --num-iter"),
        (["-t", "QPC", "--aic-profiling-type", "latency", "--aic-profiling-out-dir", "no"], 1,
         "--aic-profiling-out-dir 'no'"),
        (["-t", "QPC", "-c", "bad.json"], 1, "IO-files"),
        (["-t", "QPC", "-c", "empty.json"], 1, "lists no inference"),
        (["-t", "QPC", "-c", "deep.json"], 1, "within each other"),
        (["-t", "QPC", "-c", "long.json"], 1, "File name too long"),
        (["-t", "QPC", "-c", "endless.json"], 1, "infinity"),
        (["-t", "QPC", "-c", "name.json"], 1, "'z', which the program does not have"),
        (["-t", "QPC", "-c", "missing.json"], 1, "missing.json"),
        (["-t", "QPC", "-D", "x"], 1, "device list 'x'"),
        (["-t", "QPC", "-D", "7,8"], 1, "device 8"),
        (["-t", "QPC", "--backend", "warp"], 1, "warp"),
    ],
)  # fmt: skip
def test_errors_name_what_is_wrong(
    run: Run,
    qpc: Callable[[int], Path],
    tmp_path: Path,
    words: list[str],
    code: int,
    message: str,
) -> None:
    save(tmp_path / "short", [1, 2], np.float32)
    (tmp_path / "odd").write_bytes(b"12345")
    (tmp_path / "bad.json").write_text('{"IO-files": [[{"path": "short"}]]}')
    (tmp_path / "empty.json").write_text('{"IO-files": []}')
    (tmp_path / "deep.json").write_text('{"IO-files": ' + "[" * 100_000)
    for name, path, dims in (("long", "x" * 5000, [1]), ("endless", "short", [float("inf")])):
        entry = {"path": path, "io-direction": "in", "map-to": "x", "dims": dims}
        (tmp_path / f"{name}.json").write_text(json.dumps({"IO-files": [[entry]]}))
    (tmp_path / "name.json").write_text(
        json.dumps({"IO-files": [[{"path": "short", "io-direction": "in", "map-to": "z"}]]})
    )
    done = run(*[qpc(1) if word == "QPC" else word for word in words])
    assert done.code == code, done.err
    assert message in done.err
    assert "Traceback" not in done.err
    assert "Inf/Sec" not in done.out


def test_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "qaickit.runner", "-h"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert "--aic-batch-json-input" in done.stdout
