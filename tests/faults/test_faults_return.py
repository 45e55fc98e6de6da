"""A whole district comes back in the same minute (F47): alarms first, bounded memory, nothing lost."""

import asyncio
import os
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from simulators.gateways import LightGateway, bring_back
from telemetry.clock import SystemClock

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

GATEWAYS = int(os.environ.get("CITYNERVE_RETURNING", "1000"))
BACKLOG = 500
MEMORY_MB = 600
"""Of the cloud's process: a gigabyte less than what the backlog would take if it were held."""


@contextmanager
def cloud(folder: Path, broker: str) -> Iterator[subprocess.Popen[bytes]]:
    """The cloud in a process of its own."""
    config = folder / "cloud.toml"
    config.write_text(f'data_dir = "data"\nbroker = "{broker}"\n[api]\nport = 0\n', "utf-8")
    log = folder / "cloud.log"
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", "citynerve", "cloud", "run", str(config)], stdout=out, stderr=out)
    try:
        await_ready(log, process)
        yield process
    finally:
        process.terminate()
        assert process.wait(20) == 0, log.read_text("utf-8")[-2000:]


def await_ready(log: Path, process: subprocess.Popen[bytes]) -> None:
    """Returns when the cloud says where it listens: it hears the broker by then."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text("utf-8").splitlines():
            if line.startswith("http://"):
                return
        time.sleep(0.1)
    pytest.fail(log.read_text("utf-8")[-2000:])


def peak_mb(process: subprocess.Popen[bytes]) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text("ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def totals(database: Path) -> tuple[int, int, int, int]:
    """Stored, quarantined, lost records and logged transitions, as the books say."""
    with closing(sqlite3.connect(database)) as db:
        books = db.execute("SELECT sum(stored), sum(quarantined), sum(lost) FROM lanes WHERE lane = 'readings'").fetchone()
        return *books, db.execute("SELECT count(*) FROM transitions").fetchone()[0]


def test_a_thousand_gateways_come_back_at_once(tmp_path: Path, start_mosquitto: Callable[[], int]) -> None:
    broker = f"mqtt://127.0.0.1:{start_mosquitto()}"
    fleet = [LightGateway(f"gw-{n:04}", BACKLOG, SystemClock(), seed=n) for n in range(GATEWAYS)]
    with cloud(tmp_path, broker) as process:
        returned = asyncio.run(bring_back(fleet, broker))
        memory_mb = peak_mb(process)
    alarms = statistics.quantiles([each.alarm_s for each in returned], n=100)
    welcomes = statistics.quantiles([each.welcome_s for each in returned], n=100)
    drained_s = max(each.drained_s for each in returned)
    sys.stdout.write(
        f"{GATEWAYS} gateways, {GATEWAYS * BACKLOG} readings: greeted p50 {welcomes[49]:.1f} s, p99 {welcomes[98]:.1f} s; "
        f"alarm stored p50 {alarms[49]:.1f} s, p99 {alarms[98]:.1f} s; "
        f"all drained after {drained_s:.1f} s; the cloud's memory at most {memory_mb:.0f} MB\n"
    )
    assert totals(tmp_path / "data" / "cloud.db") == (GATEWAYS * BACKLOG, 0, 0, GATEWAYS)
    assert memory_mb < MEMORY_MB
    # All of them want something in the same minute, and no alarm waits for it.
    assert alarms[98] < max(15.0, drained_s / 2)
