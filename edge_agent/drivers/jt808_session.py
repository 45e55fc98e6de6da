"""One JT/T 808 connection: frames in, readings on, answers back in the order of the frames.

Reading never waits for a commit; answers do. A bounded queue stands between the two: when the terminal is further
ahead of its answers than that, the connection is no longer read and TCP slows the terminal down.
"""

import asyncio
import contextlib
import struct
from datetime import UTC, datetime

import msgspec

from edge_agent.drivers.base import Deliveries
from edge_agent.drivers.jt808_fleet import Fleet, Vehicle
from edge_agent.heard import Heard, Verdict
from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.jt808.answers import general_answer_body, register_answer_body, resend_request_body, time_answer_body
from firmware_bridge.jt808.frames import Frame, Jt808Framer, encode_frame
from firmware_bridge.jt808.location import Location, decode_location
from firmware_bridge.jt808.messages import (
    Attributes,
    Authenticate,
    GeneralAnswer,
    Heartbeat,
    LocationAnswer,
    LocationBatch,
    LocationReport,
    Logout,
    Message,
    MultimediaData,
    Other,
    Register,
    Unknown,
    message_name,
    parse_message,
)
from firmware_bridge.jt808.reassembly import Missing, Reassembler
from telemetry.clock import SECOND_NS, Clock
from telemetry.reason import Reason

__all__ = ["Session", "SessionLimits"]

_OK, _FAILED, _WRONG, _UNSUPPORTED = 0, 1, 2, 3  # 0x8001, result
_NO_SUCH_TERMINAL = 4  # 0x8100, result
_GENERAL, _REGISTERED, _RESEND, _TIME, _MULTIMEDIA = 0x8001, 0x8100, 0x8003, 0x8004, 0x8800
_TIME_QUERY = 0x0004
_ANSWERS_TO_US = frozenset({0x0001, 0x0104, 0x0107, 0x0608, 0x0700, 0x0802, 0x0805})
"""What a terminal says because the platform asked; answering it again would be wrong."""

_READ_BYTES = 8192
_MOST_PHONES = 1024


class SessionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one connection may take: answers outstanding, seconds of silence before what was begun is given up and before
    the connection is, seconds for the terminal to take an answer, refusals in a row and bytes without one sound frame."""

    outstanding: int = 256
    quiet_s: float = 30.0
    idle_s: float = 600.0
    drain_s: float = 30.0
    refusals: int = 20
    noise_bytes: int = 64 * 1024


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that is due: `body` as it is, or the general answer once every reading of `verdicts` is committed."""

    to: Frame | Missing
    message_id: int = _GENERAL
    body: bytes | None = None
    result: int = _OK
    verdicts: tuple["asyncio.Task[Verdict]", ...] = ()


class Session:
    """The dialogue with whoever is at the other end of one connection, be it one terminal or a relay of many."""

    def __init__(self, fleet: Fleet, deliveries: Deliveries, clock: Clock, peer: str, limits: SessionLimits) -> None:
        self._fleet = fleet
        self._deliveries = deliveries
        self._clock = clock
        self._peer = peer
        self._limits = limits
        self._framer = Jt808Framer()
        self._reassembler = Reassembler(max_messages=16, max_bytes=1024 * 1024)
        self._authenticated: set[str] = set()
        self._answers: asyncio.Queue[_Answer | None] = asyncio.Queue(limits.outstanding)
        self._serial = 0
        self._refusals = 0
        self._noise = 0

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve the connection until either end has had enough; closes it."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._answer_all(writer))
                await self._read_all(reader)
                await self._answers.put(None)
        finally:
            # What a terminal does not take any more must not keep the agent from stopping.
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _read_all(self, reader: asyncio.StreamReader) -> None:
        silent_s = 0.0
        while silent_s < self._limits.idle_s:
            try:
                async with asyncio.timeout(self._limits.quiet_s):
                    data = await reader.read(_READ_BYTES)
            except TimeoutError:
                silent_s += self._limits.quiet_s
                await self._take(self._framer.idle())
                await self._ask_again()
                continue
            except OSError:
                return
            if not data:
                return
            silent_s = 0.0
            self._noise += len(data)
            await self._take(self._framer.feed(data))
            if self._refusals >= self._limits.refusals or self._noise > self._limits.noise_bytes:
                self._refuse(self._peer, Reason.BAD_START, "cut off: nothing but noise")
                return

    async def _take(self, items: list[Frame | Refused]) -> None:
        received_ns = self._clock.wall_ns()
        for item in items:
            if isinstance(item, Refused):
                self._refusals += 1
                self._refuse(self._peer, item.reason, item.detail, item.raw)
                if self._refusals >= self._limits.refusals:
                    return
            else:
                self._refusals = self._noise = 0
                await self._frame(item, received_ns)

    async def _ask_again(self) -> None:
        """Name the packets that did not come (0x8003), once for each silence."""
        self._give_up_old()
        for missing in self._reassembler.missing():
            body = resend_request_body(missing.first_serial, missing.packets, missing.version)
            await self._answers.put(_Answer(to=missing, message_id=_RESEND, body=body))

    def _give_up_old(self) -> None:
        for given_up in self._reassembler.expire(self._clock.monotonic_ns()):
            self._refuse(self._peer, given_up.reason, given_up.detail)

    async def _frame(self, frame: Frame, received_ns: int) -> None:
        if frame.packet is not None and self._trusted(frame) is None:
            # Nothing is kept for somebody who has not said who he is.
            await self._reply(frame, _FAILED)
            return
        whole = self._reassembler.add(frame, self._clock.monotonic_ns())
        self._give_up_old()
        if isinstance(whole, Refused):
            self._refuse(self._source(frame), whole.reason, whole.detail, whole.raw)
            await self._reply(frame, _WRONG)
        elif whole is not None:
            # One answer for a message in packets, to the packet that completed it.
            await self._message(msgspec.structs.replace(whole, serial=frame.serial), received_ns)

    async def _message(self, frame: Frame, received_ns: int) -> None:
        try:
            message = parse_message(frame)
        except ParseError as error:
            self._refuse(self._source(frame), error.reason, f"{message_name(frame.message_id)}: {error}", frame.raw)
            await self._reply(frame, _WRONG)
            return
        await self._act(frame, message, received_ns)

    async def _act(self, frame: Frame, message: Message, received_ns: int) -> None:
        match message:
            case Register():
                await self._register(frame)
            case Authenticate():
                await self._authenticate(frame, message)
            case Heartbeat() | Logout():
                await self._sign_of_life(frame, message)
            case LocationReport() | LocationAnswer() | LocationBatch() | MultimediaData():
                await self._located(frame, message, received_ns)
            case Attributes() | GeneralAnswer():
                return
            case Other() | Unknown():
                await self._not_ours(frame, message)

    async def _register(self, frame: Frame) -> None:
        if self._fleet.may_register(frame.phone):
            body = register_answer_body(frame.serial, _OK, self._fleet.code(frame.phone))
        else:
            self._refuse(self._peer, Reason.UNKNOWN_DEVICE, f"terminal {frame.phone} wants to register")
            body = register_answer_body(frame.serial, _NO_SUCH_TERMINAL)
        await self._answers.put(_Answer(to=frame, message_id=_REGISTERED, body=body))

    async def _authenticate(self, frame: Frame, message: Authenticate) -> None:
        if not self._fleet.authentic(frame.phone, message.auth_code):
            # The bytes stay out of the account: they hold a code.
            self._refuse(self._source(frame), Reason.NOT_AUTHENTICATED, f"terminal {frame.phone}: a code that is not its own")
            await self._reply(frame, _FAILED)
        elif self._vehicle(frame) is None or len(self._authenticated) >= _MOST_PHONES:
            await self._reply(frame, _FAILED)
        else:
            self._authenticated.add(frame.phone)
            await self._reply(frame, _OK)

    async def _sign_of_life(self, frame: Frame, message: Heartbeat | Logout) -> None:
        trusted = self._trusted(frame) is not None
        if isinstance(message, Logout):
            self._authenticated.discard(frame.phone)
        await self._reply(frame, _OK if trusted else _FAILED)

    async def _located(
        self, frame: Frame, message: LocationReport | LocationAnswer | LocationBatch | MultimediaData, received_ns: int
    ) -> None:
        vehicle = self._trusted(frame)
        if vehicle is None:
            await self._reply(frame, _FAILED)
            return
        locations, refused = _locations(message)
        for item in refused:
            self._refuse(vehicle.device.id, item.reason, item.detail, item.raw)
        verdicts = tuple([await self._hand_over(vehicle, location, received_ns) for location in locations])
        if isinstance(message, MultimediaData):
            self._refuse(vehicle.device.id, Reason.UNKNOWN_MESSAGE, f"{len(message.data)} bytes of multimedia, not kept")
            body = struct.pack(">I", message.multimedia_id)  # no list of packets: nothing needs to come again
            await self._answers.put(_Answer(to=frame, message_id=_MULTIMEDIA, body=body, verdicts=verdicts))
        else:
            result = _WRONG if refused and not locations else _OK
            await self._answers.put(_Answer(to=frame, result=result, verdicts=verdicts))

    async def _hand_over(self, vehicle: Vehicle, location: Location, received_ns: int) -> "asyncio.Task[Verdict]":
        decoded = decode_location(vehicle.profile, location)
        return await self._deliveries.hand_over(
            Heard(device=vehicle.device.id, profile=vehicle.profile, received_ns=received_ns, decoded=decoded)
        )

    async def _not_ours(self, frame: Frame, message: Other | Unknown) -> None:
        if frame.message_id == _TIME_QUERY:
            now = datetime.fromtimestamp(self._clock.wall_ns() / SECOND_NS, UTC)
            body = time_answer_body(now.strftime("%y%m%d%H%M%S"))
            await self._answers.put(_Answer(to=frame, message_id=_TIME, body=body))
        elif frame.message_id not in _ANSWERS_TO_US:
            reason = message.reason if isinstance(message, Unknown) else Reason.UNKNOWN_MESSAGE
            self._refuse(self._source(frame), reason, message_name(frame.message_id), frame.raw)
            await self._reply(frame, _UNSUPPORTED)

    def _trusted(self, frame: Frame) -> Vehicle | None:
        """The terminal that sent `frame`, where it may; otherwise the refusal is counted."""
        if self._fleet.requires_auth and frame.phone not in self._authenticated:
            self._refuse(self._source(frame), Reason.NOT_AUTHENTICATED, f"{message_name(frame.message_id)} before authentication")
            return None
        return self._vehicle(frame)

    def _vehicle(self, frame: Frame) -> Vehicle | None:
        vehicle = self._fleet.known(frame.phone)
        if vehicle is None:
            vehicle = self._fleet.admit(frame.phone)
            if vehicle is None:
                self._refuse(self._peer, Reason.UNKNOWN_DEVICE, f"terminal {frame.phone}", frame.raw)
            else:
                self._deliveries.inlet.admit(vehicle.device)
        return vehicle

    def _source(self, frame: Frame) -> str:
        vehicle = self._fleet.known(frame.phone)
        return self._peer if vehicle is None else vehicle.device.id

    def _refuse(self, source: str, reason: Reason, detail: str, raw: bytes = b"") -> None:
        self._deliveries.refuse(source, reason, detail, raw)

    async def _reply(self, frame: Frame, result: int) -> None:
        await self._answers.put(_Answer(to=frame, result=result))

    async def _answer_all(self, writer: asyncio.StreamWriter) -> None:
        """Send each answer when its readings are committed, in order; a terminal that takes none is let go."""
        listening = True
        while (answer := await self._answers.get()) is not None:
            verdicts = [await verdict for verdict in answer.verdicts]
            if not listening:
                continue
            writer.write(self._encode(answer, verdicts))
            try:
                async with asyncio.timeout(self._limits.drain_s):
                    await writer.drain()
            except (TimeoutError, OSError):
                listening = False
                writer.transport.abort()

    def _encode(self, answer: _Answer, verdicts: list[Verdict]) -> bytes:
        to, body = answer.to, answer.body
        if body is None and isinstance(to, Frame):
            unusable = bool(verdicts) and all(verdict is Verdict.REFUSED for verdict in verdicts)
            body = general_answer_body(to.serial, to.message_id, _WRONG if unusable else answer.result)
        self._serial = self._serial + 1 & 0xFFFF
        return encode_frame(answer.message_id, to.phone, self._serial, body or b"", 2019 if to.version == 2019 else 2013)


def _locations(
    message: LocationReport | LocationAnswer | LocationBatch | MultimediaData,
) -> tuple[tuple[Location, ...], tuple[Refused, ...]]:
    """The locations in a message, and what of it could not be read."""
    if isinstance(message, LocationBatch):
        locations, refused = message.locations, message.refused
    else:
        locations, refused = (() if message.location is None else (message.location,)), ()
    return locations, (*refused, *(location.flaw for location in locations if location.flaw is not None))
