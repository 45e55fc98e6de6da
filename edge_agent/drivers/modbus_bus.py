"""Polls the Modbus units of one line and carries out their commands; the same for TCP and RTU."""

import asyncio
from collections.abc import Mapping

import msgspec

from device_profiles.model import CommandSpec, Profile
from device_profiles.wires.modbus import ModbusWire, RegisterArea
from edge_agent.backoff import Backoff
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers.base import Deliveries, LinkHealth, SetupError, Tally, profile_of, reconnecting, turn_down
from edge_agent.drivers.modbus_line import ModbusLine
from edge_agent.drivers.modbus_reply import Failure, Request
from edge_agent.drivers.rounds import Rounds
from edge_agent.heard import Heard, Inlet
from firmware_bridge.errors import ParseError
from firmware_bridge.modbus.plan import ReadBlock, plan_reads
from firmware_bridge.modbus.registers import decode_registers
from firmware_bridge.values import Decoded
from telemetry.clock import Clock
from telemetry.reason import Reason
from telemetry.records import Command, CommandResult, Flaw, Outcome, Quality

__all__ = ["ModbusDriver"]

_READ = {RegisterArea.COIL: 1, RegisterArea.DISCRETE: 2, RegisterArea.HOLDING: 3, RegisterArea.INPUT: 4}
_WRITE = {RegisterArea.COIL: 5, RegisterArea.HOLDING: 6}

_SILENT = frozenset({Reason.TIMEOUT, Reason.UNREACHABLE})
_SILENT_ROUNDS = 3
"""Rounds in a row in which nobody on a line answered, after which the line is opened anew (more where it has more units):
a half-open connection looks like silence."""


class _Unit(msgspec.Struct, frozen=True, kw_only=True):
    device: DeviceConfig
    profile: Profile
    wire: ModbusWire
    number: int
    blocks: tuple[ReadBlock, ...]


class _Answers:
    """What one round of one unit brought."""

    def __init__(self) -> None:
        self.blocks: dict[ReadBlock, tuple[int, ...]] = {}
        self.failures: dict[ReadBlock, Failure] = {}
        self.received_ns = 0

    @property
    def spoke(self) -> bool:
        """Whether the unit said anything, be it a refusal."""
        return bool(self.blocks) or any(failure.reason is Reason.DEVICE_EXCEPTION for failure in self.failures.values())


class ModbusDriver:
    """One line and its units: requests strictly one at a time, polls that never overlap, phases staggered.

    A block that fails costs only its own metrics (None, bad, with the reason); a unit that says nothing at all gives
    no reading and is asked ever less often, so that the others keep their rhythm.
    """

    def __init__(self, link: LinkConfig, catalog: Mapping[str, Profile], clock: Clock, line: ModbusLine) -> None:
        self.name = link.name
        self.started = asyncio.Event()
        self.ports: tuple[tuple[str, int], ...] = ()
        self._clock = clock
        self._line = line
        self._units = tuple(_unit(link, device, catalog) for device in link.devices)
        self._tally = Tally(link)

    def health(self) -> LinkHealth:
        return self._tally.health()

    async def run(self, inlet: Inlet) -> None:
        backoff = reconnecting()
        self.started.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                deliveries = Deliveries(inlet, tasks, self._tally)
                # Kept over reconnections: opening the line anew is no reason to trouble it with its dead units again.
                rounds = Rounds([unit.wire.poll_s for unit in self._units], asyncio.get_running_loop().time())
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
        self._tally.opened()
        self._tally.connections += 1
        silent = 0
        while self._line.connected and silent < patience:
            due_s, index = rounds.first()
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            began_s = loop.time()
            answered = await self._round(self._units[index], deliveries, hopeful=not rounds.failing(index))
            rounds.done(began_s, loop.time(), answered=answered)
            silent = 0 if answered else silent + 1
            if answered:
                backoff.reset()
        self._note_closed(deliveries, "nobody answers" if self._line.connected else "connection lost")

    async def _round(self, unit: _Unit, deliveries: Deliveries, *, hopeful: bool) -> bool:
        """Read every block of one unit and hand the reading over; whether the unit spoke."""
        self._tally.polls += 1
        answers = await self._read_blocks(unit, hopeful=hopeful)
        for block, failure in answers.failures.items():
            self._tally.timeouts += failure.reason is Reason.TIMEOUT
            deliveries.refuse(unit.device.id, failure.reason, f"{_where(block)}: {failure.detail}", failure.raw)
        if answers.spoke:
            await self._hand_over(unit, answers, deliveries)
        return answers.spoke

    async def _read_blocks(self, unit: _Unit, *, hopeful: bool) -> _Answers:
        answers = _Answers()
        for block in unit.blocks:
            request = Request(unit=unit.number, function=_READ[block.area], address=block.address, count=block.count)
            result = await self._line.ask(request, unit.wire.timeout_s, unit.wire.turnaround_ms / 1000)
            if not isinstance(result, Failure):
                answers.blocks[block] = result
                answers.received_ns = self._clock.wall_ns()
                continue
            answers.failures[block] = result
            # A unit that was dead a round ago and is silent again gets one time limit of the bus, not one per block.
            if result.reason is Reason.UNREACHABLE or (result.reason in _SILENT and not answers.spoke and not hopeful):
                break
        for block in unit.blocks:
            if block not in answers.blocks and block not in answers.failures:
                answers.failures[block] = Failure(reason=Reason.UNREACHABLE, detail="not asked: the unit is silent")
        return answers

    async def _hand_over(self, unit: _Unit, answers: _Answers, deliveries: Deliveries) -> None:
        try:
            decoded = decode_registers(unit.profile, answers.blocks)
        except ParseError as error:
            deliveries.refuse(unit.device.id, error.reason, str(error))
            return
        decoded = _with_failures(decoded, unit.wire, answers.failures)
        received_ns = answers.received_ns or self._clock.wall_ns()
        await deliveries.hand_over(Heard(device=unit.device.id, profile=unit.profile, received_ns=received_ns, decoded=decoded))

    async def command(self, command: Command, device: DeviceConfig) -> CommandResult:
        unit = next((unit for unit in self._units if unit.device.id == device.id), None)
        if unit is None:
            return turn_down(command, self._clock, Reason.UNKNOWN_DEVICE, f"{device.id} is not on link {self.name}")
        spec = unit.profile.commands.get(command.action)
        if spec is None or spec.register is None or spec.register.field.area not in _WRITE:
            return turn_down(command, self._clock, Reason.UNKNOWN_COMMAND, f"{unit.profile.name} takes no {command.action!r}")
        value = _argument(spec, command)
        if isinstance(value, Failure):
            return turn_down(command, self._clock, value.reason, value.detail)
        return await self._write(command, unit, spec, value)

    async def _write(self, command: Command, unit: _Unit, spec: CommandSpec, value: int) -> CommandResult:
        timeout_s, turnaround_s = unit.wire.timeout_s, unit.wire.turnaround_ms / 1000
        assert spec.register is not None  # noqa: S101 (the caller checked)
        area, address = spec.register.field.area, spec.register.field.address
        write = Request(unit=unit.number, function=_WRITE[area], address=address, value=value)
        written = await self._line.ask(write, timeout_s, turnaround_s)
        if isinstance(written, Failure) and written.reason in (Reason.DEVICE_EXCEPTION, Reason.UNREACHABLE):
            return self._result(command, Outcome.FAILED, written)
        # What counts is what the device holds afterwards, also when its answer to the write was lost.
        read = Request(unit=unit.number, function=_READ[area], address=address)
        held = await self._line.ask(read, timeout_s, turnaround_s)
        if isinstance(held, Failure):
            return self._result(command, Outcome.UNKNOWN, held)
        if held[0] != value:
            detail = f"{area} {address} reads back {held[0]}, want {value}"
            return self._result(command, Outcome.FAILED, Failure(reason=Reason.CONFLICT, detail=detail))
        return self._result(command, Outcome.DONE, None)

    def _result(self, command: Command, outcome: Outcome, failure: Failure | None) -> CommandResult:
        return CommandResult(
            id=command.id,
            device=command.device,
            outcome=outcome,
            time_ns=self._clock.wall_ns(),
            reason=failure.reason if failure else None,
            detail=failure.detail if failure else "",
        )


def _unit(link: LinkConfig, device: DeviceConfig, catalog: Mapping[str, Profile]) -> _Unit:
    profile = profile_of(link, device, catalog)
    where = f"link {link.name}, device {device.id}"
    if profile.wire.modbus is None:
        raise SetupError(f"{where}: profile {profile.name} does not speak Modbus")
    if not (device.address.isascii() and device.address.isdigit() and 0 < int(device.address) <= 247):
        raise SetupError(f"{where}: address {device.address!r}, want a unit number from 1 to 247")
    return _Unit(
        device=device,
        profile=profile,
        wire=profile.wire.modbus,
        number=int(device.address),
        blocks=plan_reads(profile.wire.modbus),
    )


def _where(block: ReadBlock) -> str:
    return f"{block.area} {block.address} to {block.address + block.count - 1}"


def _with_failures(decoded: Decoded, wire: ModbusWire, failures: Mapping[ReadBlock, Failure]) -> Decoded:
    """`decoded` with the metrics of each failed block as None, bad for the block's own reason."""
    values, flaws = dict(decoded.values), dict(decoded.flaws)
    for block, failure in failures.items():
        for field in wire.registers:
            if field.area == block.area and block.address <= field.address < block.address + block.count:
                values[field.metric] = None
                flaws[field.metric] = Flaw(Quality.BAD, failure.reason)
    return Decoded(values=values, flaws=flaws, time_ns=decoded.time_ns)


def _argument(spec: CommandSpec, command: Command) -> int | Failure:
    """The number to write: the command's argument, or the one value that the profile allows."""
    if not spec.argument:
        return int(spec.low)
    given = command.args.get(spec.argument)
    if given is None:
        return Failure(reason=Reason.MISSING, detail=f"{command.action} without {spec.argument!r}")
    if isinstance(given, float) and given.is_integer():
        given = int(given)
    if not isinstance(given, int):
        return Failure(reason=Reason.WRONG_TYPE, detail=f"{spec.argument} {given!r}, want a whole number")
    if not spec.low <= given <= spec.high:
        return Failure(reason=Reason.OUT_OF_RANGE, detail=f"{spec.argument} {given}, want {spec.low:g} to {spec.high:g}")
    return int(given)
