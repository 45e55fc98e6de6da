"""docs/workflow.md shows the rows that the code reads."""

from pathlib import Path

import pytest

from cloud.workflow.describe import diagram, guard_table, state_table, step_table, words_table
from cloud.workflow.states import ROLE_WORDS
from cloud.workflow.table import ROWS, TABLE

PAGE = Path(__file__).resolve().parents[2] / "docs" / "workflow.md"


@pytest.mark.parametrize(
    ("mark", "part"),
    [
        ("diagram", f"```mermaid\n{diagram()}\n```"),
        ("states", state_table()),
        ("roles", words_table("role", ROLE_WORDS)),
        ("steps", step_table()),
        ("guards", guard_table()),
    ],
)
def test_the_page_holds_what_the_code_says(mark: str, part: str) -> None:
    page = PAGE.read_text("utf-8")
    assert f"<!-- {mark} -->\n{part}\n<!-- end of {mark} -->" in page, "run tools/write_workflow.py"


def test_the_diagram_has_an_arrow_for_every_change_of_state() -> None:
    arrows = {
        tuple(line.split(":")[0].split(" --> ")) for line in diagram().splitlines() if " --> " in line and "[*]" not in line
    }
    assert {(before.strip(), after) for before, after in arrows} == {
        (row.before, row.after) for row in ROWS if row.before is not row.after
    }


def test_the_table_has_a_line_for_every_row_and_one_for_the_report() -> None:
    assert len(step_table().splitlines()) == 2 + 1 + len(TABLE)
