"""Orders from the book to the broker and back: once, in time, in order, and never more certain than anybody can be."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.commands.book import APPROVAL_S, GRACE_S, MOST_IN_A_MINUTE, Wanted, approve, ask, held, settle
from cloud.commands.offers import CommandError, arguments_of, checked, preview
from cloud.commands.sender import CommandSender
from cloud.commands.states import FINAL, OPEN, TABLE, CommandEvent, CommandState
from cloud.feed import Feed
from cloud.relational.engine import writing
from cloud.relational.tables import commands, gateways
from device_profiles.shelf import load_catalog
from edge_agent.commands import CommandRoom
from edge_agent.config import DeviceConfig
from edge_agent.drivers import Driver
from telemetry.clock import SECOND_NS, ManualClock
from telemetry.reason import Reason
from telemetry.records import Command, CommandResult, Outcome, Value
from telemetry.wire import decode_command

T0 = 1_763_647_200 * SECOND_NS
CATALOG = load_catalog()


def never(data: bytes, limit: int) -> bytes:
    raise AssertionError(f"{len(data)} of {limit} bytes: nobody compressed this")


class Broker:
    """Takes what is published; `fault` is raised instead of the broker's word, after it has the message."""

    def __init__(self) -> None:
        self.heard: list[Command] = []
        self.fault: BaseException | None = None

    async def publish(self, topic: str, payload: bytes) -> None:
        command = decode_command(payload, never)
        assert topic == f"gw/{command.gateway}/down/command"
        self.heard.append(command)
        if self.fault is not None:
            raise self.fault


class City:
    """A store with a gateway, the sender beside it, and a clock that is set by hand."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine, self.clock, self.feed, self.broker = engine, ManualClock(T0), Feed(), Broker()
        self.sender = self.new_sender()

    def new_sender(self) -> CommandSender:
        return CommandSender(self.engine, self.clock, self.feed, self.broker.publish)

    async def gateway(self, *, online: bool = True, hello_ns: int = 1) -> None:
        row = {"first_seen_ns": 1, "last_seen_ns": 1, "online": online, "hello_ns": hello_ns}
        async with writing(self.engine) as conn:
            changed = await conn.execute(update(gateways).where(gateways.c.id == "gw-1").values(**row))
            if not changed.rowcount:
                await conn.execute(gateways.insert().values(id="gw-1", **row))

    async def ask(self, **fields: Any) -> str:
        usual: dict[str, Any] = {
            "device": "lamp-1", "gateway": "gw-1", "command": "set_dimming", "arguments": {"level": 40}, "dangerous": False,
            "actor": "li.wei", "role": "shift_lead", "note": "", "key": "", "ttl_s": 60,
        }  # fmt: skip
        async with writing(self.engine) as conn:
            return str((await ask(conn, Wanted(**{**usual, **fields}), self.clock.wall_ns()))["id"])

    async def row(self, name: str) -> Mapping[str, Any]:
        async with writing(self.engine) as conn:
            return await held(conn, name)

    async def state(self, name: str) -> str:
        return str((await self.row(name))["state"])

    async def tell(self, name: str, outcome: Outcome, reason: Reason | None = None, device: str = "lamp-1") -> int:
        now_ns = self.clock.wall_ns()
        result = CommandResult(id=name, device=device, outcome=outcome, time_ns=now_ns, reason=reason, detail="said so")
        async with writing(self.engine) as conn:
            return len(await settle(conn, [result]))


@pytest.fixture
async def city(cloud_engine: AsyncEngine) -> City:
    city = City(cloud_engine)
    await city.gateway()
    return city


def test_every_state_is_reached_and_only_what_is_over_is_not_left() -> None:
    assert set(TABLE.values()) == set(CommandState) - {CommandState.AWAITING_APPROVAL}
    assert {state for state, _ in TABLE} == OPEN | {CommandState.UNKNOWN}
    assert {event for _, event in TABLE} == set(CommandEvent)
    assert CommandState.UNKNOWN in FINAL


async def test_an_order_goes_out_at_once_and_its_end_is_kept(city: City) -> None:
    name = await city.ask()
    assert await city.state(name) == "queued"
    assert await city.sender.turn() == 1
    [sent] = city.broker.heard
    assert (sent.id, sent.device, sent.action, sent.args, sent.actor) == (name, "lamp-1", "set_dimming", {"level": 40}, "li.wei")
    assert (sent.issued_ns, sent.ttl_s) == (T0, 60)
    assert await city.state(name) == "acked"
    city.clock.advance(2)
    assert await city.tell(name, Outcome.DONE) == 1
    row = await city.row(name)
    assert (row["state"], row["outcome"], row["detail"]) == ("done", "done", "said so")
    assert (row["sent_ns"], row["acked_ns"], row["finished_ns"]) == (T0, T0, T0 + 2 * SECOND_NS)
    assert await city.tell(name, Outcome.FAILED) == 0, "an end is an end"
    assert await city.sender.turn() == 0


async def test_an_order_waits_for_its_gateway_and_is_never_sent_after_its_time(city: City) -> None:
    await city.gateway(online=False)
    late, early = await city.ask(ttl_s=600), await city.ask(ttl_s=30)
    assert await city.sender.turn() == 0
    city.clock.advance(30)
    await city.sender.turn()
    assert (await city.state(early), await city.state(late)) == ("expired", "queued")
    assert (await city.row(early))["detail"].endswith("it was never sent")
    await city.gateway(hello_ns=2)
    await city.sender.turn()
    assert [command.id for command in city.broker.heard] == [late]


async def test_what_was_sent_before_a_connection_broke_is_sent_again_first_and_under_its_number(city: City) -> None:
    first = await city.ask()
    city.clock.advance(1)
    second = await city.ask()
    await city.sender.turn()
    third = await city.ask()
    await city.gateway(hello_ns=2)
    await city.sender.turn()
    assert [command.id for command in city.broker.heard] == [first, second, first, second, third]
    counters = [command.counter for command in city.broker.heard]
    assert counters[:2] == counters[2:4] == sorted(counters[:2])
    assert counters[4] > counters[1]
    assert await city.sender.turn() == 0, "once a connection"


async def test_an_order_that_the_broker_did_not_confirm_goes_again(city: City) -> None:
    name = await city.ask()
    city.broker.fault = ConnectionError("gone")
    assert await city.sender.turn() == 0
    assert await city.state(name) == "sent"
    city.broker.fault = None
    assert await city.sender.turn() == 0, "not at once"
    city.clock.advance(10)
    assert await city.sender.turn() == 1
    assert await city.state(name) == "acked"
    assert len({command.counter for command in city.broker.heard}) == 1


async def test_an_order_whose_result_never_comes_is_unknown_until_a_late_word_tells(city: City) -> None:
    name = await city.ask()
    await city.sender.turn()
    city.clock.advance(60 + GRACE_S - 1)
    await city.sender.turn()
    assert await city.state(name) == "acked"
    city.clock.advance(1)
    await city.sender.turn()
    row = await city.row(name)
    assert (row["state"], row["outcome"]) == ("unknown", "unknown")
    await city.tell(name, Outcome.DONE)
    assert await city.state(name) == "done"


@pytest.mark.parametrize(
    ("outcome", "reason", "state"),
    [
        (Outcome.REFUSED, Reason.OUT_OF_RANGE, "refused"),
        (Outcome.FAILED, Reason.CONFLICT, "failed"),
        (Outcome.EXPIRED, Reason.EXPIRED, "expired"),
        (Outcome.UNKNOWN, Reason.TIMEOUT, "unknown"),
        pytest.param(
            Outcome.REFUSED, Reason.DUPLICATE, "unknown", id="a gateway that has had it before knows no more than we do"
        ),
    ],
)
async def test_how_an_order_ended_is_what_its_gateway_says(city: City, outcome: Outcome, reason: Reason, state: str) -> None:
    name = await city.ask()
    await city.sender.turn()
    await city.tell(name, outcome, reason)
    assert await city.state(name) == state


async def test_a_result_of_another_device_or_of_nobodys_order_changes_nothing(city: City) -> None:
    name = await city.ask()
    await city.sender.turn()
    assert await city.tell(name, Outcome.DONE, device="lamp-2") == 0
    assert await city.tell("nobody", Outcome.DONE) == 0
    assert await city.state(name) == "acked"


async def test_a_dangerous_order_wants_a_second_person_within_a_quarter_of_an_hour(city: City) -> None:
    name, forgotten = await city.ask(dangerous=True), await city.ask(dangerous=True)
    assert await city.sender.turn() == 0
    async with writing(city.engine) as conn:
        with pytest.raises(CommandError, match="want a second person") as alone:
            await approve(conn, name, "Li.Wei", T0)
    assert alone.value.reason is Reason.NOT_ALLOWED
    city.clock.advance(APPROVAL_S - 1)
    async with writing(city.engine) as conn:
        row = await approve(conn, name, "wang.fang", city.clock.wall_ns())
    assert (row["approved_by"], row["expires_ns"]) == ("wang.fang", city.clock.wall_ns() + 60 * SECOND_NS)
    city.clock.advance(1)
    await city.sender.turn()
    assert [(command.id, command.issued_ns) for command in city.broker.heard] == [(name, T0 + (APPROVAL_S - 1) * SECOND_NS)]
    assert await city.state(forgotten) == "expired"
    async with writing(city.engine) as conn:
        with pytest.raises(CommandError, match="is expired"):
            await approve(conn, forgotten, "wang.fang", city.clock.wall_ns())


async def test_the_same_key_is_the_same_order_and_no_other(city: City) -> None:
    name = await city.ask(key="k1")
    assert await city.ask(key="k1") == name
    assert await city.ask(key="k1", device="lamp-2") != name
    with pytest.raises(CommandError, match="was another order's"):
        await city.ask(key="k1", arguments={"level": 41})


async def test_a_device_takes_so_many_orders_a_minute(city: City) -> None:
    for _ in range(MOST_IN_A_MINUTE):
        await city.ask()
    with pytest.raises(CommandError) as often:
        await city.ask()
    assert often.value.reason is Reason.TOO_OFTEN
    await city.ask(device="lamp-2")
    city.clock.advance(60)
    await city.ask()


async def test_numbers_grow_also_over_a_store_that_forgot_some(city: City) -> None:
    await city.ask()
    await city.sender.turn()
    async with writing(city.engine) as conn:
        await conn.execute(commands.delete())
    city.clock.advance(1)
    await city.ask()
    await city.sender.turn()
    first, second = (command.counter for command in city.broker.heard)
    assert second > first


class Lamp:
    """A driver that counts what it did."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock, self.levels = clock, list[Value]()

    async def command(self, command: Command, device: DeviceConfig) -> CommandResult:
        self.levels.append(command.args["level"])
        return CommandResult(id=command.id, device=device.id, outcome=Outcome.DONE, time_ns=self.clock.wall_ns())


class Disk:
    """What a gateway's command room keeps and says."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock, self.counter, self.results = clock, 0, list[CommandResult]()

    async def advance_counter(self, counter: int) -> bool:
        new, self.counter = counter > self.counter, max(counter, self.counter)
        return new

    def device(self, name: str) -> DeviceConfig:
        return DeviceConfig(id=name, profile="lamp_loop", address="1")

    def refuse(self, source: str, reason: Reason, detail: str) -> None:
        assert reason is Reason.DUPLICATE, (source, detail)

    async def record(self, device: str, result: CommandResult) -> None:
        assert device == "lamp-1"
        self.results.append(result)


async def _carried_out(disk: Disk, lamp: Lamp, heard: list[Command]) -> None:
    """A gateway's life in which it hears these orders."""
    books, drivers = cast("Any", disk), cast("dict[str, Driver]", {"lamp-1": lamp})
    room = CommandRoom("gw-1", books, books, drivers, updates=cast("Any", None), packages=Path())
    task = asyncio.ensure_future(room.run())
    for command in heard:
        room.take(command)
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize("restarted", [False, True], ids=["a gateway that runs on", "a gateway that was restarted, too"])
async def test_a_cloud_that_dies_between_publishing_and_its_commit_makes_nothing_happen_twice(
    city: City, restarted: bool
) -> None:
    name = await city.ask()
    city.broker.fault = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        await city.sender.turn()
    assert await city.state(name) == "sent", "the book knew of it before the broker did"
    city.broker.fault = None
    city.clock.advance(10)
    await city.new_sender().turn()
    heard = city.broker.heard
    assert len(heard) == 2
    disk, lamp = Disk(city.clock), Lamp(city.clock)
    for life in [heard[:1], heard[1:]] if restarted else [heard]:
        await _carried_out(disk, lamp, life)
    assert lamp.levels == [40]
    async with writing(city.engine) as conn:
        await settle(conn, disk.results)
    assert await city.state(name) == "done"


async def test_the_feed_tells_of_each_step(city: City) -> None:
    name = await city.ask()
    await city.sender.turn()
    told = city.feed.subscribe(after=0)
    news = [await anext(told), await anext(told)]
    assert [(item.kind, item.data["id"], item.data["state"]) for item in news] == [
        ("command", name, "sent"),
        ("command", name, "acked"),
    ]


def test_what_an_order_must_say_is_what_its_profile_says() -> None:
    lamp, truck = CATALOG["lamp_loop"], CATALOG["vehicle_muck_truck"]
    [level] = arguments_of(lamp.commands["set_dimming"], lamp)
    assert (level.name, level.low, level.high, level.unit, level.required) == ("level", 0, 100, "%", True)
    needed = {each.name: each.required for each in arguments_of(truck.commands["track"], truck)}
    assert needed == {"interval_s": True, "valid_s": False}
    assert all(checked(spec, lamp, {spec.argument: spec.low}) for spec in lamp.commands.values())
    assert lamp.commands["switch_loop_1"].dangerous
    assert not lamp.commands["set_dimming"].dangerous


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({}, "without 'level'"),
        ({"level": 101}, "want a number from 0 to 100 %"),
        ({"level": "40"}, "want a number"),
        ({"level": float("nan")}, "want a number"),
        ({"level": 40, "speed": 1}, "takes no 'speed'; want level"),
    ],
)
def test_an_order_that_says_something_else_is_told_what_is_wanted(said: dict[str, Value], why: str) -> None:
    lamp = CATALOG["lamp_loop"]
    with pytest.raises(CommandError, match=why):
        checked(lamp.commands["set_dimming"], lamp, said)


def test_a_preview_is_the_message_as_the_standard_has_it() -> None:
    lamp, truck = CATALOG["lamp_loop"], CATALOG["vehicle_muck_truck"]
    # MODBUS Application Protocol V1.1b3, clause 6.6: 06, address, value.
    assert preview(lamp.commands["set_dimming"], {"level": 40}).payload == bytes.fromhex("06 0000 0028")
    # JT/T 808-2013, clause 8.24: interval (2), how long (4).
    assert preview(truck.commands["track"], {"interval_s": 5, "valid_s": 300}).payload == bytes.fromhex("0005 0000012c")
