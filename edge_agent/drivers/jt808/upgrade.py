"""Firmware to a vehicle terminal: one 0x8108 in packets, and the 0x0108 with which the terminal says what became of it."""

import asyncio
from typing import Any

from edge_agent.drivers.jt808.desk import Desk, Seat
from edge_agent.drivers.jt808.requests import Request
from edge_agent.updates.base import SilentError
from firmware_bridge.errors import ParseError
from firmware_bridge.jt808.messages import Attributes
from firmware_bridge.jt808.orders import Order
from firmware_bridge.jt808.packets import upgrade_body
from telemetry.reason import Reason

__all__ = ["MAX_DATA_BYTES", "Upgrade"]

_UPGRADE, _QUERY_ATTRIBUTES, _ATTRIBUTES = 0x8108, 0x8107, 0x0107
_UNSUPPORTED = 3
MAX_DATA_BYTES = 16 * 1024 * 1024


class Upgrade:
    """What an update asks of one terminal (`edge_agent.updates.jt808.TerminalAccess`). Every call raises SilentError where the
    terminal is not connected or does not answer.

    The standard knows no going on where a transfer broke off: each begins with the first packet. `result_s` is how long a
    terminal may take to install, start anew, connect and tell.
    """

    def __init__(self, desk: Desk, phone: str, result_s: float = 900.0) -> None:
        self._desk = desk
        self._phone = phone
        self._result_s = result_s

    async def send_upgrade(self, kind: int, maker: str, version: str, data: bytes) -> bool:
        """Send `data` as one 0x8108; whether the terminal took every packet. `kind`: 0 the terminal itself, 12 card reader, 52
        satellite module; `maker` as `upgrade_body` has it, "" for the one that the terminal names in its 0x0107. Cancelled, it
        stops between two packets."""
        if not 0 < len(data) <= MAX_DATA_BYTES or not 0 <= kind <= 255:
            raise SilentError(Reason.OUT_OF_RANGE, f"{len(data)} bytes of kind {kind}, want 1 to {MAX_DATA_BYTES}, kind 0 to 255")
        if not maker:
            attributes = await self._attributes()
            maker = "" if attributes is None else attributes.manufacturer
        seat = self._seat()
        try:
            order = Order(_UPGRADE, upgrade_body(kind, maker, version, data))
        except ParseError as error:
            raise SilentError(error.reason, error.detail) from error
        with self._desk.upgrading(self._phone) as told:
            if told is None:
                raise SilentError(Reason.CONFLICT, "an upgrade of this terminal is under way")
            return await self._deliver(seat, order, told)

    async def upgrade_result(self) -> int:
        """The result of the 0x0108 that belongs to what was sent last: 0 installed, 1 failed, 2 cancelled at the terminal. It
        may have come already, and it comes once."""
        told = self._desk.upgrade(self._phone)
        if told is None:
            raise SilentError(Reason.NOT_FOUND, "no upgrade was sent")
        try:
            async with asyncio.timeout(self._result_s):
                return await asyncio.shield(told)
        except TimeoutError:
            raise SilentError(Reason.TIMEOUT, f"no 0x0108 within {self._result_s:g} s") from None

    async def release(self) -> str:
        """The firmware version in the terminal's 0x0107; "" where it does not know the question."""
        attributes = await self._attributes()
        return "" if attributes is None else attributes.firmware_version

    async def _attributes(self) -> Attributes | None:
        """The terminal's 0x0107; None where it does not know the question."""
        seat = self._seat()
        order = Order(_QUERY_ATTRIBUTES, b"", _ATTRIBUTES)
        request = await seat.connection.caller.ask(seat.phone, seat.version, order)
        if request is not None and isinstance(request.answer, Attributes):
            return request.answer
        if request is not None and request.result == _UNSUPPORTED:
            return None
        raise SilentError(Reason.TIMEOUT, "the terminal does not say what it runs")

    def _seat(self) -> Seat:
        seat = self._desk.seat(self._phone)
        if seat is None:
            raise SilentError(Reason.UNREACHABLE, "the terminal is not connected")
        return seat

    async def _deliver(self, seat: Seat, order: Order, told: asyncio.Future[int]) -> bool:
        sent = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            delivery = tasks.create_task(seat.connection.caller.deliver(seat.phone, seat.version, order, sent))
            either: set[asyncio.Future[Any]] = {delivery, told}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            # A terminal that tells the result has the packets, whatever it confirmed.
            delivery.cancel()
            await asyncio.wait({delivery})
        return told.done() or _taken(None if delivery.cancelled() else delivery.result(), sent=sent.is_set())


def _taken(request: Request | None, *, sent: bool) -> bool:
    """Whether the terminal may have the whole; False where it refused a packet."""
    if request is None:
        raise SilentError(Reason.QUEUE_FULL, "too much waits for answers on this connection")
    if request.result not in {None, 0}:
        return False
    if not sent:
        raise SilentError(
            Reason.UNREACHABLE, f"the connection broke after {len(request.confirmed)} of {len(request.frames)} packets"
        )
    # With every packet out, a terminal may start anew before it confirms, or confirm nothing: 0x0108 decides.
    return True
