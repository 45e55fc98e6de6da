"""Devices that publish, before a plain client of a real broker; and Bluetooth sensors in the air."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiomqtt
import pytest
from simulated import act, alive, until

from device_profiles.model import Profile
from device_profiles.shelf import load_catalog
from firmware_bridge.ble.advertising import Advertisement
from firmware_bridge.ble.bthome import SERVICE, parse_bthome
from firmware_bridge.ble.door import RX, TX, DoorFramer, Order, encode_order, parse_answer
from firmware_bridge.errors import ParseError
from firmware_bridge.publications import decode_publication, parse_publication
from firmware_bridge.sparkplug.payload import parse_payload
from firmware_bridge.sparkplug.session import NodeSession, rebirth_request
from firmware_bridge.sparkplug.topics import parse_topic
from simulators.deeds import How, Kind
from simulators.devices.base import Surroundings
from simulators.devices.ble_air import BleAir, BleSensor
from simulators.devices.mqtt.device import MqttDevice
from simulators.devices.mqtt.sparkplug import SparkplugNode
from simulators.scenario import DeviceSpec
from telemetry.clock import SystemClock

CATALOG = load_catalog()
CLOCK = SystemClock()
CABINET = "C0:FF:EE:00:00:01"


def spec(kind: Kind, profile: str, address: str, interval_s: float = 3600) -> DeviceSpec:
    return DeviceSpec(
        id=f"{kind}-1",
        kind=kind,
        profile=profile,
        address=address,
        link="x",
        longitude=120.6,
        latitude=31.3,
        interval_s=interval_s,
    )


def around() -> Surroundings:
    return Surroundings(clock=CLOCK, seed=1, born_ns=CLOCK.wall_ns())


class Ear:
    """Everything said on the broker below some topics, as it comes."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client
        self.said: list[tuple[str, bytes]] = []

    async def run(self) -> None:
        async for message in self.client.messages:
            self.said.append((message.topic.value, bytes(message.payload)))

    def on(self, topic: str) -> list[bytes]:
        return [payload for where, payload in self.said if where == topic]


@asynccontextmanager
async def listening(port: int, *topics: str) -> AsyncIterator[Ear]:
    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe([(topic, 1) for topic in topics])
        ear = Ear(client)
        async with alive(ear):
            yield ear


def values(profile: Profile, topic: str, payload: bytes, address: str = "") -> dict[str, object]:
    assert profile.wire.mqtt is not None
    form = next(each for each in profile.wire.mqtt.topics if each.topic == topic)
    readings = decode_publication(profile, form, parse_publication(form.form, payload), address, None)
    return {name: value for reading in readings for name, value in reading.values.items()}


def broker(port: int) -> Callable[[], str]:
    return lambda: f"mqtt://127.0.0.1:{port}"


@pytest.mark.integration
async def test_a_tasmota_board_speaks_on_three_topics_obeys_and_leaves_its_will(mosquitto_port: int) -> None:
    profile = CATALOG["soap_dispenser_tasmota"]
    device = MqttDevice(spec(Kind.TOILET_SUPPLIES, profile.name, "sim-soap"), profile, around(), broker(mosquitto_port))
    async with listening(mosquitto_port, "tele/sim-soap/#", "stat/sim-soap/#") as ear:
        async with alive(device):
            await until(lambda: ear.on("tele/sim-soap/STATE"))
            act(device, "use_up")
            await until(lambda: len(ear.on("tele/sim-soap/SENSOR")) == 2)
            await ear.client.publish("cmnd/sim-soap/POWER", b"ON", qos=1)
            await until(lambda: ear.on("stat/sim-soap/RESULT"))
        # A device that is switched off cleanly says nothing; the broker speaks when the power fails.
        assert ear.on("tele/sim-soap/LWT") == [b"Online"]
    assert [json.loads(each) for each in ear.on("stat/sim-soap/RESULT")] == [{"POWER": "ON"}]
    first, second = (values(profile, "tele/{address}/SENSOR", each) for each in ear.on("tele/sim-soap/SENSOR"))
    assert (first["paper_low"], second["paper_low"]) == (False, True)
    assert second["soap_level_pct"] == 4
    assert device.will() == aiomqtt.Will("tele/sim-soap/LWT", b"Offline", qos=1, retain=True)
    assert (device.account.spoken, device.account.requests) == (2, 1)


@pytest.mark.integration
async def test_a_bin_publishes_senml_under_its_own_name_and_badly_when_it_is_told_to(mosquitto_port: int) -> None:
    profile = CATALOG["bin_level_mqtt"]
    device = MqttDevice(spec(Kind.LEVEL_SENSOR, profile.name, "b-1"), profile, around(), broker(mosquitto_port))
    async with listening(mosquitto_port, "bins/#") as ear, alive(device):
        await until(lambda: ear.on("bins/b-1/senml"))
        act(device, "burn")
        await until(lambda: len(ear.on("bins/b-1/senml")) == 2)
        for how in (How.NOISE, How.CUT):
            act(device, "misbehave", how=how)
            act(device, "burn")
            await until(lambda how=how: len(ear.on("bins/b-1/senml")) == (3 if how is How.NOISE else 4))
        act(device, "misbehave", how=How.WRONG_UNIT)
        act(device, "burn")
        await until(lambda: ear.on("bins/b-1-x/senml"))
    good, fire, noise, cut = ear.on("bins/b-1/senml")
    assert values(profile, "bins/{address}/senml", good, "b-1").keys() == profile.metrics.keys()
    assert values(profile, "bins/{address}/senml", fire, "b-1")["temperature_c"] == 78
    for damaged in (noise, cut):
        with pytest.raises(ParseError):
            values(profile, "bins/{address}/senml", damaged, "b-1")
    assert (device.account.spoken, device.account.spoiled) == (2, 3)


@pytest.mark.integration
async def test_a_sparkplug_node_is_born_speaks_by_alias_and_is_born_again_when_it_is_asked(mosquitto_port: int) -> None:
    profile = CATALOG["smart_pole_station_mqtt"]
    device = SparkplugNode(spec(Kind.POLE_STATION, profile.name, "sim/pole/air"), profile, around(), broker(mosquitto_port))
    session, told = NodeSession("sim/pole", ["air"]), []
    async with listening(mosquitto_port, "spBv1.0/sim/+/pole/#", "spBv1.0/sim/+/pole") as ear, alive(device):
        await until(lambda: len(ear.said) == 3)  # two births, the first data
        act(device, "lean")
        await until(lambda: len(ear.said) == 4)
        await ear.client.publish("spBv1.0/sim/NCMD/pole", rebirth_request(1), qos=0)
        await until(lambda: len(ear.said) == 7)  # the request itself, two births
        act(device, "vane_fails")
        await until(lambda: len(ear.said) == 8)
        told = [(parse_topic(topic), parse_payload(payload)) for topic, payload in ear.said]
    outcomes = [session.take(place, payload) for place, payload in told]
    kinds = [str(place.kind) for place, _ in told]
    assert kinds == ["NBIRTH", "DBIRTH", "DDATA", "DDATA", "NCMD", "NBIRTH", "DBIRTH", "DDATA"]
    assert [payload.seq for _, payload in told] == [0, 1, 2, 3, None, 0, 1, 2]
    assert not any(outcome.rebirth or outcome.refused for outcome in outcomes)
    assert all(not metric.name for metric in told[3][1].metrics)
    assert outcomes[3].spoken[0].items["Pole/Tilt"] == 6.5
    assert outcomes[7].spoken[0].items["Wind/Direction"] is None
    assert parse_payload(bytes(device.will().payload)).metrics[0].name == "bdSeq"  # type: ignore[arg-type]  # it is bytes
    assert device.account.requests == 1


# Bluetooth


def cabinet(interval_s: float = 3600) -> BleSensor:
    profile = CATALOG["cabinet_sensor_ble"]
    return BleSensor(spec(Kind.LAMP_CABINET, profile.name, CABINET, interval_s), profile, around())


async def test_a_cabinet_shouts_at_once_when_it_is_opened_and_repeats_itself() -> None:
    sensor, heard = cabinet(), []

    def hear(address: str, said: Advertisement) -> None:
        heard.append((address, parse_bthome(said.service_data[SERVICE]), said.rssi_dbm))

    air = BleAir([sensor])
    listening_task = asyncio.create_task(air.listen(5, hear))
    await until(lambda: len(heard) == 3)
    act(sensor, "force")
    await until(lambda: len(heard) == 6)
    listening_task.cancel()
    await asyncio.wait([listening_task])
    first, last = heard[0], heard[-1]
    assert (first[0], first[1].items["door"], last[1].items["door"], last[1].items["tamper"]) == (CABINET, False, True, True)
    assert first[1].packet_id != last[1].packet_id
    assert -90 < (first[2] or 0) < -60
    assert sensor.account.spoken == 2


@pytest.mark.parametrize(("how", "calls"), [(How.SILENT, 0), (How.CUT, 3), (How.NOISE, 3), (How.WRONG_UNIT, 3)])
async def test_a_bad_sensor_is_heard_badly(how: How, calls: int) -> None:
    sensor, heard = cabinet(), []
    act(sensor, "misbehave", how=how)
    await BleAir([sensor]).listen(0.05, lambda address, said: heard.append((address, said.service_data[SERVICE])))
    assert len(heard) == calls
    if how is How.CUT:
        with pytest.raises(ParseError):
            parse_bthome(heard[0][1])
    if how is How.WRONG_UNIT:
        assert heard[0][0] != CABINET
    assert sensor.account.spoken == 0


async def test_the_maintenance_door_answers_orders_that_the_profile_has() -> None:
    sensor, framer, told = cabinet(), DoorFramer(), []
    async with BleAir([sensor]).connect(CABINET) as link:
        await link.notify(TX, lambda data: told.extend(framer.feed(data)))
        for code in (1, 9):
            await link.write(RX, encode_order(code, Order(code=code, argument=30)))
        with pytest.raises(KeyError):
            await link.notify("0000180f-0000-1000-8000-00805f9b34fb", lambda _: None)
    assert [(frame.serial, parse_answer(frame).result, parse_answer(frame).value) for frame in told] == [(1, 0, 30), (9, 1, 30)]


async def test_no_adapter_and_nobody_there_are_told_apart() -> None:
    air = BleAir([])
    with pytest.raises(TimeoutError):
        async with air.connect(CABINET):
            pass
    air.plugged = False
    with pytest.raises(OSError, match="no Bluetooth adapter"):
        await air.listen(1, lambda *_: None)
