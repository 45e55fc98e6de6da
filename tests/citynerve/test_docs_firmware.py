"""The page on firmware draws the session as it is, and its C compiles."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from device_profiles.loader import load_profile
from device_profiles.shelf import catalog_path
from firmware_bridge.c_header import c_header
from firmware_bridge.update.manifest import HEADER_BYTES, SIGNED_BYTES
from firmware_bridge.update.table import diagram

PAGE = Path(__file__).resolve().parents[2] / "docs" / "firmware.md"


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text("utf-8")


def test_the_drawing_is_the_table(page: str) -> None:
    assert re.findall(r"^```mermaid\n(.*?)\n```", page, re.MULTILINE | re.DOTALL) == [diagram()]


def test_the_header_is_as_long_as_the_page_says(page: str) -> None:
    assert f"A package is a header of {HEADER_BYTES} bytes" in page
    assert f"| {SIGNED_BYTES} to {HEADER_BYTES - 1} | Ed25519 signature of bytes 0 to {SIGNED_BYTES - 1} |" in page


def test_the_pages_c_compiles(page: str, tmp_path: Path, need_server: Callable[[str, str], str]) -> None:
    (source,) = re.findall(r"^```c\n(.*?)\n```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "lamp_loop.h").write_text(c_header(load_profile(catalog_path() / "lamp_loop")))
    (tmp_path / "page.c").write_text(f"void measured(double volts, int door);\n{source}\n")
    gcc = need_server("gcc", "gcc")
    built = subprocess.run(
        [gcc, "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-c", "page.c"], cwd=tmp_path, check=False
    )
    assert built.returncode == 0
