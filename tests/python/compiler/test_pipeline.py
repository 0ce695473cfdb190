"""The table of passes, the report, and what the cache key depends on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from qaickit import _core
from qaickit.compiler import CompileSettings, compile_onnx, ensure_qpc, pipeline
from qaickit.errors import NotFoundError, ResourceExhaustedError

BATCH = {"batch": 2}


def test_report_has_every_pass_with_sizes(linear_onnx: Path, tmp_path: Path) -> None:
    report = compile_onnx(linear_onnx, tmp_path / "a.bin", onnx_define_symbol=BATCH)
    from qaickit.compiler.passes import PASSES

    assert [entry.name for entry in report.passes] == [name for name, _ in PASSES] + ["package"]
    weights = 16 * 4 * 4 + 4 * 4  # float32 W [16, 4] and B [4]
    assert report.passes[0].before.weight_bytes == weights
    assert all(entry.after.nodes >= 1 and entry.seconds >= 0 for entry in report.passes)


@dataclass(frozen=True)
class FakeData:
    name: str
    once: bool = False

    def digest(self) -> str:
        return self.name


def test_calibration_data_is_part_of_the_key(linear_onnx: Path) -> None:
    paths = {
        ensure_qpc(linear_onnx, CompileSettings.of(data, onnx_define_symbol=BATCH)).path
        for data in (None, FakeData("one"), FakeData("two"), FakeData("one"))
    }
    assert len(paths) == 3


def test_a_side_file_counts_by_content_not_by_place(linear_onnx: Path, tmp_path: Path) -> None:
    settings = {}
    for place, text in (("one", "a"), ("two", "a"), ("three", "b")):
        (tmp_path / place).mkdir()
        path = tmp_path / place / "partition.json"
        path.write_text(text)
        settings[place] = CompileSettings.of(
            onnx_define_symbol=BATCH, mdp_load_partition_config=str(path)
        )
    found = {place: ensure_qpc(linear_onnx, chosen).path for place, chosen in settings.items()}
    assert found["one"] == found["two"] != found["three"]
    manifest = _core.read_qpc(found["one"])["manifest"]
    assert manifest is not None
    recorded = manifest["options"]["mdp_load_partition_config"]
    assert recorded.startswith("partition.json sha256:ca978112ca1bbdca")
    assert str(tmp_path) not in recorded


def test_a_side_file_that_is_missing(linear_onnx: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"option 'mdp_load_partition_config'.*none"):
        compile_onnx(
            linear_onnx,
            tmp_path / "out" / "a.bin",
            onnx_define_symbol=BATCH,
            mdp_load_partition_config=str(tmp_path / "none"),
        )
    assert not (tmp_path / "out").exists()


def test_threads_and_places_do_not_change_the_bytes(linear_onnx: Path, tmp_path: Path) -> None:
    compile_onnx(linear_onnx, tmp_path / "a.bin", onnx_define_symbol=BATCH)
    compile_onnx(
        linear_onnx,
        tmp_path / "b.bin",
        onnx_define_symbol=BATCH,
        output_dir=os.fspath(tmp_path),
        num_activations=2,
    )
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "b.bin").read_bytes()


def test_directories_made_for_nothing_are_taken_away(
    linear_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise ResourceExhaustedError("no space left")

    monkeypatch.setattr(pipeline, "write_qpc", full)
    (tmp_path / "there").mkdir()
    with pytest.raises(ResourceExhaustedError):
        compile_onnx(linear_onnx, tmp_path / "there/a/b/q.bin", onnx_define_symbol={"batch": 1})
    assert list((tmp_path / "there").iterdir()) == []
