"""A TOML file read key by key: what is there is given, what is wrong is told with its line, and reading goes on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from device_profiles.mistakes import ConfigError, Findings
from device_profiles.toml_table import Table, index_lines, read_toml


def opened(folder: Path, text: str | bytes) -> tuple[Table, Findings]:
    path = folder / "a.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    findings = Findings("a.toml")
    return read_toml(path, findings), findings


def told(findings: Findings) -> list[str]:
    return [f"{mistake.line}: {mistake.where}: {mistake.what}; {mistake.instead}" for mistake in findings.in_order()]


@pytest.mark.parametrize(
    ("text", "place", "line"),
    [
        pytest.param("a = 1\nb = 2", ("b",), 2, id="a key"),
        pytest.param("# x\n[t]\n\nb = 2", ("t", "b"), 4, id="a key below a header"),
        pytest.param("[t . u]\nb = 2", ("t", "u"), 1, id="a header of two words"),
        pytest.param("['t']\n\"b\" = 2", ("t", "b"), 2, id="words in quotes"),
        pytest.param("[[t]]\na = 1\n[[t]]\na = 2", ("t", 1, "a"), 4, id="the second table of an array"),
        pytest.param("[[t]]\n[[t.u]]\n[[t]]\n[[t.u]]\na = 1", ("t", 1, "u", 0, "a"), 5, id="an array in an array"),
        pytest.param("t.b = 2", ("t",), 1, id="a key of two words"),
    ],
)
def test_a_place_is_found_again_at_its_line(text: str, place: tuple[str | int, ...], line: int) -> None:
    assert index_lines(text)[place] == line


@pytest.mark.parametrize(
    ("text", "read", "value"),
    [
        pytest.param('k = "x"', lambda table: table.text("k"), "x", id="a text"),
        pytest.param("", lambda table: table.text("k", "y"), "y", id="a default text"),
        pytest.param("k = true", lambda table: table.flag("k", default=False), True, id="a flag"),
        pytest.param("k = 5", lambda table: table.integer("k", 1, low=0, high=5), 5, id="the highest whole number"),
        pytest.param("", lambda table: table.integer("k", None, low=1, high=5), None, id="no whole number"),
        pytest.param("k = 5", lambda table: table.number("k", 1.0, low=0, high=9), 5.0, id="a whole number for a number"),
        pytest.param('k = ["a"]', lambda table: table.texts("k"), ("a",), id="texts"),
        pytest.param('k = "b"', lambda table: table.choice("k", ("a", "b")), "b", id="one of some words"),
        pytest.param("", lambda table: table.choice("k", ("a", "b"), "b"), "b", id="a default word"),
        pytest.param('k = "1"', lambda table: table.checked("k", int, "a number"), "1", id="a text that passes its check"),
        pytest.param("", lambda table: table.file("k", Path("/")), None, id="no file named"),
        pytest.param("[[k]]\na = 1\n[[k]]\na = 2", lambda table: [t.raw("a") for t in table.tables("k")], [1, 2], id="tables"),
        pytest.param("", lambda table: (table.tables("k"), table.table("k").raw("a")), ([], None), id="no tables"),
    ],
)
def test_what_is_there_is_given(tmp_path: Path, text: str, read: Callable[[Table], Any], value: object) -> None:
    table, findings = opened(tmp_path, text)
    assert read(table) == value
    table.finish()
    assert told(findings) == []
    assert table.sound


@pytest.mark.parametrize(
    ("text", "read", "value", "mistake"),
    [
        pytest.param("", lambda t: t.text("k"), "", "1: k: is missing; k = a text in quotes", id="a text that is missing"),
        pytest.param('k = ""', lambda t: t.text("k"), "", "1: k: is empty; k = a text in quotes", id="a text that is empty"),
        pytest.param("\nk = 5", lambda t: t.text("k"), "", "2: k: 5; a text in quotes", id="a number for a text"),
        pytest.param("k = 1", lambda t: t.flag("k", default=True), True, "1: k: 1; true or false", id="1 for true"),
        pytest.param(
            "k = true", lambda t: t.integer("k", 3, low=1, high=5), 3, "1: k: True; a whole number from 1 to 5", id="true for 1"
        ),
        pytest.param(
            "k = 6", lambda t: t.integer("k", 3, low=1, high=5), 3, "1: k: 6; a whole number from 1 to 5", id="a number too high"
        ),
        pytest.param(
            "k = nan", lambda t: t.number("k", 3, low=1, high=5), 3, "1: k: nan; a number from 1 to 5", id="not a number"
        ),
        pytest.param('k = "c"', lambda t: t.choice("k", ("a", "b")), "a", "1: k: 'c'; one of a, b", id="no word of these"),
        pytest.param(
            'k = "x"', lambda t: t.checked("k", _refuse, "it"), "x", "1: k: 'x'; a y", id="what a check wants is what to write"
        ),
        pytest.param("k = 5", lambda t: t.tables("k"), [], "1: k: 5 is not a list of tables; [[k]] above each", id="no list"),
        pytest.param("k = [5]", lambda t: t.tables("k"), [], "1: k: 5 is not a table; [[k]] above its", id="a list of no tables"),
        pytest.param("k = 5", lambda t: t.table("k").raw("a"), None, "1: k: 5 is not a table; [k] above its", id="no table"),
        pytest.param('k = "n"', lambda t: t.file("k", Path("/none")), Path("/none/n"), "1: k: /none/n is no file", id="no file"),
        pytest.param('k = ["n"]', lambda t: t.folders("k", Path("/none")), (), "1: k: /none/n is no folder", id="no folder"),
        pytest.param("[t]\nk = {a = 1}", lambda t: t.table("t").text("k"), "", "2: t.k: {'a': 1}; a text", id="an inner place"),
        pytest.param(
            "kay = 1", lambda t: t.flag("key", default=False), False, "1: kay: is not a key here; key (did", id="a typo"
        ),
    ],
)
def test_what_is_wrong_is_told_and_reading_goes_on(
    tmp_path: Path, text: str, read: Callable[[Table], Any], value: object, mistake: str
) -> None:
    table, findings = opened(tmp_path, text)
    assert read(table) == value
    table.finish()
    (only,) = told(findings)
    assert only.startswith(mistake)


def _refuse(text: str) -> None:
    raise ValueError(f"{text!r}: want a y")


@pytest.mark.parametrize(
    ("content", "line", "what"),
    [
        pytest.param(b"a = 1\n\xff", 2, "bytes that are not UTF-8", id="another encoding"),
        pytest.param(b"#" * 2_000_000, 1, "2000000 bytes", id="a file that is much too large"),
        pytest.param(b"a = 1\nb = ", 2, "Invalid value", id="a value that is missing"),
    ],
)
def test_a_file_that_is_no_toml(tmp_path: Path, content: bytes, line: int, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        opened(tmp_path, content)
    (mistake,) = caught.value.mistakes
    assert (mistake.line, mistake.where) == (line, "file")
    assert what in mistake.what
