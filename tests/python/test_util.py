"""`qaic-util`, over the simulator that comes with the package."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

import qaickit
from qaickit import util
from qaickit.errors import QaicKitError

SIMULATED = {"QAICKIT_SIM_DEVICES": "3", "QAICKIT_SIM_NSPS": "16,14,16"}


def simulated() -> dict[str, str]:
    """The environment with simulated cards."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("QAIC_", "QAICKIT_SIM"))}
    return kept | SIMULATED | {"QAIC_LIB": str(util.sim_path())}


def python(
    *arguments: str, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A Python of its own: a process opens one library for good."""
    return subprocess.run(
        [sys.executable, *arguments], env=simulated() | dict(variables or {}),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def qaic_util(
    *arguments: str, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return python("-m", "qaickit.util", *arguments, variables=variables)


def test_the_simulator_is_installed() -> None:
    assert util.sim_path().name == "libqaicsim.so"
    assert qaic_util("--sim-path").stdout == f"{util.sim_path()}\n"


def test_lines_are_those_that_public_scripts_parse() -> None:
    done = qaic_util("-q")
    assert done.returncode == 0, done.stderr
    assert "simulated" in done.stderr
    records = re.split(r"^QID \d+\s*$", done.stdout, flags=re.MULTILINE)[1:]
    assert len(records) == 3
    for record, nsps in zip(records, ("16", "14", "16"), strict=True):
        lines = record.strip("\n").split("\n")
        assert all(line.startswith("\t") for line in lines)
        assert "\tStatus:Ready" in lines
        found = re.search(r"^\s*Nsp Total:(\d+)\s*$", record, flags=re.MULTILINE)
        assert found is not None
        assert found[1] == nsps
        assert record.split("Nsp Free:")[1].split()[0] == nsps
        assert re.search(r"^\s*Board serial:(.+?)\s*$", record, flags=re.MULTILINE)
        assert re.search(r"FW IMAGE_VARIANT\s*:\s*(\S+)", record)
        assert re.search(r"Dram Free:\d+ KB", record)
        assert re.search(r"PCI Address:[\da-f]{4}:[\da-f]{2}:[\da-f]{2}\.[\da-f]", record)
    first = [line.strip().split(":")[0] for line in records[0].strip().split("\n")]
    assert first[0] == "Status"
    assert first.index("HW Version") < first.index("Dram Total") < first.index("NSP Frequency(Mhz)")
    assert len(first) == len(set(first))


def test_some_devices() -> None:
    done = qaic_util("-q", "-d", "2", "-d", "0")
    assert re.findall(r"^QID (\d+)$", done.stdout, flags=re.MULTILINE) == ["2", "0"]


def test_a_device_that_is_not_there() -> None:
    done = qaic_util("-q", "-d", "7")
    assert done.returncode == 255
    assert "Device 7 invalid" in done.stderr
    assert done.stdout == ""


def test_json(tmp_path: Path) -> None:
    path = tmp_path / "cards.json"
    assert qaic_util("-q", "-j", str(path)).returncode == 0
    infos = json.loads(path.read_text())["device_info"]
    assert [info["qid"] for info in infos] == [0, 1, 2]
    assert infos[1]["nsp_total"] == infos[1]["nsp_free"] == 14
    assert infos[0]["dev_status"] == "Ready"
    assert infos[0]["sku_type"] in util.SKU_NAMES


def test_a_filter_keeps_the_devices_with_such_a_line() -> None:
    done = qaic_util("-q", "-f", "Board serial==SIMBOARD2")
    assert re.findall(r"^QID (\d+)$", done.stdout, flags=re.MULTILINE) == ["2"]
    assert qaic_util("-f", "Nsp Total==14").stdout.startswith("QID 1\n")
    assert qaic_util("-f", "Nsp Total==1").stdout == ""
    done = qaic_util("-f", "Nsp Total=14")
    assert done.returncode == 255
    assert "KEY==VALUE" in done.stderr


def test_sensors_of_simulated_cards() -> None:
    record = qaic_util("-d", "1").stdout
    for key in ("SoC temperature(degree C)", "Board power(Watts)", "TDP Cap(Watts)"):
        assert re.search(rf"^\t{re.escape(key)}:\d+\.\d\d$", record, flags=re.MULTILINE), key
    assert record.index("Sku Type:") < record.index("Board serial:") < record.index("SoC temp")


def test_sums_over_the_devices() -> None:
    lines = qaic_util("-a").stdout.splitlines()
    assert lines[:4] == ["Devices:3", "\tReady:3", "\tNsp Total:46", "\tNsp Free:46"]


def test_a_table() -> None:
    lines = qaic_util("-t", "0").stdout.splitlines()
    assert lines[0].split()[:3] == ["QID", "Status", "NSP"]
    assert [line.split()[0] for line in lines[1:]] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-t", "-1"], "expected seconds, at least 0, got '-1'"),
        (["-t", "nan"], "expected seconds, at least 0, got 'nan'"),
        (["-t", "often"], "expected seconds, at least 0, got 'often'"),
        (["-s", "-j", "x"], "not allowed with argument"),
        (["-a", "-t", "1"], "not allowed with argument"),
    ],
)
def test_wrong_usage(words: list[str], message: str) -> None:
    done = qaic_util(*words)
    assert (done.returncode, done.stdout) == (255, "")
    assert message in done.stderr


def test_json_without_a_name() -> None:
    done = qaic_util("-j", "")
    assert done.returncode == 1
    assert done.stderr.endswith("cannot write the JSON file '.': expected the name of a file\n")


def test_a_table_is_there_at_once_and_ends_with_ctrl_c() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "qaickit.util", "-t", "60"], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=simulated(),
    ) as process:  # fmt: skip
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]  # would wait for a buffer's worth
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    assert lines[0].startswith("QID ")
    assert lines[3].startswith("2 ")


def test_a_card_that_cannot_be_queried(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Public scripts look for it on the standard output, as the vendor's open tool has it."""
    from qaickit import _core

    def fail(id: int) -> None:
        raise QaicKitError("QStatus 500")

    monkeypatch.setattr(_core, "qaic_device", fail)
    monkeypatch.setattr(_core, "qaic_device_ids", lambda: [0])
    monkeypatch.setattr(_core, "qaic_library", lambda: {"simulated": False})
    assert util.main(["-q"]) == 1
    assert capsys.readouterr() == ("Failed to query Device ID: 0\n", "QStatus 500\n")


def test_the_librarys_version() -> None:
    done = qaic_util("-V")
    assert done.returncode == 0
    assert re.match(r"Library Version:10\.0 qaicsim-1 simulated\n", done.stdout)
    assert str(util.sim_path()) in done.stdout


def test_a_reset() -> None:
    assert qaic_util("-s").stdout == "QID 0 reset\nQID 1 reset\nQID 2 reset\n"
    done = qaic_util("-s", "-p", "0000:01:00.0")
    assert (done.returncode, done.stdout) == (0, "QID 1 reset\n")
    done = qaic_util("-s", "-p", "0000:77:00.0")
    assert done.returncode == 255
    assert "0000:02:00.0" in done.stderr
    assert qaic_util("-p", "0000:01:00.0").returncode == 255


def test_help_ends_as_the_vendors_tool_does() -> None:
    done = qaic_util("-h")
    assert done.returncode == 255
    assert "--aic-device-id" in done.stdout


def test_no_library_says_what_was_tried_and_what_to_do() -> None:
    done = qaic_util("-q", variables={"QAIC_LIB": "/nonexistent/libQAic.so"})
    assert done.returncode == 1
    assert "/nonexistent/libQAic.so" in done.stderr
    assert "--sim-path" in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_tells_library_and_devices() -> None:
    done = python("-m", "qaickit.doctor", "--json")
    assert done.returncode == 0, done.stderr
    qaic = next(b for b in json.loads(done.stdout)["backends"] if b["name"] == "qaic")
    assert qaic["usable"]
    assert all("simulated" in device for device in qaic["devices"])
    assert qaic["details"]["library"] == str(util.sim_path())
    assert "simulated" in qaic["details"]["version"]
    assert qaic["details"]["device 1"].startswith("Ready, 14 of 14 NSPs free")


def test_doctor_tells_where_the_simulator_is() -> None:
    done = python("-m", "qaickit.doctor", variables={"QAIC_LIB": "/nonexistent/libQAic.so"})
    assert done.returncode == 0, done.stderr
    assert f"QAIC_LIB={util.sim_path()}" in done.stdout
    assert "/nonexistent/libQAic.so" in done.stdout


RUN = """
import sys
import numpy as np
import qaic

values = np.load(sys.argv[2])
for backend in (None, "cpu", "qaic"):
    with qaic.Session(sys.argv[1], backend=backend, onnx_define_symbol={"batch": 1}) as session:
        answer = session.run({"x": values})["y"]
        session.describe()
        print(backend, session.backend, session.devices[0]["simulated"], answer.tobytes().hex())
"""


@pytest.fixture
def values_file(tmp_path: Path) -> Path:
    path = tmp_path / "x.npy"
    np.save(path, np.linspace(-1, 1, 16, dtype=np.float32).reshape(1, 16))
    return path


def test_a_session_runs_on_the_simulator_only_when_asked(
    linear_onnx: Path, values_file: Path
) -> None:
    done = python("-c", RUN, str(linear_onnx), str(values_file))
    assert done.returncode == 0, done.stderr
    default, cpu, card = (line.split() for line in done.stdout.splitlines())
    assert default[1:3] == ["cpu", "False"]
    assert card[1:3] == ["qaic", "True"]
    assert card[3] == cpu[3]


def test_the_backend_without_library_says_what_to_do(
    linear_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QAIC_LIB", "/nonexistent/libQAic.so")
    session = qaickit.Session(str(linear_onnx), backend="qaic", onnx_define_symbol={"batch": 1})
    with pytest.raises(qaickit.UnavailableError, match=r"/nonexistent/libQAic\.so"):
        session.setup()


SKIP = """
import sys
import numpy as np
import qaic

options = {"onnx_define_symbol": {"batch": 1}, "device_settings": {"skip_stage": "dma"}}
with qaic.Session(sys.argv[1], backend="qaic", **options) as session:
    session.setup()
    shape, dtype = session.model_input_shape_dict["x"]
    print(shape, dtype, session.run({"x": np.ones(shape, dtype)})["y"].shape)
"""


def test_a_session_can_skip_a_stage(linear_onnx: Path) -> None:
    done = python("-c", SKIP, str(linear_onnx))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "(1, 16) float32 (1, 4)\n"


def test_a_run_that_loses_a_card_says_so(tmp_path: Path) -> None:
    # The warm-up's 5 inferences for each of 6 activations may all fall on one card, which has to
    # live through them.
    done = python(
        "-m", "qaickit.loadgen", "--scenario", "Offline", "--backend", "qaic", "--device-id",
        "0,1,2", "--activations", "2", "--max-batchsize", "1", "--count", "600",
        "--output-dir", str(tmp_path / "logs"), "--json", str(tmp_path / "result.json"),
        variables={
            "QAICKIT_SIM_LATENCY_US": "500", "QAICKIT_SIM_COMPUTE": "0",
            "QAICKIT_SIM_FAULTS": "die_after=40,device=1",
        },
    )  # fmt: skip
    result = json.loads((tmp_path / "result.json").read_text())
    assert not result["good"]
    assert result["stats"]["lost_activations"] == 2
    assert result["stats"]["samples_ok"] > 400
    assert result["stats"]["samples_ok"] + result["stats"]["samples_failed"] == 600
    assert "qaic:1" in result["failure"]
    assert "2 of 6 activations" in done.stdout


LOCK = """
import qaicrt
util = qaicrt.Util()
for id, lock in ((1, True), (1, True), (1, False), (1, False), (9, True)):
    print(util.lockDevice(id, lock, False).name)
"""


@pytest.mark.parametrize(
    ("serialize", "answers"),
    [
        ("0", ["QS_UNSUPPORTED"] * 5),
        ("1", ["QS_SUCCESS", "QS_SUCCESS", "QS_SUCCESS", "QS_INVAL", "QS_NODEV"]),
    ],
)
def test_devices_are_locked_where_that_is_asked_for(serialize: str, answers: list[str]) -> None:
    variables = {"QAICKIT_BACKEND": "qaic", "QAIC_SERIALIZE_DEVICE": serialize}
    done = python("-c", LOCK, variables=variables)
    assert done.stdout.split() == answers, done.stderr
