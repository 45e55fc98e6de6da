"""Polls the Modbus units of one line and carries out their commands; the same for TCP, RTU and RTU over TCP."""

import asyncio
from collections.abc import Mapping
from zlib import crc32

from device_profiles.model import Profile
from edge_agent.backoff import Backoff
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers.base import Deliveries, LinkDriver, address_of, reconnecting, turn_down
from edge_agent.drivers.modbus.line import ModbusLine
from edge_agent.drivers.modbus.orders import Orders
from edge_agent.drivers.modbus.reply import GATEWAY_SILENT, Failure
from edge_agent.drivers.modbus.units import Plan, Unit, make_units
from edge_agent.drivers.rounds import Rounds
from edge_agent.heard import Heard, Inlet
from firmware_bridge.modbus.plan import ReadBlock
from telemetry.clock import Clock
from telemetry.raw_frames import RawFrame
from telemetry.reason import Reason
from telemetry.records import Command, CommandResult

__all__ = ["ModbusDriver"]

_SILENT_ROUNDS = 3
"""Rounds in a row in which nobody on a line answered, after which the line is opened anew (more where it has more units):
a half-open connection looks like silence."""
_EARLY_S = 0.05
"""How early a round may begin, so that several that are due soon need one awakening; a twentieth of the period at most."""


_LEFT_OUT = Failure(reason=Reason.TIMEOUT, detail="left out of this round: it was not answered of late")


class _Answers:
    """What one round of one unit brought."""

    def __init__(self) -> None:
        self.blocks: dict[ReadBlock, bytes] = {}
        self.failures: dict[ReadBlock, Failure] = {}
        self.spoke = False
        """Whether the unit said anything, be it a refusal."""
        self.line_spoke = False
        """Whether anybody did, be it a gateway that says that the unit does not."""
        self.received_ns = 0
        self.frames: list[RawFrame] = []


class ModbusDriver(LinkDriver):
    """One line and its units: requests strictly one at a time, polls that never overlap, phases staggered.

    A block that fails costs only its own metrics (None, bad, with the reason); a unit that says nothing at all gives
    no reading and is asked ever less often, so that the others keep their rhythm.
    """

    def __init__(self, link: LinkConfig, catalog: Mapping[str, Profile], clock: Clock, line: ModbusLine) -> None:
        super().__init__(link, clock)
        self._line = line
        self._units = make_units(link, catalog)
        self._by_id = {unit.device.id: unit for unit in self._units}
        self._orders = Orders(line, clock)
        self._source = address_of(link)

    async def command(self, command: Command, device: DeviceConfig) -> CommandResult:
        unit = self._by_id.get(device.id)
        if unit is None:
            return turn_down(command, self._clock, Reason.UNKNOWN_DEVICE, f"{device.id} is not on link {self.name}")
        return await self._orders.carry_out(command, unit)

    async def run(self, inlet: Inlet) -> None:
        backoff = reconnecting()
        self.started.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                deliveries = Deliveries(inlet, tasks, self._tally)
                # Kept over reconnections: opening the line anew is no reason to trouble it with its dead units again.
                phase = (1 + crc32(self.name.encode())) / 2**32
                rounds = Rounds([unit.period_s for unit in self._units], asyncio.get_running_loop().time(), phase)
                while True:
                    problem = await self._line.connect()
                    if problem:
                        self._note_closed(deliveries, problem)
                    else:
                        await self._poll_until_lost(rounds, deliveries, backoff)
                    await asyncio.sleep(backoff.next_s())
        finally:
            self._line.close()
            self._tally.closed("stopped")

    def _note_closed(self, deliveries: Deliveries, problem: str) -> None:
        self._tally.closed(problem)
        deliveries.refuse(self.name, Reason.UNREACHABLE, problem)

    async def _poll_until_lost(self, rounds: Rounds, deliveries: Deliveries, backoff: Backoff) -> None:
        loop = asyncio.get_running_loop()
        patience = max(_SILENT_ROUNDS, 2 * len(self._units))
        early_s = min(_EARLY_S, min(unit.period_s for unit in self._units) / 20)
        self._tally.opened()
        self._tally.connections += 1
        silent = 0
        while self._line.connected and silent < patience:
            began_s = loop.time()
            due_s, index = rounds.first(began_s + early_s)
            if due_s > began_s + early_s:
                await asyncio.sleep(due_s - began_s)
                continue
            answers = await self._round(self._units[index], began_s, deliveries, hopeful=not rounds.failing(index))
            rounds.done(began_s, max(loop.time(), self._line.free_at_s), answered=answers.spoke)
            silent = 0 if answers.line_spoke else silent + 1
            if answers.line_spoke:
                backoff.reset()
        self._note_closed(deliveries, "nobody answers" if self._line.connected else "connection lost")

    async def _round(self, unit: Unit, now_s: float, deliveries: Deliveries, *, hopeful: bool) -> _Answers:
        """Read what is due of one unit and hand the reading over."""
        self._tally.polls += 1
        plan = unit.plan(now_s)
        answers = await self._ask_all(unit, plan, hopeful=hopeful)
        for block, failure in answers.failures.items():
            self._tally.timeouts += failure.reason is Reason.TIMEOUT
            deliveries.refuse(unit.device.id, failure.reason, f"{_where(block)}: {failure.detail}", failure.raw)
        if answers.spoke:
            await self._hand_over(unit, plan, answers, deliveries)
        return answers

    async def _ask_all(self, unit: Unit, plan: Plan, *, hopeful: bool) -> _Answers:
        answers = _Answers()
        silences = 0
        for block, request in plan.requests:
            if not unit.asks_for(block):
                answers.failures[block] = _LEFT_OUT
                continue
            result = await self._line.ask(request, unit.wire.timeout_s, unit.turnaround_s)
            if isinstance(result, bytes):
                answers.blocks[block] = result[2:]
                answers.frames.append(self._line.frame)
                answers.spoke = answers.line_spoke = True
                answers.received_ns = self._clock.wall_ns()
                continue
            answers.failures[block] = result
            answers.line_spoke |= result.reason is Reason.DEVICE_EXCEPTION
            if result.reason is Reason.DEVICE_EXCEPTION and result.code not in GATEWAY_SILENT:
                answers.spoke = True
                continue
            silences += 1
            # One lost reply is not yet a dead unit; but of that it gets one time limit of the bus, not one for each block.
            if result.reason is Reason.UNREACHABLE or (not answers.spoke and (silences > 1 or not hopeful)):
                break
        self._account(unit, plan, answers)
        return answers

    @staticmethod
    def _account(unit: Unit, plan: Plan, answers: _Answers) -> None:
        """Note what was not asked, and which blocks a unit that speaks passes over in silence."""
        for block, _ in plan.requests:
            failure = answers.failures.get(block)
            if failure is None and block not in answers.blocks:
                answers.failures[block] = Failure(reason=Reason.UNREACHABLE, detail="not asked: the unit is silent")
            elif answers.spoke and failure is not _LEFT_OUT:
                unit.note(block, silent=failure is not None and failure.reason is Reason.TIMEOUT)

    async def _hand_over(self, unit: Unit, plan: Plan, answers: _Answers, deliveries: Deliveries) -> None:
        why = {block: failure.reason for block, failure in answers.failures.items()}
        decoded = plan.reader.read(answers.blocks, why)
        received_ns = answers.received_ns or self._clock.wall_ns()
        heard = Heard(
            device=unit.device.id,
            profile=unit.profile,
            received_ns=received_ns,
            decoded=decoded,
            awaited=False,
            frames=tuple(answers.frames),
            source=self._source,
        )
        await deliveries.pass_on(heard)

    # Files, for whoever updates a unit's firmware.

    async def read_file(self, unit: int, file: int, record: int, length: int) -> bytes | Failure:
        """`length` registers of a file from `record` on, high byte first, by function 20; why not, where it fails."""
        found = self._numbered(unit)
        return found if isinstance(found, Failure) else await self._orders.read_file(found, file, record, length)

    async def write_file(self, unit: int, file: int, record: int, data: bytes) -> Failure | None:
        """Write whole registers to a file from `record` on, by function 21; why not, where it fails."""
        found = self._numbered(unit)
        return found if isinstance(found, Failure) else await self._orders.write_file(found, file, record, data)

    def _numbered(self, number: int) -> Unit | Failure:
        unknown = Failure(reason=Reason.UNKNOWN_DEVICE, detail=f"unit {number} is not on link {self.name}")
        return next((unit for unit in self._units if unit.number == number), unknown)


def _where(block: ReadBlock) -> str:
    return f"{block.area} {block.address} to {block.address + block.count - 1}"
