"""Writes docs/catalogue.md: every model of the catalogue, what it is, how it speaks and whose map it is."""

import sys
from pathlib import Path

from device_profiles.shelf import load_catalog

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "catalogue.md"

_HEAD = """# The catalogue

The models of devices that citynerve knows out of the box; each is a folder of data with its own page: wire, wiring, traps.
A model of your own is another folder: [device_profiles](../device_profiles/README.md).
This page is written by `python tools/write_catalogue.py`.

| model | what it is | language | metrics | alarms | orders | whose map |
|---|---|---|---|---|---|---|
"""


def page() -> str:
    """The page's text."""
    lines = []
    for name, profile in sorted(load_catalog().items(), key=lambda pair: (pair[1].kind, pair[0])):
        link = f"[{name}](../device_profiles/catalog/{name}/README.md)"
        counts = f"{len(profile.metrics)} | {len(profile.alarms)} | {len(profile.commands)}"
        source = profile.source.removesuffix("; see README.md").replace("|", "\\|")
        title = f"{profile.title.zh}; {profile.title.en}"
        lines.append(f"| {link} | {title} | {', '.join(profile.wire.spoken())} | {counts} | {source} |")
    return _HEAD + "\n".join(lines) + "\n"


def main() -> int:
    """Rewrites the page."""
    PAGE.write_text(page(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
