"""Meters on a serial line, DL/T 645 and CJ/T 188 alike: one question at a time, each meter's round of them one reading."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from device_profiles.model import Profile
from device_profiles.wires.cjt188_orders import ValveOrder
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers.base import Deliveries, SetupError, profile_of, turn_down
from edge_agent.drivers.rounds import Rounds
from edge_agent.drivers.serial.port import PortDriver
from edge_agent.heard import Heard
from edge_agent.link_kinds import DriverName
from firmware_bridge.cjt188.frames import WILDCARD
from firmware_bridge.cjt188.orders import ValveAsking
from firmware_bridge.cjt188.rounds import Cjt188Plan
from firmware_bridge.dlt645.rounds import Dlt645Plan
from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.meter_line import Asking, MeterPlan, MeterRound
from firmware_bridge.values import Decoded
from telemetry.clock import Clock
from telemetry.raw_frames import RawFrame
from telemetry.reason import Reason
from telemetry.records import Command, CommandResult, Outcome

__all__ = ["MeterDriver"]

_TRIES = 2
"""How often a question is asked of a meter that answered its last round: the first may be lost on a meter that sleeps."""
_SILENCES = 2
"""Questions in a round that may go unanswered before the rest of it is left for the next time."""
_LONGEST_FRAME_BYTES = 280
_BITS_PER_BYTE = 11
_VALVE_LOOK_S = 2.0
"""How often a meter is asked where its valve is, while that moves."""
_TURNAROUND_S = 0.05
"""A line belongs to its next speaker some characters after the last; at 2400 baud one takes 4.6 ms."""

_PLANS: Mapping[DriverName, Callable[[Profile, str], MeterPlan]] = {
    DriverName.DLT645: Dlt645Plan,
    DriverName.CJT188: Cjt188Plan,
}


class _Meter(msgspec.Struct, frozen=True, kw_only=True):
    device: DeviceConfig
    profile: Profile
    plan: MeterPlan


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a meter, and the frames of its answers."""

    round: Asking
    frames: list[bytes] = msgspec.field(default_factory=list)


class _Question:
    """The one question that is open on the line."""

    def __init__(self, meter: _Meter, asking: "_Asked", limit: asyncio.Timeout, latest_s: float) -> None:
        self.meter = meter
        self.round = asking.round
        self.frames = asking.frames
        self.answered = asyncio.Event()
        self._limit = limit
        self._latest_s = latest_s

    def wait_longer(self, until_s: float) -> None:
        """Bytes are coming: an answer that has begun is heard to its end, if it ends."""
        due_s = self._limit.when()
        if due_s is not None and not self._limit.expired():
            self._limit.reschedule(max(due_s, min(until_s, self._latest_s)))


class MeterDriver(PortDriver):
    """One serial port and the meters of one language on it.

    Only a frame that answers the question in hand counts: its address, function, identifier and part are the asked ones.
    A question that a meter refuses or leaves unanswered costs its own metrics only; a meter that says nothing at all gives
    no reading, and is asked once and ever less often, so that its line's other meters keep their rhythm.
    """

    # A meter may pause for 500 ms between two bytes of its answer (DL/T 645-2007; the clause was not at hand to verify).
    quiet_s = 0.5

    def __init__(self, link: LinkConfig, catalog: Mapping[str, Profile], clock: Clock) -> None:
        super().__init__(link, clock)
        self._meters = tuple(_meter(link, device, catalog) for device in link.devices)
        if len(self._meters) > 1 and any(meter.device.address == WILDCARD for meter in self._meters):
            raise SetupError(f"link {link.name}: address {WILDCARD} beside other meters, want it for one that is alone")
        self._framer = self._meters[0].plan.framer()
        self._language = link.driver.value
        self._question: _Question | None = None
        self._rounds: Rounds | None = None
        self._line = asyncio.Lock()
        self._talking: tuple[asyncio.StreamWriter, Deliveries] | None = None
        self._free_at_s = 0.0

    def begin(self) -> None:
        self._framer = self._meters[0].plan.framer()

    async def take(self, data: bytes, deliveries: Deliveries) -> bool:
        found = self._sort(self._framer.feed(data), deliveries)
        if self._question is not None and not found:
            self._question.wait_longer(asyncio.get_running_loop().time() + self.quiet_s)
        return found

    async def quiet(self, deliveries: Deliveries) -> None:
        self._sort(self._framer.idle(), deliveries)

    def _sort(self, said: list[Any], deliveries: Deliveries) -> bool:
        """Bring each frame before the question in hand; whether there was any."""
        for frame in said:
            if isinstance(frame, Refused):
                deliveries.refuse(self.name, frame.reason, frame.detail, frame.raw)
            elif self._question is None or self._question.answered.is_set():
                deliveries.refuse(self.name, Reason.WRONG_TRANSACTION, "a frame that nobody asked for", frame.raw)
            else:
                self._hear(self._question, frame, deliveries)
        return any(not isinstance(frame, Refused) for frame in said)

    def _hear(self, question: _Question, frame: Any, deliveries: Deliveries) -> None:
        told = question.round.hear(frame)
        if told.answers:
            question.answered.set()
            if told.refused is None:
                question.frames.append(frame.raw)
        if told.refused is not None:
            source = question.meter.device.id if told.answers else self.name
            deliveries.refuse(source, told.refused.reason, told.refused.detail, told.refused.raw)

    async def talk(self, writer: asyncio.StreamWriter, deliveries: Deliveries) -> None:
        loop = asyncio.get_running_loop()
        # Kept over reconnections: opening the line anew is no reason to trouble it with its dead meters again.
        rounds = self._rounds = self._rounds or Rounds([meter.plan.poll_s for meter in self._meters], loop.time())
        self._talking = writer, deliveries
        try:
            while True:
                due_s, index = rounds.first()
                await asyncio.sleep(max(0.0, due_s - loop.time()))
                began_s, meter = loop.time(), self._meters[index]
                answered = await self._read(meter, writer, deliveries, hopeful=not rounds.failing(index)) is not None
                rounds.done(began_s, loop.time(), answered=answered)
        finally:
            self._talking = None

    async def _read(
        self, meter: _Meter, writer: asyncio.StreamWriter, deliveries: Deliveries, *, hopeful: bool
    ) -> Decoded | None:
        """One round of one meter, handed over as a reading; None where the meter said nothing."""
        asking, raws = await self._ask_all(meter, writer, hopeful=hopeful)
        if not asking.spoke:
            deliveries.refuse(meter.device.id, Reason.TIMEOUT, "no answer")
            return None
        received_ns, decoded = self._clock.wall_ns(), asking.decoded()
        heard = Heard(
            device=meter.device.id,
            profile=meter.profile,
            received_ns=received_ns,
            decoded=decoded,
            frames=tuple(RawFrame(self._language, raw) for raw in raws),
            source=self.source,
        )
        await deliveries.hand_over(heard)
        return decoded

    async def _ask_all(self, meter: _Meter, writer: asyncio.StreamWriter, *, hopeful: bool) -> tuple[MeterRound, list[bytes]]:
        """A whole round, and the frames that answered it."""
        asking = meter.plan.begin()
        asked = _Asked(round=asking)
        self._tally.polls += 1
        silences = 0
        while (question := asking.question()) is not None and silences < _SILENCES:
            tries = _TRIES if hopeful or asking.spoke else 1
            if not await self._ask(meter, asked, question, writer, tries):
                asking.give_up()
                # A meter that has not said a word is not asked for the rest.
                silences += 1 if asking.spoke else _SILENCES
        return asking, asked.frames

    async def _ask(self, meter: _Meter, asking: _Asked, question: bytes, writer: asyncio.StreamWriter, tries: int) -> bool:
        """Send a question until it is answered, at most so often; whether it was."""
        for _ in range(tries):
            async with self._line:
                if await self._ask_once(meter, asking, question, writer):
                    return True
            self._tally.timeouts += 1
        return False

    async def _ask_once(self, meter: _Meter, asking: _Asked, question: bytes, writer: asyncio.StreamWriter) -> bool:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._free_at_s - loop.time()))
        latest_s = loop.time() + meter.plan.timeout_s + _LONGEST_FRAME_BYTES * _BITS_PER_BYTE / self._options.baudrate
        # A question left alone may still be answered: nobody may wait then.
        pause_s = meter.plan.timeout_s / 2
        try:
            async with asyncio.timeout(meter.plan.timeout_s) as limit:
                self._question = _Question(meter, asking, limit, latest_s)
                self.say(writer, question)
                await self._question.answered.wait()
        except TimeoutError:
            return False
        else:
            pause_s = _TURNAROUND_S
            return True
        finally:
            self._question = None
            self._free_at_s = loop.time() + pause_s

    async def command(self, command: Command, device: DeviceConfig) -> CommandResult:
        meter = next((meter for meter in self._meters if meter.device.id == device.id), None)
        if meter is None:
            return turn_down(command, self._clock, Reason.UNKNOWN_DEVICE, f"{device.id} is not on link {self.name}")
        spec = meter.profile.commands.get(command.action)
        if spec is None or spec.valve is None or not isinstance(meter.plan, Cjt188Plan):
            return turn_down(command, self._clock, Reason.UNKNOWN_COMMAND, f"{meter.profile.name} takes no {command.action!r}")
        if self._talking is None:
            return self._result(command, Outcome.FAILED, Reason.UNREACHABLE, "the line is not open")
        asking = ValveAsking(meter.plan, spec.valve.action)
        # Once only: whether the valve moved is what counts, also when the answer to the order was lost.
        await self._ask(meter, _Asked(round=asking), asking.question(), self._talking[0], 1)
        if asking.refused is not None:
            return self._result(command, Outcome.FAILED, asking.refused.reason, asking.refused.detail)
        return await self._valve_moved(command, meter, spec.valve)

    async def _valve_moved(self, command: Command, meter: _Meter, order: ValveOrder) -> CommandResult:
        """Read the meter until its valve is where it was told to go, or its time is over."""
        loop = asyncio.get_running_loop()
        until_s, held = loop.time() + order.within_s, None
        while self._talking is not None:
            decoded = await self._read(meter, *self._talking, hopeful=True)
            held = None if decoded is None else decoded.values.get(order.metric)
            if held == order.done:
                return self._result(command, Outcome.DONE, None, "")
            if loop.time() >= until_s:
                break
            await asyncio.sleep(min(_VALVE_LOOK_S, max(0.0, until_s - loop.time())))
        if held is None:
            return self._result(command, Outcome.UNKNOWN, Reason.TIMEOUT, f"{order.metric} cannot be read back")
        return self._result(command, Outcome.FAILED, Reason.CONFLICT, f"{order.metric} reads {held!r}, want {order.done!r}")

    def _result(self, command: Command, outcome: Outcome, reason: Reason | None, detail: str) -> CommandResult:
        now_ns = self._clock.wall_ns()
        return CommandResult(id=command.id, device=command.device, outcome=outcome, time_ns=now_ns, reason=reason, detail=detail)


def _meter(link: LinkConfig, device: DeviceConfig, catalog: Mapping[str, Profile]) -> _Meter:
    profile = profile_of(link, device, catalog)
    try:
        plan = _PLANS[link.driver](profile, device.address)
    except ParseError as error:
        raise SetupError(f"link {link.name}, device {device.id}: {error}") from error
    return _Meter(device=device, profile=profile, plan=plan)
