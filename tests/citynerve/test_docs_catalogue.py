"""The page of the catalogue tells what the catalogue holds."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_what_would_be_written_now() -> None:
    spec = importlib.util.spec_from_file_location("write_catalogue", ROOT / "tools" / "write_catalogue.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "catalogue.md").read_text("utf-8") == module.page()
