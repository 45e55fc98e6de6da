"""Real servers for the tests: each on free loopback ports, in a folder of its own, stopped by process id."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def find_server(name: str, package: str) -> str:
    """The path of a server program; skips with what to install, or fails where CI promises that it is there."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")
    if path is not None:
        return path
    message = f"{name} is not installed: apt-get install {package}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def free_port() -> int:
    """A TCP port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, process: "subprocess.Popen[bytes]", seconds: float = 20) -> None:
    """Returns when `port` accepts a connection; fails when the process ends or the time is up first."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if process.poll() is not None:
            pytest.fail(f"{process.args!r} ended with {process.returncode} before it listened")
        with socket.socket() as probe:
            probe.settimeout(0.5)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    pytest.fail(f"{process.args!r} did not listen on port {port} within {seconds} s")


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Ends a server kindly, then not."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)


@pytest.fixture(scope="session")
def start_mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], int]]:
    """Starts a mosquitto of its own at each call and returns its port."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> int:
        program, port = find_server("mosquitto", "mosquitto"), free_port()
        config = tmp_path_factory.mktemp("mosquitto") / "mosquitto.conf"
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
        process = subprocess.Popen([program, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        started.append(process)
        wait_for_port(port, process)
        return port

    yield start
    for process in started:
        stop(process)


@pytest.fixture(scope="session")
def mosquitto_port(start_mosquitto: Callable[[], int]) -> int:
    """The port of one mosquitto that the whole session shares."""
    return start_mosquitto()


@pytest.fixture(scope="session")
def influx_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an InfluxDB 1.x that the whole session shares."""
    program, http, rpc = find_server("influxd", "influxdb"), free_port(), free_port()
    home = tmp_path_factory.mktemp("influx")
    environment = os.environ | {
        "INFLUXDB_REPORTING_DISABLED": "true",
        "INFLUXDB_BIND_ADDRESS": f"127.0.0.1:{rpc}",
        "INFLUXDB_HTTP_BIND_ADDRESS": f"127.0.0.1:{http}",
        "INFLUXDB_HTTP_LOG_ENABLED": "false",
        "INFLUXDB_META_DIR": str(home / "meta"),
        "INFLUXDB_DATA_DIR": str(home / "data"),
        "INFLUXDB_DATA_WAL_DIR": str(home / "wal"),
        "INFLUXDB_MONITOR_STORE_ENABLED": "false",
    }
    process = subprocess.Popen([program, "run"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_port(http, process)
        yield f"http://127.0.0.1:{http}"
    finally:
        stop(process)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of Debian's Chromium."""
    return find_server("chromium", "chromium")


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The folder of frames captured from real devices, which stands beside the repository where it is to be had."""
    folder = SHARED / "vectors"
    if not folder.is_dir():
        pytest.skip(f"no captured frames at {folder}")
    return folder
