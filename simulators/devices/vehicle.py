"""A vehicle terminal: JT/T 808 over TCP, 2013 or 2019. Registers, authenticates, reports, catches up after blind areas."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

import msgspec

from device_profiles.model import Profile
from firmware_bridge.jt808.frames import Frame, Jt808Framer, encode_frame
from firmware_bridge.jt808.location import encode_values
from simulators.actions import How
from simulators.attempt import attempt
from simulators.devices import terminal_bodies as bodies
from simulators.devices.base import Calling, Surroundings
from simulators.devices.memory import Kept, Memory
from simulators.listener import Address, close_quietly, reset
from simulators.route import Route
from simulators.scenario import DeviceSpec
from simulators.ways import Form
from telemetry.clock import SECOND_NS
from telemetry.records import Value

__all__ = ["Fixed", "Vehicle"]

log = logging.getLogger(__name__)

_MEMORY = 1000
_BATCH = 16
"""Locations in one 0x0704, so that its body stays below the 1,023 bytes of one packet."""

_ANSWER_S = 5.0
_TRIES = 3
_HEARTBEAT_S = 30.0
_RETRY_FIRST_S, _RETRY_MOST_S = 1.0, 30.0
_FLOOD_S = 0.02
_CHUNK = 65536
_ALREADY_REGISTERED = frozenset({1, 3})  # 0x8100: vehicle, or terminal, registered before


class Fixed(msgspec.Struct, frozen=True):
    """A location body of one instant."""

    body: bytes


class _UnansweredError(Exception):
    """The platform did not answer, or said no: hang up and begin again later."""


class Vehicle(Calling):
    """Measures every `interval_s` and at once when something happens; what is not confirmed stays in its memory."""

    def __init__(
        self, spec: DeviceSpec, profile: Profile, around: Surroundings, target: Callable[[], Address], answer_s: float = _ANSWER_S
    ) -> None:
        super().__init__(spec, profile, around)
        if profile.wire.jt808 is None:
            raise ValueError(f"{spec.id}: profile {profile.name} has no JT/T 808 wire")
        self._fields = profile.wire.jt808.fields
        self._target = target
        self._answer_s = answer_s
        self._route = Route(spec.longitude, spec.latitude)
        self._memory: Memory[Fixed] = Memory(_MEMORY)
        self._blind_until_ns = 0
        self._line_broken = asyncio.Event()
        self._auth_code: bytes | None = None
        self._talked = False
        self.serial = 0
        self.version = 2019 if spec.form is Form.JT808_2019 else 2013

    def act(self, do: str, args: Mapping[str, Value], now_ns: int) -> None:
        super().act(do, args, now_ns)
        if do == "outage":
            self._blind_until_ns = self._until(args, now_ns) or now_ns
            self._line_broken.set()

    def values(self, now_ns: int) -> dict[str, Value]:
        """Every metric now; where the vehicle is comes from its route unless a scenario has set it elsewhere."""
        fix = self._route.at(self.body.age_s(now_ns))
        on_route = {"longitude": fix.longitude, "latitude": fix.latitude, "course_deg": fix.course_deg}
        values = super().values(now_ns)
        for name, value in on_route.items():
            metric = self._fields.get(name)
            if metric is not None and not self.body.pinned(metric, now_ns):
                values[metric] = value
        return values

    def speak(self, now_ns: int) -> Fixed:
        """The location body as of `now_ns`."""
        return Fixed(encode_values(self.profile, self.values(now_ns), now_ns))

    def frame(self, message_id: int, body: bytes) -> bytes:
        """The next frame: the terminal's own serial number goes up by one with each."""
        self.serial = (self.serial + 1) & 0xFFFF
        return encode_frame(message_id, self.spec.address, self.serial, body, self.version)

    async def run(self) -> None:
        """Live until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._measure())
            group.create_task(self._stay_connected())

    async def _measure(self) -> None:
        due, event = self.clock.monotonic_ns(), False
        while True:
            now_ns = self.clock.wall_ns()
            how = self.misbehaves(now_ns)
            if how is not How.SILENT:
                self._memory.keep(self.speak(now_ns), event=event)
                self.account.overflow = self._memory.overflow
            due = self.following(due)
            flood_due = self.clock.monotonic_ns() + round(_FLOOD_S * SECOND_NS)
            event = await self.wait(flood_due if how is How.FLOOD else due)

    async def _stay_connected(self) -> None:
        patience_s = _RETRY_FIRST_S
        while True:
            await self._leave_blind_area()
            try:
                await attempt(self._connect())
            except (OSError, EOFError, TimeoutError, _UnansweredError) as error:
                event = {"event": "sim.vehicle.offline", "device": self.spec.id, "error": repr(error)}
                log.debug("offline", extra=event)
            patience_s = _RETRY_FIRST_S if self._talked else min(2 * patience_s, _RETRY_MOST_S)
            await asyncio.sleep(self.lasting(patience_s))

    async def _leave_blind_area(self) -> None:
        self._line_broken.clear()
        left_ns = self._blind_until_ns - self.clock.wall_ns()
        if left_ns > 0:
            await asyncio.sleep(left_ns / SECOND_NS)

    async def _connect(self) -> None:
        self._talked = False
        reader, writer = await asyncio.open_connection(*self._target())
        session = _Session(self, reader, writer, self._answer_s)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(session.listen())
                group.create_task(self._watch_line(writer))
                await self._log_in(session)
                self._talked = True
                await self._talk(session)
        except* (OSError, EOFError, TimeoutError, _UnansweredError) as errors:
            raise _UnansweredError(repr(errors.exceptions[0])) from errors
        finally:
            await close_quietly(writer)

    async def _watch_line(self, writer: asyncio.StreamWriter) -> None:
        """A vehicle that drives into a blind area does not say good-bye."""
        await self._line_broken.wait()
        reset(writer)
        raise _UnansweredError("blind area")

    async def _log_in(self, session: "_Session") -> None:
        if self._auth_code is None:
            answer = await session.ask(bodies.REGISTER, bodies.register_body(self.version, self.spec.address[-7:], "苏E00001"))
            if answer.result not in _ALREADY_REGISTERED | {0}:
                raise _UnansweredError(f"registration refused: {answer.result}")
            self._auth_code = answer.auth_code or b""
        code = bodies.authenticate_body(self.version, self._auth_code, self.spec.address)
        answer = await session.ask(bodies.AUTHENTICATE, code)
        if answer.result != 0:
            self._auth_code = None
            raise _UnansweredError(f"authentication refused: {answer.result}")

    async def _talk(self, session: "_Session") -> None:
        while True:
            try:
                async with asyncio.timeout(self.lasting(_HEARTBEAT_S)):
                    kept = await self._memory.oldest(_BATCH)
            except TimeoutError:
                await session.ask(bodies.HEARTBEAT, b"")
                continue
            await self._hand_over(session, list(kept))

    async def _hand_over(self, session: "_Session", kept: Sequence[Kept[Fixed]]) -> None:
        for one in kept:
            one.sent += 1
            self.account.spoken += one.sent == 1
            self.account.resent += one.sent > 1
        if len(kept) == 1:
            answer = await session.ask(bodies.LOCATION, kept[0].message.body)
        else:
            answer = await session.ask(bodies.LOCATION_BATCH, bodies.batch_body([one.message.body for one in kept]))
        good = answer.result in {0, 4}  # 4: the alarm in it was confirmed
        self.account.confirmed += len(kept) if good else 0
        self.account.refused += 0 if good else len(kept)
        for one in kept:
            self._memory.done(one)


class _Session:
    """One connection: frames out, answers in, matched by serial number."""

    def __init__(self, vehicle: Vehicle, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer_s: float) -> None:
        self._vehicle = vehicle
        self._reader = reader
        self._writer = writer
        self._answer_s = answer_s
        self._waiting: dict[int, asyncio.Future[bodies.Answer]] = {}

    async def ask(self, message_id: int, body: bytes) -> bodies.Answer:
        """Send, and send again the same bytes with growing patience (T(n+1) = T(n) * (n + 1), clause 5); the answer."""
        frame = self._vehicle.frame(message_id, body)
        serial = self._vehicle.serial
        answer = self._waiting[serial] = asyncio.get_running_loop().create_future()
        patience_s = self._answer_s
        try:
            for attempt in range(1, _TRIES + 1):
                await self._send(frame)
                try:
                    async with asyncio.timeout(patience_s):
                        return await asyncio.shield(answer)
                except TimeoutError:
                    self._vehicle.account.resent += attempt < _TRIES
                    patience_s *= attempt + 1
            raise _UnansweredError(f"no answer to {message_id:#06x}")
        finally:
            del self._waiting[serial]

    async def listen(self) -> None:
        """Match answers until the platform hangs up; say "not supported" to whatever it wants besides."""
        framer = Jt808Framer()
        while data := await self._reader.read(_CHUNK):
            for frame in framer.feed(data):
                if isinstance(frame, Frame):
                    self._hear(frame)
        raise EOFError("the platform hung up")

    def _hear(self, frame: Frame) -> None:
        answer = bodies.read_answer(frame.message_id, frame.body)
        if answer is None:
            body = bodies.general_answer_body(frame.serial, frame.message_id, 3)
            self._writer.write(self._vehicle.frame(bodies.GENERAL_ANSWER, body))
            return
        waiting = self._waiting.get(answer.serial)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    async def _send(self, frame: bytes) -> None:
        vehicle = self._vehicle
        match vehicle.misbehaves(vehicle.clock.wall_ns()):
            case How.NOISE:
                vehicle.account.spoiled += 1
                self._writer.write(vehicle.noise.spoil(frame))
            case How.CUT:
                vehicle.account.spoiled += 1
                self._writer.write(frame[: len(frame) // 2])
                await self._writer.drain()
                raise ConnectionAbortedError("cut within a frame")
            case _:
                self._writer.write(frame)
        await self._writer.drain()
