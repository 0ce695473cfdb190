"""bench/gpu.py without a GPU: a dry run, what it checks, and what it says where there is none."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from qaickit.doctor import examine

BENCH = Path(__file__).resolve().parents[2] / "bench"
sys.path.insert(0, str(BENCH))

from gpu_trace import copies_of  # noqa: E402
from gpu_verdicts import (  # noqa: E402
    DEVICE,
    LOOP,
    OFFLINE,
    OURS,
    SINGLE,
    Findings,
    Row,
    growth,
    show,
    verdicts,
)
from gpu_watch import Sample, busy_share, nvml_index  # noqa: E402


def command(output: Path, *flags: str) -> list[str]:
    return [sys.executable, str(BENCH / "gpu.py"), "--output-dir", str(output), *flags]


def has_gpu() -> bool:
    return any(backend.name == "cuda" and backend.is_usable for backend in examine().backends)


def test_a_dry_run_measures_every_peer_and_claims_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        command(tmp_path, "--dry-run", "--nets", "resnet50 fp16", "--batches", "1",
                "--seconds", "0.05", "--soak", "0.1"),
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["complete"]
    assert found["mark"]
    assert found["weights"] == "random: speed only"
    by_peer = {(row["scenario"], row["peer"]): row for row in found["rows"]}
    assert ("Server", OURS) in by_peer  # without a value where no rate was valid on a busy machine
    for scenario, peer in (
        (OFFLINE, OURS), (OFFLINE, LOOP), (OFFLINE, DEVICE), (SINGLE, OURS), (SINGLE, LOOP),
    ):  # fmt: skip
        row = by_peer[scenario, peer]
        assert row["values"], row
        assert min(row["values"]) > 0
    # A busy machine may keep Server's bound at no rate that is tried.
    server = by_peer["Server", OURS]
    assert server["values"] or "p99 over" in server["note"]
    for row in found["rows"]:
        assert row["values"] or row["note"]
    assert found["host_us_a_batch"] > 0
    assert found["soak"]["inferences"] > 0
    assert all(verdict["holds"] is None for verdict in found["verdicts"])
    assert "no claim is made" in (tmp_path / "table.txt").read_text()
    assert "PASS" not in done.stdout
    assert (tmp_path / "offline.svg").read_text().startswith("<?xml")


def test_an_interrupted_run_keeps_what_it_has(tmp_path: Path) -> None:
    flags = ("--dry-run", "--nets", "resnet50 fp32", "--seconds", "0.05", "--rounds", "50")
    with subprocess.Popen(
        command(tmp_path, *flags), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as running:  # fmt: skip
        results = tmp_path / "results.json"
        give_up = time.monotonic() + 240
        while not results.exists() and time.monotonic() < give_up:
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=240)
    assert running.returncode == 130, err
    found = json.loads(results.read_text())
    assert not found["complete"]
    assert found["rows"]
    assert "interrupted" in out


def test_a_run_goes_on_where_it_ended(tmp_path: Path) -> None:
    flags = ("--dry-run", "--nets", "resnet50 fp16", "--batches", "1", "--seconds", "0.05")

    def run(*more: str) -> tuple[int, str]:
        done = subprocess.run(
            command(tmp_path, *flags, *more),
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    results = tmp_path / "results.json"
    code, said = run("--minutes", "0")
    assert code == 3, said
    assert "goes on from here" in said
    assert not json.loads(results.read_text())["complete"]
    code, said = run()
    assert code == 0, said
    first = json.loads(results.read_text())
    assert first["complete"]
    measured = [row for row in first["rows"] if row["values"]]
    kept = {(row["scenario"], row["peer"]): row["values"] for row in measured}
    for row in measured:
        if row["peer"] == LOOP:
            row.update(turns=0, values=[])
    results.write_text(json.dumps(first | {"complete": False}))
    code, said = run()
    assert code == 0, said
    whole = json.loads(results.read_text())
    assert whole["complete"]
    for row in whole["rows"]:
        assert row["turns"] == 1
        if row["peer"] == LOOP:
            assert len(row["values"]) == 1
        elif row["values"]:
            assert row["values"] == kept[row["scenario"], row["peer"]]
    code, said = run("--rounds", "2")
    assert code == 2
    assert "results.json has" in said
    assert "--fresh" in said


@pytest.mark.skipif(has_gpu(), reason="there is a GPU here")
def test_without_a_gpu_it_says_what_doctor_says(tmp_path: Path) -> None:
    done = subprocess.run(command(tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    reasons = [b.error for b in examine().backends if b.name == "cuda"]
    assert (reasons or ["no backend 'cuda'"])[0] in done.stderr
    assert not any(tmp_path.iterdir())


# --- what it checks


def findings(ours: float, loop: float, alone: float, latency: float, mark: str = "") -> Findings:
    def row(scenario: str, batch: int, peer: str, value: float) -> Row:
        unit = "us" if scenario == SINGLE else "samples/s"
        return Row("net", "fp16", scenario, batch, peer, unit, [value])

    return Findings(
        "a GPU",
        mark,
        [
            row(OFFLINE, 1, OURS, 10), row(OFFLINE, 1, LOOP, 900), row(OFFLINE, 1, DEVICE, 20),
            row(OFFLINE, 8, OURS, ours), row(OFFLINE, 8, LOOP, loop),
            row(OFFLINE, 8, DEVICE, alone),
            row(SINGLE, 1, OURS, latency), row(SINGLE, 1, LOOP, 100),
        ],
        host_us=15,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        ((1000, 1000, 1050, 103), [True, True, True]),
        ((999, 1000, 1050, 103), [False, True, True]),
        ((1000, 950, 1060, 103), [True, False, True]),
        ((1000, 1000, 1000, 104), [True, True, False]),
    ],
)
def test_bounds(measured: tuple[float, ...], expected: list[bool]) -> None:
    found = verdicts(findings(*measured))
    assert [verdict.holds for verdict in found[:3]] == expected
    assert found[3].holds is True  # 15 us of at most 20
    assert all(verdict.holds is None for verdict in verdicts(findings(*measured, mark="fake")))


def test_what_was_not_measured_is_not_claimed() -> None:
    found = findings(1000, 1000, 1000, 100)
    found.rows = [row for row in found.rows if row.peer != LOOP]
    found.host_us = 25
    lines = {verdict.what: verdict for verdict in verdicts(found)}
    assert next(v for what, v in lines.items() if "best batch" in what).holds is None
    assert next(v for what, v in lines.items() if "host overhead" in what).holds is False
    assert [v.holds for what, v in lines.items() if "steady" in what] == [None, None]


def test_the_table_shows_failures_and_passes(capsys: pytest.CaptureFixture[str]) -> None:
    found = findings(999, 1000, 1000, 100)
    found.rows.append(Row("net", "fp16", OFFLINE, 256, LOOP, "samples/s", note="out of memory"))
    show(found, Console(width=200))
    printed = capsys.readouterr().out
    assert "out of memory" in printed
    assert "FAIL  net fp16, Offline against onnxruntime at its best batch, 8: 0.999" in printed
    assert "PASS  net fp16, SingleStream" in printed


def test_copies_that_hold_others_up_are_found() -> None:
    def copy(name: str, stream: int) -> dict[str, object]:
        return {"cat": "gpu_memcpy", "name": name, "args": {"stream": stream}}

    def kernel(ts: float, dur: float) -> dict[str, object]:
        return {"cat": "kernel", "name": "conv", "ts": ts, "dur": dur, "args": {"stream": 13}}

    good = [
        copy("Memcpy HtoD (Pinned -> Device)", 13), copy("Memcpy DtoH (Device -> Pinned)", 14),
        {"cat": "cuda_runtime", "name": "cudaMemcpyAsync", "args": {}},
        kernel(10, 10), kernel(15, 10), kernel(40, 10),
    ]  # fmt: skip
    counts = copies_of(good)
    assert counts["busy"] == pytest.approx(25 / 40)
    found = findings(1000, 1000, 1000, 100)
    found.copies = counts
    line = next(v for v in verdicts(found) if "not on a stream" in v.what)
    assert line.holds is True
    for bad in (
        copy("Memcpy HtoD (Pinned -> Device)", 7),
        copy("Memcpy HtoD (Pageable -> Device)", 13),
        {"cat": "cuda_runtime", "name": "cudaMemcpy", "args": {}},
    ):
        found.copies = copies_of([*good, bad])
        line = next(v for v in verdicts(found) if "not on a stream" in v.what)
        assert line.holds is False
    found.copies = copies_of([])
    assert next(v for v in verdicts(found) if "not on a stream" in v.what).holds is None


def test_growth_of_memory() -> None:
    warming_up = [100.0, 400.0]
    assert growth([*warming_up, *[500.0] * 20]) == 0
    assert growth([*warming_up, *[500.0] * 10, *[530.0] * 10]) == 30
    assert growth([1.0, 2.0]) is None


def test_busy_share_leaves_out_the_ends() -> None:
    def samples(*busy: float) -> list[Sample]:
        return [Sample(at=0.5 * i, busy=b, used_mib=0) for i, b in enumerate(busy)]

    loading, ending = (0.0, 0.0, 0.0), (0.0, 0.0)
    running = (0.1, 0.4, 0.9, 1.0, 0.8, 0.3, 0.1)
    assert busy_share(samples(*loading, *running, *ending)) == pytest.approx((0.9 + 1.0 + 0.8) / 3)
    assert busy_share(samples(*loading)) is None
    assert busy_share([]) is None


def test_the_gpu_that_nvml_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert nvml_index(1) == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5")
    assert [nvml_index(0), nvml_index(1)] == [3, 5]
