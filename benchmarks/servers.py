"""Real servers for measurements and tests: on free loopback ports, in a folder of their own, stopped by process id."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

__all__ = ["ServerMissingError", "free_port", "influxd", "mosquitto", "postgresql", "serving", "victoria", "wait_for_port"]

_SYSTEM_FOLDERS = "/usr/sbin:/usr/local/sbin:/sbin"


class ServerMissingError(LookupError):
    """A server program is not installed; the message says what to install."""


def find_program(name: str, package: str) -> str:
    """The path of a server program; ServerMissingError with what to install where there is none."""
    path = shutil.which(name) or shutil.which(name, path=_SYSTEM_FOLDERS)
    if path is None:
        raise ServerMissingError(f"{name} is not installed: apt-get install {package}")
    return path


def free_port() -> int:
    """A TCP port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, process: "subprocess.Popen[bytes]", seconds: float = 20) -> None:
    """Returns when `port` accepts a connection; RuntimeError when the process ends or the time is up first."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode} before it listened")
        with socket.socket() as probe:
            probe.settimeout(0.5)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"{process.args!r} did not listen on port {port} within {seconds} s")


@contextmanager
def serving(
    command: list[str], port: int, environment: dict[str, str] | None = None, user: str | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """A server process for as long as the context lasts, entered when `port` answers, left when the process is gone."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=user)
    try:
        wait_for_port(port, process)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


@contextmanager
def mosquitto(folder: Path) -> Iterator[int]:
    """The port of a mosquitto with its configuration in `folder`."""
    program, port = find_program("mosquitto", "mosquitto"), free_port()
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    with serving([program, "-c", str(config)], port):
        yield port


@contextmanager
def influxd(folder: Path) -> Iterator[str]:
    """The address of an InfluxDB 1.x with its data in `folder`."""
    program, http, rpc = find_program("influxd", "influxdb"), free_port(), free_port()
    environment = os.environ | {
        "INFLUXDB_REPORTING_DISABLED": "true",
        "INFLUXDB_BIND_ADDRESS": f"127.0.0.1:{rpc}",
        "INFLUXDB_HTTP_BIND_ADDRESS": f"127.0.0.1:{http}",
        "INFLUXDB_HTTP_LOG_ENABLED": "false",
        "INFLUXDB_META_DIR": str(folder / "meta"),
        "INFLUXDB_DATA_DIR": str(folder / "data"),
        "INFLUXDB_DATA_WAL_DIR": str(folder / "wal"),
        "INFLUXDB_MONITOR_STORE_ENABLED": "false",
    }
    with serving([program, "run"], http, environment):
        yield f"http://127.0.0.1:{http}"


@contextmanager
def victoria(folder: Path) -> Iterator[str]:
    """The address of a VictoriaMetrics with its data in `folder`; what it is told can be read a second later."""
    program, port = find_program("victoria-metrics", "victoria-metrics"), free_port()
    command = [
        program,
        f"-storageDataPath={folder}",
        f"-httpListenAddr=127.0.0.1:{port}",
        "-retentionPeriod=100y",
        "-loggerLevel=ERROR",
        "-memory.allowedBytes=128MB",
    ]
    with serving(command, port):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def postgresql() -> Iterator[str]:
    """The address, without a database, of a PostgreSQL of its own; whoever calls from this machine is let in.

    It does not sync: what is measured or tested with it is not what a power cut leaves.
    """
    programs, port = _postgresql_programs(), free_port()
    user = "postgres" if os.getuid() == 0 else None  # it refuses to run as root, and must own its folder
    with TemporaryDirectory(prefix="citynerve-postgresql-") as folder:
        if user is not None:
            shutil.chown(folder, user)
        making = [str(programs / "initdb"), "-D", folder, "-U", "citynerve", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]
        subprocess.run(making, check=True, user=user, cwd="/", stdout=subprocess.DEVNULL)
        settings = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
        flags = [text for name, value in settings.items() for text in ("-c", f"{name}={value}")]
        with serving([str(programs / "postgres"), "-D", folder, *flags], port, user=user):
            yield f"postgresql+asyncpg://citynerve@127.0.0.1:{port}"


def _postgresql_programs() -> Path:
    """Debian keeps them by version, outside the search path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else Path(find_program("postgres", "postgresql")).parent
