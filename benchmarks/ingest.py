"""From the edge's outbox to the cloud's final store and back to the edge as an acknowledgement, in values per second.

The edge (outbox and uplink) runs in this process, broker, cloud and InfluxDB each in one of their own, all on this
machine: nothing is left out of the road, and everything competes for the same cores. Only acknowledged values count.
"""

import asyncio
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path

import msgspec

from benchmarks.bare import bare_duckdb, bare_influx
from benchmarks.load import GATEWAY, VALUES_EACH, Street
from benchmarks.servers import free_port, influxd, mosquitto, wait_for_port
from edge_agent.config import OutboxLimits
from edge_agent.outbox.outbox import Outbox
from edge_agent.uplink.uplink import Uplink, UplinkSettings
from telemetry.clock import SystemClock
from telemetry.reason import Reason
from telemetry.records import Lane
from telemetry.wire import GatewayStatus

__all__ = ["IngestFigures", "StoreKind", "cloud_process", "measure_ingest"]

_COMMIT = 2000
_BACKLOG = 40_000
"""Readings that the feeder lets wait: enough that the road is never idle, few enough that the end is prompt."""
_OUTBOX_BYTES = 512 * 1024 * 1024
_WARM_UP_S = 3.0


class StoreKind(StrEnum):
    """The store at the end of the road."""

    DUCKDB = "duckdb"
    INFLUX = "influx"


class IngestFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Values per second end to end and of the bare store, and the first as a part of the second."""

    store: StoreKind
    seconds: float
    readings: int
    values_per_reading: int
    end_to_end_values_per_s: float
    bare_store_values_per_s: float
    ratio: float


async def measure_ingest(store: StoreKind, seconds: float) -> IngestFigures:
    """Measures the bare store for a third of the time, then the whole road for all of it, in one run."""
    with tempfile.TemporaryDirectory(prefix="citynerve-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        if store is StoreKind.INFLUX:
            url = stack.enter_context(influxd(folder))
            bare = await bare_influx(url, seconds / 3)
            series = f"influx:{url}/road"
        else:
            bare = await bare_duckdb(folder, seconds / 3)
            series = f"duckdb:{folder / 'road.duckdb'}"
        broker = f"mqtt://127.0.0.1:{stack.enter_context(mosquitto(folder))}"
        stack.enter_context(cloud_process(folder, broker, series))
        edge = folder / "edge"
        edge.mkdir()
        readings, spent = await _drive(edge, broker, seconds)
    rate = readings * VALUES_EACH / spent
    return IngestFigures(
        store=store,
        seconds=round(spent, 2),
        readings=readings,
        values_per_reading=VALUES_EACH,
        end_to_end_values_per_s=round(rate),
        bare_store_values_per_s=round(bare),
        ratio=round(rate / bare, 3),
    )


@contextlib.contextmanager
def cloud_process(folder: Path, broker: str, series: str, more: str = "", patience_s: float = 20) -> Iterator[str]:
    """A cloud in a process of its own, with its data in `folder`; the address of its API. `more` is more of its configuration,
    `patience_s` how long it may take to begin."""
    config, port = folder / "cloud.toml", free_port()
    config.write_text(
        f'data_dir = "{folder / "cloud"}"\nbroker = "{broker}"\nseries = "{series}"\n\n[api]\nport = {port}\n\n{more}'
    )
    command = [sys.executable, "-m", "citynerve", "cloud", "run", str(config)]
    with (folder / "cloud.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for_port(port, process, patience_s)
        yield f"http://127.0.0.1:{port}"
        if process.poll() is not None:
            raise RuntimeError(f"the cloud ended with {process.returncode}: {(folder / 'cloud.log').read_text()[-2000:]}")
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


async def _drive(folder: Path, broker: str, seconds: float) -> tuple[int, float]:
    """Feeds the outbox for `seconds` after the warm-up; acknowledged readings and the seconds they took."""
    clock, street = SystemClock(), Street()
    outbox = await Outbox.open(folder, GATEWAY, OutboxLimits(max_bytes=_OUTBOX_BYTES), clock)
    uplink = Uplink(
        UplinkSettings(gateway=GATEWAY, broker=broker, boot_id="bench", agent_version="bench"),
        outbox,
        clock,
        devices=street.declarations,
        status=lambda online: GatewayStatus(gateway=GATEWAY, online=online, at_ns=clock.wall_ns()),
        on_command=lambda _: None,
        refuse=_complain,
    )
    try:
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(uplink.run(), name="uplink")
            feeding = group.create_task(_feed(outbox, street), name="feed")
            await _first_ack(outbox)
            await asyncio.sleep(_WARM_UP_S)
            acked, started = _acked(outbox), time.perf_counter()
            await asyncio.sleep(seconds)
            readings, spent = _acked(outbox) - acked, time.perf_counter() - started
            feeding.cancel()
            sending.cancel()
    finally:
        await outbox.close()
    return readings, spent


def _complain(source: str, reason: Reason, detail: str, _raw: bytes) -> None:
    sys.stderr.write(f"{source}: {reason}: {detail}\n")


async def _feed(outbox: Outbox, street: Street) -> None:
    while True:
        if outbox.accounts[Lane.READINGS].next_seq - _acked(outbox) > _BACKLOG:
            await asyncio.sleep(0.005)
            continue
        await outbox.commit(street.readings(_COMMIT))


async def _first_ack(outbox: Outbox) -> None:
    async with asyncio.timeout(60):
        while not _acked(outbox):  # noqa: ASYNC110 - a measurement looks from outside
            await asyncio.sleep(0.05)


def _acked(outbox: Outbox) -> int:
    return outbox.accounts[Lane.READINGS].acked
