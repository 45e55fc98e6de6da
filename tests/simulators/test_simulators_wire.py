"""Relays, faults, recording and replay, over real loopback sockets."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from simulators.faults import Noise
from simulators.listener import Address, Listener, parse_address
from simulators.recorder import record
from simulators.relay import Direction, TcpRelay
from simulators.replay import replay
from simulators.wire_log import LogTap, WireEntry, WireLogError, read_wire_log
from telemetry.clock import SECOND_NS, ManualClock


class Peer:
    """An agent's port that remembers what each connection said, in order of arrival, and echoes it."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.total = bytearray()
        self.streams: list[bytearray] = []
        self.listener = Listener(self._serve)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream = bytearray()
        self.streams.append(stream)
        while data := await reader.read(65536):
            stream += data
            self.heard.append(data)
            self.total += data
            writer.write(b"<" + data + b">")
            await writer.drain()

    async def __aenter__(self) -> "Peer":
        await self.listener.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.listener.stop()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 (a test watches from outside)
            await asyncio.sleep(0.005)


async def call(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(*address)


@pytest.mark.parametrize("text", ["", "host", ":1", "host:", "host:x", "host:65536", "host:-1", "host:１"])
def test_an_address_that_is_none_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="want HOST:PORT"):
        parse_address(text)


def test_an_ipv6_address_keeps_its_colons() -> None:
    assert parse_address("[::1]:7611") == ("::1", 7611)


def test_the_same_seed_makes_the_same_noise_and_another_seed_another() -> None:
    frames = [bytes(range(n, n + 10)) for n in range(40)]
    first, again, other = (Noise(seed) for seed in ("a", "a", "b"))
    spoiled = [first.spoil(frame) for frame in frames]
    assert spoiled == [again.spoil(frame) for frame in frames]
    assert spoiled != [other.spoil(frame) for frame in frames]
    assert first.spoiled == sum(a != b for a, b in zip(spoiled, frames, strict=True)) > 10


def test_a_line_without_noise_leaves_frames_alone() -> None:
    assert Noise("a", flip=0, stray=0).spoil(b"frame") == b"frame"


@pytest.mark.integration
async def test_what_was_recorded_is_replayed_as_the_same_bytes_in_the_same_order_on_each_of_as_many_connections(
    tmp_path: Path,
) -> None:
    log = tmp_path / "wire.jsonl"
    first = await _record_two_devices(log)
    entries = list(read_wire_log(log))
    assert {entry.direction for entry in entries} == {Direction.IN, Direction.OUT}
    async with Peer() as second:
        summary = await replay(entries, second.listener.address, speed=1000, linger_s=0.5)
        assert second.streams == first == [b"~\x00~~\x02~~\x04~", b"~\x01~~\x03~~\x05~"]
        assert (summary.peers, summary.bytes, summary.broken) == (2, 18, 0)
        assert summary.heard_bytes == 18 + 2 * len(second.heard)


async def _record_two_devices(log: Path) -> list[bytearray]:
    """Two devices take turns through a recorder; what the agent's port heard on each connection."""
    bound: asyncio.Future[Address] = asyncio.get_running_loop().create_future()
    async with Peer() as agent, asyncio.TaskGroup() as group:
        recording = group.create_task(
            record(("127.0.0.1", 0), agent.listener.address, log, started=lambda address, _: bound.set_result(address))
        )
        pairs = [await call(await bound) for _ in range(2)]
        for turn in range(6):
            reader, writer = pairs[turn % 2]
            frame = bytes([0x7E, turn, 0x7E])
            writer.write(frame)
            assert await reader.readexactly(5) == b"<" + frame + b">"
        for _, writer in pairs:
            writer.close()
        recording.cancel()
    return agent.streams


@pytest.mark.integration
async def test_datagrams_are_recorded_and_replayed_one_by_one_and_answers_find_their_way_back(tmp_path: Path) -> None:
    log = tmp_path / "wire.jsonl"
    heard, port = await _udp_echo()
    bound: asyncio.Future[Address] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group:
        recording = group.create_task(
            record(("127.0.0.1", 0), port, log, udp=True, started=lambda address, _: bound.set_result(address))
        )
        answers, device = await _udp_device(await bound)
        for n in range(3):
            device.sendto(b"n%d" % n)
        await until(lambda: len(answers) == 3)
        device.close()
        recording.cancel()
    assert heard == [b"n0", b"n1", b"n2"]
    summary = await replay(read_wire_log(log), port, speed=1000, linger_s=0.1)  # UDP, as it was recorded
    assert heard == [b"n0", b"n1", b"n2"] * 2
    assert (summary.chunks, summary.peers, summary.heard_bytes) == (3, 1, 6)
    _ECHOES.pop().close()


_ECHOES: list[asyncio.DatagramTransport] = []


class _Echo(asyncio.DatagramProtocol):
    def __init__(self, heard: list[bytes], *, answers: bool) -> None:
        self._heard = heard
        self._answers = answers

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._heard.append(data)
        if self._answers:
            self._transport.sendto(data, addr)  # type: ignore[arg-type]


async def _udp_echo() -> tuple[list[bytes], Address]:
    heard: list[bytes] = []
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Echo(heard, answers=True), local_addr=("127.0.0.1", 0))
    _ECHOES.append(transport)
    return heard, transport.get_extra_info("sockname")


async def _udp_device(address: Address) -> tuple[list[bytes], asyncio.DatagramTransport]:
    heard: list[bytes] = []
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Echo(heard, answers=False), remote_addr=address)
    return heard, transport


class _Pace:
    """Moves a manual clock instead of waiting, and notes the instants asked for."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.asked: list[int] = []

    async def until(self, monotonic_ns: int) -> None:
        self.asked.append(monotonic_ns)
        self._clock.advance(max(0, monotonic_ns - self._clock.monotonic_ns()) / SECOND_NS)


def _entry(t_s: float, data: bytes, way: Direction = Direction.IN) -> WireEntry:
    return WireEntry(t_ns=round((1_750_000_000 + t_s) * SECOND_NS), link="tcp", peer="a:1", direction=way, hex=data.hex())


@pytest.mark.integration
async def test_a_replay_at_ten_times_the_speed_keeps_the_recorded_gaps_at_a_tenth_and_skips_what_the_agent_said() -> None:
    clock = ManualClock()
    pace = _Pace(clock)
    entries = [_entry(0, b"a"), _entry(1, b"?", Direction.OUT), _entry(7.5, b"b"), _entry(100, b"c")]
    async with Peer() as agent:
        summary = await replay(entries, agent.listener.address, speed=10, clock=clock, pace=pace, linger_s=0.5)
        assert bytes(agent.total) == b"abc"
    assert pace.asked == [0, round(0.75 * SECOND_NS), 10 * SECOND_NS]
    assert (summary.recorded_seconds, summary.seconds, summary.lag_ms_max) == (100, 10, 0)


@pytest.mark.parametrize("speed", [0, -1, 1001, float("nan")])
async def test_a_speed_that_is_none_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match=r"want 0\.001 to 1000"):
        await replay([_entry(0, b"a")], ("127.0.0.1", 9), speed=speed)


async def test_a_log_in_which_no_device_speaks_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing that a device said"):
        await replay([_entry(0, b"a", Direction.OUT)], ("127.0.0.1", 9))


async def test_a_replay_to_a_port_where_nobody_listens_says_which() -> None:
    async with Peer() as gone:
        address = gone.listener.address
    with pytest.raises(OSError, match=str(address[1])):
        await replay([_entry(0, b"a")], address)


@pytest.mark.parametrize(
    "line",
    [
        "{",
        '{"t_ns":1}',
        '{"t_ns":1,"link":"l","peer":"p","direction":"up","hex":""}',
        '{"t_ns":1,"link":"l","peer":"p","direction":"in","hex":"7"}',
    ],
)
def test_a_line_that_is_no_entry_is_named_by_file_and_number(tmp_path: Path, line: str) -> None:
    log = tmp_path / "w.jsonl"
    log.write_text("\n" + line + "\n", encoding="utf-8")
    with pytest.raises(WireLogError, match=r"w\.jsonl:2: .*want t_ns"):
        list(read_wire_log(log))


async def test_a_relay_whose_target_is_gone_hangs_up_on_the_caller(tmp_path: Path) -> None:
    async with Peer() as gone:
        target = gone.listener.address
    with (tmp_path / "log").open("w", encoding="utf-8") as out:
        async with TcpRelay(target, LogTap(out, ManualClock(), "tcp")) as relay:
            reader, writer = await call(relay.listener.address)
            assert await reader.read() == b""
            writer.close()
