"""Real servers for the tests, and the captured frames that stand beside the repository."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from benchmarks.servers import ServerMissingError, find_program, influxd, mosquitto, postgresql, victoria

# Machines are shared: how long an example takes says nothing of the code.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")

SHARED = Path(__file__).resolve().parents[2] / "shared"


def find_server(name: str, package: str) -> str:
    """The path of a server program; skips with what to install, or fails where CI promises that it is there."""
    try:
        return find_program(name, package)
    except ServerMissingError as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(str(missing))
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def need_server() -> Callable[[str, str], str]:
    """`find_server` itself, for tests that start a server their own way."""
    return find_server


@pytest.fixture(scope="session")
def start_mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], int]]:
    """Starts a mosquitto of its own at each call and returns its port."""
    find_server("mosquitto", "mosquitto")
    with ExitStack() as stack:
        yield lambda: stack.enter_context(mosquitto(tmp_path_factory.mktemp("mosquitto")))


@pytest.fixture(scope="session")
def mosquitto_port(start_mosquitto: Callable[[], int]) -> int:
    """The port of one mosquitto that the whole session shares."""
    return start_mosquitto()


@pytest.fixture(scope="session")
def influx_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an InfluxDB 1.x that the whole session shares."""
    find_server("influxd", "influxdb")
    with influxd(tmp_path_factory.mktemp("influx")) as url:
        yield url


@pytest.fixture(scope="session")
def victoria_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a VictoriaMetrics that the whole session shares."""
    find_server("victoria-metrics", "victoria-metrics")
    with victoria(tmp_path_factory.mktemp("victoria")) as url:
        yield url


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """The address, without a database, of a PostgreSQL that the whole session shares."""
    with ExitStack() as stack:
        try:
            url = stack.enter_context(postgresql())
        except ServerMissingError:
            find_server("postgres", "postgresql")
            raise
        yield url


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
