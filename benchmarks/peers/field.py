"""Devices whose every reading can be told from every other: Modbus TCP units that count how often they were read.

Register 0 holds the number of the present read, registers 1 to 9 something to carry. So a reading is known by its unit
and number, and what a gateway has read from the devices is known from the devices' side.
"""

import asyncio
import contextlib
from collections import defaultdict

from firmware_bridge.modbus.pdus import ExceptionReply, Function, ReadReply, build_reply

__all__ = ["REGISTERS", "Field", "Told"]

REGISTERS = (0, 230, 231, 232, 10, 11, 12, 2300, 50, 25)
_READ = frozenset({3, 4})
_ILLEGAL_FUNCTION, _ILLEGAL_ADDRESS = 1, 2

Told = tuple[int, int]
"""(unit, number): one reading."""


class Field:
    """A Modbus TCP server for units 1 to `units`. `told` is when each reading was answered, in the loop's seconds."""

    def __init__(self, units: int) -> None:
        self.units = units
        self.told: dict[Told, float] = {}
        self.requests = 0
        self._reads: defaultdict[int, int] = defaultdict(int)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> int:
        """Listen; the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    def stop(self) -> None:
        """Hang up on everybody."""
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.suppress(OSError, EOFError):
            while True:
                head = await reader.readexactly(7)  # MBAP: transaction 2, protocol 2, length 2, unit 1
                pdu = await reader.readexactly(int.from_bytes(head[4:6]) - 1)
                answer = self._answer(head[6], pdu)
                writer.write(head[:4] + (len(answer) + 1).to_bytes(2) + head[6:] + answer)
                await writer.drain()
        self._writers.discard(writer)
        writer.close()

    def _answer(self, unit: int, pdu: bytes) -> bytes:
        self.requests += 1
        function, first, count = pdu[0], int.from_bytes(pdu[1:3]), int.from_bytes(pdu[3:5])
        if function not in _READ:
            return build_reply(ExceptionReply(function=function, code=_ILLEGAL_FUNCTION))
        if not 1 <= unit <= self.units or first + count > len(REGISTERS):
            return build_reply(ExceptionReply(function=function, code=_ILLEGAL_ADDRESS))
        values = list(REGISTERS[first : first + count])
        if first == 0:
            self._reads[unit] += 1
            values[0] = self._reads[unit]
            self.told[unit, values[0]] = asyncio.get_running_loop().time()
        return build_reply(ReadReply(function=Function(function), values=tuple(values)))
