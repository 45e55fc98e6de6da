"""LwM2M and a carrier's pushes in one real agent: what is acknowledged is on its disk."""

import asyncio
import contextlib
import time
from pathlib import Path
from typing import cast

import aiohttp
import edge_drivers_peers as peers
import pytest
from edge_drivers_lwm2m import COVER, LAMP, LAMP_LINKS, Node

from edge_agent.agent import Agent
from edge_agent.config import AgentConfig, DeviceConfig, LinkConfig
from edge_agent.drivers.lwm2m.driver import Lwm2mDriver
from edge_agent.link_kinds import CarrierOptions, CoapOptions, DriverName
from firmware_bridge.carriers.onenet import signed_push

pytestmark = pytest.mark.integration

PUSHED = DeviceConfig(id="cover-9", profile="cover_onenet", address="2016617")


async def test_what_a_device_and_a_platform_are_answered_is_on_the_agents_disk(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("t", "utf-8")
    links = (
        LinkConfig(name="nb", driver=DriverName.LWM2M, devices=(LAMP, COVER), options=CoapOptions(port=0)),
        LinkConfig(name="push", driver=DriverName.CARRIER, devices=(PUSHED,), options=CarrierOptions(port=0, secret_file=token)),
    )
    broker = f"mqtt://127.0.0.1:{peers.free_port()}"  # nobody is there: everything stays in the outbox
    agent = Agent(AgentConfig(gateway="gw-test", data_dir=tmp_path / "data", broker=broker, links=links))
    task = asyncio.ensure_future(agent.run())
    try:
        await asyncio.wait_for(agent.ready.wait(), 10)
        await asyncio.wait_for(asyncio.gather(*(driver.started.wait() for driver in agent.drivers.values())), 10)
        with Node(cast("Lwm2mDriver", agent.drivers["nb"])) as node:
            await node.register(LAMP.address, LAMP_LINKS)
            (observed,) = await node.be_watched(b'[{"n":"/3416/0/3","v":10}]')
            for number in range(2, 6):
                before = agent.counts().committed
                told = node.told(observed, number, f'[{{"n":"/3416/0/3","v":{10 * number}}}]'.encode())
                assert (await node.ask(told)).type == "ACK"
                assert agent.counts().committed > before, "first the disk, then the answer"
        before = agent.counts().committed
        point = {"type": 1, "dev_id": 2016617, "ds_id": "3200_0_5500", "at": time.time_ns() // 1_000_000, "value": True}
        host, port = agent.drivers["push"].ports[0]
        url, body = f"http://{host}:{port}/push", signed_push(point, "t", "n")
        async with aiohttp.ClientSession() as session, session.post(url, data=body) as answer:
            assert answer.status == 200
        assert agent.counts().committed > before
        assert not agent.driver_restarts
        assert not agent.counts().refused
    finally:
        began = time.monotonic()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert time.monotonic() - began < 5
