"""Writes the tables and the diagram of docs/workflow.md from the rows that the cloud itself reads."""

import re
import sys
from pathlib import Path

from cloud.workflow.describe import diagram, guard_table, state_table, step_table, words_table
from cloud.workflow.states import ROLE_WORDS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "workflow.md"


def generated() -> dict[str, str]:
    """What stands between the marks of the page, by mark."""
    return {
        "diagram": f"```mermaid\n{diagram()}\n```",
        "states": state_table(),
        "roles": words_table("role", ROLE_WORDS),
        "steps": step_table(),
        "guards": guard_table(),
    }


def rewritten(page: str) -> str:
    """The page with its generated parts as they should be."""
    for mark, text in generated().items():
        begin, end = f"<!-- {mark} -->\n", f"\n<!-- end of {mark} -->"
        part = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if not part.search(page):
            raise SystemExit(f"{PAGE}: no place for {mark}; write {begin.strip()} and {end.strip()}")
        page = part.sub(lambda _, whole=f"{begin}{text}{end}": whole, page)
    return page


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text("utf-8")), "utf-8")
    sys.exit(0)
