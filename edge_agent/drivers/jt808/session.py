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
from edge_agent.drivers.jt808.answers import FAILED, OK, UNSUPPORTED, WRONG, Answer, Answers, SessionLimits
from edge_agent.drivers.jt808.caller import Caller
from edge_agent.drivers.jt808.fleet import Fleet, Vehicle
from edge_agent.heard import Heard, Verdict
from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.jt808.answers import register_answer_body, resend_request_body, time_answer_body
from firmware_bridge.jt808.frames import Frame, Jt808Framer
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
from firmware_bridge.jt808.reassembly import Reassembler
from telemetry.clock import SECOND_NS, Clock
from telemetry.raw_frames import RawFrame
from telemetry.reason import Reason

__all__ = ["Session", "SessionLimits"]

_NO_SUCH_TERMINAL = 4  # 0x8100, result
_REGISTERED, _RESEND, _TIME, _MULTIMEDIA = 0x8100, 0x8003, 0x8004, 0x8800
_TIME_QUERY, _RESEND_REQUEST, _UPGRADE_RESULT = 0x0004, 0x0005, 0x0108
_ANSWERS_TO_US = frozenset({0x0001, 0x0104, 0x0107, 0x0608, 0x0700, 0x0802, 0x0805})
"""What a terminal says because the platform asked; answering it again would be wrong."""
_NOTED = frozenset({0x0108, 0x0301, 0x0302, 0x0303, 0x0701, 0x0702, 0x0800})
"""What a terminal reports beside its place: written to the log and counted, and that it came is answered."""

_READ_BYTES = 8192
_MOST_PHONES = 1024


class Session:
    """The dialogue with whoever is at the other end of one connection, be it one terminal or a relay of many."""

    def __init__(self, fleet: Fleet, deliveries: Deliveries, clock: Clock, peer: str, limits: SessionLimits) -> None:
        self.caller = Caller(limits.answer_s, limits.drain_s)
        self._fleet = fleet
        self._desk = fleet.desk
        self._deliveries = deliveries
        self._clock = clock
        self._peer = peer
        self._limits = limits
        self._framer = Jt808Framer()
        self._reassembler = Reassembler(max_messages=16, max_bytes=1024 * 1024)
        self._authenticated: set[str] = set()
        self._answers = Answers(self.caller, limits)
        self._refusals = 0
        self._noise = 0

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve the connection until either end has had enough; closes it."""
        self.caller.attach(writer)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._answers.send_all(writer))
                await self._read_all(reader)
                await self._answers.put(None)
        finally:
            self._desk.leave(self)
            self.caller.detach()
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
            await self._answers.put(Answer(to=missing, message_id=_RESEND, body=body))

    def _give_up_old(self) -> None:
        for given_up in self._reassembler.expire(self._clock.monotonic_ns()):
            self._refuse(self._peer, given_up.reason, given_up.detail)

    async def _frame(self, frame: Frame, received_ns: int) -> None:
        if frame.packet is not None and self._trusted(frame) is None:
            # Nothing is kept for somebody who has not said who he is.
            await self._reply(frame, FAILED)
            return
        whole = self._reassembler.add(frame, self._clock.monotonic_ns())
        self._give_up_old()
        if isinstance(whole, Refused):
            self._refuse(self._source(frame), whole.reason, whole.detail, whole.raw)
            await self._reply(frame, WRONG)
        elif whole is not None:
            # One answer for a message in packets, to the packet that completed it.
            await self._message(msgspec.structs.replace(whole, serial=frame.serial, raw=frame.raw), received_ns)

    async def _message(self, frame: Frame, received_ns: int) -> None:
        try:
            message = parse_message(frame)
        except ParseError as error:
            self._refuse(self._source(frame), error.reason, f"{message_name(frame.message_id)}: {error}", frame.raw)
            await self._reply(frame, WRONG)
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
                self.caller.hear(frame, message)
            case Attributes() | GeneralAnswer():
                self.caller.hear(frame, message)
            case Other() | Unknown():
                await self._not_ours(frame, message)

    async def _register(self, frame: Frame) -> None:
        if self._fleet.may_register(frame.phone):
            body = register_answer_body(frame.serial, OK, self._fleet.code(frame.phone))
        else:
            self._refuse(self._peer, Reason.UNKNOWN_DEVICE, f"terminal {frame.phone} wants to register")
            body = register_answer_body(frame.serial, _NO_SUCH_TERMINAL)
        await self._answers.put(Answer(to=frame, message_id=_REGISTERED, body=body))

    async def _authenticate(self, frame: Frame, message: Authenticate) -> None:
        if not self._fleet.authentic(frame.phone, message.auth_code):
            # The bytes stay out of the account: they hold a code.
            self._refuse(self._source(frame), Reason.NOT_AUTHENTICATED, f"terminal {frame.phone}: a code that is not its own")
            await self._reply(frame, FAILED)
        elif self._vehicle(frame) is None or len(self._authenticated) >= _MOST_PHONES:
            await self._reply(frame, FAILED)
        else:
            self._authenticated.add(frame.phone)
            self._desk.take(self, frame.phone, frame.version)
            await self._reply(frame, OK)

    async def _sign_of_life(self, frame: Frame, message: Heartbeat | Logout) -> None:
        trusted = self._trusted(frame) is not None
        if isinstance(message, Logout):
            self._authenticated.discard(frame.phone)
            self._desk.give_up(self, frame.phone)
        await self._reply(frame, OK if trusted else FAILED)

    async def _located(
        self, frame: Frame, message: LocationReport | LocationAnswer | LocationBatch | MultimediaData, received_ns: int
    ) -> None:
        vehicle = self._trusted(frame)
        if vehicle is None:
            await self._reply(frame, FAILED)
            return
        locations, refused = _locations(message)
        for item in refused:
            self._refuse(vehicle.device.id, item.reason, item.detail, item.raw)
        verdicts = tuple([await self._hand_over(vehicle, location, received_ns, frame) for location in locations])
        if isinstance(message, MultimediaData):
            self._refuse(vehicle.device.id, Reason.UNKNOWN_MESSAGE, f"{len(message.data)} bytes of multimedia, not kept")
            body = struct.pack(">I", message.multimedia_id)  # no list of packets: nothing needs to come again
            await self._answers.put(Answer(to=frame, message_id=_MULTIMEDIA, body=body, verdicts=verdicts))
        else:
            result = WRONG if refused and not locations else OK
            await self._answers.put(Answer(to=frame, result=result, verdicts=verdicts))

    async def _hand_over(self, vehicle: Vehicle, location: Location, received_ns: int, frame: Frame) -> "asyncio.Task[Verdict]":
        heard = Heard(
            device=vehicle.device.id,
            profile=vehicle.profile,
            received_ns=received_ns,
            decoded=decode_location(vehicle.profile, location),
            frames=(RawFrame("jt808", frame.raw),) if frame.raw else (),
            source=self._peer,
        )
        return await self._deliveries.hand_over(heard)

    async def _not_ours(self, frame: Frame, message: Other | Unknown) -> None:
        if frame.message_id == _TIME_QUERY:
            now = datetime.fromtimestamp(self._clock.wall_ns() / SECOND_NS, UTC)
            body = time_answer_body(now.strftime("%y%m%d%H%M%S"))
            await self._answers.put(Answer(to=frame, message_id=_TIME, body=body))
        elif frame.message_id in _ANSWERS_TO_US:
            self.caller.hear(frame, message)
        elif frame.message_id == _RESEND_REQUEST and isinstance(message, Other):
            await self._resend(frame, message)
        elif frame.message_id in _NOTED and isinstance(message, Other):
            await self._note(frame, message)
        else:
            reason = message.reason if isinstance(message, Unknown) else Reason.UNKNOWN_MESSAGE
            self._refuse(self._source(frame), reason, message_name(frame.message_id), frame.raw)
            await self._reply(frame, UNSUPPORTED)

    async def _resend(self, frame: Frame, message: Other) -> None:
        """A terminal misses packets of ours: they are the answer."""
        first, wanted = message.fields.get("first_serial"), message.fields.get("packets")
        numbers = [number for number in wanted if isinstance(number, int)] if isinstance(wanted, list) else []
        if not isinstance(first, int) or not await self.caller.resend(frame, first, numbers):
            self._refuse(self._source(frame), Reason.NOT_FOUND, f"wants packets again of message {first}, not kept", frame.raw)

    async def _note(self, frame: Frame, message: Other) -> None:
        vehicle = self._trusted(frame)
        if vehicle is None:
            await self._reply(frame, FAILED)
            return
        self.caller.hear(frame, message)
        name = message_name(frame.message_id)
        self._desk.note(vehicle.device.id, name, message.fields)
        result = message.fields.get("result")
        if frame.message_id == _UPGRADE_RESULT and isinstance(result, int):
            self._desk.upgraded(frame.phone, result)
        if message.flaw is not None:
            self._refuse(vehicle.device.id, message.flaw.reason, f"{name}: {message.flaw.detail}", frame.raw)
        await self._reply(frame, WRONG if message.flaw is not None else OK)

    def _trusted(self, frame: Frame) -> Vehicle | None:
        """The terminal that sent `frame`, where it may; otherwise the refusal is counted."""
        if self._fleet.requires_auth and frame.phone not in self._authenticated:
            self._refuse(self._source(frame), Reason.NOT_AUTHENTICATED, f"{message_name(frame.message_id)} before authentication")
            return None
        vehicle = self._vehicle(frame)
        if vehicle is not None:
            self._desk.take(self, frame.phone, frame.version)
        return vehicle

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
        await self._answers.put(Answer(to=frame, result=result))


def _locations(
    message: LocationReport | LocationAnswer | LocationBatch | MultimediaData,
) -> tuple[tuple[Location, ...], tuple[Refused, ...]]:
    """The locations in a message, and what of it could not be read."""
    if isinstance(message, LocationBatch):
        locations, refused = message.locations, message.refused
    else:
        locations, refused = (() if message.location is None else (message.location,)), ()
    return locations, (*refused, *(location.flaw for location in locations if location.flaw is not None))
