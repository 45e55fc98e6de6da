"""The console's sources and its build: what can be told without building."""

import importlib.util
import json
import re
import shutil
import subprocess
from itertools import product
from pathlib import Path
from types import ModuleType

import pytest

from device_profiles.shelf import load_catalog

CONSOLE = Path(__file__).resolve().parents[2] / "console"


@pytest.fixture(scope="module")
def build() -> ModuleType:
    """console/build.py, which is a script and in no package."""
    spec = importlib.util.spec_from_file_location("console_build", CONSOLE / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("version", "will_do"),
    [("v18.20.4", False), ("v20.18.3", False), ("v20.19.0", True), ("v20.20.2", True), ("v21.7.3", False), ("v22.11.0", False),
     ("v22.12.0", True), ("v24.19.0", True), ("", False), ("command not found", False)],
)  # fmt: skip
def test_only_a_node_that_vite_runs_on_is_used(build: ModuleType, version: str, will_do: bool) -> None:
    assert build.new_enough(version) is will_do


def test_the_stamp_changes_with_any_source_and_not_with_time(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "HERE", tmp_path)
    monkeypatch.setattr(build, "SOURCES", ("src", "index.html"))
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.ts").write_text("one")
    (tmp_path / "index.html").write_text("page")
    first = build.fingerprint()
    (tmp_path / "src" / "a.ts").write_text("one")
    assert build.fingerprint() == first
    (tmp_path / "src" / "a.ts").write_text("two")
    second = build.fingerprint()
    (tmp_path / "src" / "a.ts").rename(tmp_path / "src" / "b.ts")
    assert len({first, second, build.fingerprint()}) == 3


def test_an_unchanged_console_is_not_built_again(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "DIST", tmp_path)
    monkeypatch.setattr(build, "STAMP", tmp_path / ".built-from")
    monkeypatch.setattr(build, "build", lambda: pytest.fail("it was built"))
    monkeypatch.setattr("sys.argv", ["build.py"])
    (tmp_path / "index.html").write_text("page")
    (tmp_path / ".built-from").write_text(build.fingerprint())
    assert build.main() == 0
    assert "up to date" in capsys.readouterr().out


def test_a_failing_build_says_what_failed_and_leaves_no_stamp(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "STAMP", tmp_path / ".built-from")
    monkeypatch.setattr(build, "machine_node", lambda: ["/bin/false"])
    monkeypatch.setattr(build, "installed", lambda: False)
    monkeypatch.setattr("sys.argv", ["build.py"])
    assert build.main() == 1
    assert "npm ci" in capsys.readouterr().err
    assert not (tmp_path / ".built-from").exists()


def test_every_package_is_pinned_to_one_version() -> None:
    package = json.loads((CONSOLE / "package.json").read_text())
    wanted = package["dependencies"] | package["devDependencies"]
    assert [name for name, version in wanted.items() if not re.fullmatch(r"\d+\.\d+\.\d+", version)] == []


def test_the_lock_names_no_host_to_fetch_from_and_a_hash_for_every_package() -> None:
    lock = json.loads((CONSOLE / "package-lock.json").read_text())
    packages = {path: entry for path, entry in lock["packages"].items() if path}
    assert [path for path, entry in packages.items() if "resolved" in entry] == []
    assert [path for path, entry in packages.items() if "integrity" not in entry] == []


def test_the_sources_name_no_foreign_host() -> None:
    # The namespace of SVG is a name, not an address.
    hosts = re.compile(r"https?://(?!www\.w3\.org/|127\.0\.0\.1)[^\s\"'`]+")
    files = [*CONSOLE.glob("src/**/*.*"), CONSOLE / "index.html", *CONSOLE.glob("public/*")]
    assert [(file.name, hosts.findall(file.read_text())) for file in files if hosts.search(file.read_text())] == []


def _luminance(colour: str) -> float:
    """WCAG 2.2, definition of relative luminance."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    dark, bright = sorted((_luminance(one), _luminance(other)))
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_every_text_colour_can_be_read_on_every_ground(theme: str) -> None:
    css = (CONSOLE / "src" / "styles" / "tokens.css").read_text()
    block = css.split(f'[data-theme="{theme}"]')[1].split("}")[0]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
    texts = ("text", "muted", "accent", "critical", "alarm", "medium", "low", "normal", "offline", "unknown")
    grounds = ("ground", "panel", "raised", "hover")
    pairs = [*product(texts, grounds), ("critical", "critical-soft"), ("alarm", "alarm-soft"), ("text", "critical-soft"),
             ("muted", "critical-soft"), ("accent", "critical-soft"), ("on-accent", "accent"),
             ("map-text", "map-ground"), ("text", "map-ground")]  # fmt: skip
    weak = {(a, b): round(_contrast(colours[a], colours[b]), 2) for a, b in pairs if _contrast(colours[a], colours[b]) < 4.5}
    assert weak == {}


@pytest.mark.integration
def test_the_types_hold(bundle: Path) -> None:
    del bundle
    if shutil.which("npm") is None or not (CONSOLE / "node_modules").is_dir():
        pytest.skip("svelte-check needs npm on the PATH and `npm ci` in console/")
    done = subprocess.run(["npm", "run", "check"], cwd=CONSOLE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_kind_of_device_in_the_catalogue_has_a_word(language: str) -> None:
    words = (CONSOLE / "src" / "messages" / f"{language}.ts").read_text(encoding="utf-8")
    assert [kind for kind in sorted({it.kind for it in load_catalog().values()}) if f"'kind.{kind}':" not in words] == []
