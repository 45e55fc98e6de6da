"""Stations before one whole agent: what was answered is on disk at that very moment, judged, with the stations' own times."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import edge_drivers_peers as peers
import pytest

from edge_agent.agent import Agent
from edge_agent.config import AgentConfig, DeviceConfig, LinkConfig, OutboxLimits
from edge_agent.link_kinds import DriverName, HydrologyOptions, StationOptions
from edge_agent.outbox.salvage import open_store
from edge_agent.uplink.compression import decompress
from firmware_bridge.hj212.frames import encode_frame
from firmware_bridge.sl651.frames import ESC, Frame, Sl651Framer
from firmware_bridge.sl651.reports import Station, report, reports
from telemetry.records import Cause, Lane, Reading, Transition
from telemetry.wire import decode_events, decode_readings

pytestmark = pytest.mark.integration

CHINA = timezone(timedelta(hours=8))
MN, ADDRESS = "010000A8900016F000169DC0", "3101150301"
GAUGE = Station(address=ADDRESS)
LINKS = (
    LinkConfig(
        name="environment",
        driver=DriverName.HJ212,
        devices=(DeviceConfig(id="noise", profile="noise_station_hj212", address=MN),),
        options=StationOptions(port=0),
    ),
    LinkConfig(
        name="hydrology",
        driver=DriverName.SL651,
        devices=(DeviceConfig(id="underpass", profile="underpass_level_sl651", address=ADDRESS),),
        options=HydrologyOptions(port=0),
    ),
)


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Agent]:
    broker = f"mqtt://127.0.0.1:{peers.free_port()}"
    agent = Agent(AgentConfig(gateway="gw-test", data_dir=folder, broker=broker, links=LINKS))
    task = asyncio.ensure_future(agent.run())
    try:
        await asyncio.wait_for(agent.ready.wait(), 10)
        await asyncio.wait_for(asyncio.gather(*(driver.started.wait() for driver in agent.drivers.values())), 10)
        yield agent
        assert not agent.driver_restarts
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=5)
        assert task.done(), "an agent stops within five seconds"


async def asked(agent: Agent, link: str, question: bytes, end: bytes) -> bytes:
    """What the gateway says until `end`."""
    reader, writer = await asyncio.open_connection(*agent.drivers[link].ports[0])
    writer.write(question)
    heard = b""
    while end not in heard:
        heard += await asyncio.wait_for(reader.read(4096), 5)
    writer.close()
    await writer.wait_closed()
    return heard


def on_disk(folder: Path, copy: Path) -> tuple[list[Reading], list[Transition]]:
    """What would be there if the power failed now."""
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("*.sock"))
    store = open_store(copy, "gw-test", OutboxLimits(reserve_bytes=0), 0)
    try:
        readings: list[Reading] = []
        for block in store.next_blocks(Lane.READINGS, 0, 1 << 20, 0):
            readings += (row for group in decode_readings(block.payload, decompress).groups for _, row in group.readings())
        events = [
            event
            for block in store.next_blocks(Lane.EVENTS, 0, 1 << 20, 0)
            for event in decode_events(block.payload, decompress).events
        ]
    finally:
        store.close()
    return sorted(readings, key=lambda reading: reading.time_ns), [event for event in events if isinstance(event, Transition)]


def nanoseconds(time: datetime) -> int:
    return round(time.timestamp()) * 10**9


async def test_what_a_noise_station_is_answered_for_is_on_disk(tmp_path: Path) -> None:
    now = datetime.now(CHINA).replace(microsecond=0)
    cp = f"DataTime={now:%Y%m%d%H%M%S};LA-Rtd=61.5,LA-Flag=N;a01007-Rtd=2.1,a01007-Flag=D"
    raw = encode_frame(f"QN={now:%Y%m%d%H%M%S}000;ST=23;CN=2011;PW=123456;MN={MN};Flag=5;CP=&&{cp}&&".encode())
    async with running(tmp_path / "data") as agent:
        await asked(agent, "environment", raw, b"CN=9014")
        ((reading,), transitions) = on_disk(tmp_path / "data", tmp_path / "copy")
    assert (reading.device, reading.values, transitions) == ("noise", {"noise_db": 61.5, "wind_speed_ms": 2.1}, [])
    assert reading.time_ns == nanoseconds(now)
    assert reading.flaws.keys() == {"wind_speed_ms"}


async def test_a_flood_is_an_alarm_in_the_gauges_own_time_before_the_gauge_is_answered(tmp_path: Path) -> None:
    hour = datetime.now(CHINA).replace(minute=0, second=0, microsecond=0)
    series = [0.0] * 10 + [0.05, 0.12]
    first = hour - timedelta(minutes=55)
    instants = {f"{first:%Y-%m-%dT%H:%M}": {"level_1_5min_series": series}, f"{hour:%Y-%m-%dT%H:%M}": {"river_level": 0.12}}
    sent = f"{hour:%Y-%m-%dT%H:%M}:12"
    flood = report(
        GAUGE, 0x33, {"river_level": 0.34}, serial=2, sent=sent, observed=f"{hour + timedelta(minutes=1):%Y-%m-%dT%H:%M}"
    )
    async with running(tmp_path / "data") as agent:
        raw = reports(GAUGE, 0x34, instants, serial=1, sent=sent)  # type: ignore[arg-type]
        answered = await asked(agent, "hydrology", raw, bytes.fromhex(ADDRESS))
        readings, _ = on_disk(tmp_path / "data", tmp_path / "first")
        await asked(agent, "hydrology", flood, bytes.fromhex(ADDRESS))
        _, transitions = on_disk(tmp_path / "data", tmp_path / "second")
    (said,) = Sl651Framer().feed(answered)
    assert isinstance(said, Frame)
    assert said.end == ESC
    assert [reading.time_ns for reading in readings] == [nanoseconds(first + timedelta(minutes=5 * n)) for n in range(12)]
    assert readings[-1].values == {"water_depth_5min_cm": 12.0, "water_depth_cm": 12.0}
    raised = {step.rule: step.event_time_ns for step in transitions if step.cause is Cause.RAISE}
    flooded = nanoseconds(hour + timedelta(minutes=1))
    assert raised == {
        "water_appears": nanoseconds(hour),
        "underpass_ponding": flooded,
        "underpass_flooded": flooded,
    }
