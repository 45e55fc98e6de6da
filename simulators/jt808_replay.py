"""Captured JT/T 808 frames fed to an agent's port, one connection per terminal, and what it answered.

The file holds one frame a line: plain hex, or a JSON object with `hex`. Every frame goes out as it stands, good or bad;
only a capture whose escapes were undone before it was written down gets them back, for it could not travel otherwise.
"""

import asyncio
import json
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from firmware_bridge.errors import ParseError
from firmware_bridge.jt808.frames import Frame, Jt808Framer, escape, parse_frame
from simulators.devices.vehicle.bodies import GENERAL_ANSWER, PLATFORM_ANSWER, REGISTER, REGISTER_ANSWER
from simulators.listener import Address, close_quietly
from simulators.pace import Pace, SystemPace
from telemetry.clock import SECOND_NS, Clock, SystemClock

__all__ = ["Captured", "FrameSummary", "Skipped", "read_frames", "send_frames"]

_CHUNK = 65536
_UNREADABLE = "unreadable"
"""The connection of frames that do not say whose they are."""

_RESULTS = ("ok", "failed", "wrong_message", "not_supported", "alarm_confirmed")  # 0x8001
_REGISTER_RESULTS = ("ok", "vehicle_already_registered", "no_such_vehicle", "terminal_already_registered", "no_such_terminal")

_Key = tuple[str, int, int]
"""Phone, message id, serial."""


class Captured(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the file that is hex: what goes over the wire, and what it is if it is whole."""

    line: int
    wire: bytes
    frame: Frame | None

    @property
    def terminal(self) -> str:
        """Whose connection it goes over."""
        return _UNREADABLE if self.frame is None else self.frame.phone


class Skipped(msgspec.Struct, frozen=True, kw_only=True):
    """A line that is no frame in hex, and why."""

    line: int
    reason: str


class FrameSummary(msgspec.Struct, kw_only=True):
    """`answers` counts 0x8001 and 0x8100 by result, `unanswered` whole uplink frames that got none; `unreadable` are
    frames sent although this side could not parse them; `hung_up` is how often the agent ended a connection."""

    frames: int = 0
    sent: int = 0
    unreadable: int = 0
    connections: int = 0
    hung_up: int = 0
    unanswered: int = 0
    other_messages: int = 0
    answers: dict[str, dict[str, int]] = {}
    skipped: list[Skipped] = []
    seconds: float = 0.0


def read_frames(path: Path) -> Iterator[Captured | Skipped]:
    """The file's lines in order; blank lines and `#` comments are passed over. OSError where it cannot be read."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, text in enumerate(lines, 1):
            if text.strip() and not text.startswith("#"):
                yield _read_line(number, text.strip())


def _read_line(number: int, text: str) -> Captured | Skipped:
    if text.startswith("{"):
        try:
            entry = json.loads(text)
        except ValueError as error:
            return Skipped(line=number, reason=f"not JSON: {error}")
        held = entry.get("hex")
        if not isinstance(held, str):
            return Skipped(line=number, reason='no "hex" in the object')
        text = held
    try:
        raw = bytes.fromhex(text)
    except ValueError as error:
        return Skipped(line=number, reason=f"not hex: {error}")
    if not raw:
        return Skipped(line=number, reason="no bytes")
    return _captured(number, raw)


def _captured(number: int, raw: bytes) -> Captured:
    try:
        frame = parse_frame(raw)
    except ParseError:
        return Captured(line=number, wire=raw, frame=None)
    wire = raw if frame.escaped else b"\x7e" + escape(raw[1:-1]) + b"\x7e"
    return Captured(line=number, wire=wire, frame=frame)


async def send_frames(
    captured: Sequence[Captured],
    target: Address,
    *,
    rate: float = 0.0,
    one_connection: bool = False,
    wait_s: float = 3.0,
    clock: Clock | None = None,
    pace: Pace | None = None,
    progress: Callable[[FrameSummary], None] | None = None,
) -> FrameSummary:
    """Send all of `captured` in order, at `rate` frames a second (0: as fast as the agent takes them).

    At the end answers may come for `wait_s` more, counted anew from each one. OSError where nobody listens.
    """
    clock = clock or SystemClock()
    summary = FrameSummary(frames=len(captured), answers={"0x8001": {}, "0x8100": {}})
    try:
        async with asyncio.TaskGroup() as group:
            fleet = _Fleet(target, group, summary)
            start = clock.monotonic_ns()
            for number, one in enumerate(captured):
                if rate:
                    await (pace or SystemPace(clock)).until(start + round(number * SECOND_NS / rate))
                await fleet.send(one, "all" if one_connection else one.terminal)
                summary.seconds = (clock.monotonic_ns() - start) / SECOND_NS
                if progress is not None:
                    progress(summary)
            await fleet.come_home(wait_s)
    except* OSError as errors:
        raise OSError(f"{target[0]}:{target[1]}: {errors.exceptions[0]}") from errors
    return summary


class _Fleet:
    """The connections, and the frames that still wait for their answers."""

    def __init__(self, target: Address, group: asyncio.TaskGroup, summary: FrameSummary) -> None:
        self._target = target
        self._group = group
        self._summary = summary
        self._writers: dict[str, asyncio.StreamWriter] = {}
        self._ears: list[asyncio.Task[None]] = []
        self._open: Counter[_Key] = Counter()
        self._answered = asyncio.Event()

    async def send(self, one: Captured, connection: str) -> None:
        if one.frame is not None and _wants_answer(one.frame):
            self._open[one.frame.phone, one.frame.message_id, one.frame.serial] += 1
        self._summary.unreadable += one.frame is None
        # An agent that hangs up on a bad frame is asked again, once, with the next one on a new connection.
        for _ in range(2):
            writer = await self._writer(connection)
            try:
                writer.write(one.wire)
                await writer.drain()
            except ConnectionError:
                self._forget(connection)
                continue
            self._summary.sent += 1
            return

    async def come_home(self, wait_s: float) -> None:
        """Wait for outstanding answers, then close everything."""
        while self._open.total():
            self._answered.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._answered.wait()
            except TimeoutError:
                break
        self._summary.unanswered = self._open.total()
        for ear in self._ears:
            ear.cancel()
        for writer in self._writers.values():
            await close_quietly(writer)

    async def _writer(self, connection: str) -> asyncio.StreamWriter:
        writer = self._writers.get(connection)
        if writer is None or writer.is_closing():
            reader, writer = await asyncio.open_connection(*self._target)
            self._writers[connection] = writer
            self._summary.connections += 1
            self._ears.append(self._group.create_task(self._listen(reader, writer, connection)))
        return writer

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: str) -> None:
        framer = Jt808Framer()
        try:
            while data := await reader.read(_CHUNK):
                for frame in framer.feed(data):
                    if isinstance(frame, Frame):
                        self._hear(frame)
        except ConnectionError:
            pass  # counted below, as any other way of hanging up
        self._summary.hung_up += 1
        if self._writers.get(connection) is writer:
            self._forget(connection)

    def _forget(self, connection: str) -> None:
        writer = self._writers.pop(connection, None)
        if writer is not None:
            writer.close()

    def _hear(self, frame: Frame) -> None:
        if frame.message_id == PLATFORM_ANSWER and len(frame.body) >= 5:
            serial, message_id, result = struct.unpack_from(">HHB", frame.body)
            self._count("0x8001", _RESULTS, result, (frame.phone, message_id, serial))
        elif frame.message_id == REGISTER_ANSWER and len(frame.body) >= 3:
            serial, result = struct.unpack_from(">HB", frame.body)
            self._count("0x8100", _REGISTER_RESULTS, result, (frame.phone, REGISTER, serial))
        else:
            self._summary.other_messages += 1

    def _count(self, kind: str, names: Sequence[str], result: int, key: _Key) -> None:
        name = names[result] if result < len(names) else f"result_{result}"
        counts = self._summary.answers[kind]
        counts[name] = counts.get(name, 0) + 1
        if self._open[key] > 1:
            self._open[key] -= 1
        else:
            del self._open[key]
        self._answered.set()


def _wants_answer(frame: Frame) -> bool:
    """Terminals' messages get one, except their own general answer; the platform's (8000 and up) do not."""
    return frame.message_id < 0x8000 and frame.message_id != GENERAL_ANSWER
