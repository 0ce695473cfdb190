"""The check of MLPerf's configuration files, also against what LoadGen itself makes of them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qaickit.errors import InvalidArgumentError, NotFoundError
from qaickit.loadgen.user_conf import (
    KEYS,
    SCENARIO_NAMES,
    Conf,
    ConfError,
    check_conf_text,
    read_conf,
)

mlperf_loadgen = pytest.importorskip("mlperf_loadgen")

GOOD = """\
# A comment, alone on its line.
   # Another.

*.Offline.target_qps = 1000.5
resnet50.Server.target_latency = 15
*.*.min_duration = 0x10
\twan-2.2-t2v-a14b.SingleStream.target_latency = .5
resnet50.MultiStream.target_latency_percentile = 99.9\r
digits.*.performance_sample_count_override = 128
"""


def problems(text: str, **options: object) -> list[str]:
    found = check_conf_text(text, "user.conf", models=("digits",), **options)[1]  # type: ignore[arg-type]
    return [str(problem) for problem in found]


def loadgen_reads(
    path: Path, text: str, scenario: str, model: str = "digits"
) -> tuple[int, object]:
    """LoadGen's return code for a file, and the settings after it."""
    path.write_text(text, encoding="utf-8")
    target = mlperf_loadgen.TestSettings()
    return target.FromConfig(str(path), model, scenario, 2), target


def test_a_good_file_has_no_problems() -> None:
    assert problems(GOOD) == []


@pytest.mark.parametrize(
    ("line", "what", "instead"),
    [
        ("*.Offline.target_qps=5", "no blanks around '='", "'*.Offline.target_qps = 5'"),
        ("*.Offline.target_qps =5", "no blanks around '='", "'*.Offline.target_qps = 5'"),
        ("*.Offline.target_qps= 5", "no blanks around '='", "'*.Offline.target_qps = 5'"),
        ("*.Offline.target_qps\u00a0=\u00a05", "beyond ASCII", "plain blanks"),
        ("*.Offline.target_qps = 5 # fast", "a comment after a value", "a line of its own"),
        ("*.Offline.target_qps = 5 #fast", "a comment after a value", "a line of its own"),
        ("*.Offline.target_qps = # 5", "no value before the comment", "= VALUE"),
        ("#fast", "read as a key", "'# fast'"),
        ("#*.Offline.target_qps = 5", "read as a key", "'# *.Offline.target_qps = 5'"),
        ("*.Offline.target_qps = 5 6", "has 2 values", "= 5'"),
        ("*.Offline.target_qps =", "has no value", "= VALUE"),
        ("*.Offline.target_qps 5", "expected '=' after", "model.scenario.key = value"),
        ("*.Offline.target_qps", "got the end of the line", "model.scenario.key = value"),
        ("*.Offline.target_qps = fast", "'fast' is not a number", "an integer or a decimal"),
        ("*.Offline.target_qps = 1,000", "'1,000' is not a number", "= 1000'"),
        ("*.Offline.coalesce_queries = true", "'true' is not a number", "= 1'"),
        ("*.Offline.target_qps = inf", "'inf' is not a number", "an integer or a decimal"),
        ("*.Offline.target_qps = nan", "'nan' is not a number", "an integer or a decimal"),
        ("*.Offline.target_qp = 5", "unknown key 'target_qp'", "write 'target_qps'"),
        ("*.Offline.zzz = 5", "unknown key 'zzz'", "write one of target_latency"),
        ("*.offline.target_qps = 5", "unknown scenario 'offline'", "write 'Offline'"),
        ("*.Servers.target_qps = 5", "unknown scenario 'Servers'", "write 'Server'"),
        ("*.x.target_qps = 5", "unknown scenario 'x'", "one of Offline, SingleStream"),
        ("bert-99.Offline.target_qps = 5", "unknown model 'bert-99'", "write 'bert'"),
        ("digit.Offline.target_qps = 5", "unknown model 'digit'", "write 'digits'"),
        ("qqq.Offline.target_qps = 5", "unknown model 'qqq'", "write '*'"),
        ("Offline.target_qps = 5", "not of the form model.scenario.key", "'*.*.target_qps = 5'"),
        ("target_qps = 5", "not of the form model.scenario.key", "'*.*.target_qps = 5'"),
        ("*.*.min_duration = 1.5e3", "reads '1.5e3' as 1", "= 1500'"),
        ("*.*.min_duration = 0.5", "reads '0.5' as 0", "= 1'"),
        ("*.Server.target_latency = 0.5", "is an integer for Server", "= 1'"),
        ("*.*.target_latency = 1.5", "is an integer for Server", "= 2'"),
        ("*.*.min_duration = 0600", "as an octal number", "= 600'"),
        ("*.*.min_duration = -5", "'-5' is out of range", "at least 0"),
        ("*.*.min_query_count = 18446744073709551616", "out of range", "at least 0"),
        ("*.Offline.target_qps = 0", "'0' is out of range", "above 0"),
        ("*.Server.target_latency_percentile = 100", "out of range", "above 0 and below 100"),
        ("*.MultiStream.samples_per_query = 0", "out of range", "at least 1"),
        ("*.Offline.target_latency = 5", "does not read 'target_latency' for Offline", "Server"),
        ("*.SingleStream.target_qps = 5", "does not read 'target_qps'", "Offline or Server"),
        ("*.*.qsl_rng_seed = 5", "built-in mlperf.conf only", "remove"),
        ("*.*.accuracy_log_probability = 5", "built-in mlperf.conf only", "remove"),
        ("*.*.mode = 1", "set by --mode", "remove"),
        ("\ufeff*.Offline.target_qps = 5", "byte-order mark", "without one"),
    ],
)
def test_a_bad_line_is_named_with_what_to_write(line: str, what: str, instead: str) -> None:
    (found,) = problems(f"# first\n{line}\n# last")
    assert found.startswith("user.conf:2: ")
    assert what in found
    assert instead in found.partition("; ")[2]


def test_all_problems_come_at_once_in_the_order_of_lines() -> None:
    found = problems("*.*.min_duration=1\n*.Offline.target_qps = 1\n#x\n*.Offline.target_qps = 2")
    assert [text.split(":")[1] for text in found] == ["1", "3", "4"]
    assert "set again and line 2 has no effect" in found[2]


def test_an_mlperf_conf_is_checked_for_grammar_only() -> None:
    text = "new-model.*.qsl_rng_seed = 5\n*.Server.target_duration = 0\n*.*.mode = 2"
    assert problems(text, strict=False) == []
    assert problems("*.*.min_duration=5", strict=False) != []


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ({"digits.Server.k": "1", "*.Server.k": "2", "digits.*.k": "3", "*.*.k": "4"}, "1"),
        ({"*.Server.k": "2", "digits.*.k": "3", "*.*.k": "4"}, "2"),
        ({"digits.*.k": "3", "*.*.k": "4"}, "3"),
        ({"*.*.k": "4"}, "4"),
        ({"bert.Server.k": "5", "digits.Offline.k": "6"}, None),
    ],
)
def test_look_up_goes_from_the_exact_to_the_general(
    entries: dict[str, str], expected: str | None
) -> None:
    assert Conf("user.conf", entries).find("digits", "Server", "k") == expected


def test_read_conf_says_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"nowhere\.conf: no such file"):
        read_conf(tmp_path / "nowhere.conf")
    with pytest.raises(InvalidArgumentError, match="got a directory"):
        read_conf(tmp_path)
    path = tmp_path / "user.conf"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidArgumentError, match="UTF-8"):
        read_conf(path)
    path.write_text("*.*.min_duration=1\n#x\n")
    with pytest.raises(ConfError) as caught:
        read_conf(path)
    assert len(caught.value.problems) == 2
    assert str(path) in str(caught.value)


def test_an_empty_file_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "user.conf"
    path.write_text("")
    assert read_conf(path).entries == {}


# Against LoadGen.


@pytest.mark.parametrize("line", ["*.*.min_duration=77", "*.*.min_duration", "*.*.min_duration ="])
def test_loadgen_drops_such_a_line_in_silence(tmp_path: Path, line: str) -> None:
    code, target = loadgen_reads(tmp_path / "c", line, "Offline")
    assert (code, target.min_duration_ms) == (0, 10_000)  # type: ignore[attr-defined]
    assert problems(line)


@pytest.mark.parametrize("line", ["*.*.min_duration = 77 # x", "#x = y", "*.*.min_duration = x"])
def test_loadgen_refuses_the_file_for_such_a_line(tmp_path: Path, line: str) -> None:
    text = f"*.*.min_query_count = 7\n{line}\n"
    code, target = loadgen_reads(tmp_path / "c", text, "Offline")
    assert code == -22
    assert target.min_query_count == 100  # type: ignore[attr-defined]
    assert problems(text)


# What LoadGen stores for a key, where Python can see it: (field, factor).
FIELDS: dict[str | tuple[str, str], tuple[str, float]] = {
    "min_duration": ("min_duration_ms", 1),
    "max_duration": ("max_duration_ms", 1),
    "min_query_count": ("min_query_count", 1),
    "max_query_count": ("max_query_count", 1),
    "performance_sample_count_override": ("performance_sample_count_override", 1),
    "samples_per_query": ("multi_stream_samples_per_query", 1),
    ("target_qps", "Offline"): ("offline_expected_qps", 1),
    ("target_qps", "Server"): ("server_target_qps", 1),
    ("target_latency", "Server"): ("server_target_latency_ns", 10**6),
    ("target_latency", "SingleStream"): ("single_stream_expected_latency_ns", 10**6),
    ("target_latency", "MultiStream"): ("multi_stream_expected_latency_ns", 10**6),
    ("target_latency_percentile", "Server"): ("server_target_latency_percentile", 0.01),
}

_INTEGERS = st.one_of(st.integers(1, 10**7).map(str), st.sampled_from(["0x1F", "+7", "1"]))
_NUMBERS = st.one_of(
    _INTEGERS,
    st.floats(0.001, 99, allow_nan=False).map(repr),
    st.sampled_from(["1e1", ".5", "5.", "2.5E-1"]),
)
_ODD_VALUES = st.sampled_from(["010", "x", "", "# 5", "5 # c", "5 6", "-3", "1e3", "0.5", "0"])
_EQUALS = st.sampled_from([" = "] * 8 + ["\t=\v", "=", " =", "= "])


def _line(names: list[str], scenarios: list[str], values: st.SearchStrategy[str]) -> Any:
    return st.builds(
        lambda m, s, n, e, v: f"{m}.{s}.{n}{e}{v}",
        st.sampled_from(["*", "*", "digits", "digits", "bert", "nope"]),
        st.sampled_from(scenarios),
        st.sampled_from(names),
        _EQUALS,
        values,
    )


_LINES = st.one_of(
    _line([n for n in FIELDS if isinstance(n, str)], [*SCENARIO_NAMES, "*"], _INTEGERS),
    _line(["target_qps"], ["Offline", "Server", "*"], _NUMBERS),
    _line(["target_latency", "target_latency_percentile"], ["SingleStream", "Server"], _NUMBERS),
    _line([*KEYS, "qsl_rng_seed", "min_durations"], [*SCENARIO_NAMES, "offline"], _ODD_VALUES),
    st.sampled_from(["", "# comment", "#comment", "  ", "#", "# a = b"]),
)


@settings(max_examples=400, deadline=None)
@given(lines=st.lists(_LINES, max_size=4), scenario=st.sampled_from(SCENARIO_NAMES))
def test_loadgen_takes_what_passes_the_check_as_we_read_it(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], scenario: str
) -> None:
    text = "\n".join(lines)
    conf, found = check_conf_text(text, "user.conf", models=("digits",))
    if found:
        return
    path = tmp_path_factory.getbasetemp() / "generated.conf"
    code, target = loadgen_reads(path, text, scenario)
    assert code == 0
    for key, (field, factor) in FIELDS.items():
        name, section = key if isinstance(key, tuple) else (key, scenario)
        value = conf.find("digits", section, name)
        if value is not None:
            number = int(value, 0) if "x" in value else float(value)
            assert math.isclose(getattr(target, field), number * factor, rel_tol=1e-9), (key, value)
