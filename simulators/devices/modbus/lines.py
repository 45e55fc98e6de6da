"""What carries Modbus units: a TCP port, or a serial bus that several units share, with all the ways either goes wrong."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from firmware_bridge.modbus.frames import RtuFrame, RtuFramer, rtu_frame, tcp_frame
from firmware_bridge.modbus.pdus import ExceptionReply, build_reply
from simulators.deeds import How
from simulators.devices.modbus.unit import ModbusUnit
from simulators.listener import Listener
from simulators.pty_line import PtyLine

__all__ = ["Carrier", "ModbusTcpPort", "RtuBus"]

_QUIET_S = 0.05
"""A request that is not whole after this silence never will be; well above 3.5 characters at 9600 baud."""

_FLOOD_S, _WATCH_S = 0.02, 0.2
_FLOOD_BYTES = 24
_FLOOD_REPLIES = 20
_TARGET_FAILED = 11  # Modbus Application Protocol V1.1b3, clause 7
_MBAP = 7


def _late_s(unit: ModbusUnit) -> float:
    """Long enough that nobody waits any more."""
    return unit.wire.timeout_s * 1.5


class Carrier(Protocol):
    """What carries a bus's bytes."""

    async def read(self) -> bytes: ...

    def write(self, data: bytes) -> bool: ...


class RtuBus:
    """Units on one RS-485 pair, as one pty whose other end the agent opens. Requests to other units go unanswered."""

    def __init__(self, units: Sequence[ModbusUnit], line: Carrier | None = None) -> None:
        self._units: Mapping[int, ModbusUnit] = {unit.unit: unit for unit in units}
        self._framer = RtuFramer()
        self._within_frame = False
        self._pty = None if line is not None else PtyLine()
        self.line: Carrier = line if line is not None else self._port

    @property
    def _port(self) -> PtyLine:
        assert self._pty is not None  # noqa: S101 (a bus on another line has its own start and close)
        return self._pty

    async def start(self) -> str:
        """Begin to listen; the path that the agent opens."""
        self._port.start()
        return self._port.path

    async def close(self) -> None:
        """Unplug the bus."""
        self._port.close()

    async def run(self) -> None:
        """Answer until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._chatter())
            while True:
                for frame in await self._hear():
                    unit = self._units.get(frame.unit)
                    if unit is not None:
                        self._reply(unit, frame, group)

    async def _hear(self) -> list[RtuFrame]:
        try:
            async with asyncio.timeout(_QUIET_S if self._within_frame else None):
                found = self._framer.feed(await self.line.read())
            self._within_frame = not (found and isinstance(found[-1], RtuFrame))
        except TimeoutError:
            found = self._framer.idle()
            self._within_frame = False
        return [frame for frame in found if isinstance(frame, RtuFrame)]

    def _reply(self, unit: ModbusUnit, frame: RtuFrame, group: asyncio.TaskGroup) -> None:
        now_ns = unit.clock.wall_ns()
        how = unit.misbehaves(now_ns)
        if how is How.SILENT:
            return
        if how is not None:
            unit.account.spoiled += 1
        reply = rtu_frame((unit.unit % 247) + 1 if how is How.WRONG_UNIT else unit.unit, unit.answer(frame.pdu, now_ns))
        match how:
            case How.NOISE:
                self.line.write(unit.noise.spoil(reply))
            case How.CUT:
                self.line.write(reply[: len(reply) // 2])
            case How.LATE:
                group.create_task(self._write_later(_late_s(unit), reply))
            case _:
                self.line.write(reply)

    async def _write_later(self, seconds: float, reply: bytes) -> None:
        await asyncio.sleep(seconds)
        self.line.write(reply)

    async def _chatter(self) -> None:
        """A unit with a stuck transmitter talks into everybody's frames."""
        while True:
            loud = [unit for unit in self._units.values() if unit.misbehaves(unit.clock.wall_ns()) is How.FLOOD]
            for unit in loud:
                self.line.write(unit.noise.garbage(_FLOOD_BYTES))
            await asyncio.sleep(_FLOOD_S if loud else _WATCH_S)


class ModbusTcpPort:
    """Units behind one TCP port; a unit that is not there is answered for with exception 11, as gateways do."""

    def __init__(self, units: Sequence[ModbusUnit], host: str = "127.0.0.1", port: int = 0) -> None:
        self._units: Mapping[int, ModbusUnit] = {unit.unit: unit for unit in units}
        self.listener = Listener(self._serve, host, port)

    async def start(self) -> str:
        """Begin to listen; `HOST:PORT` that the agent calls."""
        host, port = await self.listener.start()
        return f"{host}:{port}"

    async def close(self) -> None:
        """Hang up on everybody."""
        await self.listener.stop()

    async def run(self) -> None:
        """Answer until cancelled."""
        await asyncio.get_running_loop().create_future()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readexactly(_MBAP)
            size = int.from_bytes(head[4:6], "big") - 1
            if head[2:4] != b"\0\0" or not 1 <= size <= 253:
                return  # not Modbus: hang up
            await self._answer(head, await reader.readexactly(size), writer)

    async def _answer(self, head: bytes, pdu: bytes, writer: asyncio.StreamWriter) -> None:
        transaction, number = int.from_bytes(head[:2], "big"), head[6]
        unit = self._units.get(number)
        if unit is None:
            refusal = build_reply(ExceptionReply(function=pdu[0] & 0x7F, code=_TARGET_FAILED))
            writer.write(tcp_frame(transaction, number, refusal))
            return
        now_ns = unit.clock.wall_ns()
        how = unit.misbehaves(now_ns)
        if how is How.SILENT:
            return
        if how is not None:
            unit.account.spoiled += 1
        number = (number % 247) + 1 if how is How.WRONG_UNIT else number
        await _send(unit, tcp_frame(transaction, number, unit.answer(pdu, now_ns)), how, writer)


async def _send(unit: ModbusUnit, reply: bytes, how: How | None, writer: asyncio.StreamWriter) -> None:
    match how:
        case How.LATE:
            await asyncio.sleep(_late_s(unit))
        case How.NOISE:
            reply = unit.noise.spoil(reply)
        case How.FLOOD:
            reply *= _FLOOD_REPLIES
        case How.CUT:
            writer.write(reply[: len(reply) // 2])
            await writer.drain()
            raise ConnectionAbortedError(f"{unit.spec.id}: cut within a reply")
        case _:
            pass
    writer.write(reply)
    await writer.drain()
