"""Simulated sweepers, garbage trucks and muck trucks against the agent's own listener: two halves written apart, over TCP."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from device_profiles.shelf import load_catalog
from edge_agent.backoff import Backoff
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers.jt808.driver import Jt808Driver
from edge_agent.drivers.jt808.session import SessionLimits
from edge_agent.heard import Heard, Verdict
from edge_agent.link_kinds import DriverName, Jt808Options
from edge_agent.updates.base import SilentError
from edge_agent.updates.jt808 import TerminalUpdate
from edge_agent.updates.runner import run_update
from firmware_bridge.jt808.fences import Fence, circle_body, delete_body, polygon_body, rectangle_body, route_body
from firmware_bridge.update.manifest import Manifest, digest_of
from firmware_bridge.update.package import Package, sign_package
from firmware_bridge.update.table import State
from simulators.actions import ACTIONS
from simulators.deeds import Kind
from simulators.devices.base import Surroundings
from simulators.devices.firmware.bootloader import Bootloader
from simulators.devices.firmware.faces import Terminal
from simulators.devices.vehicle.fences import Crossing, Fences
from simulators.devices.vehicle.orders import Installed
from simulators.devices.vehicle.vehicle import Vehicle
from simulators.scenario import DeviceSpec
from simulators.ways import Form
from telemetry.clock import SystemClock
from telemetry.reason import Reason
from telemetry.records import Command, CommandResult, Outcome, Value

CATALOG = load_catalog()
CLOCK = SystemClock()
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PHONE = "013812350021"
KINDS = {
    Kind.SWEEPER: "vehicle_sweeper",
    Kind.GARBAGE_TRUCK: "vehicle_garbage_truck",
    Kind.MUCK_TRUCK: "vehicle_muck_truck",
}


class Notebook:
    """An inlet that writes everything down."""

    clock = CLOCK

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.reasons: list[Reason] = []

    async def accept(self, heard: Heard) -> Verdict:
        self.heard.append(heard)
        return Verdict.COMMITTED

    def refuse(self, source: str, reason: Reason, detail: str, raw: bytes = b"") -> None:
        self.reasons.append(reason)

    def admit(self, device: DeviceConfig) -> None:
        raise AssertionError(device)

    @property
    def last(self) -> dict[str, Value]:
        return self.heard[-1].decoded.values


class Pair:
    """A listener and one vehicle that dials it."""

    def __init__(self, kind: Kind, form: Form, answer_s: float) -> None:
        self.listed = DeviceConfig(id="truck-1", profile=KINDS[kind], address=PHONE)
        link = LinkConfig(name="fleet", driver=DriverName.JT808, devices=(self.listed,), options=Jt808Options(port=0))
        self.driver = Jt808Driver(link, CATALOG, CLOCK, SessionLimits(answer_s=answer_s))
        self.inlet = Notebook()
        spec = DeviceSpec(
            id="truck-1", kind=kind, profile=KINDS[kind], address=PHONE, link="fleet", longitude=120.62, latitude=31.31,
            interval_s=3600, form=form,
        )  # fmt: skip
        around = Surroundings(clock=CLOCK, seed=1, speed=20.0, born_ns=CLOCK.wall_ns())
        self.vehicle = Vehicle(spec, CATALOG[KINDS[kind]], around, lambda: self.driver.ports[0])

    def act(self, do: str, **args: Value) -> None:
        self.vehicle.act(do, args, CLOCK.wall_ns())

    async def tell(self, action: str, **args: Value) -> CommandResult:
        order = Command(
            id="c-1", gateway="g", device="truck-1", action=action, args=args, actor="crew", counter=1, issued_ns=1, ttl_s=60
        )
        return await self.driver.command(order, self.listed)


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(8):
        while not true():  # noqa: ASYNC110  # what is waited for has no event of its own
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def paired(kind: Kind = Kind.MUCK_TRUCK, form: Form = Form.JT808_2013, answer_s: float = 3.0) -> AsyncIterator[Pair]:
    pair = Pair(kind, form, answer_s)
    tasks = [asyncio.create_task(pair.driver.run(pair.inlet))]
    try:
        await until(pair.driver.started.is_set)
        tasks.append(asyncio.create_task(pair.vehicle.run()))
        await until(lambda: pair.vehicle.account.confirmed)
        yield pair
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


@pytest.mark.parametrize("form", [Form.JT808_2013, Form.JT808_2019])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_vehicle_of_each_kind_says_what_it_is_and_what_happens_to_it(kind: Kind, form: Form) -> None:
    async with paired(kind, form) as pair:
        ordinary = pair.inlet.last
        assert {"area_id", "area_left"} <= CATALOG[KINDS[kind]].metrics.keys() - ordinary.keys(), "told on a crossing only"
        assert ordinary.keys() == CATALOG[KINDS[kind]].metrics.keys() - {"area_id", "area_left"}
        assert not pair.inlet.heard[-1].decoded.flaws
        for do, deed in ACTIONS[kind].items():
            heard = len(pair.inlet.heard)
            if not deed.wakes:
                continue
            pair.act(do)
            await until(lambda heard=heard: len(pair.inlet.heard) > heard)
            pinned = {metric: value for metric, value in deed.pins.items() if value is not None}
            assert {metric: pair.inlet.last[metric] for metric in pinned} == pinned, do
    assert not pair.inlet.reasons


@pytest.mark.parametrize("form", [Form.JT808_2013, Form.JT808_2019])
async def test_orders_are_carried_out_and_read_back(form: Form) -> None:
    async with paired(form=form) as pair:
        assert (await pair.tell("say", text="请合上顶盖")).outcome is Outcome.DONE
        assert pair.vehicle.orders.texts == ["请合上顶盖"]
        assert (await pair.tell("set_max_speed", max_speed_kmh=45)).outcome is Outcome.DONE
        assert "max_speed_kmh=45" in (await pair.tell("read_parameters")).detail
        assert "firmware 1.0" in (await pair.tell("read_attributes")).detail
        located = await pair.tell("locate")
        assert located.outcome is Outcome.DONE
        assert located.detail.startswith("31.")
        assert (await pair.tell("lock_doors")).outcome is Outcome.DONE
        assert pair.inlet.last["doors_locked"] is True
        assert (await pair.tell("unlock_doors")).outcome is Outcome.DONE
        assert pair.inlet.last["doors_locked"] is False
        pair.act("speed_up")
        await until(lambda: pair.inlet.last["overspeed"])
        connections = pair.driver.health().connections
        assert (await pair.tell("restart_terminal")).outcome is Outcome.DONE
        await until(lambda: pair.driver.health().connections > connections)
    assert not pair.inlet.reasons


async def test_a_fence_and_a_route_are_kept_and_leaving_them_is_told_once() -> None:
    """The tour is a circle of 700 m around 31.31, 120.62, begun in its north at 20 times 30 km/h: some 167 m a second."""
    async with paired(form=Form.JT808_2019) as pair:
        north = {"latitude": 31.31 + 700 / 111_320, "longitude": 120.62}
        pair.vehicle._route._lap_s = 1e9  # stands in the north
        assert (await pair.tell("set_circle_fence", fence_id=17, radius_m=200, on_enter=False, **north)).outcome is Outcome.DONE
        assert (await pair.tell("set_report_interval", interval_s=5)).outcome is Outcome.DONE
        points = f"{north['latitude']},{north['longitude']};{north['latitude']},{north['longitude'] + 0.001}"
        assert (await pair.tell("set_route", fence_id=5, points=points, width_m=50)).outcome is Outcome.DONE
        pair.act("slow_down")  # reports at once, from now on every 5 s of its own time
        await until(lambda: len(pair.inlet.heard) >= 3)
        assert (pair.inlet.last["area_crossed"], pair.inlet.last["off_route"]) == (False, False)
        pair.vehicle._route._latitude += 0.01  # and is a kilometre further north
        await until(lambda: pair.inlet.last["off_route"])
        crossed = next(heard.decoded.values for heard in pair.inlet.heard if heard.decoded.values["area_crossed"])
        assert (crossed["area_id"], crossed["area_left"]) == (17, True)
        await until(lambda: not pair.inlet.last["area_crossed"])
        assert sum("area_left" in heard.decoded.values for heard in pair.inlet.heard) == 1
        assert (await pair.tell("delete_route")).outcome is Outcome.DONE
        await until(lambda: not pair.inlet.last["off_route"])
        assert len(pair.vehicle.orders.fences) == 1


async def test_firmware_is_taken_packet_by_packet_and_told_after_the_restart() -> None:
    image = bytes(range(251)) * 50
    async with paired(form=Form.JT808_2019) as pair:
        upgrade = pair.driver.upgrade(pair.listed)
        assert await upgrade.send_upgrade(0, "CNSIM", "2.7", image)
        assert await upgrade.upgrade_result() == 0
        await until(lambda: pair.vehicle.account.confirmed)
        assert await upgrade.release() == "2.7"
        assert isinstance(pair.vehicle.orders.firmware, Installed)
        assert b"".join(pair.vehicle.orders.firmware.parts) == image


class CutFirmware(Terminal):
    """A bootloader's terminal whose vehicle drives into a blind area when the packets of `cuts` come."""

    def __init__(self, device: Bootloader, vehicle: Vehicle, cuts: list[int]) -> None:
        super().__init__(device)
        self._vehicle, self._cuts = vehicle, cuts

    def packet(self, number: int, total: int, data: bytes) -> bool:
        if number in self._cuts:
            self._cuts.remove(number)
            self._vehicle.act("outage", {"for_s": 0.5}, CLOCK.wall_ns())
            return False
        return super().packet(number, total, data)


def package_of(version: int) -> Package:
    image = bytes((version * 37 + at * at) % 256 for at in range(6000))
    manifest = Manifest(
        model="vehicle_muck_truck", hardware="B", release=f"{version}.0", version=version, size=len(image),
        sha256=digest_of(image), chunk_bytes=256,
    )  # fmt: skip
    return sign_package(manifest, image, KEY)


async def test_a_signed_update_reaches_the_terminal_though_the_line_is_cut_at_its_first_a_middle_and_its_last_packet() -> None:
    device = Bootloader(KEY.public_key(), package_of(3), room_bytes=8000)
    async with paired(form=Form.JT808_2019) as pair:
        cuts = [1, 4, 7]
        pair.vehicle.orders.firmware = CutFirmware(device, pair.vehicle, cuts)
        update = TerminalUpdate(pair.driver.upgrade(pair.listed, result_s=2.0), package_of(4), "CNSIM")
        async with asyncio.timeout(20):
            ending = await run_update(update, pauses=Backoff(0.1, 0.2))
        assert (ending.state, cuts) == (State.DONE, [])
        older = TerminalUpdate(pair.driver.upgrade(pair.listed, result_s=2.0), package_of(2), "CNSIM")
        async with asyncio.timeout(20):
            assert (await run_update(older, pauses=Backoff(0.1, 0.2))).state is State.REFUSED
    assert device.running.version == 4


async def test_an_order_to_a_terminal_that_answers_late_in_another_name_or_not_at_all_is_unknown() -> None:
    for how in ("silent", "late", "wrong_unit"):
        async with paired(answer_s=0.2) as pair:
            pair.act("misbehave", how=how)
            ended = await pair.tell("say", text="回场")
            assert (ended.outcome, ended.reason) == (Outcome.UNKNOWN, Reason.TIMEOUT), how
            with pytest.raises(SilentError):
                await pair.driver.upgrade(pair.listed).release()


def test_the_fences_of_the_simulation_read_what_the_product_writes() -> None:
    here, there = (31.25, 120.5), (31.35, 120.5)
    for version in (2013, 2019):
        bodies = {
            (0x8600, 0x8601, 1): circle_body(Fence(id=4, max_speed_kmh=30, name="甲"), (31.25, 120.5), 500, version),
            (0x8602, 0x8603, 2): rectangle_body(Fence(id=4, name="乙"), (31.26, 120.49), (31.24, 120.51), version),
            (0x8604, 0x8605, 3): polygon_body(
                Fence(id=4, start="000000060000", end="000000200000", max_speed_kmh=30),
                [(31.24, 120.49), (31.27, 120.49), (31.24, 120.52)],
                version,
            ),
        }
        for (message_id, delete_id, kind), body in bodies.items():
            fences = Fences(version)
            assert fences.tell(message_id, body)
            told = [fences.crossing(at) for at in (here, here, there, there, here)]
            assert told == [None, None, Crossing(kind, 4, True), None, Crossing(kind, 4, False)]
            assert not fences.tell(message_id, body[:9])
            assert fences.tell(delete_id, delete_body([4]))
            assert len(fences) == 0
        fences = Fences(version)
        assert fences.tell(0x8606, route_body(Fence(id=9, max_speed_kmh=30), [(31.25, 120.5), (31.25, 120.6)], 60, version))
        assert [fences.off_route(at) for at in ((31.2503, 120.55), (31.26, 120.55), (31.25, 120.7))] == [False, True, True]
        assert fences.tell(0x8607, delete_body([]))
        assert not fences.off_route(there)


def test_an_area_in_the_south_west_is_in_the_south_west() -> None:
    fences = Fences(2013)
    fences.tell(0x8600, circle_body(Fence(id=1), (-33.45, -70.66), 500, 2013))
    assert [fences.crossing(at) is None for at in ((-33.45, -70.66), (33.45, 70.66))] == [True, False]
