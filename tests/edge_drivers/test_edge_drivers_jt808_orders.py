"""Orders and firmware to vehicle terminals over real TCP: what goes out byte for byte, and what each answer makes of it."""

import asyncio
from collections.abc import Awaitable

import edge_drivers_peers as peers
import pytest
from edge_drivers_terminal import BUS, Terminal, dial, listener, location, result

from device_profiles.model import CommandSpec
from device_profiles.quantities import Text
from device_profiles.wires.jt808_orders import TerminalOrder
from edge_agent.drivers.jt808.driver import Jt808Driver
from edge_agent.drivers.jt808.session import SessionLimits
from edge_agent.updates.base import SilentError
from firmware_bridge.jt808.frames import Frame
from firmware_bridge.jt808.packets import PACKET_BYTES
from telemetry.reason import Reason
from telemetry.records import Command, CommandResult, Outcome, Value

PATIENT, QUICK = SessionLimits(answer_s=5), SessionLimits(answer_s=0.3)


def spec(name: str, order: str, number: int = 0, argument: str = "", low: float = 0, high: float = 0) -> CommandSpec:
    terminal = TerminalOrder(name=order, number=number)
    return CommandSpec(name=name, title=Text(name, name), terminal=terminal, argument=argument, low=low, high=high)


COMMANDS = (
    spec("say", "text"),
    spec("where", "locate"),
    spec("limit", "parameter", 0x0055, "max_speed_kmh", 20, 120),
    spec("settings", "read_parameters"),
    spec("about", "attributes"),
    spec("restart", "control", 4),
    spec("lock", "lock_doors"),
    spec("fence", "circle_fence"),
    spec("area", "polygon_fence"),
    spec("driver", "driver_identity"),
)


def command(action: str, **args: Value) -> Command:
    return Command(id="c-1", gateway="g", device=BUS.id, action=action, args=args, actor="crew", counter=1, issued_ns=1, ttl_s=60)


def fleet(limits: SessionLimits = PATIENT) -> Jt808Driver:
    return listener(BUS, require_auth=False, limits=limits, commands=COMMANDS)


async def ordered(driver: Jt808Driver, terminal: Terminal, order: Command) -> tuple["asyncio.Task[CommandResult]", Frame]:
    """The command under way, and the frame that the terminal got for it."""
    task = asyncio.create_task(driver.command(order, BUS))
    return task, await terminal.hear()


def answer_to(frame: Frame, code: int = 0) -> bytes:
    return frame.serial.to_bytes(2, "big") + frame.message_id.to_bytes(2, "big") + bytes((code,))


@pytest.mark.parametrize(
    ("order", "version", "message_id", "body"),
    [
        # flag: bit 2 display, bit 3 read aloud; 2019 bits 0-1 01 service and a type byte
        pytest.param(command("say", text="回场"), 2013, 0x8300, "0c bbd8b3a1", id="a text of 2013"),
        pytest.param(command("say", text="回场", urgent=True), 2019, 0x8300, "0e 02 bbd8b3a1", id="an urgent text of 2019"),
        pytest.param(command("limit", max_speed_kmh=50), 2013, 0x8103, "01 00000055 04 00000032", id="a parameter"),
        pytest.param(command("restart"), 2013, 0x8105, "04", id="a control"),
        pytest.param(command("lock"), 2013, 0x8500, "01", id="a door of 2013"),
        pytest.param(command("lock"), 2019, 0x8500, "0001 0001 01", id="a door of 2019"),
        pytest.param(
            command("fence", fence_id=7, latitude=31.25, longitude=120.5, radius_m=800, on_enter=False),
            2013,
            0x8600,
            "01 01 00000007 0030 01dcd650 072eaf20 00000320",
            id="a circle to stay in",
        ),
    ],
)
async def test_an_order_goes_out_in_the_standards_bytes(order: Command, version: int, message_id: int, body: str) -> None:
    inlet, driver = peers.Notebook(), fleet()
    async with peers.running(driver, inlet), dial(driver) as terminal:
        await terminal.ask(0x0002, version=version)
        task, frame = await ordered(driver, terminal, order)
        assert (frame.message_id, frame.version) == (message_id, version)
        assert frame.body == bytes.fromhex(body)
        done = 0x0500 if message_id == 0x8500 else 0x0001
        said = answer_to(frame) if done == 0x0001 else frame.serial.to_bytes(2, "big") + location()
        await terminal.send(done, said, version=version)
        assert (await task).outcome is Outcome.DONE


@pytest.mark.parametrize(("code", "words"), [(1, "failed"), (2, "the message is wrong"), (3, "not supported")])
async def test_a_terminal_that_says_no_fails_the_command_with_its_own_word(code: int, words: str) -> None:
    inlet, driver = peers.Notebook(), fleet()
    async with peers.running(driver, inlet), dial(driver) as terminal:
        await terminal.ask(0x0002)
        task, frame = await ordered(driver, terminal, command("restart"))
        await terminal.send(0x0001, answer_to(frame, code))
        ended = await task
    assert (ended.outcome, ended.reason) == (Outcome.FAILED, Reason.DEVICE_EXCEPTION)
    assert words in ended.detail


async def test_silence_is_unknown_and_not_failed() -> None:
    inlet, driver = peers.Notebook(), fleet(QUICK)
    async with peers.running(driver, inlet), dial(driver) as terminal:
        await terminal.ask(0x0002)
        task, frame = await ordered(driver, terminal, command("restart"))
        await terminal.send(0x0001, answer_to(frame)[:2] + bytes.fromhex("8300 00"))  # our serial, another message
        await terminal.send(0x0001, (frame.serial + 1).to_bytes(2, "big") + bytes.fromhex("8105 00"))  # another serial
        ended = await task
    assert (ended.outcome, ended.reason) == (Outcome.UNKNOWN, Reason.TIMEOUT)


async def test_a_connection_that_breaks_before_the_answer_is_unknown() -> None:
    inlet, driver = peers.Notebook(), fleet()
    async with peers.running(driver, inlet), dial(driver) as terminal:
        await terminal.ask(0x0002)
        task, _ = await ordered(driver, terminal, command("restart"))
        terminal.writer.transport.abort()
        ended = await task
    assert (ended.outcome, ended.reason) == (Outcome.UNKNOWN, Reason.INTERRUPTED)


async def test_a_terminal_that_is_not_there_is_refused_and_so_is_what_it_cannot_be_told() -> None:
    inlet, driver = peers.Notebook(), fleet()
    async with peers.running(driver, inlet):
        assert (await driver.command(command("restart"), BUS)).reason is Reason.UNREACHABLE
        async with dial(driver) as terminal:
            await terminal.ask(0x0002)
            told = {
                "dance": await driver.command(command("dance"), BUS),
                "say": await driver.command(command("say"), BUS),
                "limit": await driver.command(command("limit", max_speed_kmh=300), BUS),
                "text": await driver.command(command("say", text=5), BUS),
                "more": await driver.command(command("restart", hard=True), BUS),
            }
    assert {ended.outcome for ended in told.values()} == {Outcome.REFUSED}
    assert {name: ended.reason for name, ended in told.items()} == {
        "dance": Reason.UNKNOWN_COMMAND,
        "say": Reason.MISSING,
        "limit": Reason.OUT_OF_RANGE,
        "text": Reason.WRONG_TYPE,
        "more": Reason.BAD_FIELD,
    }


async def test_before_authentication_and_after_logout_there_is_nobody_to_tell() -> None:
    inlet, driver = peers.Notebook(), listener(BUS, limits=PATIENT, commands=COMMANDS)
    async with peers.running(driver, inlet), dial(driver) as terminal:
        await terminal.ask(0x0002)
        assert (await driver.command(command("restart"), BUS)).reason is Reason.UNREACHABLE
        await terminal.log_in()
        task, frame = await ordered(driver, terminal, command("restart"))
        await terminal.send(0x0001, answer_to(frame))
        assert (await task).outcome is Outcome.DONE
        assert result(await terminal.ask(0x0003)) == 0
        assert (await driver.command(command("restart"), BUS)).reason is Reason.UNREACHABLE


async def test_a_place_that_was_asked_for_is_the_result_and_a_reading() -> None:
    inlet, driver = peers.Notebook(), fleet()
    async with peers.running(driver, inlet), dial(driver) as terminal:
        await terminal.ask(0x0002)
        task, frame = await ordered(driver, terminal, command("where"))
        assert (frame.message_id, frame.body) == (0x8201, b"")
        await terminal.ask(0x0201, frame.serial.to_bytes(2, "big") + location())
        ended = await task
    assert (ended.outcome, ended.detail) == (Outcome.DONE, "39.900000, 116.400000, 36.5 km/h")
    assert len(inlet.heard) == 1


async def test_parameters_and_attributes_come_back_as_text() -> None:
    inlet, driver = peers.Notebook(), fleet()
    async with peers.running(driver, inlet), dial(driver) as terminal:
        await terminal.ask(0x0002)
        task, frame = await ordered(driver, terminal, command("settings"))
        # 0x0104: serial, two items: heartbeat 30 s, server
        items = bytes.fromhex("02 00000001 04 0000001e 00000013 08") + b"10.0.0.1"
        await terminal.send(0x0104, frame.serial.to_bytes(2, "big") + items)
        assert (await task).detail == "heartbeat_s=30, main_server=10.0.0.1"
        task, frame = await ordered(driver, terminal, command("about"))
        body = bytes.fromhex("0004") + b"70111" + b"M1".ljust(20, b"\0") + b"T000001" + bytes.fromhex("89860012345678901234")
        await terminal.send(0x0107, body + b"\x021A\x041.02\x03\x21")
        ended = await task
    assert "firmware 1.02" in ended.detail
    assert "89860012345678901234" in ended.detail


async def test_a_long_order_goes_in_packets_and_missing_ones_are_sent_again_byte_for_byte() -> None:
    """A text of 1,010 bytes behind its flag. The terminal says by 0x0005 that it lacks packet 2."""
    inlet, driver = peers.Notebook(), fleet()
    async with peers.running(driver, inlet), dial(driver) as terminal:
        await terminal.ask(0x0002)
        task, first = await ordered(driver, terminal, command("say", text="x" * 1010))
        second = await terminal.hear()
        assert [(frame.packet, frame.serial) for frame in (first, second)] == [
            ((2, 1), first.serial),
            ((2, 2), first.serial + 1),
        ]
        await terminal.send(0x0001, answer_to(first))
        await terminal.send(0x0005, first.serial.to_bytes(2, "big") + bytes.fromhex("01 0002"))
        assert (await terminal.hear()).raw == second.raw
        await terminal.send(0x0005, bytes.fromhex("7777 01 0001"))  # of a message that nobody sent
        await terminal.send(0x0001, answer_to(second))
        assert (await task).outcome is Outcome.DONE
    assert first.body + second.body == b"\x0c" + b"x" * 1010
    assert inlet.reasons() == {Reason.NOT_FOUND}


async def test_what_a_terminal_reports_beside_its_place_is_answered_counted_and_names_stay_out_of_the_log(caplog) -> None:
    card = "01 241127154210 00 04 d5c5c8fd".replace(" ", "") + b"C1".ljust(20, b"\0").hex() + "02 4a54 20300101".replace(" ", "")
    inlet, driver = peers.Notebook(), fleet()
    caplog.set_level("INFO")
    async with peers.running(driver, inlet), dial(driver) as terminal:
        assert result(await terminal.ask(0x0800, bytes.fromhex("00000007 00 00 01 02"))) == 0
        assert result(await terminal.ask(0x0702, bytes.fromhex(card))) == 0
        assert result(await terminal.ask(0x0701, bytes.fromhex("00000003 616263"))) == 0
        assert result(await terminal.ask(0x0702, bytes.fromhex(card)[:20])) == 2
        assert result(await terminal.ask(0x0900, b"\xf0data")) == 3
    assert driver.reports == {"multimedia_event": 1, "driver_identity": 2, "waybill": 1}
    assert "张三" not in str([record.__dict__ for record in caplog.records])
    assert inlet.reasons(BUS.id) == {Reason.TRUNCATED, Reason.UNKNOWN_MESSAGE}


async def packets_of(terminal: Terminal, total: int, *, confirm: bool) -> bytes:
    """The body of one message in packets, each confirmed, or the last one only."""
    parts: dict[int, bytes] = {}
    while len(parts) < total:
        frame = await terminal.hear()
        assert frame.packet is not None
        parts[frame.packet[1]] = frame.body
        if confirm or len(parts) == total:
            await terminal.send(0x0001, answer_to(frame))
    return b"".join(parts[number] for number in sorted(parts))


@pytest.mark.parametrize("confirm", [True, False], ids=["every packet confirmed", "confirmed once at the end"])
async def test_an_upgrade_ends_with_the_terminals_word_after_it_started_anew(*, confirm: bool) -> None:
    data = bytes(range(256)) * 60
    inlet, driver = peers.Notebook(), fleet(QUICK)
    async with peers.running(driver, inlet):
        upgrade = driver.upgrade(BUS)
        async with dial(driver) as terminal:
            await terminal.ask(0x0002)
            task = asyncio.create_task(upgrade.send_upgrade(0, "70111", "2.1", data))
            body = await packets_of(terminal, -(-(14 + len(data)) // PACKET_BYTES), confirm=confirm)
            assert await task
        waiting = asyncio.create_task(upgrade.upgrade_result())
        async with dial(driver) as restarted:
            assert result(await restarted.ask(0x0108, bytes.fromhex("00 00"))) == 0
            assert await waiting == 0
    # kind, maker, counted version, size, data
    assert body == b"\x0070111\x032.1" + len(data).to_bytes(4, "big") + data


@pytest.mark.parametrize("told", [1, 2])
async def test_an_upgrade_that_the_terminal_did_not_install(told: int) -> None:
    inlet, driver = peers.Notebook(), fleet()
    async with peers.running(driver, inlet), dial(driver) as terminal:
        await terminal.ask(0x0002)
        task = asyncio.create_task(driver.upgrade(BUS).send_upgrade(0, "70111", "2.1", b"image"))
        await terminal.hear()
        await terminal.ask(0x0108, bytes((0, told)))  # its word counts, though it confirmed no packet
        assert await task
        assert await driver.upgrade(BUS).upgrade_result() == told, "told before anybody waited for it"


async def test_an_upgrade_that_breaks_off_is_silence_and_so_is_a_terminal_that_says_no_more() -> None:
    inlet, driver = peers.Notebook(), fleet()
    upgrade = driver.upgrade(BUS, result_s=0.1)
    async with peers.running(driver, inlet):
        assert await silent(upgrade.upgrade_result()) is Reason.NOT_FOUND
        async with dial(driver) as terminal:
            await terminal.ask(0x0002)
            task = asyncio.create_task(upgrade.send_upgrade(0, "70111", "2.1", bytes(30_000)))
            await terminal.hear()
            assert await silent(driver.upgrade(BUS).send_upgrade(0, "70111", "2.1", b"x")) is Reason.CONFLICT
            assert await silent(upgrade.send_upgrade(0, "much too long", "2.1", b"x")) is Reason.OVERSIZED
            terminal.writer.transport.abort()
            assert await silent(task) is Reason.UNREACHABLE
        assert await silent(upgrade.send_upgrade(0, "70111", "2.1", b"x")) is Reason.UNREACHABLE
        async with dial(driver) as terminal:
            await terminal.ask(0x0002)
            task = asyncio.create_task(upgrade.send_upgrade(0, "70111", "2.1", b"image"))
            await terminal.send(0x0001, answer_to(await terminal.hear()))
            assert await task
            assert await silent(upgrade.upgrade_result()) is Reason.TIMEOUT


async def test_a_packet_that_is_refused_ends_the_upgrade_at_once() -> None:
    inlet, driver = peers.Notebook(), fleet()
    async with peers.running(driver, inlet), dial(driver) as terminal:
        await terminal.ask(0x0002)
        task = asyncio.create_task(driver.upgrade(BUS).send_upgrade(0, "70111", "2.1", bytes(30_000)))
        await terminal.send(0x0001, answer_to(await terminal.hear(), 3))
        assert not await task


async def test_an_upgrade_that_is_cancelled_stops_and_leaves_the_terminal_free_for_the_next() -> None:
    inlet, driver = peers.Notebook(), fleet()
    async with peers.running(driver, inlet), dial(driver) as terminal:
        await terminal.ask(0x0002)
        task = asyncio.create_task(driver.upgrade(BUS).send_upgrade(0, "70111", "2.1", bytes(30_000)))
        first = await terminal.hear()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        task = asyncio.create_task(driver.upgrade(BUS).send_upgrade(0, "70111", "2.2", b"image"))
        while (frame := await terminal.hear()).packet is not None:
            assert frame.packet[1] <= 8, "no more than was on its way"
        assert frame.serial != first.serial
        await terminal.send(0x0001, answer_to(first))  # an answer to what nobody waits for any more
        await terminal.send(0x0001, answer_to(frame))
        assert await task


async def test_the_release_that_a_terminal_runs_is_asked_for() -> None:
    inlet, driver = peers.Notebook(), fleet(QUICK)
    async with peers.running(driver, inlet), dial(driver) as terminal:
        await terminal.ask(0x0002)
        task = asyncio.create_task(driver.upgrade(BUS).release())
        assert (await terminal.hear()).message_id == 0x8107
        body = bytes.fromhex("0004") + b"70111" + bytes(20) + b"T000001" + bytes(10) + b"\x021A\x041.02\x03\x21"
        await terminal.send(0x0107, body)
        assert await task == "1.02"
        task = asyncio.create_task(driver.upgrade(BUS).release())
        await terminal.send(0x0001, answer_to(await terminal.hear(), 3))
        assert not await task, "a terminal of 2011 does not know the question"
        assert await silent(driver.upgrade(BUS).release()) is Reason.TIMEOUT


async def silent(call: Awaitable[object]) -> Reason:
    """The reason for which nothing came back."""
    with pytest.raises(SilentError) as caught:
        await call
    return caught.value.reason
