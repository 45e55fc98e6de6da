"""Reading one CJ/T 188 meter: which questions, which frames answer them, and the reading that they make together.

Bit 5 of the control code says that an answer goes on, but the sources at hand have no question for the rest of it: such an
answer is read as far as it reaches.
"""

from collections import deque

from device_profiles.model import Profile
from device_profiles.wires.cjt188 import CURRENT_DATA
from firmware_bridge.cjt188.commands import question
from firmware_bridge.cjt188.frames import ANY_TYPE, WILDCARD, Cjt188Framer, Frame, address_bytes
from firmware_bridge.cjt188.messages import Message, Reading, Status, parse_message
from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.items import decode_items
from firmware_bridge.meter_line import Told
from firmware_bridge.meter_units import in_unit
from firmware_bridge.values import Decoded
from telemetry.reason import Reason

__all__ = ["Cjt188Plan", "Cjt188Round", "check_answer", "identifier"]


class Cjt188Plan:
    """What is read of the meter at `address` (14 digits, or AA seven times for whoever is alone on the line).

    ParseError: not_hex, out_of_range for the address.
    """

    def __init__(self, profile: Profile, address: str) -> None:
        if profile.wire.cjt188 is None:
            raise ParseError(Reason.UNKNOWN_PROFILE, f"{profile.name} does not speak CJ/T 188")
        self.profile = profile
        self.wire = profile.wire.cjt188
        self.address = address_bytes(address)[::-1].hex().upper()
        self.timeout_s, self.poll_s = self.wire.timeout_s, self.wire.poll_s
        self.data_ids = tuple(dict.fromkeys(identifier(field.item) for field in self.wire.items))
        self._sequence = 0

    def framer(self) -> Cjt188Framer:
        return Cjt188Framer()

    def begin(self) -> "Cjt188Round":
        return Cjt188Round(self)

    def next_sequence(self) -> int:
        """The SER of the next question: it tells a late answer from the one that is waited for."""
        self._sequence = (self._sequence + 1) & 0xFF
        return self._sequence


class Cjt188Round:
    """One round of questions to one meter; see `meter_line.MeterRound`."""

    def __init__(self, plan: Cjt188Plan) -> None:
        self._plan = plan
        self._open = deque(plan.data_ids)
        self._sequence = plan.next_sequence()
        self._brought: dict[str, dict[str, Reading]] = {}
        self._refused: dict[str, Reason] = {}
        self.spoke = False

    def question(self) -> bytes | None:
        if not self._open:
            return None
        wire, address = self._plan.wire, self._plan.address
        return question(wire.meter_type, address, self._open[0], self._sequence, low_first=wire.low_first, wake_up=wire.wake_up)

    def hear(self, frame: Frame) -> Told:
        if not frame.from_meter:
            return Told(answers=False)
        try:
            message = check_answer(self._plan, frame, 0x01, self._open[0] if self._open else None, self._sequence)
        except ParseError as error:
            return Told(answers=False, refused=Refused.of(error, frame.raw))
        self.spoke = True
        asked = self._open[0]
        if frame.is_error:
            self._close(Reason.DEVICE_EXCEPTION)
            problem = ParseError(Reason.DEVICE_EXCEPTION, f"the meter refuses {asked}: {frame.data.hex()}")
            return Told(answers=True, refused=Refused.of(problem, frame.raw))
        self._brought[asked] = {reading.name: reading for reading in message.readings}
        self._next()
        return Told(answers=True)

    def give_up(self) -> None:
        self._close(Reason.TIMEOUT)

    def decoded(self) -> Decoded:
        items: dict[str, object] = {}
        unreadable: dict[str, Reason] = {}
        for field in self._plan.wire.items:
            try:
                items[field.item] = self._item(field.item, self._plan.profile.metrics[field.metric].unit)
            except ParseError as error:
                unreadable[field.item] = error.reason
        return decode_items(self._plan.profile, self._plan.wire.items, items, unreadable=unreadable)

    def _next(self) -> None:
        self._open.popleft()
        self._sequence = self._plan.next_sequence()

    def _close(self, reason: Reason) -> None:
        self._refused[self._open[0]] = reason
        self._next()

    def _item(self, item: str, unit: str) -> object:
        """The raw value of a profile's item, in its metric's unit."""
        data_id = identifier(item)
        if data_id not in self._brought:
            raise ParseError(self._refused.get(data_id, Reason.TIMEOUT), f"{data_id} was not answered")
        reading = self._brought[data_id].get(item.rpartition(".")[2])
        if reading is None:
            raise ParseError(Reason.MISSING, f"{data_id} has no {item}")
        if reading.flaw is not None:
            raise ParseError(reading.flaw.reason, item)
        if isinstance(reading.value, Status):
            return int.from_bytes(reading.value.raw, "little")
        if isinstance(reading.value, (int, float)):
            return in_unit(reading.value, reading.unit, unit)
        return reading.value


def check_answer(plan: Cjt188Plan, frame: Frame, function: int, data_id: str | None, sequence: int) -> Message:
    """The message in a meter's frame; ParseError where it is no answer to the question in hand: wrong_unit, wrong_transaction,
    truncated."""
    message = parse_message(frame)
    wire, address = plan.wire, plan.address
    if address not in (frame.address, WILDCARD):
        raise ParseError(Reason.WRONG_UNIT, f"meter {frame.address} spoke, {address} was asked")
    if frame.meter_type != wire.meter_type and ANY_TYPE not in (wire.meter_type, frame.meter_type):
        raise ParseError(Reason.WRONG_UNIT, f"a meter of type {frame.meter_type:02X}, want {wire.meter_type:02X}")
    if data_id is None:
        raise ParseError(Reason.WRONG_TRANSACTION, "nothing was asked")
    if frame.function != function:
        raise ParseError(Reason.WRONG_TRANSACTION, f"an answer to function {frame.function:02x}, {function:02x} was asked")
    if wire.echoes_sequence and message.sequence is not None and message.sequence != sequence:
        raise ParseError(Reason.WRONG_TRANSACTION, f"answer {message.sequence}, {sequence} was asked")
    if not frame.is_error and message.data_id != int(data_id, 16):
        said = "nothing" if message.data_id is None else f"{message.data_id:04X}"
        raise ParseError(Reason.WRONG_TRANSACTION, f"identifier {said}, {data_id} was asked")
    return message


def identifier(item: str) -> str:
    """The identifier whose answer holds a profile's item: the metering data, where it names none."""
    data_id, dot, _ = item.partition(".")
    return data_id if dot else CURRENT_DATA
