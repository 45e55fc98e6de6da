"""The room of updates: the cloud's command, at most four at once, and what it does when the agent ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from edge_agent_updates_world import KEY, STRANGER, World, package_of

from edge_agent.commands import CommandRoom
from edge_agent.config import DeviceConfig
from edge_agent.drivers import Driver
from edge_agent.drivers.modbus.reply import Failure
from edge_agent.updates.base import SilentError
from edge_agent.updates.room import ACTION, MOST_BYTES, Load, Place, TurnedDownError, UpdateRoom, stored
from firmware_bridge.update.package import Package
from firmware_bridge.update.records import bytes_of, words_of
from telemetry.clock import SystemClock
from telemetry.reason import Reason
from telemetry.records import Command, CommandResult, Outcome, Value

CLOCK = SystemClock()
NEW = package_of(4)


class Bus:
    """A line with one unit, whose files are those of a simulated bootloader; while `open` is clear it does not answer."""

    def __init__(self) -> None:
        self.world = World("records")
        self.open = asyncio.Event()
        self.open.set()
        self.fault: Exception | None = None

    async def read_file(self, _unit: int, file: int, record: int, length: int) -> bytes | Failure:
        await self.open.wait()
        if self.fault is not None:
            raise self.fault
        return bytes_of(self.world.contact(lambda: self.world.records.read(file, record, length)))

    async def write_file(self, _unit: int, file: int, record: int, data: bytes) -> Failure | None:
        await self.open.wait()
        try:
            self.world.contact(lambda: self.world.records.write(file, record, words_of(data)))
        except SilentError as silence:
            return Failure(reason=silence.reason, detail=silence.detail)
        return None


class Books:
    """What the rooms need of an outbox and a desk."""

    clock = CLOCK

    def __init__(self) -> None:
        self.results: list[CommandResult] = []
        self.full = False

    async def advance_counter(self, _counter: int) -> bool:
        return True

    def device(self, name: str) -> None:
        raise AssertionError(name)

    def refuse(self, source: str, reason: Reason, detail: str) -> None: ...

    async def record(self, _device: str, result: CommandResult) -> None:
        if self.full:
            await asyncio.Event().wait()
        self.results.append(result)


class Rooms:
    """A room of updates and one of commands, over `count` lines with a device each: lamp-0, lamp-1, ..."""

    def __init__(self, folder: Path, count: int) -> None:
        self.books = Books()
        self.buses = [Bus() for _ in range(count)]
        (folder / "key.pub").write_bytes(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        places = {f"lamp-{number}": _place(number, bus) for number, bus in enumerate(self.buses)}
        self.updates = UpdateRoom(places, folder / "key.pub", self.books.record, CLOCK)
        books = cast("Any", self.books)
        self.commands = CommandRoom("gw", books, books, {}, updates=self.updates, packages=folder / "firmware")
        self._number = 0

    def order(self, device: str, **args: Value) -> str:
        """The cloud's command `update_firmware`; its id."""
        self._number += 1
        name = f"c{self._number}"
        self.commands.take(
            Command(
                id=name,
                gateway="gw",
                device=device,
                action=ACTION,
                args=args,
                issued_ns=CLOCK.wall_ns(),
                ttl_s=60,
                counter=self._number,
                actor="test",
            )
        )
        return name


def _place(number: int, bus: Bus) -> Place:
    device = DeviceConfig(id=f"lamp-{number}", profile="lamp_loop", address="1")
    return Place(device=device, link=f"line-{number}", language="modbus_rtu", driver=cast("Driver", bus))


@asynccontextmanager
async def rooms(folder: Path, count: int = 1) -> AsyncIterator[Rooms]:
    made = Rooms(folder, count)
    tasks = [asyncio.ensure_future(made.updates.run()), asyncio.ensure_future(made.commands.run())]
    await asyncio.sleep(0)
    try:
        yield made
    finally:
        for task in tasks:
            task.cancel()
        async with asyncio.timeout(5):
            await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)


async def until(made: Rooms, count: int) -> CommandResult:
    async with asyncio.timeout(10):
        while len(made.books.results) < count:  # noqa: ASYNC110 (a test watches from outside)
            await asyncio.sleep(0.005)
    return made.books.results[-1]


def bringing(package: Package) -> Load:
    async def load() -> bytes:
        return package.whole

    return load


def lay(folder: Path, package: Package) -> None:
    (folder / "firmware").mkdir(exist_ok=True)
    (folder / "firmware" / "new.cnfw").write_bytes(package.whole)


async def test_the_clouds_command_is_answered_when_the_update_ends_and_not_before(tmp_path: Path) -> None:
    lay(tmp_path, NEW)
    async with rooms(tmp_path) as made:
        made.buses[0].open.clear()
        name = made.order("lamp-0", package="new.cnfw")
        async with asyncio.timeout(5):
            while not made.updates.status():  # noqa: ASYNC110 (as above)
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        assert not made.books.results
        made.buses[0].open.set()
        result = await until(made, 1)
    assert (result.id, result.outcome, result.reason) == (name, Outcome.DONE, None)
    assert "release 4.0, version 4: done" in result.detail
    assert made.buses[0].world.device.running == NEW.manifest


@pytest.mark.parametrize(
    ("args", "device", "reason"),
    [
        pytest.param({"package": "none.cnfw"}, "lamp-0", Reason.NOT_FOUND, id="a file that is not there"),
        pytest.param({"package": "../key.pub"}, "lamp-0", Reason.BAD_FIELD, id="a file of another folder"),
        pytest.param({"package": ".."}, "lamp-0", Reason.NOT_FOUND, id="the folder above"),
        pytest.param({"package": "x" * 1000}, "lamp-0", Reason.NOT_FOUND, id="a name that no folder can hold"),
        pytest.param({}, "lamp-0", Reason.BAD_FIELD, id="no file"),
        pytest.param({"package": "new.cnfw"}, "lamp-0", Reason.NOT_AUTHENTICATED, id="a stranger's package"),
        pytest.param({"package": "new.cnfw"}, "lamp-7", Reason.UNKNOWN_DEVICE, id="a device that is not here"),
    ],
)
async def test_a_command_that_cannot_begin_is_refused_at_once(
    tmp_path: Path, args: dict[str, Value], device: str, reason: Reason
) -> None:
    lay(tmp_path, package_of(4, key=STRANGER))
    async with rooms(tmp_path) as made:
        made.order(device, **args)
        result = await until(made, 1)
        assert (result.outcome, result.reason) == (Outcome.REFUSED, reason)
        await made.updates.start("lamp-0", bringing(NEW))  # and its line is free for the next
        assert (await until(made, 2)).outcome is Outcome.DONE


async def test_four_are_updated_at_once_and_a_fifth_is_not(tmp_path: Path) -> None:
    async with rooms(tmp_path, 5) as made:
        for bus in made.buses:
            bus.open.clear()
        for number in range(4):
            await made.updates.start(f"lamp-{number}", bringing(NEW))
        with pytest.raises(TurnedDownError) as turned:
            await made.updates.start("lamp-4", bringing(NEW))
        assert turned.value.reason is Reason.QUEUE_FULL
        with pytest.raises(TurnedDownError) as turned:
            await made.updates.start("lamp-0", bringing(NEW))
        assert turned.value.reason is Reason.CONFLICT
        made.buses[0].open.set()
        await until(made, 1)
        await made.updates.start("lamp-4", bringing(NEW))


async def test_two_who_ask_at_the_same_moment_get_one_update(tmp_path: Path) -> None:
    async with rooms(tmp_path) as made:
        first, second = await asyncio.gather(
            made.updates.start("lamp-0", bringing(NEW)), made.updates.start("lamp-0", bringing(NEW)), return_exceptions=True
        )
        assert not isinstance(first, BaseException)
        assert isinstance(second, TurnedDownError)
        assert second.reason is Reason.CONFLICT
        assert (await until(made, 1)).outcome is Outcome.DONE


async def test_a_device_that_refuses_has_failed_the_command(tmp_path: Path) -> None:
    lay(tmp_path, package_of(2))
    async with rooms(tmp_path) as made:
        made.order("lamp-0", package="new.cnfw")
        result = await until(made, 1)
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.EXPIRED)


@pytest.mark.parametrize("full", [False, True], ids=["the outbox has room", "the outbox is full"])
async def test_the_agents_end_ends_an_update_and_says_so_where_there_is_room(tmp_path: Path, *, full: bool) -> None:
    lay(tmp_path, NEW)
    async with rooms(tmp_path) as made:
        made.books.full = full
        made.buses[0].open.clear()
        update = await made.updates.start("lamp-0", bringing(NEW), "c1")
        assert update.outcome is Outcome.UNKNOWN
    assert update.ending is not None
    assert update.ending.reason is Reason.INTERRUPTED
    assert [(each.id, each.outcome) for each in made.books.results] == ([] if full else [("c1", Outcome.UNKNOWN)])
    with pytest.raises(TurnedDownError):
        await made.updates.start("lamp-0", bringing(NEW))


async def test_a_fault_in_a_driver_ends_its_update_and_no_other(tmp_path: Path) -> None:
    async with rooms(tmp_path, 2) as made:
        made.buses[0].fault = RuntimeError("a fault in the driver")
        await made.updates.start("lamp-0", bringing(NEW))
        result = await until(made, 1)
        assert (result.outcome, result.reason) == (Outcome.UNKNOWN, Reason.INTERNAL)
        await made.updates.start("lamp-1", bringing(NEW))
        assert (await until(made, 2)).outcome is Outcome.DONE


async def test_a_package_without_end_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "big").open("wb") as file:
        file.truncate(1 << 40)
    async with rooms(tmp_path) as made:
        with pytest.raises(TurnedDownError) as turned:
            await made.updates.start("lamp-0", stored(tmp_path, "big"))
    assert turned.value.reason is Reason.OVERSIZED
    assert str(MOST_BYTES) in turned.value.detail
