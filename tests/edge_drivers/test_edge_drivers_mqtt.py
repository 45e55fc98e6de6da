"""The MQTT subscriber against a real mosquitto."""

import asyncio
import json

import aiomqtt
import edge_drivers_peers as peers
import pytest

from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers import Driver, SetupError, make_driver
from edge_agent.link_kinds import DriverName, MqttOptions
from telemetry.clock import SECOND_NS, SystemClock
from telemetry.reason import Reason

pytestmark = pytest.mark.integration

SAID = json.dumps({"level": 3, "open": False, "ts": 1_750_000_000}).encode()


def mqtt_link(port: int, topic: str, address: str = "c1") -> Driver:
    device = DeviceConfig(id="counter-1", profile="counter", address=address)
    options = MqttOptions(broker=f"mqtt://127.0.0.1:{port}")
    link = LinkConfig(name="own", driver=DriverName.MQTT, devices=(device,), options=options)
    return make_driver(link, {"counter": peers.mqtt_profile(topic=topic)}, SystemClock())


async def test_a_document_on_the_devices_topic_becomes_a_reading_and_the_rest_is_counted(mosquitto_port) -> None:
    inlet, driver = peers.Notebook(), mqtt_link(mosquitto_port, "d1/{address}/state")
    async with peers.running(driver, inlet), aiomqtt.Client("127.0.0.1", mosquitto_port) as device:
        await peers.eventually(lambda: driver.health().up)
        await device.publish("d1/c1/state", b"{not json", qos=1)
        await device.publish("d1/c2/state", SAID, qos=1)
        await device.publish("d1/c1/state", b"\xff\xfe", qos=1)
        await device.publish("d1/c1/state", SAID, qos=1)
        await peers.eventually(lambda: inlet.heard)
    (heard,) = inlet.heard
    assert heard.decoded.values == {"water_level_cm": 3.0, "cover_open": False}
    assert heard.decoded.time_ns == 1_750_000_000 * SECOND_NS
    assert [(who, why) for who, why, _, _ in inlet.refused] == [
        ("counter-1", Reason.NOT_JSON),
        ("own", Reason.UNKNOWN_DEVICE),
        ("counter-1", Reason.NOT_JSON),
    ]


async def test_a_retained_message_counts_only_when_it_tells_its_time(mosquitto_port) -> None:
    inlet, driver = peers.Notebook(), mqtt_link(mosquitto_port, "d2/{address}")
    async with aiomqtt.Client("127.0.0.1", mosquitto_port) as device:
        await device.publish("d2/c1", b'{"level": 1}', qos=1, retain=True)
        async with peers.running(driver, inlet):
            await peers.eventually(lambda: inlet.refused)
            await device.publish("d2/c1", SAID, qos=1, retain=True)
            await peers.eventually(lambda: inlet.heard)
    assert inlet.reasons() == {Reason.LATE}


async def test_a_busy_agent_keeps_a_bounded_number_and_counts_what_it_must_drop(mosquitto_port) -> None:
    inlet, driver = peers.Notebook(), mqtt_link(mosquitto_port, "d3/{address}")
    inlet.gate = asyncio.Event()
    async with peers.running(driver, inlet), aiomqtt.Client("127.0.0.1", mosquitto_port) as device:
        await peers.eventually(lambda: driver.health().up)
        for _ in range(1400):
            await device.publish("d3/c1", SAID, qos=1)
        await peers.eventually(lambda: driver.health().overflows > 0)
        assert inlet.most_under_way == 256
        inlet.gate.set()
        await peers.eventually(lambda: len(inlet.heard) + driver.health().overflows == 1400)
    assert inlet.reasons() == {Reason.QUEUE_FULL}


async def test_a_broker_that_comes_late_is_found(start_mosquitto) -> None:
    port = peers.free_port()
    inlet, driver = peers.Notebook(), mqtt_link(port, "d4/{address}")
    async with peers.running(driver, inlet):
        await peers.eventually(lambda: Reason.UNREACHABLE in inlet.reasons())
        assert not driver.health().up


async def test_a_broker_that_hangs_up_is_called_again() -> None:
    """A peer that takes the connection and says nothing, then closes."""
    inlet, calls = peers.Notebook(), 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        await reader.read(100)

    async with peers.serving(serve) as port, peers.running(mqtt_link(port, "d5/{address}"), inlet):
        await peers.eventually(lambda: calls >= 2, within_s=14)
    assert Reason.UNREACHABLE in inlet.reasons()


def test_an_address_with_a_wildcard_is_told() -> None:
    with pytest.raises(SetupError, match=r"without \+ and #"):
        mqtt_link(1, "d/{address}", address="+")
