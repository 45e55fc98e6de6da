"""Writes the tables of docs/vocabulary.md: every reason from its enum, every metric from the profiles' vocabulary."""

import re
import sys
from pathlib import Path

import yaml

from telemetry.reason import Reason

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "vocabulary.md"
METRICS = ROOT / "device_profiles" / "vocabulary.yaml"


def explained(page: str) -> dict[str, str]:
    """The sentence that the page gives each reason; these are written by hand and kept."""
    return dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|$", page, re.MULTILINE))


def metric_table() -> str:
    """Every metric of the vocabulary as a Markdown table."""
    metrics = yaml.safe_load(METRICS.read_text("utf-8"))["metrics"]
    lines = ["| metric | unit | type | range | meaning |", "|---|---|---|---|---|"]
    for name, entry in sorted(metrics.items()):
        span = f"{entry['low']} to {entry['high']}" if {"low", "high"} <= entry.keys() else ""
        lines.append(f"| `{name}` | {entry.get('unit', '')} | {entry['type']} | {span} | {entry['zh']}; {entry['en']} |")
    return "\n".join(lines)


def main() -> int:
    """Rewrites the metric table; names the reasons that have no sentence yet."""
    page = PAGE.read_text("utf-8")
    head, _, _ = page.partition("<!-- metrics -->")
    PAGE.write_text(f"{head}<!-- metrics -->\n{metric_table()}\n", "utf-8")
    missing = [reason for reason in Reason if reason not in explained(head)]
    if missing:
        sys.stderr.write(f"{PAGE}: no sentence for {', '.join(missing)}\n")
    return len(missing)


if __name__ == "__main__":
    sys.exit(main())
