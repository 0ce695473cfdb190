"""``python -m qaickit.qpc`` as a user runs it, and the module functions under it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from qaickit import _core
from qaickit.errors import DataLossError, QaicKitError
from qaickit.network_desc import decode
from qaickit.qpc import main

MODEL = b"stands for an ONNX graph " * 40
PROGRAM: dict[str, Any] = {
    "name": "demo",
    "num_cores": 4,
    "batch_size": 2,
    "inputs": [
        {"name": "ids", "dtype": "int64", "dims": [2, 8], "scale": 1.0, "offset": 0},
        {"name": "mask", "dtype": "bool", "dims": [2, 8], "scale": 1.0, "offset": 0},
        {"name": "image", "dtype": "uint8", "dims": [2, 3], "scale": 0.5, "offset": 128},
    ],
    "outputs": [{"name": "logits", "dtype": "float32", "dims": [2, 10], "scale": 1.0, "offset": 0}],
}
MANIFEST: dict[str, Any] = {
    "producer": "qaickit test",
    "precision": "fp16",
    "options": {"convert-to-fp16": "true", "aic-num-cores": "4"},
    "random_weights": False,
}
VENDOR_SEGMENTS = {"networkdesc.bin", "network.elf", "constantsdesc.bin"}
HOST_SEGMENTS = {"qaickit.model.onnx", "qaickit.manifest.bin"}


def run(*args: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "qaickit.qpc", *map(str, args)],
        capture_output=True,
        text=True,
        env={**os.environ, **(env or {})},
        timeout=60,
        check=False,
    )


def fails(*args: str | Path, code: int = 1) -> str:
    """What a call that must fail says, without a traceback."""
    result = run(*args)
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    if code == 1:
        assert result.stderr.startswith("qaic-qpc: error: ")
    return result.stderr


@pytest.fixture
def qpc(tmp_path: Path) -> Path:
    path = tmp_path / "programqpc.bin"
    _core.write_qpc(str(path), PROGRAM, MANIFEST, MODEL, {"notes.txt": b"more"})
    return path


def card_only(path: Path, names: tuple[bytes, ...] = ()) -> Path:
    """A QPC as the vendor writes it, with further segments of the given names."""
    descriptor = b"\x08\x09\x1a\x04demo"
    io = b"\x22\x02\x01\x05"  # dims [1, 5], float32
    binding = b"\x0a\x01%b\x12\x04" + io + b"\x1a\x04" + io
    for tag, name in ((b"\x22", b"x"), (b"\x2a", b"y")):
        body = binding % name
        descriptor += tag + bytes([len(body)]) + body
    segments = [
        (b"constantsdesc.bin", bytes(24)),
        (b"network.elf", b"\x7fELF and a program"),
        (b"networkdesc.bin", descriptor),
        *((name, b"extra") for name in names),
    ]
    name_block = b"".join(name + b"\0" for name, _ in segments)
    name_at = 40 + 32 * len(segments)
    data_at = name_at + len(name_block)
    table = b""
    for name, data in segments:
        table += struct.pack("<4Q", len(data), 0, name_at, data_at)
        name_at += len(name) + 1
        data_at += len(data)
    header = struct.pack("<IBBH4Q", 0x00A1CD7C, 0, 1, 1, data_at, 0, len(segments), 40)
    path.write_bytes(header + table + name_block + b"".join(data for _, data in segments))
    return path


def test_info_json(qpc: Path) -> None:
    result = run("info", "--json", qpc)
    assert (result.returncode, result.stderr) == (0, "")
    info = json.loads(result.stdout)
    assert info["path"] == str(qpc)
    assert info["file_bytes"] == qpc.stat().st_size
    assert info["has_host_half"] is True
    assert info["has_card_half"] is False
    program = info["program"]
    assert (program["name"], program["num_cores"], program["batch_size"]) == ("demo", 4, 2)
    for side in ("inputs", "outputs"):
        assert [
            {k: t[k] for k in t if k not in ("bytes", "partial")} for t in program[side]
        ] == PROGRAM[side]
    assert [t["bytes"] for t in program["inputs"]] == [128, 16, 6]
    manifest = info["manifest"]
    assert manifest["format_version"] == 1
    assert {key: manifest[key] for key in MANIFEST} == MANIFEST
    segments = {segment["name"]: segment for segment in info["segments"]}
    assert set(segments) == VENDOR_SEGMENTS | HOST_SEGMENTS | {"notes.txt"}
    model = segments["qaickit.model.onnx"]
    assert model["bytes"] == len(MODEL)
    assert model["sha256"] == hashlib.sha256(MODEL).hexdigest()


def test_info_for_people(qpc: Path) -> None:
    result = run("info", qpc)
    assert (result.returncode, result.stderr) == (0, "")
    for text in ("demo", "ids", "int64", "[2, 8]", "bool", "logits", "network.elf", "fp16"):
        assert text in result.stdout
    assert "aic-num-cores=4" in result.stdout
    assert "\x1b" not in result.stdout
    assert run("info", qpc, env={"PYTHONIOENCODING": "ascii"}).returncode == 0


def test_random_weights_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "random.bin"
    _core.write_qpc(str(path), PROGRAM, {**MANIFEST, "random_weights": True}, MODEL, {})
    assert "answers mean nothing" in run("info", path).stdout


def test_extract_does_not_replace_the_file_itself(tmp_path: Path) -> None:
    """Names come from the file, which may be anybody's."""
    path = card_only(tmp_path / "programqpc.bin", (b"programqpc.bin",))
    before = path.read_bytes()
    assert "segment 'programqpc.bin' would replace this file; give another --output-dir" in fails(
        "extract", "--qpc", tmp_path, "--output-dir", tmp_path
    )
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_directory_stands_for_the_file_in_it(qpc: Path, tmp_path: Path) -> None:
    assert json.loads(run("info", "--json", qpc.parent).stdout)["path"] == str(qpc)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "is a directory without programqpc.bin" in fails("info", empty)


def test_card_only_file(tmp_path: Path) -> None:
    path = card_only(tmp_path / "card.bin")
    info = json.loads(run("info", "--json", path).stdout)
    assert info["manifest"] is None
    assert (info["has_host_half"], info["has_card_half"]) == (False, True)
    assert [t["dims"] for t in info["program"]["inputs"]] == [[1, 5]]
    assert run("info", path).returncode == 0
    verified = run("verify", path)
    assert verified.returncode == 0
    assert "no digests to check" in verified.stdout
    assert json.loads(run("verify", "--json", path).stdout)["digests_checked"] is False


def test_names_cannot_steer_the_terminal(tmp_path: Path) -> None:
    path = card_only(tmp_path / "card.bin", (b"\x1b[31m[bold]red\xe2\x80\xae",))
    result = run("info", path)
    assert result.returncode == 0
    assert "\\x1b[31m[bold]red\\u202e" in result.stdout
    assert "\x1b" not in fails("extract", path, "--segment", "\x1b[2J")


def test_verify(qpc: Path) -> None:
    result = run("verify", qpc)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"{qpc}: ok, all 6 segments are intact\n"
    assert json.loads(run("verify", "--json", qpc).stdout) == {
        "path": str(qpc),
        "ok": True,
        "file_bytes": qpc.stat().st_size,
        "segments": 6,
        "has_host_half": True,
        "has_card_half": False,
        "digests_checked": True,
    }


def test_verify_finds_damage(qpc: Path) -> None:
    data = bytearray(qpc.read_bytes())
    data[data.index(MODEL) + 5] ^= 1
    qpc.write_bytes(data)
    message = fails("verify", qpc)
    assert "segment 'qaickit.model.onnx'" in message
    assert "SHA-256" in message
    result = run("verify", "--json", qpc)
    assert result.returncode == 1
    report = json.loads(result.stdout)
    assert report["ok"] is False
    assert "qaickit.model.onnx" in report["error"]


@pytest.mark.parametrize("command", ["info", "verify", "extract"])
def test_bad_files(command: str, tmp_path: Path) -> None:
    assert "No such file" in fails(command, tmp_path / "missing.bin")
    foreign = tmp_path / "foreign"
    for content in (b"", b"\x7fELF", b"PK\x03\x04" + bytes(100), b"hello", bytes(1000)):
        foreign.write_bytes(content)
        assert "not a QPC" in fails(command, foreign)
    truncated = card_only(tmp_path / "truncated.bin")
    truncated.write_bytes(truncated.read_bytes()[:-1])
    assert "the header says" in fails(command, truncated)


def test_unreadable_file(qpc: Path, capsys: pytest.CaptureFixture[str]) -> None:
    qpc.chmod(0)
    user = os.geteuid()
    os.seteuid(65534 if user == 0 else user)  # permissions do not apply to the superuser
    try:
        code = main(["info", str(qpc)])
    finally:
        os.seteuid(user)
    captured = capsys.readouterr()
    assert (code, captured.out) == (1, "")
    assert captured.err.startswith("qaic-qpc: error: ")
    assert "Permission denied" in captured.err


def test_path_that_is_not_utf8() -> None:
    assert "is not UTF-8" in fails("info", os.fsdecode(b"/tmp/\xff"))


def test_usage_errors(qpc: Path) -> None:
    for args in ([], ["info"], ["nonsense", qpc], ["info", "--bogus", qpc], ["extract", qpc, "x"]):
        message = fails(*args, code=2)
        assert message.startswith("usage: qaic-qpc")
        assert ": error: " in message
    assert run("--help").returncode == 0


def test_extract_all(qpc: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "directory"
    result = run("extract", qpc, "--output-dir", target)
    assert (result.returncode, result.stderr) == (0, "")
    names = {entry.name for entry in target.iterdir()}
    assert names == VENDOR_SEGMENTS | HOST_SEGMENTS | {"notes.txt", "networkdesc.bin_dir"}
    assert (target / "qaickit.model.onnx").read_bytes() == MODEL
    assert (target / "notes.txt").read_bytes() == b"more"


def test_extract_some(qpc: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    args = ("--segment", "notes.txt", "--segment", "network.elf", "--output-dir", target)
    assert run("extract", qpc, *args).returncode == 0
    assert {entry.name for entry in target.iterdir()} == {"notes.txt", "network.elf"}
    message = fails("extract", qpc, "--segment", "none", "--output-dir", target)
    assert "has no segment 'none'; it has 'qaickit.manifest.bin', " in message


def test_extract_overwrites_only_when_told(qpc: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"mine")
    args = ("extract", qpc, "--output-dir", tmp_path)
    assert "notes.txt: exists already; give --force to overwrite it" in fails(*args)
    assert (tmp_path / "notes.txt").read_bytes() == b"mine"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["notes.txt", "programqpc.bin"]
    assert run(*args, "--force").returncode == 0
    assert (tmp_path / "notes.txt").read_bytes() == b"more"


@pytest.mark.parametrize("name", ["../escape", "/tmp/escape", "a\\b", "..", ""])
def test_extract_stays_in_its_directory(name: str, tmp_path: Path) -> None:
    path = card_only(tmp_path / "card.bin", (name.encode(),))
    target = tmp_path / "out"
    assert "cannot be a file name" in fails("extract", path, "--output-dir", target)
    assert not target.exists()
    args = ("--segment", "network.elf", "--output-dir", target)
    assert run("extract", path, *args).returncode == 0


def test_extract_keeps_the_folders_of_a_program_for_several_cards(tmp_path: Path) -> None:
    path = card_only(tmp_path / "card.bin", (b"slice0_dir/networkdesc.bin", b"slice0_dir/x.bin"))
    target = tmp_path / "out"
    assert run("extract", path, "-s", "slice*/x.bin", "--output-dir", target).returncode == 0
    assert (target / "slice0_dir" / "x.bin").read_bytes() == b"extra"
    assert run("extract", path, "--output-dir", tmp_path / "all").returncode == 0
    names = ("networkdesc.bin_dir", "slice0_dir/networkdesc.bin_dir")
    for name in names:
        assert (tmp_path / "all" / name / "networkdesc.json").exists()


# --- as the vendor's tool ------------------------------------------------------------------------


def test_vendors_extract_decodes_the_descriptor(qpc: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    args = ("extract", "--qpc", qpc, "--output-dir", target, "-s", "*StaticConstants.constants.bin",
            "-s", "*networkdesc.bin_dir/networkdesc.json")  # fmt: skip
    for _ in range(2):  # the second time over the files of the first
        result = run(*args)
        assert result.returncode == 0, result.stderr
        assert "no segment matches '*StaticConstants.constants.bin'" in result.stderr
    (path,) = target.rglob("networkdesc.json")
    assert path == target / "networkdesc.bin_dir" / "networkdesc.json"
    fields = json.loads(path.read_text())
    assert (fields["network_name"], fields["num_cores"], fields["batch_size"]) == ("demo", 4, 2)
    assert fields["allowed_shapes"] == []
    assert [entry["name"] for entry in fields["inputs"]] == ["ids", "mask", "image"]
    image = fields["inputs"][2]["io_initial"]
    assert (image["type"], image["dims"]) == ("UInt8QTy", [2, 3])
    assert (image["qscale"], image["qoffset"]) == (0.5, 128)
    (step,) = fields["inputs"][0]["transformseq"]
    assert step["copy_dma_buffer"] == {"dir": "In", "offset": 0, "buffer_num": 0}


def test_descriptor_of_the_vendors_compiler(tmp_path: Path) -> None:
    path = card_only(tmp_path / "card.bin")
    target = tmp_path / "out"
    assert run("extract", "--qpc", path, "--output-dir", target).returncode == 0
    fields = json.loads((target / "networkdesc.bin_dir" / "networkdesc.json").read_text())
    assert fields["inputs"][0]["name"] == "x"
    assert fields["outputs"][0]["io_transformed"]["dims"] == [1, 5]


def test_fields_that_qaickit_does_not_write_are_decoded() -> None:
    data = b"\x52\x02\x07\x08" + b"\x62\x04\x18\x46\x10\x01" + b"\x8a\x01\x01\x00"
    data += b"\x82\x01\x06\x08\x01\x12\x02\x18\x20" + b"\xf8\x3f\x01"  # and one unknown
    fields = decode(data)
    assert fields["thread_groups"] == [7, 8]
    assert fields["stats"]["stats_level"] == 70
    assert fields["stats"]["print_stats"] is True
    assert fields["cluster_offsets"] == [0]
    assert fields["crc_info"]["entries"][0]["size"] == 32


@pytest.mark.parametrize("data", [b"\xff", b"\x1a\x05ab", b"\x1a\x02\xff\xfe"])
def test_bad_descriptors(data: bytes) -> None:
    with pytest.raises(DataLossError, match="no network descriptor"):
        decode(data)


def test_vendors_validate(qpc: Path) -> None:
    result = run("validate", "-i", qpc)
    assert (result.returncode, result.stderr) == (0, "")
    assert "Number of NSP required: 4\n" in result.stdout
    qpc.write_bytes(qpc.read_bytes()[:-1])
    fails("validate", "-i", qpc)


def test_extract_failure_leaves_nothing(qpc: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    (target / "notes.txt").mkdir(parents=True)  # cannot be replaced by a file
    args = ("--segment", "notes.txt", "--output-dir", target, "--force")
    fails("extract", qpc, *args)
    assert [entry.name for entry in target.iterdir()] == ["notes.txt"]


def test_closed_pipe_is_quiet(qpc: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.Popen(
        [sys.executable, "-m", "qaickit.qpc", "info", str(qpc)],
        stdout=writer,
        stderr=subprocess.PIPE,
    )
    os.close(writer)
    _, stderr = process.communicate(timeout=60)
    assert stderr == b""
    assert process.returncode == 128 + signal.SIGPIPE


def test_interrupt_is_quiet(
    qpc: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(path: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_core, "read_qpc", interrupted)
    assert main(["info", str(qpc)]) == 128 + signal.SIGINT
    assert capsys.readouterr() == ("", "")


def test_segment_of_the_module(qpc: Path) -> None:
    assert _core.qpc_segment(str(qpc), "qaickit.model.onnx") == MODEL
    with pytest.raises(QaicKitError):
        _core.qpc_segment(str(qpc), "none")


def test_errors_of_the_module(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="No such file"):
        _core.read_qpc(str(tmp_path / "missing.bin"))
    (tmp_path / "bad.bin").write_bytes(b"bad file")
    with pytest.raises(ValueError, match="not a QPC"):
        _core.read_qpc(str(tmp_path / "bad.bin"))
    program = {**PROGRAM, "outputs": [{**PROGRAM["outputs"][0], "dtype": "float64"}]}
    with pytest.raises(ValueError, match=r"output 0 \('logits'\) is float64"):
        _core.write_qpc(str(tmp_path / "new.bin"), program, MANIFEST, MODEL, {})
    with pytest.raises(FileNotFoundError):
        _core.write_qpc(str(tmp_path / "no" / "new.bin"), PROGRAM, MANIFEST, MODEL, {})
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["bad.bin"]


def test_same_content_gives_same_bytes(qpc: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.bin"
    _core.write_qpc(str(again), PROGRAM, MANIFEST, MODEL, {"notes.txt": b"more"})
    assert again.read_bytes() == qpc.read_bytes()
