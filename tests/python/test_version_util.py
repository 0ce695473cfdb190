"""`qaic-version-util`: the lines of the vendor's, from the files that it and we have."""

from __future__ import annotations

from pathlib import Path

import pytest

from qaickit import links
from qaickit.version_util import main

VENDORS = (
    "<versions><ci_build>\n<base_name>AIC</base_name>\n<base_version>1.6</base_version>\n"
    "<build_id>80</build_id>\n</ci_build></versions>\n"
)


def test_nothing_is_installed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--prefix", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "platform:not found\napps:not found\nfactory:not found\n"


def test_the_vendors_files_and_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "versions").mkdir()
    for name in ("platform", "apps"):
        (tmp_path / "versions" / f"{name}.xml").write_text(VENDORS)
    assert main(["--prefix", str(tmp_path)]) == 0
    expected = "platform:AIC.1.6.80\napps:AIC.1.6.80\nfactory:not found\n"
    assert capsys.readouterr().out == expected
    links.install(tmp_path / "ours", {}, "1.12.2")
    assert main(["--prefix", str(tmp_path / "ours")]) == 0
    assert capsys.readouterr().out.startswith("platform:AIC.1.12.2\napps:AIC.1.12.2\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<versions>", "no version file"),
        ("<versions><base_name>AIC</base_name></versions>", "it has no base_version"),
        (" " * (1 << 17), "131072 bytes"),
    ],
)
def test_damaged_files_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    (tmp_path / "versions").mkdir()
    (tmp_path / "versions" / "platform.xml").write_text(text)
    (tmp_path / "versions" / "apps.xml").write_text(VENDORS)
    assert main(["--prefix", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert out == "apps:AIC.1.6.80\nfactory:not found\n"
    assert "platform.xml" in err
    assert message in err
