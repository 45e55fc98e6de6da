"""Commands to Modbus units, and their files: what was written is read back, for only that is what the unit holds."""

import asyncio

from device_profiles.model import CommandSpec
from edge_agent.drivers.base import turn_down
from edge_agent.drivers.modbus.line import ModbusLine
from edge_agent.drivers.modbus.reply import Failure, Request
from edge_agent.drivers.modbus.units import Unit
from firmware_bridge.errors import ParseError
from firmware_bridge.modbus.files import MOST_READ, MOST_WRITTEN, FileData, FilePart, FileRead, FileWrite
from firmware_bridge.modbus.pdus import build_request, parse_reply
from firmware_bridge.modbus.writes import Write, plan_write
from telemetry.clock import Clock
from telemetry.reason import Reason
from telemetry.records import Command, CommandResult, Outcome, Value

__all__ = ["Orders"]

_ACKNOWLEDGE, _BUSY = 5, 6  # V1.1b3, clause 7: accepted and under way; try again later
_TRIES = 3
_PAUSE_S = 0.2
"""Between two tries: a busy unit, or one whose contactor has not moved yet."""


class Orders:
    """Writes on one line, between its polls."""

    def __init__(self, line: ModbusLine, clock: Clock) -> None:
        self._line = line
        self._clock = clock

    async def carry_out(self, command: Command, unit: Unit) -> CommandResult:
        """One command; done only where the unit reads back what was written."""
        spec = unit.profile.commands.get(command.action)
        if spec is None or spec.register is None:
            return turn_down(command, self._clock, Reason.UNKNOWN_COMMAND, f"{unit.profile.name} takes no {command.action!r}")
        value = _argument(spec, command)
        if isinstance(value, Failure):
            return turn_down(command, self._clock, value.reason, value.detail)
        try:
            write = plan_write(spec.register, value)
        except ParseError as error:
            return turn_down(command, self._clock, error.reason, str(error))
        return await self._write(command, unit, write, spec.where)

    async def _write(self, command: Command, unit: Unit, write: Write, where: str) -> CommandResult:
        written = await self._patiently(unit, write.pdu)
        if isinstance(written, Failure) and written.code != _ACKNOWLEDGE and _is_final(written):
            return self._result(command, Outcome.FAILED, written)
        # What counts is what the device holds afterwards, also when its answer to the write was lost.
        data = b""
        for again in range(_TRIES):
            await asyncio.sleep(_PAUSE_S if again else 0)
            held = await self._patiently(unit, write.read_pdu)
            if isinstance(held, Failure):
                return self._result(command, Outcome.UNKNOWN, held)
            data = held[2:]
            if write.holds(data):
                return self._result(command, Outcome.DONE, None)
        detail = f"{where} reads back {data.hex()}, want {write.want.hex()}"
        return self._result(command, Outcome.FAILED, Failure(reason=Reason.CONFLICT, detail=detail))

    async def read_file(self, unit: Unit, file: int, record: int, length: int) -> bytes | Failure:
        """`length` registers of a file from `record` on, in as many requests as that takes."""
        found = b""
        while len(found) < 2 * length:
            part = FilePart(file=file, record=record + len(found) // 2, registers=min(MOST_READ, length - len(found) // 2))
            reply = await self._patiently(unit, build_request(FileRead(parts=(part,))))
            if isinstance(reply, Failure):
                return reply
            data = _file_data(reply)
            if isinstance(data, Failure) or len(data) != 2 * part.registers:
                return data if isinstance(data, Failure) else Failure(reason=Reason.BAD_LENGTH, detail=f"{len(data)} bytes")
            found += data
        return found

    async def write_file(self, unit: Unit, file: int, record: int, data: bytes) -> Failure | None:
        """Write whole registers to a file from `record` on; None once the unit has echoed them all."""
        if len(data) % 2:
            return Failure(reason=Reason.BAD_LENGTH, detail=f"{len(data)} bytes, want whole registers")
        for at in range(0, len(data), 2 * MOST_WRITTEN):
            piece = data[at : at + 2 * MOST_WRITTEN]
            part = FilePart(file=file, record=record + at // 2, registers=len(piece) // 2)
            reply = await self._patiently(unit, build_request(FileWrite(parts=((part, piece),))))
            if isinstance(reply, Failure):
                return reply
        return None

    async def _patiently(self, unit: Unit, pdu: bytes) -> bytes | Failure:
        """Ask once, and again where the unit says that it is busy."""
        request = Request.of(unit.number, pdu)
        for _ in range(_TRIES - 1):
            reply = await self._line.ask(request, unit.wire.timeout_s, unit.turnaround_s)
            if isinstance(reply, bytes) or reply.code != _BUSY:
                return reply
            await asyncio.sleep(_PAUSE_S)
        return await self._line.ask(request, unit.wire.timeout_s, unit.turnaround_s)

    def _result(self, command: Command, outcome: Outcome, failure: Failure | None) -> CommandResult:
        return CommandResult(
            id=command.id,
            device=command.device,
            outcome=outcome,
            time_ns=self._clock.wall_ns(),
            reason=failure.reason if failure else None,
            detail=failure.detail if failure else "",
        )


def _is_final(failure: Failure) -> bool:
    """Whether a write that failed so has certainly changed nothing."""
    return failure.reason in (Reason.DEVICE_EXCEPTION, Reason.UNREACHABLE)


def _file_data(reply: bytes) -> bytes | Failure:
    try:
        said = parse_reply(reply)
    except ParseError as error:
        return Failure(reason=error.reason, detail=str(error), raw=reply)
    return b"".join(said.parts) if isinstance(said, FileData) else b""


def _argument(spec: CommandSpec, command: Command) -> Value | Failure:
    """What to write: the command's argument, or the one value that the profile allows."""
    if not spec.argument:
        return spec.low
    given = command.args.get(spec.argument)
    if given is None:
        return Failure(reason=Reason.MISSING, detail=f"{command.action} without {spec.argument!r}")
    assert spec.register is not None  # noqa: S101 (the caller checked)
    if spec.register.field.scaling.enum:
        return given
    if isinstance(given, str):
        return Failure(reason=Reason.WRONG_TYPE, detail=f"{spec.argument} {given!r}, want a number")
    if not spec.low <= given <= spec.high:
        return Failure(reason=Reason.OUT_OF_RANGE, detail=f"{spec.argument} {given}, want {spec.low:g} to {spec.high:g}")
    return given
