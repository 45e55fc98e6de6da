"""A lamp is dimmed from the office: API, broker, gateway, register, and back; and what it really said on the way."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cloud.config import ApiConfig, CloudConfig
from cloud.run import Cloud
from device_profiles.shelf import load_catalog
from edge_agent.agent import Agent
from edge_agent.config import AgentConfig, DeviceConfig, LinkConfig
from edge_agent.link_kinds import DriverName, ModbusTcpOptions
from firmware_bridge.modbus.frames import tcp_frame
from simulators.devices.base import Surroundings
from simulators.devices.modbus.unit import ModbusUnit
from simulators.listener import Listener
from simulators.scenario import DeviceSpec
from telemetry.clock import SystemClock

pytestmark = pytest.mark.integration

WHO = {"actor": "li.wei"}
LAMP = DeviceConfig(id="lamp-1", profile="lamp_loop", address="1", name="Renmin Road", frames=True)


class Lamp:
    """A simulated loop controller on a TCP port that writes down every frame it sends, and every write it obeys."""

    def __init__(self) -> None:
        clock = SystemClock()
        spec = DeviceSpec(
            id="lamp-1", kind="lamp_loop", profile="lamp_loop", address="1", link="loop", longitude=113.26, latitude=23.12
        )  # type: ignore[arg-type]
        self.unit = ModbusUnit(spec, load_catalog()["lamp_loop"], Surroundings(clock=clock, seed=7, born_ns=clock.wall_ns()))
        self.listener = Listener(self._serve, "127.0.0.1", 0)
        self.sent: set[str] = set()
        self.writes: list[bytes] = []

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.read(7):
            head += await reader.readexactly(7 - len(head))
            pdu = await reader.readexactly(int.from_bytes(head[4:6], "big") - 1)
            if pdu[0] in {5, 6, 15, 16}:
                self.writes.append(pdu)
            frame = tcp_frame(int.from_bytes(head[:2], "big"), head[6], self.unit.answer(pdu, self.unit.clock.wall_ns()))
            self.sent.add(frame.hex())
            writer.write(frame)

    @property
    def dimming(self) -> object:
        return self.unit.values(self.unit.clock.wall_ns())["dimming_pct"]


class Office:
    """Somebody at the API."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def get(self, path: str) -> Any:
        async with self._session.get(path) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def post(self, path: str, status: int = 202, **body: Any) -> Any:
        async with self._session.post(path, json={**WHO, **body}) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()

    async def order(self, command: str, *, key: str = "", ttl_s: int = 60, **arguments: float) -> Any:
        return await self.post("/api/devices/lamp-1/commands", command=command, arguments=arguments, key=key, ttl_s=ttl_s)

    async def ends(self, command: str) -> Any:
        return await self.until(f"/api/commands/{command}", lambda row: row["finished"])

    async def until(self, path: str, true: Callable[[Any], object]) -> Any:
        async with asyncio.timeout(20):
            while not true(found := await self.get(path)):  # noqa: ASYNC110 - what is waited for happens elsewhere
                await asyncio.sleep(0.05)
        return found


class Street:
    """A lamp, its gateway, the cloud and the broker between them."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.broker, self.lamp = folder, f"mqtt://127.0.0.1:{port}", Lamp()

    @asynccontextmanager
    async def gateway(self) -> AsyncIterator[Agent]:
        host, port = self.lamp.listener.address
        options = ModbusTcpOptions(host=host, port=port)
        link = LinkConfig(name="loop", driver=DriverName.MODBUS_TCP, devices=(LAMP,), options=options)
        agent = Agent(AgentConfig(gateway="gw-1", data_dir=self.folder / "edge", broker=self.broker, links=(link,)))
        task = asyncio.create_task(agent.run())
        await agent.ready.wait()
        try:
            yield agent
        finally:
            task.cancel()
            await asyncio.wait([task])

    @asynccontextmanager
    async def office(self) -> AsyncIterator[Office]:
        cloud = Cloud(CloudConfig(data_dir=self.folder / "cloud", broker=self.broker, api=ApiConfig(port=0)))
        task = asyncio.create_task(cloud.run())
        await cloud.ready.wait()
        try:
            async with aiohttp.ClientSession("http://{}:{}".format(*cloud.http)) as session:
                yield Office(session)
        finally:
            task.cancel()
            await asyncio.wait([task])


@pytest.fixture
async def street(start_mosquitto: Callable[[], int], tmp_path: Path) -> AsyncIterator[Street]:
    made = Street(tmp_path, start_mosquitto())
    await made.lamp.listener.start()
    yield made
    await made.lamp.listener.stop()


async def test_a_lamp_is_dimmed_and_what_it_said_comes_back_as_it_was_sent(street: Street) -> None:
    async with street.office() as office, street.gateway():
        await office.until("/api/devices", lambda found: any(item["state"] == "normal" for item in found["items"]))
        offers = {each["name"]: each for each in (await office.get("/api/devices/lamp-1/commands"))["items"]}
        assert (offers["set_dimming"]["dangerous"], offers["switch_loop_1"]["dangerous"]) == (False, True)
        tried = await office.post("/api/devices/lamp-1/commands", command="set_dimming", arguments={"level": 40}, dry_run=True)
        assert (tried["id"], tried["preview"]["hex"]) == (None, "0600000028")
        assert street.lamp.writes == []
        asked = await office.order("set_dimming", key="k1", level=40)
        assert (await office.order("set_dimming", key="k1", level=40))["id"] == asked["id"]
        done = await office.ends(asked["id"])
        assert (done["state"], done["outcome"], done["tries"]) == ("done", "done", 1)
        assert street.lamp.writes == [bytes.fromhex("06 0000 0028")], "once, though it was asked for twice"
        assert street.lamp.dimming == 40
        # Switching a loop wants a second person.
        asked = await office.order("switch_loop_1", state=0)
        assert asked["state"] == "awaiting_approval"
        await office.post(f"/api/commands/{asked['id']}/approve", status=403)
        await office.post(f"/api/commands/{asked['id']}/approve", status=200, actor="wang.fang")
        done = await office.ends(asked["id"])
        assert (done["state"], done["approved_by"]) == ("done", "wang.fang")
        assert street.lamp.writes[1:] == [bytes.fromhex("05 0000 0000")]
        frames = (await office.until("/api/devices/lamp-1/frames", lambda found: len(found["items"]) >= 3))["items"]
    assert {frame["hex"] for frame in frames} <= street.lamp.sent
    assert {(frame["language"], frame["decoded"]["ok"], frame["gateway"]) for frame in frames} == {("modbus-tcp", True, "gw-1")}
    assert all(frame["decoded"]["fields"][0]["name"] == "transaction" for frame in frames)


async def test_an_order_waits_for_a_gateway_that_is_away_and_is_carried_out_once(street: Street) -> None:
    async with street.office() as office:
        async with street.gateway():
            await office.until("/api/devices", lambda found: found["items"])
        await office.until("/api/gateways", lambda found: not found["items"][0]["online"])
        waits = await office.order("set_dimming", ttl_s=600, level=55)
        late = await office.order("set_dimming", ttl_s=5, level=66)
        expired = await office.ends(late["id"])
        assert (expired["state"], expired["sent"]) == ("expired", None)
        assert (await office.get(f"/api/commands/{waits['id']}"))["state"] == "queued"
        async with street.gateway():
            done = await office.ends(waits["id"])
            assert (done["state"], street.lamp.dimming) == ("done", 55)
        assert street.lamp.writes == [bytes.fromhex("06 0000 0037")]


async def test_an_alarm_is_proved_by_the_frame_that_raised_it(street: Street) -> None:
    async with street.office() as office, street.gateway() as agent:
        street.lamp.unit.body.pin("breaker_tripped", True)
        found = await office.until("/api/alarms", lambda found: found["items"])
        frames = await office.until("/api/devices/lamp-1/frames", lambda found: any(frame["alarm"] for frame in found["items"]))
        assert (agent.status().frames.devices, agent.status().frames.left_out) == (1, 0)
        assert 0 < agent.status().frames.bytes <= 4096
    alarm = found["items"][0]
    assert "frame" not in alarm["evidence"]
    proofs = [frame for frame in frames["items"] if frame["alarm"] == alarm["id"]]
    assert proofs
    assert {frame["hex"] for frame in proofs} <= street.lamp.sent
