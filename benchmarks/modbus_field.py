"""Modbus devices to poll: units of forty registers whose first counts how often they were read, on TCP and on a serial bus.

So each reading is known by its device and number, and when it was read is known from the devices' side.
"""

import asyncio
import os
import struct
import time
import tty
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import msgspec

from firmware_bridge.modbus.frames import RtuFrame, RtuFramer, rtu_frame

__all__ = ["REGISTERS", "SerialField", "TcpField", "Told", "missed"]

REGISTERS = 40
_READS = frozenset({3, 4})
_MBAP = struct.Struct(">HHHB")
_BITS_A_BYTE = 10  # start, eight data bits, stop
_GAP_CHARACTERS = 3.5  # MODBUS over Serial Line V1.02, clause 2.5.1.1


class Told(msgspec.Struct, frozen=True):
    """One reading as its device told it: which device, its how many-th, and the wall clock in ns when it answered."""

    device: int
    number: int
    at_ns: int


class _Counters:
    """The answers of units; register 0 counts, the others hold something to carry."""

    def __init__(self, registers: int) -> None:
        self.told: list[Told] = []
        self._reads: defaultdict[int, int] = defaultdict(int)
        self._rest = struct.pack(f">{registers - 1}H", *(200 + 7 * place for place in range(registers - 1)))
        self._registers = registers

    def answer(self, device: int, pdu: bytes) -> bytes:
        function, first, count = pdu[0], int.from_bytes(pdu[1:3]), int.from_bytes(pdu[3:5])
        if function not in _READS:
            return bytes((function | 0x80, 1))
        if not count or first + count > self._registers:
            return bytes((function | 0x80, 2))
        number = self._reads[device]
        if not first:
            number = self._reads[device] = number + 1
            self.told.append(Told(device, number, time.time_ns()))
        words = (number & 0xFFFF).to_bytes(2) + self._rest
        return bytes((function, 2 * count)) + words[2 * first : 2 * (first + count)]


class TcpField:
    """Modbus TCP servers, one port each, with `units` units behind each port; devices are numbered from 1 over all ports."""

    def __init__(self, ports: int, units: int, registers: int = REGISTERS) -> None:
        self.ports: list[int] = []
        self.counters = _Counters(registers)
        self._wanted = ports
        self._units = units
        self._servers: list[asyncio.Server] = []

    async def start(self) -> None:
        """Listen on every port."""
        loop = asyncio.get_running_loop()
        for at in range(self._wanted):
            serving = partial(_Serving, self.counters, at * self._units)
            server = await loop.create_server(serving, "127.0.0.1", 0)
            self._servers.append(server)
            self.ports.append(int(server.sockets[0].getsockname()[1]))

    def stop(self) -> None:
        """Take no more connections."""
        for server in self._servers:
            server.close()


class _Serving(asyncio.Protocol):
    """One connection. It answers as a device does, one whole request after the other."""

    def __init__(self, counters: _Counters, offset: int) -> None:
        self._counters = counters
        self._offset = offset
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 (what create_server gives)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= _MBAP.size:
            transaction, protocol, length, unit = _MBAP.unpack_from(self._buffer)
            if len(self._buffer) < 6 + length:
                return
            pdu, self._buffer = self._buffer[_MBAP.size : 6 + length], self._buffer[6 + length :]
            reply = self._counters.answer(self._offset + unit, pdu)
            if self._transport is not None:
                self._transport.write(_MBAP.pack(transaction, protocol, len(reply) + 1, unit) + reply)


class SerialField:
    """Units 1 to `units` of one RS-485 bus behind a pty, which takes as long for its bytes as a line of `baudrate` does."""

    def __init__(self, units: int, baudrate: int, registers: int = REGISTERS) -> None:
        self.counters = _Counters(registers)
        self._units = units
        self._byte_s = _BITS_A_BYTE / baudrate
        self._framer = RtuFramer()
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)

    async def start(self) -> None:
        """Listen on the line."""
        asyncio.get_running_loop().add_reader(self._master, self._hear)

    def stop(self) -> None:
        """Unplug it."""
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)
        os.close(self._slave)

    def _hear(self) -> None:
        for frame in self._framer.feed(os.read(self._master, 4096)):
            if isinstance(frame, RtuFrame) and frame.unit <= self._units:
                reply = rtu_frame(frame.unit, self.counters.answer(frame.unit, frame.pdu))
                wait_s = (len(frame.pdu) + 3 + len(reply) + 2 * _GAP_CHARACTERS) * self._byte_s
                asyncio.get_running_loop().call_later(wait_s, self._write, reply)

    def _write(self, reply: bytes) -> None:
        os.write(self._master, reply)


def missed(told: Sequence[Told], devices: int, period_s: float, since_ns: int, until_ns: int) -> int:
    """Polls of devices 1 to `devices` that were due from `since_ns` to `until_ns` and did not come: gaps of more than a period
    and a half, in periods."""
    times: dict[int, list[int]] = {device: [] for device in range(1, devices + 1)}
    for one in told:
        times[one.device].append(one.at_ns)
    lost = 0
    for asked in times.values():
        within = [since_ns, *(at for at in asked if since_ns <= at <= until_ns), until_ns]
        lost += sum(max(0, round((after - before) / 1e9 / period_s) - 1) for before, after in pairwise(within))
    return lost
