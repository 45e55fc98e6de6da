"""An order through a device's maintenance door: connect, say it, and wait for the answer that carries its number."""

import asyncio
from collections.abc import Mapping
from itertools import count

from device_profiles.wires.ble_orders import UartOrder
from edge_agent.drivers.ble.radio import Connection, Radio
from edge_agent.drivers.ble.station import Station
from firmware_bridge.ble.door import RX, TX, Answer, DoorFramer, Frame, Order, Result, encode_order, parse_answer, pieces
from firmware_bridge.errors import ParseError
from telemetry.reason import Reason
from telemetry.records import Outcome

__all__ = ["carry_out"]

_CONNECT_S = 12.0
_SERIALS = count(1)

Ended = tuple[Outcome, Reason | None, str]

_REFUSALS: Mapping[int, tuple[Outcome, Reason, str]] = {
    Result.UNKNOWN_ORDER: (Outcome.REFUSED, Reason.UNKNOWN_COMMAND, "the device does not know this order"),
    Result.OUT_OF_RANGE: (Outcome.REFUSED, Reason.OUT_OF_RANGE, "the device does not take this argument"),
    Result.NOT_NOW: (Outcome.REFUSED, Reason.NOT_ALLOWED, "the device does not do this now"),
}


async def carry_out(radio: Radio, station: Station, order: UartOrder, value: float) -> Ended:
    """Tell the device at most once; an order that may have reached it and was not answered ends as unknown."""
    wanted, serial = round(value / order.scale), next(_SERIALS) & 0xFF
    frame = encode_order(serial, Order(code=order.code, argument=wanted))
    told = False
    try:
        async with asyncio.timeout(_CONNECT_S + order.timeout_s), radio.connect(station.device.address) as connection:
            answers = await _listening(connection, serial)
            for piece in pieces(frame):
                told = True
                await connection.write(RX, piece)
            async with asyncio.timeout(order.timeout_s):
                answer = await answers
    except KeyError:
        return Outcome.FAILED, Reason.NOT_ALLOWED, "the device has no UART service"
    except OSError as error:
        if told:
            return Outcome.UNKNOWN, Reason.TIMEOUT, str(error) or f"no answer within {order.timeout_s:g} s"
        return Outcome.FAILED, Reason.UNREACHABLE, str(error) or f"no connection within {_CONNECT_S:g} s"
    return _ended(answer, order, wanted)


async def _listening(connection: Connection, serial: int) -> "asyncio.Future[Answer]":
    """The answer to come; frames with another number are somebody else's, or an earlier order's."""
    framer, future = DoorFramer(), asyncio.get_running_loop().create_future()

    def told(data: bytes) -> None:
        for frame in framer.feed(data):
            answer = _answer(frame, serial) if isinstance(frame, Frame) else None
            if answer is not None and not future.done():
                future.set_result(answer)

    await connection.notify(TX, told)
    return future


def _answer(frame: Frame, serial: int) -> Answer | None:
    try:
        return parse_answer(frame) if frame.serial == serial else None
    except ParseError:
        return None


def _ended(answer: Answer, order: UartOrder, wanted: int) -> Ended:
    if answer.result in _REFUSALS:
        return _REFUSALS[answer.result]
    if answer.result != Result.DONE or answer.code != order.code:
        return Outcome.FAILED, Reason.DEVICE_EXCEPTION, f"the device answers {answer.result} to order {answer.code}"
    if answer.value != wanted:
        return Outcome.FAILED, Reason.CONFLICT, f"the device holds {answer.value}, want {wanted}"
    return Outcome.DONE, None, ""
