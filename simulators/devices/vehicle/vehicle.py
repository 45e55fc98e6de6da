"""A vehicle terminal: JT/T 808 over TCP, 2013 or 2019. Registers, authenticates, reports, catches up after blind areas, obeys."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

import msgspec

from device_profiles.model import Profile
from firmware_bridge.jt808.frames import encode_frame
from firmware_bridge.jt808.location import encode_values
from simulators.attempt import attempt
from simulators.deeds import How, Kind
from simulators.devices.base import Calling, Surroundings
from simulators.devices.memory import Kept, Memory
from simulators.devices.vehicle import bodies
from simulators.devices.vehicle.fences import Crossing
from simulators.devices.vehicle.orders import TerminalOrders, order_ids
from simulators.devices.vehicle.session import Session, UnansweredError
from simulators.listener import Address, close_quietly, reset
from simulators.route import Fix, Route
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
_HEARTBEAT_S = 30.0
_RETRY_FIRST_S, _RETRY_MOST_S = 1.0, 30.0
_ALREADY_REGISTERED = frozenset({1, 3})  # 0x8100: vehicle, or terminal, registered before


class Fixed(msgspec.Struct, frozen=True):
    """A location body of one instant."""

    body: bytes


_ON_CROSSING = ("area_id", "area_left")
"""Told with the reading in which the vehicle crossed a border, and never else."""


class Vehicle(Calling):
    """Measures every `interval_s` and at once when something happens; what is not confirmed stays in its memory."""

    def __init__(
        self, spec: DeviceSpec, profile: Profile, around: Surroundings, target: Callable[[], Address], answer_s: float = _ANSWER_S
    ) -> None:
        super().__init__(spec, profile, around)
        if profile.wire.jt808 is None:
            raise ValueError(f"{spec.id}: profile {profile.name} has no JT/T 808 wire")
        self._fields = profile.wire.jt808.fields
        self._crossing: Crossing | None = None
        self._crossed = False
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
        named = [command.terminal.name for command in profile.commands.values() if command.terminal is not None]
        known = frozenset() if spec.kind is Kind.VEHICLE else order_ids(named)  # the plain terminal is an old one
        self.orders = TerminalOrders(known, self.version, spec.address[-7:], self)

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
        return self._judged(values, fix, now_ns)

    def _judged(self, values: dict[str, Value], fix: Fix, now_ns: int) -> dict[str, Value]:
        """What the terminal judges by itself: speed, routes and areas; a scenario may say otherwise."""
        speed = values.get("speed_kmh")
        told: dict[str, Value] = {
            "overspeed": isinstance(speed, (int, float)) and speed > self.orders.max_speed_kmh,
            "off_route": self.orders.fences.off_route((fix.latitude, fix.longitude)),
            "area_crossed": self._crossed,
        }
        if self._crossing is not None:
            told |= {"area_id": self._crossing.number, "area_left": self._crossing.out}
        for metric in (*told, *_ON_CROSSING):
            if metric in self.profile.metrics and not self.body.pinned(metric, now_ns):
                values.pop(metric, None)
                values |= {metric: told[metric]} if metric in told else {}
        return values

    def place(self) -> bytes:
        """A location body of now."""
        return self.speak(self.clock.wall_ns()).body

    def hold(self, metric: str, value: Value) -> None:
        """A metric keeps `value`; nothing where the model has none of that name."""
        if metric in self.profile.metrics:
            self.body.pin(metric, value, None)

    def let_go(self, metric: str) -> None:
        """A metric moves freely again."""
        self.body.free(metric)
        self._crossed = self._crossed and metric != "area_crossed"

    def speak(self, now_ns: int) -> Fixed:
        """The location body as of `now_ns`."""
        return Fixed(encode_values(self.profile, self.values(now_ns), now_ns))

    def frame(self, message_id: int, body: bytes) -> bytes:
        """The next frame: the terminal's own serial number goes up by one with each."""
        self.serial = (self.serial + 1) & 0xFFFF
        wrong = self.misbehaves(self.clock.wall_ns()) is How.WRONG_UNIT
        phone = self.spec.address[:-1] + str((int(self.spec.address[-1]) + 1) % 10) if wrong else self.spec.address
        return encode_frame(message_id, phone, self.serial, body, self.version)

    async def run(self) -> None:
        """Live until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.keep_beat())
            group.create_task(self._stay_connected())

    def keep_now(self, now_ns: int, *, event: bool) -> None:
        self._look_around(now_ns)
        self._memory.keep(self.speak(now_ns), event=event or self._crossing is not None)
        self.account.overflow = self._memory.overflow

    def _look_around(self, now_ns: int) -> None:
        fix = self._route.at(self.body.age_s(now_ns))
        self._crossing = self.orders.fences.crossing((fix.latitude, fix.longitude))
        self._crossed = self._crossed or self._crossing is not None

    @property
    def interval_ns(self) -> int:
        """How often the vehicle reports: as the scenario says, until the platform says otherwise."""
        told_s = self.orders.report_s
        return super().interval_ns if told_s is None else round(self.lasting(told_s) * SECOND_NS)

    async def _stay_connected(self) -> None:
        patience_s = _RETRY_FIRST_S
        while True:
            await self._leave_blind_area()
            try:
                await attempt(self._connect())
            except (OSError, EOFError, TimeoutError, UnansweredError) as error:
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
        session = Session(self, reader, writer, self._answer_s)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(session.listen())
                group.create_task(session.obey())
                group.create_task(self._watch_line(writer))
                await self._log_in(session)
                self._talked = True
                await self._talk(session)
        except* (OSError, EOFError, TimeoutError, UnansweredError) as errors:
            raise UnansweredError(repr(errors.exceptions[0])) from errors
        finally:
            await close_quietly(writer)

    async def _watch_line(self, writer: asyncio.StreamWriter) -> None:
        """A vehicle that drives into a blind area does not say good-bye."""
        await self._line_broken.wait()
        reset(writer)
        raise UnansweredError("blind area")

    async def _log_in(self, session: Session) -> None:
        if self._auth_code is None:
            answer = await session.ask(bodies.REGISTER, bodies.register_body(self.version, self.spec.address[-7:], "苏E00001"))
            if answer.result not in _ALREADY_REGISTERED | {0}:
                raise UnansweredError(f"registration refused: {answer.result}")
            self._auth_code = answer.auth_code or b""
        code = bodies.authenticate_body(self.version, self._auth_code, self.spec.address)
        answer = await session.ask(bodies.AUTHENTICATE, code)
        if answer.result != 0:
            self._auth_code = None
            raise UnansweredError(f"authentication refused: {answer.result}")
        result = self.orders.logged_in()
        if result is not None:
            await session.ask(bodies.UPGRADE_RESULT, result)

    async def _talk(self, session: Session) -> None:
        while True:
            try:
                async with asyncio.timeout(self.lasting(_HEARTBEAT_S)):
                    kept = await self._memory.oldest(_BATCH)
            except TimeoutError:
                await session.ask(bodies.HEARTBEAT, b"")
                continue
            await self._hand_over(session, list(kept))

    async def _hand_over(self, session: Session, kept: Sequence[Kept[Fixed]]) -> None:
        for one in kept:
            one.sent += 1
            self.account.spoken += one.sent == 1
            self.account.resent += one.sent > 1
        if len(kept) == 1:
            answer = await session.ask(bodies.LOCATION, kept[0].message.body)
        else:
            answer = await session.ask(bodies.LOCATION_BATCH, bodies.batch_body([one.message.body for one in kept]))
        good = answer.result in {0, 4}  # 4: the alarm in it was confirmed
        self._crossed = self._crossed and not good
        self.account.confirmed += len(kept) if good else 0
        self.account.refused += 0 if good else len(kept)
        for one in kept:
            self._memory.done(one)
