"""Commands for devices that sleep wait beside the others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from edge_agent.commands import CommandRoom, Patient
from edge_agent.config import DeviceConfig
from edge_agent.drivers import Driver
from edge_agent.drivers.lwm2m.driver import Lwm2mDriver
from telemetry.clock import SystemClock
from telemetry.reason import Reason
from telemetry.records import Command, CommandResult, Outcome

CLOCK = SystemClock()


class Books:
    """What a command room needs of an outbox and a desk."""

    def __init__(self) -> None:
        self.clock = CLOCK
        self.results: list[CommandResult] = []
        self.refused: list[Reason] = []
        self.counter = 0

    async def advance_counter(self, counter: int) -> bool:
        new, self.counter = counter > self.counter, max(counter, self.counter)
        return new

    def device(self, name: str) -> DeviceConfig:
        return DeviceConfig(id=name, profile="p", address=name)

    def refuse(self, source: str, reason: Reason, detail: str) -> None:
        self.refused.append(reason)

    async def record(self, device: str, result: CommandResult) -> None:
        self.results.append(result)


class Sleeper:
    """A driver whose devices answer when they are woken."""

    patient = True

    def __init__(self) -> None:
        self.awake = asyncio.Event()

    async def command(self, command: Command, device: DeviceConfig) -> CommandResult:
        await self.awake.wait()
        return CommandResult(id=command.id, device=device.id, outcome=Outcome.DONE, time_ns=CLOCK.wall_ns())


class Prompt:
    """A driver that answers at once."""

    async def command(self, command: Command, device: DeviceConfig) -> CommandResult:
        return CommandResult(id=command.id, device=device.id, outcome=Outcome.DONE, time_ns=CLOCK.wall_ns())


def order(number: int, device: str, ttl_s: int = 60) -> Command:
    now_ns = CLOCK.wall_ns()
    return Command(
        id=f"c{number}",
        gateway="gw",
        device=device,
        action="do",
        args={},
        issued_ns=now_ns,
        ttl_s=ttl_s,
        counter=number,
        actor="test",
    )


@asynccontextmanager
async def room(books: Books, drivers: dict[str, Any]) -> AsyncIterator[CommandRoom]:
    commands = CommandRoom(
        "gw",
        cast("Any", books),
        cast("Any", books),
        cast("dict[str, Driver]", drivers),
        updates=cast("Any", None),
        packages=Path(),
    )
    task = asyncio.ensure_future(commands.run())
    try:
        yield commands
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(books: Books, count: int) -> None:
    async with asyncio.timeout(5):
        while len(books.results) < count:  # noqa: ASYNC110 (a test watches from outside)
            await asyncio.sleep(0.005)


async def test_a_command_for_a_sleeping_device_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.commands._LINES", 1)
    books, sleeper = Books(), Sleeper()
    async with room(books, {"cover": sleeper, "lamp": Prompt()}) as commands:
        commands.take(order(1, "cover"))
        commands.take(order(2, "lamp"))
        await until(books, 1)
        assert books.results[0].id == "c2"
        sleeper.awake.set()
        await until(books, 2)
    assert [(each.id, each.outcome) for each in books.results] == [("c2", Outcome.DONE), ("c1", Outcome.DONE)]


async def test_the_commands_that_wait_for_sleepers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.commands._CAPACITY", 2)
    books, sleeper = Books(), Sleeper()
    async with room(books, {"cover": sleeper}) as commands:
        for number in (1, 2, 3):
            commands.take(order(number, "cover"))
            await asyncio.sleep(0.05)
        assert [(each.id, each.reason) for each in books.results] == [("c3", Reason.QUEUE_FULL)]
        sleeper.awake.set()
        await until(books, 3)


async def test_a_driver_that_never_answers_is_given_up_after_the_command_is_not_good_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edge_agent.commands._ACT_S", 0.05)
    monkeypatch.setattr("edge_agent.commands._GRACE_S", 0.05)
    books = Books()
    async with room(books, {"cover": Sleeper()}) as commands:
        commands.take(order(1, "cover", ttl_s=1))
        await until(books, 1)
    assert (books.results[0].outcome, books.results[0].reason) == (Outcome.UNKNOWN, Reason.TIMEOUT)


def test_the_driver_of_sleeping_devices_is_patient() -> None:
    assert isinstance(Lwm2mDriver.__new__(Lwm2mDriver), Patient)
    assert not isinstance(Prompt(), Patient)
