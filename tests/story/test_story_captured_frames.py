"""Captured frames of real vehicle terminals, sent as they stand to the agent's port, end as positions in the store."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cloud.config import ApiConfig, CloudConfig
from cloud.run import Cloud
from edge_agent.agent import Agent
from edge_agent.config import AgentConfig, LinkConfig
from edge_agent.link_kinds import Admit, DriverName, Jt808Options
from simulators.jt808_replay import Captured, read_frames, send_frames

pytestmark = pytest.mark.integration


@pytest.fixture
async def road(mosquitto_port: int, tmp_path: Path) -> AsyncIterator[tuple[Agent, Cloud]]:
    """An agent that lets every terminal in, a real broker, and the cloud."""
    broker = f"mqtt://127.0.0.1:{mosquitto_port}"
    cloud = Cloud(CloudConfig(data_dir=tmp_path / "cloud", broker=broker, api=ApiConfig(port=0)))
    options = Jt808Options(port=0, admit=Admit.ANY, default_profile="vehicle_terminal", require_auth=False)
    link = LinkConfig(name="vehicles", driver=DriverName.JT808, devices=(), options=options)
    agent = Agent(AgentConfig(gateway="gw-captured", data_dir=tmp_path / "edge", broker=broker, links=(link,)))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(cloud.run())]
        await cloud.ready.wait()
        tasks.append(group.create_task(agent.run()))
        await agent.ready.wait()
        await agent.drivers["vehicles"].started.wait()
        yield agent, cloud
        for task in reversed(tasks):
            task.cancel()


def stated_positions(path: Path) -> list[tuple[str, datetime, float, float]]:
    """(phone, time, latitude, longitude) of every whole location that the file states, independently of our decoder."""
    found = []
    for line in path.read_text("utf-8").splitlines():
        stated: dict[str, Any] = json.loads(line)["derived"]
        if not stated.get("checksum_ok"):
            continue
        places = [stated["location"]] if stated.get("location") else stated.get("items") or []
        for place in places:
            if place.get("time_gmt8"):
                moment = datetime.fromisoformat(place["time_gmt8"] + "+08:00")
                found.append((stated["phone_bcd"], moment, place["lat"], place["lon"]))
    return found


async def test_every_stated_position_is_in_the_store(road: tuple[Agent, Cloud], vectors: Path) -> None:
    agent, cloud = road
    file = vectors / "jt808_shared.jsonl"
    stated = stated_positions(file)
    assert len(stated) > 60
    frames = [item for item in read_frames(file) if isinstance(item, Captured)]
    summary = await send_frames(frames, agent.drivers["vehicles"].ports[0])
    assert summary.sent == len(frames) == len(file.read_text("utf-8").splitlines())
    async with asyncio.timeout(30):
        await agent.drained()
    async with aiohttp.ClientSession("http://{}:{}".format(*cloud.http)) as api:
        missing = [place for place in stated if not await is_kept(api, *place)]
    assert not missing, "\n".join(map(repr, missing))


async def is_kept(api: aiohttp.ClientSession, phone: str, moment: datetime, latitude: float, longitude: float) -> bool:
    """Whether the API's history has that position at that moment, to the microdegree."""
    span = {"start": moment.isoformat(), "end": (moment + timedelta(seconds=1)).isoformat()}
    query = [("metric", "latitude_deg"), ("metric", "longitude_deg"), *span.items()]
    async with api.get(f"/api/devices/jt808-{phone.lstrip('0') or '0'}/history", params=query) as answer:
        assert answer.status == 200, await answer.text()
        metrics = (await answer.json())["metrics"]
    kept = zip(metrics["latitude_deg"], metrics["longitude_deg"], strict=True)
    return any(abs(lat["value"] - latitude) < 1e-6 and abs(lon["value"] - longitude) < 1e-6 for lat, lon in kept)
