"""Firmware to a vehicle terminal: one 0x8108 in packets, and the 0x0108 with which the terminal says what became of it."""

import asyncio
from typing import Any

import msgspec

from edge_agent.drivers.jt808_desk import Desk, Seat
from edge_agent.drivers.jt808_requests import Request
from firmware_bridge.errors import ParseError
from firmware_bridge.jt808.orders import Order
from firmware_bridge.jt808.packets import PACKET_BYTES, upgrade_body
from telemetry.reason import Reason
from telemetry.records import Outcome

__all__ = ["Upgrade", "UpgradeResult"]

_UPGRADE = 0x8108
MAX_DATA_BYTES = 16 * 1024 * 1024
_RESULTS = {0: "installed", 1: "the terminal could not install it", 2: "cancelled at the terminal"}


class UpgradeResult(msgspec.Struct, frozen=True, kw_only=True):
    """How an upgrade ended: done (the terminal said so), refused (not begun), failed, or unknown (sent, and nothing more was
    heard). `packets` of `total` were confirmed."""

    outcome: Outcome
    reason: Reason | None = None
    detail: str = ""
    packets: int = 0
    total: int = 0


class Upgrade:
    """Upgrades of one terminal. The standard knows no going on where a transfer broke off: each begins with the first packet.

    `result_s` is how long the terminal may take to install, start anew, connect and tell (0x0108).
    """

    def __init__(self, desk: Desk, phone: str, result_s: float = 900.0) -> None:
        self._desk = desk
        self._phone = phone
        self._result_s = result_s

    async def send_upgrade(self, kind: int, maker: str, version: str, data: bytes) -> UpgradeResult:
        """Send `data` and wait for the terminal's word. `kind`: 0 the terminal itself, 12 card reader, 52 satellite module;
        `maker` 5 bytes at most. Every end is a result, none an exception; cancelled, it stops between two packets."""
        seat = self._desk.seat(self._phone)
        if seat is None:
            return _refused(Reason.UNREACHABLE, "the terminal is not connected")
        if not 0 < len(data) <= MAX_DATA_BYTES:
            return _refused(Reason.OVERSIZED, f"{len(data)} bytes, want 1 to {MAX_DATA_BYTES}")
        if not 0 <= kind <= 255:
            return _refused(Reason.OUT_OF_RANGE, f"kind {kind}, want 0 to 255")
        try:
            order = Order(_UPGRADE, upgrade_body(kind, maker, version, data))
        except ParseError as error:
            return _refused(error.reason, error.detail)
        with self._desk.upgrading(self._phone) as told:
            if told is None:
                return _refused(Reason.CONFLICT, "an upgrade of this terminal is under way")
            return await self._lead(seat, order, told)

    async def _lead(self, seat: Seat, order: Order, told: "asyncio.Future[int]") -> UpgradeResult:
        sent = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            delivery = tasks.create_task(seat.connection.caller.deliver(seat.phone, seat.version, order, sent))
            both: set[asyncio.Future[Any]] = {delivery, told}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            # A terminal that tells the result has the packets, whatever it confirmed.
            delivery.cancel()
            await asyncio.wait({delivery})
        request = None if delivery.cancelled() else delivery.result()
        if not told.done():
            problem = _undelivered(request, sent=sent.is_set())
            if problem is not None:
                return problem
        return await self._await_result(told, request, -(-len(order.body) // PACKET_BYTES))

    async def _await_result(self, told: "asyncio.Future[int]", request: Request | None, total: int) -> UpgradeResult:
        confirmed = total if request is None else len(request.confirmed)
        try:
            async with asyncio.timeout(self._result_s):
                result = await asyncio.shield(told)
        except TimeoutError:
            detail = f"every packet was sent, no 0x0108 within {self._result_s:g} s"
            return UpgradeResult(outcome=Outcome.UNKNOWN, reason=Reason.TIMEOUT, detail=detail, packets=confirmed, total=total)
        outcome = Outcome.DONE if result == 0 else Outcome.FAILED
        reason = {0: None, 2: Reason.INTERRUPTED}.get(result, Reason.DEVICE_EXCEPTION)
        detail = _RESULTS.get(result, f"result {result}, which the standard does not know")
        return UpgradeResult(outcome=outcome, reason=reason, detail=detail, packets=confirmed, total=total)


def _undelivered(request: Request | None, *, sent: bool) -> UpgradeResult | None:
    """Why the terminal cannot have the whole package; None where it may."""
    if request is None:
        return _refused(Reason.QUEUE_FULL, "too much waits for answers on this connection")
    packets, total = len(request.confirmed), len(request.frames)
    if request.result not in {None, 0}:
        reason, detail = Reason.DEVICE_EXCEPTION, f"the terminal answered {request.result} to a packet"
    elif request.lost and not sent:
        reason, detail = Reason.UNREACHABLE, "the connection broke while packets were sent"
    else:
        return None
    return UpgradeResult(outcome=Outcome.FAILED, reason=reason, detail=detail, packets=packets, total=total)


def _refused(reason: Reason, detail: str) -> UpgradeResult:
    return UpgradeResult(outcome=Outcome.REFUSED, reason=reason, detail=detail)
