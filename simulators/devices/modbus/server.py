"""A serial server: a small box that carries an RS-485 bus over TCP, RTU frames as they are, CRC included."""

import asyncio
import contextlib
from collections.abc import Sequence

from simulators.devices.modbus.lines import RtuBus
from simulators.devices.modbus.unit import ModbusUnit
from simulators.listener import Address, Listener

__all__ = ["RtuServer", "TcpLine"]

_READ = 4096
_INBOX = 256


class TcpLine:
    """The bus's end of the box: what any connection sends goes onto the bus, what the bus says to all of them.

    As on such a box, the bus does not know who asked. Bytes that nobody takes are dropped and counted.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.listener = Listener(self._serve, host, port)
        self._inbox: asyncio.Queue[bytes] = asyncio.Queue(maxsize=_INBOX)
        self._writers: set[asyncio.StreamWriter] = set()
        self.dropped_bytes = 0

    async def start(self) -> Address:
        """Listen; host and port."""
        return await self.listener.start()

    async def close(self) -> None:
        """Hang up on everybody."""
        await self.listener.stop()

    async def read(self) -> bytes:
        """The next bytes that somebody sent."""
        return await self._inbox.get()

    def write(self, data: bytes) -> bool:
        """Say something to everybody who is connected; False where nobody is."""
        for writer in self._writers:
            writer.write(data)
        if not self._writers:
            self.dropped_bytes += len(data)
        return bool(self._writers)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.ExitStack() as stack:
            stack.callback(self._writers.discard, writer)
            while data := await reader.read(_READ):
                try:
                    self._inbox.put_nowait(data)
                except asyncio.QueueFull:
                    self.dropped_bytes += len(data)


class RtuServer(RtuBus):
    """Units on one RS-485 pair behind a serial server; otherwise as on a bus that the agent has at its own port."""

    def __init__(self, units: Sequence[ModbusUnit], host: str = "127.0.0.1", port: int = 0) -> None:
        self.box = TcpLine(host, port)
        super().__init__(units, self.box)

    async def start(self) -> str:
        """Begin to listen; `HOST:PORT` that the agent calls."""
        host, port = await self.box.start()
        return f"{host}:{port}"

    async def close(self) -> None:
        """Hang up on everybody."""
        await self.box.close()
