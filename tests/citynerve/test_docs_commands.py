"""Every command of the README and the pages is run; `make` itself runs this, so its two are looked up instead."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(page: Path) -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_every_command_of_the_page_works(page: Path, tmp_path: Path) -> None:
    for command in commands(page):
        words = shlex.split(command)
        if words[0] == "make":
            made = subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
            assert made.returncode == 0, made.stderr
            continue
        assert words[0] == ".venv/bin/citynerve", f"{page.name}: {command!r} is not run by this test"
        run = subprocess.run(
            [sys.executable, "-m", "citynerve", *words[1:]],
            cwd=tmp_path,
            env=os.environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert run.returncode == 0, f"{command}\n{run.stdout[-2000:]}\n{run.stderr[-2000:]}"


def test_the_pages_link_to_what_is_there() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_files_that_the_way_names_are_there() -> None:
    page = (ROOT / "docs" / "reading-path.md").read_text("utf-8")
    for name in re.findall(r"`((?:\w+/)+[\w*.]*)`?", page):
        assert list(ROOT.glob(name.rstrip("/"))), name
