"""Updates over Modbus file records (functions 20 and 21); which file holds what is in firmware_bridge/update/records.py."""

from typing import Protocol, runtime_checkable

from edge_agent.drivers.modbus.reply import Failure
from edge_agent.updates.base import SilentError
from firmware_bridge.errors import ParseError
from firmware_bridge.update.package import Package
from firmware_bridge.update.records import (
    HEADER_FILE,
    ORDER_FILE,
    STANDING_FILE,
    Order,
    bytes_of,
    pieces,
    words_of,
)
from firmware_bridge.update.standing import STANDING_BYTES, Standing, parse_standing

__all__ = ["FileAccess", "FileBus", "RecordsUpdate", "UnitFiles"]


class FileAccess(Protocol):
    """The file records of one unit. Both calls raise SilentError where there is no answer, or an exception for one."""

    async def read(self, file: int, record: int, count: int) -> tuple[int, ...]:
        """`count` records from `record` on."""
        ...

    async def write(self, file: int, record: int, words: tuple[int, ...]) -> None:
        """Write records from `record` on."""
        ...


@runtime_checkable
class FileBus(Protocol):
    """A line of units with files, as a Modbus driver is one; data high byte first."""

    async def read_file(self, unit: int, file: int, record: int, length: int) -> bytes | Failure: ...

    async def write_file(self, unit: int, file: int, record: int, data: bytes) -> Failure | None: ...


class UnitFiles:
    """The files of one unit on a driver's line, between the driver's polls."""

    def __init__(self, bus: FileBus, unit: int) -> None:
        self._bus = bus
        self._unit = unit

    async def read(self, file: int, record: int, count: int) -> tuple[int, ...]:
        found = await self._bus.read_file(self._unit, file, record, count)
        if isinstance(found, Failure):
            raise SilentError(found.reason, found.detail)
        return words_of(found)

    async def write(self, file: int, record: int, words: tuple[int, ...]) -> None:
        failure = await self._bus.write_file(self._unit, file, record, bytes_of(words))
        if failure is not None:
            raise SilentError(failure.reason, failure.detail)


class RecordsUpdate:
    """One unit on a bus, chunk by chunk: other units have their turn in between."""

    def __init__(self, files: FileAccess, package: Package) -> None:
        self.package = package
        self._files = files

    async def ask(self) -> Standing:
        words = await self._files.read(STANDING_FILE, 0, STANDING_BYTES // 2)
        try:
            return parse_standing(bytes_of(words))
        except ParseError as error:
            raise SilentError(error.reason, f"the standing cannot be read: {error}") from error

    async def offer(self) -> Standing:
        await self._files.write(HEADER_FILE, 0, words_of(self.package.header))
        return await self.ask()

    async def send(self, chunk: int) -> Standing:
        for piece in pieces(self.package.manifest, chunk, self.package.chunk(chunk)):
            await self._files.write(piece.file, piece.record, piece.words)
        return await self.ask()

    async def verify(self) -> Standing:
        return await self._order(Order.VERIFY)

    async def start(self) -> Standing:
        return await self._order(Order.START)

    async def confirm(self) -> Standing:
        return await self._order(Order.CONFIRM)

    async def revert(self) -> Standing:
        return await self._order(Order.REVERT)

    async def _order(self, order: Order) -> Standing:
        await self._files.write(ORDER_FILE, 0, (order,))
        return await self.ask()
