"""The wheel is what people install: it holds every room's data and the console, and runs without the source folder."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = ROOT / "cloud" / "console" / "dist" / "index.html"

HELD = (
    "telemetry/wire.py",
    "device_profiles/vocabulary.yaml",
    "device_profiles/matters.yaml",
    "device_profiles/cities/yuncheng.yaml",
    "device_profiles/gbt_codes.yaml",
    "device_profiles/catalog/cover_nbiot/profile.yaml",
    "device_profiles/catalog/cover_nbiot/README.md",
    "edge_agent/sample.toml",
    "cloud/sample.toml",
    "cloud/health/definitions.toml",
    "cloud/notify/texts.toml",
    "cloud/public/words.toml",
    "cloud/public/toilets.sample.toml",
    "cloud/public/templates/screen.html",
    "cloud/public/static/screen.js",
    "cloud/console/dist/index.html",
    "cloud/console/dist/licenses.txt",
    "simulators/scenarios/small_city.yaml",
    "citynerve/messages/zh.toml",
    "citynerve/messages/en.toml",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not BUNDLE.is_file():
        message = "the console's bundle is not built: make console"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    folder = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_what_the_rooms_need_and_no_tests(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert set(HELD) <= names
    assert any(name.startswith("cloud/relational/") and "versions/" in name for name in names)
    assert any(name.startswith("cloud/console/dist/assets/maplibre-gl-worker") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "console/")) or "node_modules" in name]


def test_the_wheel_is_small(wheel: Path) -> None:
    assert wheel.stat().st_size <= 6 * 1024 * 1024


def test_the_installed_wheel_runs_far_from_the_source(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site"), "PYTHONSAFEPATH": "1"}
    where = "import citynerve as a, device_profiles as b, cloud.console as c; print(a.__file__, b.__file__, c.__file__)"
    shown = subprocess.run(
        [sys.executable, "-c", where], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert shown.stdout.count(str(tmp_path / "site")) == 3
    for command in (["profile", "lint"], ["sim", "list"], ["cloud", "init", "cloud.toml"], ["edge", "init", "edge.toml"]):
        done = subprocess.run(
            [sys.executable, "-m", "citynerve", *command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
