"""`citynerve cloud`: what a person types, what they get, and how it ends."""

import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest


def citynerve(*words: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "citynerve", "cloud", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def test_the_sample_is_written_checked_and_not_overwritten(tmp_path: Path) -> None:
    assert citynerve("init", cwd=tmp_path).returncode == 0
    checked = citynerve("check", "cloud.toml", cwd=tmp_path)
    assert (checked.returncode, "good" in checked.stdout) == (0, True)
    again = citynerve("init", cwd=tmp_path)
    assert (again.returncode, "--force" in again.stderr) == (1, True)


def test_mistakes_are_told_with_their_lines(tmp_path: Path) -> None:
    (tmp_path / "cloud.toml").write_text('data_dir = "d"\nbroker = "http://x"\nsereis = "x"\n')
    told = citynerve("run", "cloud.toml", cwd=tmp_path)
    assert told.returncode == 1
    first, second = told.stderr.splitlines()
    assert first.startswith("cloud.toml:2: broker: 'http://x'; write mqtt://host:port or mqtts://host:port")
    assert second == "cloud.toml:3: sereis: is not a key here; write series (did you mean that?)"


def test_migrating_makes_the_store_and_may_be_repeated(tmp_path: Path) -> None:
    (tmp_path / "cloud.toml").write_text('data_dir = "data"\nbroker = "mqtt://127.0.0.1"\n')
    for _ in range(2):
        assert citynerve("migrate", "cloud.toml", cwd=tmp_path).returncode == 0
    assert (tmp_path / "data" / "cloud.db").is_file()


def test_the_alarms_are_made_anew_from_their_log(tmp_path: Path) -> None:
    (tmp_path / "cloud.toml").write_text('data_dir = "data"\nbroker = "mqtt://127.0.0.1"\n')
    told = citynerve("rebuild-alarms", "cloud.toml", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert told.stdout.endswith("0 rows out of 0 logs; 0 of them were otherwise before\n")
    assert told.stderr == "0 of 0 logs\n"


@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_ends_when_told(
    tmp_path: Path, start_mosquitto: Callable[[], int], number: signal.Signals
) -> None:
    config = tmp_path / "cloud.toml"
    config.write_text(f'data_dir = "data"\nbroker = "mqtt://127.0.0.1:{start_mosquitto()}"\n[api]\nport = 0\n')
    command = [sys.executable, "-m", "citynerve", "cloud", "run", str(config)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as cloud:
        assert cloud.stdout is not None
        url = cloud.stdout.readline().strip()
        with urllib.request.urlopen(f"{url}api/health", timeout=5) as answer:  # noqa: S310 - our own address
            assert answer.status == 200
        cloud.send_signal(number)
        begun = time.monotonic()
        _, errors = cloud.communicate(timeout=20)
    assert time.monotonic() - begun < 5
    assert cloud.returncode == 0, errors
    assert "Traceback" not in errors


@pytest.mark.integration
def test_a_port_that_is_taken_is_said_in_one_line(tmp_path: Path, mosquitto_port: int) -> None:
    config = tmp_path / "cloud.toml"
    config.write_text(f'data_dir = "data"\nbroker = "mqtt://127.0.0.1:{mosquitto_port}"\n[api]\nport = {mosquitto_port}\n')
    told = citynerve("run", str(config), cwd=tmp_path)
    assert told.returncode == 1
    assert "in use" in told.stderr
    assert "Traceback" not in told.stderr
