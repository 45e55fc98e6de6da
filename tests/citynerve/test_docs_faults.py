"""The table of faults tells the truth: every row names tests that are there, or says why there is none."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = [f"F{n:02}" for n in range(1, 56)]
AT_LEAST = 40


def rows() -> dict[str, list[str]]:
    """number -> the cells after it."""
    lines = (ROOT / "docs" / "faults.md").read_text("utf-8").splitlines()
    cells = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines if re.match(r"\| F\d\d \|", line))
    return {first: rest for first, *rest in cells}


def all_tests() -> Iterator[str]:
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                yield node.name


@pytest.fixture(scope="module")
def known() -> set[str]:
    return set(all_tests())


def test_every_fault_has_its_row_once() -> None:
    text = (ROOT / "docs" / "faults.md").read_text("utf-8")
    assert re.findall(r"^\| (F\d\d) \|", text, re.MULTILINE) == NUMBERS


@pytest.mark.parametrize("number", NUMBERS)
def test_a_row_names_tests_that_are_there_or_says_why_not(number: str, known: set[str]) -> None:
    proof = rows()[number][-1]
    named = re.findall(r"`(test_\w+)`", proof)
    assert set(named) <= known, f"{number}: no such test: {set(named) - known}"
    assert named or proof.startswith("not covered, because "), f"{number}: {proof!r}"


def test_most_faults_are_covered() -> None:
    covered = [number for number, cells in rows().items() if re.search(r"`test_\w+`", cells[-1])]
    assert len(covered) >= AT_LEAST
