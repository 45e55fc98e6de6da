"""The bad link, over real loopback sockets: each fault does what it is named after, and counts what it did."""

import asyncio
import contextlib
import itertools
import json
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from citynerve.commands.sim import _rate, app
from simulators.bad_datagrams import DatagramProxy, Weather
from simulators.faults import FaultyProxy, Impairment, Mode
from simulators.listener import Address, Listener
from simulators.relay import Direction, TcpRelay
from simulators.wire_log import LogTap, WireEvent, read_wire_log
from telemetry.clock import ManualClock

pytestmark = pytest.mark.integration

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo:
    """A server that keeps what it hears and says it again."""

    def __init__(self, *, answers: bool = True) -> None:
        self.heard = bytearray()
        self.ends: list[str] = []
        self._answers = answers
        self.listener = Listener(self._serve)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                self.heard += data
                if self._answers:
                    writer.write(data)
                    await writer.drain()
        except ConnectionResetError:
            self.ends.append("reset")
            raise
        self.ends.append("closed")

    async def __aenter__(self) -> "Echo":
        await self.listener.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.listener.stop()


def now() -> float:
    return asyncio.get_running_loop().time()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 (a test watches from outside)
            await asyncio.sleep(0.005)


_callers: list[asyncio.StreamWriter] = []


async def call(proxy: FaultyProxy) -> Stream:
    """A connection that is hung up when the test is over."""
    reader, writer = await asyncio.open_connection(*proxy.address)
    _callers.append(writer)
    return reader, writer


@pytest.fixture(autouse=True)
async def hang_up() -> AsyncIterator[None]:
    yield
    for writer in _callers:
        writer.transport.abort()
    _callers.clear()
    await asyncio.sleep(0)


async def end_of(reader: asyncio.StreamReader) -> str:
    async with asyncio.timeout(5):
        try:
            await reader.read()
        except ConnectionResetError:
            return "reset"
        return "closed"


async def test_a_sound_link_passes_both_directions_and_the_end_of_the_stream() -> None:
    async with Echo() as echo, FaultyProxy(echo.listener.address) as proxy:
        reader, writer = await call(proxy)
        writer.write(b"abc")
        writer.write_eof()
        assert await reader.read() == b"abc"
        assert (proxy.counts.connections, proxy.counts.passed_bytes) == (1, 6)


async def test_a_sound_link_is_no_bottleneck() -> None:
    """Small buffers must not make a link slow: 4 MB both ways in well under five seconds."""
    async with Echo() as echo, FaultyProxy(echo.listener.address) as proxy, asyncio.timeout(5):
        reader, writer = await call(proxy)
        writer.write(b"x" * 4_000_000)
        writer.write_eof()
        assert len(await reader.read()) == 4_000_000


async def test_a_delayed_link_is_late_each_way_and_keeps_the_order() -> None:
    async with Echo() as echo, FaultyProxy(echo.listener.address, Impairment(delay_s=0.1, jitter_s=0.05)) as proxy:
        reader, writer = await call(proxy)
        started = now()
        for part in range(20):
            writer.write(bytes([part]) * 100)
            await asyncio.sleep(0.005)
        assert await reader.readexactly(2000) == b"".join(bytes([part]) * 100 for part in range(20))
        # The chunks travel at the same time: a delay is not a rate.
        assert 0.2 <= now() - started < 0.8


async def test_a_throttled_link_carries_its_rate_and_no_more() -> None:
    async with Echo(answers=False) as echo, FaultyProxy(echo.listener.address, Impairment(rate_bits_s=64_000)) as proxy:
        _, writer = await call(proxy)
        writer.write(b"x" * 100_000)
        started = now()
        await asyncio.sleep(1.0)
        rate = len(echo.heard) * 8 / (now() - started)
        assert 50_000 < rate < 72_000


async def test_what_does_not_fit_into_a_throttled_link_waits_with_its_sender() -> None:
    """Bytes inside are bounded: most of a megabyte is still where it came from, however much the sender has to say."""
    async with Echo(answers=False) as echo, FaultyProxy(echo.listener.address, Impairment(rate_bits_s=8_000)) as proxy:
        sent = 0
        _, writer = await call(proxy)
        writer.transport.set_write_buffer_limits(0)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                while sent < 1_000_000:
                    writer.write(b"x" * 512)
                    await writer.drain()
                    sent += 512
        assert sent - len(echo.heard) < 40_000


async def test_connections_share_the_rate_of_their_link() -> None:
    async with Echo(answers=False) as echo, FaultyProxy(echo.listener.address, Impairment(rate_bits_s=80_000)) as proxy:
        writers = [(await call(proxy))[1] for _ in range(4)]
        started = now()
        for writer in writers:
            writer.write(b"x" * 20_000)
        await asyncio.sleep(1.0)
        assert len(echo.heard) * 8 / (now() - started) < 90_000


async def test_a_silent_stall_moves_nothing_tells_nobody_and_loses_nothing() -> None:
    async with Echo() as echo, FaultyProxy(echo.listener.address) as proxy:
        reader, writer = await call(proxy)
        await proxy.change(Impairment(mode=Mode.HOLD))
        writer.write(b"anybody?")
        await asyncio.sleep(0.2)
        assert (bytes(echo.heard), reader.at_eof()) == (b"", False)
        await proxy.change()
        assert await reader.readexactly(8) == b"anybody?"


async def test_a_half_open_link_swallows_everything_and_stays_connected() -> None:
    async with Echo() as echo, FaultyProxy(echo.listener.address, Impairment(mode=Mode.SWALLOW)) as proxy:
        reader, writer = await call(proxy)
        writer.write(b"anybody?")
        await until(lambda: proxy.counts.swallowed_bytes == 8)
        await proxy.change()
        writer.write(b"now")
        assert await reader.readexactly(3) == b"now"
        assert bytes(echo.heard) == b"now"


async def test_one_direction_may_be_deaf_alone() -> None:
    """What a gateway says arrives, and no answer comes back."""
    async with Echo() as echo, FaultyProxy(echo.listener.address) as proxy:
        await proxy.change(Impairment(mode=Mode.SWALLOW), Direction.OUT)
        _, writer = await call(proxy)
        writer.write(b"hello")
        await until(lambda: bytes(echo.heard) == b"hello" and proxy.counts.swallowed_bytes == 5)


@pytest.mark.parametrize(("mode", "end"), [(Mode.CUT, "closed"), (Mode.RESET, "reset")])
async def test_a_link_that_is_down_ends_its_connections_refuses_new_ones_and_comes_back_at_the_same_port(
    mode: Mode, end: str
) -> None:
    async with Echo() as echo, FaultyProxy(echo.listener.address) as proxy:
        reader, _ = await call(proxy)
        await until(lambda: proxy.counts.connections == 1)
        await proxy.change(Impairment(mode=mode))
        assert await end_of(reader) == end
        with pytest.raises(ConnectionRefusedError):
            await call(proxy)
        await proxy.change()
        reader, writer = await call(proxy)
        writer.write(b"back")
        assert await reader.readexactly(4) == b"back"
        assert proxy.counts.cut + proxy.counts.reset == 1


async def test_a_reset_breaks_every_connection_and_welcomes_new_ones() -> None:
    async with Echo() as echo, FaultyProxy(echo.listener.address) as proxy:
        callers = [await call(proxy) for _ in range(3)]
        await until(lambda: proxy.counts.connections == 3)
        proxy.reset()
        assert [await end_of(reader) for reader, _ in callers] == ["reset"] * 3
        await until(lambda: echo.ends == ["reset"] * 3)
        reader, writer = await call(proxy)
        writer.write(b"abc")
        assert await reader.readexactly(3) == b"abc"


async def test_a_reset_at_a_random_byte_comes_at_the_same_byte_for_the_same_seed() -> None:
    async def broken_at(seed: int) -> list[int]:
        reached = []
        bad = Impairment(reset_after=(100, 5000))
        async with Echo(answers=False) as echo, FaultyProxy(echo.listener.address, bad, seed=seed) as proxy:
            for _ in range(4):
                reader, writer = await call(proxy)
                writer.write(bytes(20_000))
                assert await end_of(reader) == "reset"
                reached.append(proxy.counts.passed_bytes)
        return reached

    assert await broken_at(7) == await broken_at(7) != await broken_at(8)


async def test_a_black_hole_takes_large_segments_and_all_that_is_behind_them() -> None:
    async with Echo() as echo, FaultyProxy(echo.listener.address, Impairment(most_bytes=500)) as proxy:
        reader, writer = await call(proxy)
        writer.write(b"s" * 400)
        assert len(await reader.readexactly(400)) == 400
        writer.write(b"L" * 600)
        await until(lambda: proxy.counts.swallowed_bytes == 600)
        writer.write(b"s" * 400)
        await until(lambda: proxy.counts.swallowed_bytes == 1000)
        assert (len(echo.heard), proxy.counts.black_holes) == (400, 1)
        reader, writer = await call(proxy)
        writer.write(b"again")
        assert await reader.readexactly(5) == b"again"


async def test_a_link_that_flaps_does_so_until_it_is_stopped() -> None:
    async with Echo() as echo, FaultyProxy(echo.listener.address) as proxy, asyncio.TaskGroup() as tasks:
        flapping = tasks.create_task(proxy.play(itertools.cycle([(0.05, Impairment()), (0.05, Impairment(mode=Mode.RESET))])))
        refused = taken = 0
        for _ in range(40):
            try:
                await call(proxy)
            except ConnectionError:
                refused += 1
            else:
                taken += 1
            await asyncio.sleep(0.01)
        flapping.cancel()
    assert refused > 3
    assert taken > 3


async def test_a_target_that_is_not_there_is_a_reset_to_the_caller_and_counted() -> None:
    async with Echo() as echo:
        gone = echo.listener.address
    async with FaultyProxy(gone) as proxy:
        reader, writer = await call(proxy)
        assert await end_of(reader) == "reset"
        assert proxy.counts.unreachable == 1
        async with Echo() as other:
            proxy.point_to(other.listener.address)
            reader, writer = await call(proxy)
            writer.write(b"abc")
            assert await reader.readexactly(3) == b"abc"


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.heard: list[int] = []

    def datagram_received(self, data: bytes, _addr: object) -> None:
        self.heard.append(int.from_bytes(data))


async def through(weather: Weather, count: int, seed: int = 1) -> tuple[list[int], DatagramProxy]:
    loop = asyncio.get_running_loop()
    target, ear = await loop.create_datagram_endpoint(Datagrams, local_addr=("127.0.0.1", 0))
    proxy = DatagramProxy(target.get_extra_info("sockname"), weather, seed=seed)
    address: Address = await proxy.start()
    mouth, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=address)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(proxy.run())
        for n in range(count):
            mouth.sendto(n.to_bytes(2))
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.3)
        running.cancel()
    mouth.close()
    await proxy.stop()
    target.close()
    await asyncio.sleep(0)
    return ear.heard, proxy


async def test_fair_weather_passes_datagrams_as_they_come() -> None:
    heard, proxy = await through(Weather(), 50)
    assert (heard, proxy.counts.dropped) == (list(range(50)), 0)


async def test_bad_weather_loses_doubles_and_shuffles_datagrams_and_counts_each() -> None:
    heard, proxy = await through(Weather(drop=0.3, duplicate=0.2, reorder=0.2, delay_s=0.01, late_s=0.03), 200)
    counts = proxy.counts
    assert counts.heard == 200
    assert len(set(heard)) == 200 - counts.dropped
    assert len(heard) == 200 - counts.dropped + counts.duplicated
    assert heard != sorted(heard)
    assert min(counts.dropped, counts.duplicated, counts.reordered) > 10


async def test_the_same_seed_is_the_same_weather() -> None:
    stormy = Weather(drop=0.5)
    assert (await through(stormy, 60))[0] == (await through(stormy, 60))[0] != (await through(stormy, 60, seed=2))[0]


async def test_a_recorder_notes_when_a_connection_begins_and_ends(tmp_path: Path) -> None:
    log = tmp_path / "wire.jsonl"
    async with Echo() as echo:
        with log.open("w", encoding="utf-8") as out:
            async with TcpRelay(echo.listener.address, LogTap(out, ManualClock(), "tcp")) as relay:
                reader, writer = await asyncio.open_connection(*relay.listener.address)
                writer.write(b"abc")
                assert await reader.readexactly(3) == b"abc"
                writer.close()
                await until(lambda: "close" in log.read_text())
    entries = list(read_wire_log(log))
    assert [(entry.event, entry.data) for entry in entries] == [
        (WireEvent.OPEN, b""),
        (WireEvent.DATA, b"abc"),
        (WireEvent.DATA, b"abc"),
        (WireEvent.CLOSE, b""),
    ]
    assert len({entry.peer for entry in entries}) == 1


@pytest.mark.parametrize(
    ("text", "bits_s"), [("0", 0), ("64k", 64_000), ("64kbit", 64_000), ("1.5Mbit/s", 1_500_000), ("9600", 9600)]
)
def test_a_rate_is_written_as_people_write_it(text: str, bits_s: float) -> None:
    assert _rate(text) == bits_s


@pytest.mark.parametrize(
    "options", [["--rate", "fast"], ["--rate", "-1"], ["--flap", "7"], ["--flap", "7/0"], ["--down", "pass"]]
)
def test_a_bad_link_that_cannot_be_is_refused_with_an_example(options: list[str]) -> None:
    told = CliRunner().invoke(app, ["faults", "--listen", "127.0.0.1:0", "--target", "127.0.0.1:1", "--for", "0.1", *options])
    assert told.exit_code == 2
    assert "want" in told.output


def test_a_bad_link_of_the_command_line_tells_what_it_did() -> None:
    told = CliRunner().invoke(
        app, ["faults", "--listen", "127.0.0.1:0", "--target", "127.0.0.1:1", "--for", "0.3", "--flap", "0.1/0.1", "--json"]
    )
    assert told.exit_code == 0
    assert json.loads(told.stdout)["connections"] == 0
