"""Profiles: round trips, what people may write, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from qaickit.compiler.calibration import histogram
from qaickit.compiler.calibration.histogram import Histogram
from qaickit.compiler.calibration.profile import (
    FixedRange,
    Profile,
    read_profile,
    write_profile,
)
from qaickit.errors import DataLossError, InvalidArgumentError, NotFoundError, PermissionDeniedError


def profile_of(values: np.ndarray, bins: int = 64) -> Profile:
    tensors: dict[str, Histogram | FixedRange] = {
        "conv/1:0 é": histogram.of_values(values.astype(np.float32), bins),
        "by hand": FixedRange(-1.0, 2.5),
    }
    return Profile("abc", "arrays", 7, False, tensors)


@given(seed=st.integers(0, 1000), scale=st.sampled_from([1e-30, 1e-3, 1.0, 1e30]))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, seed: int, scale: float) -> None:
    path = str(tmp_path_factory.getbasetemp() / "round.yaml")
    random = np.random.default_rng(seed)
    written = profile_of(random.standard_t(2, random.integers(1, 300)) * scale)
    write_profile(written, path)
    read = read_profile(path)
    assert (read.model, read.data, read.samples, read.random) == ("abc", "arrays", 7, False)
    assert read.tensors["by hand"] == FixedRange(-1.0, 2.5)
    one, other = written.tensors["conv/1:0 é"], read.tensors["conv/1:0 é"]
    assert isinstance(one, Histogram)
    assert isinstance(other, Histogram)
    assert np.array_equal(one.counts, other.counts)
    assert (one.first, one.exponent, one.low, one.high) == (
        other.first, other.exponent, other.low, other.high,
    )  # fmt: skip


def test_people_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    write_profile(profile_of(np.array([-1.0, 0.0, 0.0, 3.0]), bins=4), str(path))
    content = yaml.safe_load(path.read_text())
    assert content["tensors"]["conv/1:0 é"] == {
        "low": -1.0, "high": 3.0, "exponent": 0, "first": -1, "counts": "1 2 0x2 1",
    }  # fmt: skip
    assert "é" in path.read_text()


GOOD: dict[str, Any] = {
    "format": "qaickit-profile-1",
    "tensors": {"t": {"low": -1, "high": 2.0, "exponent": 0, "first": -1, "counts": "1 0x1 4"}},
}


def edited(**changes: Any) -> str:
    tensor = {**GOOD["tensors"]["t"], **changes}
    return yaml.safe_dump({**GOOD, "tensors": {"t": tensor}})


def test_hand_written(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(edited())
    tensor = read_profile(str(path)).tensors["t"]
    assert isinstance(tensor, Histogram)
    assert tensor.counts.tolist() == [1, 0, 4]
    path.write_text(edited(counts=12))
    tensor = read_profile(str(path)).tensors["t"]
    assert isinstance(tensor, Histogram)
    assert tensor.counts.tolist() == [12]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file: expected a mapping"),
        ("[1, 2]", "the file: expected a mapping, got list"),
        ("a: [", "not valid YAML"),
        ("format: other", "'format: qaickit-profile-1', got 'other'"),
        ("format: qaickit-profile-1", "'tensors': expected a mapping, got NoneType"),
        (yaml.safe_dump({**GOOD, "tensors": {"t": 3}}), "tensor 't': expected a mapping, got int"),
        (edited(low="x"), "tensor 't', 'low': expected a finite number, got 'x'"),
        (edited(high=float("nan")), "'high': expected a finite number"),
        (edited(high=10**400), "'high': expected a finite number"),
        (edited(low=3), "expected low <= high, got 3.0 and 2.0"),
        (edited(exponent=4000), "'exponent': expected an integer from -200 to 199, got 4000"),
        (edited(first=10**12), "'first': expected an integer"),
        (edited(first=True), "'first': expected an integer"),
        (edited(counts="1 -2"), "'counts': expected numbers, .* got -2"),
        (edited(counts="0x999999999"), "at most 65536 bins"),
        (edited(counts="0 0"), "at least one value"),
        (edited(counts=""), "at least one value"),
        (edited(counts=" ".join(["999999999999999999"] * 9)), "less than 2"),
        (yaml.safe_dump({**GOOD, "samples": -1}), "'samples': expected an integer"),
        ("!!python/object/apply:os.getcwd []", "not valid YAML"),
    ],
)
def test_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(DataLossError, match=message) as caught:
        read_profile(str(path))
    assert "bad.yaml" in str(caught.value)


def test_files_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="the profile"):
        read_profile(str(tmp_path / "none.yaml"))
    (tmp_path / "latin.yaml").write_bytes(b"format: \xe9\xff")
    with pytest.raises(DataLossError, match="not valid YAML"):
        read_profile(str(tmp_path / "latin.yaml"))
    (tmp_path / "taken").mkdir()
    for path in (tmp_path / "none" / "p.yaml", tmp_path / "taken"):
        with pytest.raises(
            (NotFoundError, InvalidArgumentError, PermissionDeniedError), match="cannot write"
        ):
            write_profile(profile_of(np.ones(3)), str(path))
    assert sorted(os.listdir(tmp_path)) == ["latin.yaml", "taken"]


@pytest.mark.parametrize("text", ["1e-3", "-2E+4", "1.5e2", "+1e0", "2.e1"])
def test_numbers_as_people_write_them(tmp_path: Path, text: str) -> None:
    """YAML 1.1 takes 1e-3 for a text."""
    path = tmp_path / "p.yaml"
    low, high = sorted([float(text), 0.0])
    given = {low: "0", high: "0", float(text): text}
    path.write_text(
        f"format: qaickit-profile-1\ntensors:\n  x: {{low: {given[low]}, high: {given[high]}}}\n"
    )
    assert read_profile(str(path)).tensors == {"x": FixedRange(low, high)}
