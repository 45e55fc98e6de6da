"""Bluetooth: a scripted radio, simulated sensors in the air, and a machine without an adapter."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import edge_drivers_peers as peers
import pytest

from device_profiles.model import CommandSpec, Profile
from device_profiles.quantities import MetricType, Text
from device_profiles.shelf import load_catalog
from device_profiles.wires import Wire
from device_profiles.wires.ble import BleWire
from device_profiles.wires.ble_orders import UartOrder
from device_profiles.wires.items import ItemField
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers import SetupError, make_driver
from edge_agent.drivers.ble.bleak import BleakRadio
from edge_agent.drivers.ble.driver import BleDriver
from edge_agent.drivers.ble.radio import OnHeard
from edge_agent.link_kinds import BleOptions, DriverName
from firmware_bridge.ble.advertising import Advertisement, parse_advertising
from firmware_bridge.ble.bthome import SERVICE
from firmware_bridge.ble.door import RX, TX, Answer, DoorFramer, Frame, Result, encode_answer, parse_order, pieces
from firmware_bridge.ble.gatt import CHARACTERISTICS
from simulators.deeds import How, Kind
from simulators.devices.base import Surroundings
from simulators.devices.ble_air import BleAir, BleSensor
from simulators.scenario import DeviceSpec
from telemetry.clock import SystemClock
from telemetry.raw_frames import RawFrame
from telemetry.reason import Reason
from telemetry.records import Command, Outcome

ADDRESS = "C0:FF:EE:00:00:01"
CATALOG = load_catalog()
OPTIONS = BleOptions(scan_s=0.02, every_s=0.04)

LATCH = CommandSpec(
    name="latch", title=Text("锁", "Latch"), argument="angle", low=0, high=90, uart=UartOrder(code=7, scale=0.5, timeout_s=0.2)
)


def profile_of(*items: str, uart: bool = True, poll_s: float = 3600) -> Profile:
    names = {"bthome.temperature": "temperature_c", "bthome.door": "door_open", "radio.rssi_dbm": "rssi_dbm"}
    fields = tuple(ItemField(metric=names.get(item, item.replace(".", "_")), item=item) for item in items)
    texts = {"gatt_model_number"}
    kinds = {"door_open": MetricType.BOOLEAN} | dict.fromkeys(texts, MetricType.STRING)
    metrics = [peers.metric(field.metric, kinds.get(field.metric, MetricType.FLOAT)) for field in fields]
    return peers.profile("sensor", Wire(ble=BleWire(items=fields, uart=uart, poll_s=poll_s)), *metrics, commands=[LATCH])


DEVICE = DeviceConfig(id="s1", profile="sensor", address=ADDRESS)


def link(profile: Profile, options: BleOptions = OPTIONS) -> LinkConfig:
    device = DeviceConfig(id="s1", profile=profile.name, address=ADDRESS)
    return LinkConfig(name="cabinets", driver=DriverName.BLE, devices=(device,), options=options)


class Script:
    """A radio that plays `says` in each turn and knows one device; `fault` is raised instead."""

    def __init__(self, *says: tuple[str, Advertisement]) -> None:
        self.says = says
        self.turns = 0
        self.fault: Exception | None = None
        self.values: dict[str, bytes] = {}
        self.calls = 0
        self.has_uart = True
        self.answer: Callable[[Frame], bytes] = lambda _: b""
        self.written: list[bytes] = []
        self._told: Callable[[bytes], None] = lambda _: None

    async def listen(self, seconds: float, heard: OnHeard) -> None:
        self.turns += 1
        if self.fault is not None:
            raise self.fault
        for address, said in self.says:
            heard(address, said)
        await asyncio.sleep(seconds)

    @asynccontextmanager
    async def connect(self, address: str) -> AsyncIterator["Script"]:
        self.calls += 1
        if self.fault is not None:
            raise self.fault
        self.framer = DoorFramer()
        yield self

    async def read(self, uuid: str) -> bytes:
        return self.values[uuid]

    async def notify(self, uuid: str, told: Callable[[bytes], None]) -> None:
        if not self.has_uart:
            raise KeyError(uuid)
        assert uuid == TX
        self._told = told

    async def write(self, uuid: str, data: bytes) -> None:
        assert uuid == RX
        self.written.append(data)
        for frame in self.framer.feed(data):
            assert isinstance(frame, Frame)
            for piece in pieces(self.answer(frame), 7):
                self._told(piece)


def bthome(hexed: str, rssi: int = -70) -> Advertisement:
    return Advertisement(service_data={SERVICE: bytes.fromhex(hexed)}, rssi_dbm=rssi)


def driver_of(profile: Profile, radio: Script | BleAir, options: BleOptions = OPTIONS) -> BleDriver:
    return BleDriver(link(profile, options), {profile.name: profile}, SystemClock(), radio)


# Advertisements


async def test_an_advertisement_becomes_a_reading_once_a_turn_however_often_it_is_repeated() -> None:
    said = bthome("40 02ca09 1a01".replace(" ", ""))
    radio = Script((ADDRESS, said), (ADDRESS, said), (ADDRESS, said))
    inlet, driver = peers.Notebook(), driver_of(profile_of("bthome.temperature", "bthome.door", "radio.rssi_dbm"), radio)
    async with peers.running(driver, inlet):
        await peers.eventually(lambda: radio.turns == 3)
        await peers.eventually(lambda: len(inlet.heard) >= 2)
        assert driver.health().up
    assert len(inlet.heard) <= radio.turns
    assert inlet.heard[0].decoded.values == {"temperature_c": 25.06, "door_open": True, "rssi_dbm": -70}
    assert inlet.heard[0].decoded.time_ns is None
    (frame,) = inlet.heard[0].frames
    assert frame == RawFrame("ble-advertisement", bytes.fromhex("09 16 d2fc 40 02ca09 1a01"))
    assert parse_advertising(frame.raw).service_data == said.service_data


async def test_a_door_that_opens_and_closes_within_one_turn_is_two_readings() -> None:
    radio = Script((ADDRESS, bthome("4000011a00")), (ADDRESS, bthome("4000021a01")), (ADDRESS, bthome("4000031a00")))
    inlet, driver = peers.Notebook(), driver_of(profile_of("bthome.door"), radio, BleOptions(scan_s=0.02, every_s=600))
    async with peers.running(driver, inlet):
        await peers.eventually(lambda: len(inlet.heard) == 3)
    assert [heard.decoded.values["door_open"] for heard in inlet.heard] == [False, True, False]


@pytest.mark.parametrize(
    ("hexed", "reason"),
    [
        pytest.param("41a47266c95f730011223378237214", Reason.UNSUPPORTED_ENCRYPTION, id="encrypted"),
        pytest.param("4002ca", Reason.TRUNCATED, id="cut short"),
        pytest.param("2002ca09", Reason.UNSUPPORTED_VERSION, id="of another version"),
    ],
)
async def test_an_advertisement_that_cannot_be_read_is_counted_with_its_reason(hexed: str, reason: Reason) -> None:
    inlet, driver = peers.Notebook(), driver_of(profile_of("bthome.temperature"), Script((ADDRESS, bthome(hexed))))
    async with peers.running(driver, inlet):
        await peers.eventually(lambda: inlet.refused)
    assert inlet.reasons("s1") == {reason}
    assert not inlet.heard


async def test_an_object_of_tomorrow_is_told_and_what_stands_before_it_is_kept() -> None:
    inlet, driver = peers.Notebook(), driver_of(profile_of("bthome.temperature"), Script((ADDRESS, bthome("4002ca097f01"))))
    async with peers.running(driver, inlet):
        await peers.eventually(lambda: inlet.heard)
    assert inlet.reasons("s1") == {Reason.UNKNOWN_MESSAGE}
    assert inlet.heard[0].decoded.values == {"temperature_c": 25.06}


async def test_a_stranger_is_counted_once_a_turn_and_a_street_of_telephones_not_at_all() -> None:
    stranger = ("02:00:00:00:00:01", bthome("4002ca09"))
    telephones = [(f"02:00:00:00:01:{n:02X}", Advertisement(name="phone")) for n in range(50)]
    radio = Script(stranger, stranger, *telephones)
    inlet, driver = peers.Notebook(), driver_of(profile_of("bthome.temperature"), radio, BleOptions(scan_s=0.02, every_s=600))
    async with peers.running(driver, inlet):
        await peers.eventually(lambda: inlet.refused)
        await asyncio.sleep(0.03)
    assert [(why, "02:00:00:00:00:01" in what) for _, why, what, _ in inlet.refused] == [(Reason.UNKNOWN_DEVICE, True)]


async def test_more_advertisements_than_the_agent_can_take_are_counted() -> None:
    storm = [(ADDRESS, bthome(f"4000{n % 256:02x}09{n // 256:02x}")) for n in range(1500)]
    inlet, driver = peers.Notebook(), driver_of(profile_of("bthome.count"), Script(*storm), BleOptions(scan_s=0.02, every_s=600))
    async with peers.running(driver, inlet):
        await peers.eventually(lambda: len(inlet.heard) + driver.health().overflows == 1500)
    assert driver.health().overflows == 500
    assert inlet.reasons() == {Reason.QUEUE_FULL}


# Characteristics


async def test_characteristics_are_read_when_the_device_was_heard_and_again_when_they_are_due() -> None:
    radio = Script((ADDRESS, Advertisement(name="cover")))
    radio.values = {CHARACTERISTICS["battery_level"].uuid: b"\x58", CHARACTERISTICS["model_number"].uuid: b"CC-1\0"}
    profile = profile_of("gatt.battery_level", "gatt.model_number", "gatt.humidity")
    inlet, driver = peers.Notebook(), driver_of(profile, radio)
    async with peers.running(driver, inlet):
        await peers.eventually(lambda: inlet.heard)
        await peers.eventually(lambda: radio.turns > 4)
    assert radio.calls == 1
    (heard,) = inlet.heard
    assert heard.decoded.values == {"gatt_battery_level": 88, "gatt_model_number": "CC-1", "gatt_humidity": None}
    assert heard.decoded.flaws["gatt_humidity"].reason is Reason.MISSING


async def test_a_device_that_was_not_heard_is_not_called_unless_listening_is_passive() -> None:
    radio, inlet = Script(), peers.Notebook()
    radio.values = {CHARACTERISTICS["battery_level"].uuid: b"\x58"}
    async with peers.running(driver_of(profile_of("gatt.battery_level"), radio), inlet):
        await peers.eventually(lambda: radio.turns > 3)
    assert radio.calls == 0
    options = BleOptions(scan_s=0.02, every_s=0.04, passive=True)
    async with peers.running(driver_of(profile_of("gatt.battery_level"), radio, options), inlet):
        await peers.eventually(lambda: inlet.heard)


# The maintenance door


def command(action: str = "latch", **args: float | str) -> Command:
    return Command(id="k1", gateway="gw", device="s1", action=action, args=args, actor="op", counter=1, issued_ns=1, ttl_s=60)


def answering(result: int, *, value: int | None = None, serial: int = 0) -> Callable[[Frame], bytes]:
    def answer(frame: Frame) -> bytes:
        order = parse_order(frame)
        told = Answer(code=order.code, result=result, value=order.argument if value is None else value)
        return encode_answer(frame.serial + serial, told)

    return answer


@pytest.mark.parametrize(
    ("answer", "outcome", "reason"),
    [
        pytest.param(answering(Result.DONE), Outcome.DONE, None, id="the device holds what it was told"),
        pytest.param(answering(Result.DONE, value=3), Outcome.FAILED, Reason.CONFLICT, id="the device holds something else"),
        pytest.param(answering(Result.UNKNOWN_ORDER), Outcome.REFUSED, Reason.UNKNOWN_COMMAND, id="the device does not know it"),
        pytest.param(answering(Result.OUT_OF_RANGE), Outcome.REFUSED, Reason.OUT_OF_RANGE, id="the device does not go so far"),
        pytest.param(answering(Result.NOT_NOW), Outcome.REFUSED, Reason.NOT_ALLOWED, id="the device does not do it now"),
        pytest.param(answering(99), Outcome.FAILED, Reason.DEVICE_EXCEPTION, id="the device has a word of its own"),
        pytest.param(lambda _: b"", Outcome.UNKNOWN, Reason.TIMEOUT, id="no answer: it may have been done"),
        pytest.param(answering(Result.DONE, serial=1), Outcome.UNKNOWN, Reason.TIMEOUT, id="the answer to another order"),
        pytest.param(lambda _: b"\xc7\x00\x02noise", Outcome.UNKNOWN, Reason.TIMEOUT, id="an answer that cannot be read"),
    ],
)
async def test_an_order_ends_by_what_the_door_says(answer: Callable[[Frame], bytes], outcome: Outcome, reason: object) -> None:
    radio = Script()
    radio.answer = answer
    result = await driver_of(profile_of("bthome.door"), radio).command(command(angle=45), DEVICE)
    assert (result.outcome, result.reason) == (outcome, reason)
    (order,) = [parse_order(frame) for frame in DoorFramer().feed(b"".join(radio.written)) if isinstance(frame, Frame)]
    assert (order.code, order.argument) == (7, 90)  # steps of half a degree


async def test_an_order_that_cannot_reach_the_device_failed_and_was_not_tried_twice() -> None:
    radio, profile = Script(), profile_of("bthome.door")
    driver = driver_of(profile, radio)
    radio.fault = TimeoutError("nobody there")
    assert (await driver.command(command(angle=1), DEVICE)).outcome is Outcome.FAILED
    radio.fault = OSError("no Bluetooth adapter")
    result = await driver.command(command(angle=1), DEVICE)
    assert (result.outcome, result.reason, result.detail) == (Outcome.FAILED, Reason.UNREACHABLE, "no Bluetooth adapter")
    radio.fault, radio.has_uart = None, False
    assert (await driver.command(command(angle=1), DEVICE)).reason is Reason.NOT_ALLOWED
    assert (radio.calls, radio.written) == (3, [])
    assert (await driver.command(command(angle=91), DEVICE)).reason is Reason.OUT_OF_RANGE
    assert (await driver.command(command("dance"), DEVICE)).reason is Reason.UNKNOWN_COMMAND
    closed = driver_of(profile_of("bthome.door", uart=False), radio)
    assert (await closed.command(command(angle=1), DEVICE)).reason is Reason.UNKNOWN_COMMAND


# Simulated sensors


async def test_a_simulated_cabinet_is_heard_opened_obeys_and_comes_back_after_the_adapter_does() -> None:
    profile, clock = CATALOG["cabinet_sensor_ble"], SystemClock()
    spec = DeviceSpec(
        id="s1",
        kind=Kind.LAMP_CABINET,
        profile=profile.name,
        address=ADDRESS,
        link="x",
        longitude=120.6,
        latitude=31.3,
        interval_s=3600,
    )
    sensor = BleSensor(spec, profile, Surroundings(clock=clock, seed=1, born_ns=clock.wall_ns()))
    air, inlet = BleAir([sensor]), peers.Notebook()
    driver = driver_of(profile, air, BleOptions(scan_s=0.1, every_s=0.1))
    async with peers.running(driver, inlet):
        await peers.eventually(lambda: inlet.heard)
        sensor.act("open_door", {}, clock.wall_ns())
        await peers.eventually(lambda: inlet.heard[-1].decoded.values["door_open"] is True)
        result = await driver.command(command("blink", seconds=30), DEVICE)
        sensor.act("misbehave", {"how": How.CUT}, clock.wall_ns())
        await peers.eventually(lambda: Reason.TRUNCATED in inlet.reasons("s1"))
        air.plugged = False
        await peers.eventually(lambda: driver.health().detail == "no Bluetooth adapter: none is plugged in")
        assert not driver.health().up
    assert result.outcome is Outcome.DONE
    assert inlet.heard[0].decoded.values.keys() == profile.metrics.keys()
    assert Reason.UNREACHABLE in inlet.reasons("cabinets")


# No adapter


async def test_without_an_adapter_the_link_says_so_and_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """bleak itself, on a machine whose D-Bus is nowhere."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus")
    profile = profile_of("bthome.temperature")
    driver = make_driver(link(profile), {profile.name: profile}, SystemClock())
    inlet = peers.Notebook()
    async with peers.running(driver, inlet):
        await peers.eventually(lambda: inlet.refused)
        await asyncio.sleep(0.1)
        assert not driver.health().up
        assert driver.health().detail.startswith("no Bluetooth adapter: no D-Bus")
        result = await driver.command(command(angle=1), DEVICE)
    assert [why for _, why, _, _ in inlet.refused] == [Reason.UNREACHABLE]  # looked once, and rests
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.UNREACHABLE)


async def test_bleak_is_a_radio_passive_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus")
    with pytest.raises(OSError, match="no Bluetooth adapter"):
        await BleakRadio("hci7", passive=True).listen(0.1, lambda *_: None)


def test_what_a_profile_asks_for_and_nobody_knows_is_told() -> None:
    profile = profile_of("bthome.mood")
    with pytest.raises(SetupError, match=r"bthome\.mood"):
        driver_of(profile, Script())
