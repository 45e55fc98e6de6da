"""Writes the tables of docs/indicators.md from the rows that the cloud itself counts by."""

import re
import sys
from pathlib import Path

from cloud.indicators.describe import indicator_table, level_table, rule_list

PAGE = Path(__file__).resolve().parents[1] / "docs" / "indicators.md"


def generated() -> dict[str, str]:
    """What stands between the marks of the page, by mark."""
    return {"indicators": indicator_table(), "levels": level_table(), "rules": rule_list()}


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
