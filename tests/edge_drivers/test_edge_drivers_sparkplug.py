"""The MQTT driver as a Sparkplug host, against a real mosquitto: a node written by hand, and a simulated one."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiomqtt
import edge_drivers_peers as peers
import pytest

from device_profiles.frames import load_frames
from device_profiles.shelf import catalog_path, load_catalog
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers import Driver, SetupError, make_driver
from edge_agent.link_kinds import DriverName, MqttOptions
from firmware_bridge.sparkplug.payload import DataType, Metric, Payload, Raw, encode_payload, parse_payload, typed
from simulators.deeds import Kind as Family
from simulators.devices.base import Surroundings
from simulators.devices.mqtt.sparkplug import SparkplugNode
from simulators.scenario import DeviceSpec
from telemetry.clock import SECOND_NS, SystemClock
from telemetry.reason import Reason

pytestmark = pytest.mark.integration

CATALOG = load_catalog()
NOW_MS = 1_795_142_400_000


def link(port: int, address: str) -> Driver:
    device = DeviceConfig(id="pole-1", profile="smart_pole_station_mqtt", address=address)
    options = MqttOptions(broker=f"mqtt://127.0.0.1:{port}")
    config = LinkConfig(name="poles", driver=DriverName.MQTT, devices=(device,), options=options)
    return make_driver(config, CATALOG, SystemClock())


class Node:
    """An edge node `group/n` with a device `air`, on a connection of its own."""

    def __init__(self, client: aiomqtt.Client, group: str) -> None:
        self.client = client
        self.group = group
        self.seq = 0

    async def say(self, kind: str, *metrics: Metric, device: str = "", retain: bool = False) -> None:
        payload = Payload(timestamp_ms=NOW_MS, seq=None if kind == "NDEATH" else self.seq, metrics=metrics)
        topic = f"spBv1.0/{self.group}/{kind}/n" + (f"/{device}" if device else "")
        self.seq = (self.seq + 1) % 256
        await self.client.publish(topic, encode_payload(payload), qos=0, retain=retain)

    async def be_born(self) -> None:
        self.seq = 0
        await self.say("NBIRTH", Metric(name="bdSeq", datatype=8, raw=Raw(11, 5)))
        await self.say("DBIRTH", noise(61.5, name="Sound/Level"), device="air")


def noise(level: float | None, name: str = "") -> Metric:
    raw = None if level is None else typed(level, DataType.DOUBLE)
    kind = int(DataType.DOUBLE) if name else None
    return Metric(name=name, alias=4, timestamp_ms=NOW_MS, datatype=kind, raw=raw, is_null=level is None)


@asynccontextmanager
async def node(port: int, group: str) -> AsyncIterator[tuple[Node, list[bytes]]]:
    """The node, and the commands that it hears."""
    commands: list[bytes] = []

    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe(f"spBv1.0/{group}/NCMD/n", qos=1)

        async def hear() -> None:
            async for message in client.messages:
                commands.append(bytes(message.payload))  # noqa: PERF401  # seen while it grows

        async with asyncio.TaskGroup() as tasks:
            hearing = tasks.create_task(hear())
            yield Node(client, group), commands
            hearing.cancel()


async def test_a_node_is_asked_to_be_born_and_followed_until_it_dies(mosquitto_port) -> None:
    inlet, driver = peers.Notebook(), link(mosquitto_port, "g1/n/air")
    async with node(mosquitto_port, "g1") as (pole, commands), peers.running(driver, inlet):
        await peers.eventually(lambda: commands)
        (asked,) = parse_payload(commands[0]).metrics
        assert (asked.name, asked.datatype, asked.raw) == ("Node Control/Rebirth", DataType.BOOLEAN, Raw(14, 1))
        await pole.be_born()
        await pole.say("DDATA", noise(71.0), device="air")
        await pole.say("DDATA", noise(None), device="air")
        await pole.say("NDEATH", Metric(name="bdSeq", datatype=8, raw=Raw(11, 4)))  # an older connection's will
        await pole.say("NDEATH", Metric(name="bdSeq", datatype=8, raw=Raw(11, 5)))
        await peers.eventually(lambda: driver.health().absent == ("pole-1",))
        await peers.eventually(lambda: len(inlet.heard) == 5)
    said = [(heard.decoded.values, heard.decoded.time_ns) for heard in inlet.heard]
    at_ns = NOW_MS // 1000 * SECOND_NS
    assert said == [
        ({"device_online": True}, None),
        ({"noise_db": 61.5}, at_ns),
        ({"noise_db": 71.0}, at_ns),
        ({"noise_db": None}, at_ns),
        ({"device_online": False}, None),
    ]
    assert inlet.heard[3].decoded.flaws["noise_db"].reason is Reason.NO_VALUE
    assert inlet.reasons() == {Reason.LATE}


async def test_bytes_written_by_hand_come_in_through_mosquitto_pub(
    mosquitto_port: int, need_server: Callable[[str, str], str], tmp_path: Path
) -> None:
    program = need_server("mosquitto_pub", "mosquitto-clients")
    example = load_frames(catalog_path() / "smart_pole_station_mqtt", CATALOG["smart_pole_station_mqtt"])[1]
    inlet, driver = peers.Notebook(), link(mosquitto_port, "g5/n/air")
    async with peers.running(driver, inlet):
        await peers.eventually(lambda: driver.health().up)
        for message in example.payloads:
            kind, _, payload = message.partition(b" ")
            file = tmp_path / kind.decode()
            file.write_bytes(payload)
            topic = f"spBv1.0/g5/{file.name}/n" + ("/air" if file.name.startswith("D") else "")
            said = ["-h", "127.0.0.1", "-p", str(mosquitto_port), "-q", "1", "-t", topic, "-f", str(file)]
            await asyncio.to_thread(subprocess.run, [program, *said], check=True, timeout=10)
        await peers.eventually(lambda: len(inlet.heard) == 3)
    assert inlet.heard[-1].decoded.values == example.values
    assert not inlet.refused


async def test_a_gap_is_not_bridged_by_guesses_and_one_request_is_enough(mosquitto_port) -> None:
    inlet, driver = peers.Notebook(), link(mosquitto_port, "g2/n/air")
    async with node(mosquitto_port, "g2") as (pole, commands), peers.running(driver, inlet):
        await peers.eventually(lambda: commands)
        await pole.be_born()
        pole.seq = 9
        for level in (70.0, 71.0, 72.0):
            await pole.say("DDATA", noise(level), device="air")
        await peers.eventually(lambda: len(inlet.refused) == 3)
        assert [heard.decoded.values for heard in inlet.heard] == [{"device_online": True}, {"noise_db": 61.5}]
        assert len(commands) == 1  # asked at the connection a moment ago: not again within ten seconds
        await pole.be_born()
        await pole.say("DDATA", noise(73.0), device="air")
        await peers.eventually(lambda: inlet.heard[-1].decoded.values == {"noise_db": 73.0})
    assert inlet.reasons() == {Reason.UNKNOWN_METRIC}


async def test_what_is_retained_damaged_or_nobodys_is_counted(mosquitto_port) -> None:
    inlet, driver = peers.Notebook(), link(mosquitto_port, "g3/n/air")
    async with node(mosquitto_port, "g3") as (pole, _):
        await pole.say("NBIRTH", retain=True)
        async with peers.running(driver, inlet):
            await peers.eventually(lambda: inlet.reasons() == {Reason.LATE})
            await pole.client.publish("spBv1.0/g3/DDATA/n/air", b"\x12\x05\x0a", qos=0)
            await pole.client.publish("spBv1.0/g3/DDATA/n/other", b"\x18\x02", qos=0)
            await pole.client.publish("spBv1.0/g3/NOISE/n", b"", qos=0)
            wanted = {Reason.LATE, Reason.TRUNCATED, Reason.UNKNOWN_DEVICE, Reason.UNKNOWN_MESSAGE}
            await peers.eventually(lambda: inlet.reasons() == wanted)
        await pole.client.publish("spBv1.0/g3/NBIRTH/n", b"", qos=0, retain=True)
    assert not inlet.heard


async def test_a_simulated_pole_is_read_whole(mosquitto_port) -> None:
    spec = DeviceSpec(
        id="p1",
        kind=Family.POLE_STATION,
        profile="smart_pole_station_mqtt",
        address="g4/pole/air",
        link="poles",
        longitude=120.6,
        latitude=31.3,
        interval_s=3600,
    )
    clock = SystemClock()
    profile = CATALOG["smart_pole_station_mqtt"]
    around = Surroundings(clock=clock, seed=1, born_ns=clock.wall_ns())
    pole = SparkplugNode(spec, profile, around, lambda: f"mqtt://127.0.0.1:{mosquitto_port}")
    inlet, driver = peers.Notebook(), link(mosquitto_port, "g4/pole/air")
    async with peers.running(driver, inlet), asyncio.TaskGroup() as tasks:
        await peers.eventually(lambda: driver.health().up)
        living = tasks.create_task(pole.run())
        await peers.eventually(lambda: len(inlet.heard) >= 3)
        pole.act("lean", {}, clock.wall_ns())
        await peers.eventually(lambda: inlet.heard[-1].decoded.values.get("tilt_deg") == 6.5)
        living.cancel()
    assert inlet.heard[1].decoded.values.keys() == profile.metrics.keys() - {"device_online"}
    assert not inlet.refused


def test_an_address_without_a_node_is_told() -> None:
    with pytest.raises(SetupError, match="GROUP/NODE"):
        link(1, "pole")
