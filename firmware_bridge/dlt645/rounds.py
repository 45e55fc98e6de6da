"""Reading one DL/T 645 meter: which questions, which frames answer them, and the reading that they make together."""

from collections import deque

from device_profiles.model import Profile
from firmware_bridge.dlt645.blocks import members, plan
from firmware_bridge.dlt645.commands import read, read_1997, read_following
from firmware_bridge.dlt645.frames import Dlt645Framer, Frame, address_bytes
from firmware_bridge.dlt645.items import find
from firmware_bridge.dlt645.parts import Form, Part, read_part
from firmware_bridge.dlt645.status import ERRORS
from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.items import decode_items
from firmware_bridge.meter_line import Told
from firmware_bridge.meter_units import in_unit
from firmware_bridge.values import Decoded
from telemetry.reason import Reason

__all__ = ["Dlt645Plan", "Dlt645Round"]

_MOST_FOLLOWING = 20
"""Frames that one answer may go on for; the longest block of the standard needs three."""
_MOST_LOST = 3
"""Rounds in a row in which a block brought nothing from a meter that answered other questions: it does not take it."""

_Question = tuple[str, tuple[str, ...]]


class Dlt645Plan:
    """What is read of the meter at `address` (12 digits), and which blocks it was found not to answer.

    ParseError: unknown_metric for an identifier or part that the standard's table does not have, wrong_type for one of another
    quantity than its metric, not_hex or out_of_range for the address.
    """

    def __init__(self, profile: Profile, address: str) -> None:
        if profile.wire.dlt645 is None:
            raise ParseError(Reason.UNKNOWN_PROFILE, f"{profile.name} does not speak DL/T 645")
        self.profile = profile
        self.wire = profile.wire.dlt645
        self.address = address_bytes(address)[::-1].hex().upper()
        self.timeout_s, self.poll_s = self.wire.timeout_s, self.wire.poll_s
        self._single: set[str] = set()
        self._lost: dict[str, int] = {}
        self._data_ids = [field.item.partition(".")[0] for field in self.wire.items]
        self._places = {field.item: _place(field.item) for field in self.wire.items}
        for field in self.wire.items:
            in_unit(0.0, self._places[field.item][1].unit, profile.metrics[field.metric].unit)

    def framer(self) -> Dlt645Framer:
        return Dlt645Framer()

    def begin(self) -> "Dlt645Round":
        return Dlt645Round(self)

    def questions(self) -> tuple[_Question, ...]:
        """What to ask for, and what of it is wanted."""
        if not self.wire.blocks:
            return tuple((data_id, (data_id,)) for data_id in dict.fromkeys(self._data_ids))
        return plan(self._data_ids, self._single)

    def value(self, item: str, data: bytes, unit: str) -> object:
        """A profile's item in the data of its identifier, in `unit`; ParseError where it is not there or cannot be read."""
        at, part = self._places[item]
        piece = data[at : at + part.size]
        if len(piece) < part.size:
            raise ParseError(Reason.MISSING, f"{item}: the answer ends before it")
        if part.form is Form.BITS:
            return int.from_bytes(piece, "little")
        value = read_part(part, piece)
        return in_unit(value, part.unit, unit) if isinstance(value, (int, float)) else value

    def refuses(self, block: str) -> None:
        """The meter does not take this block: its members are asked for one by one from now on."""
        self._single.add(block)

    def lost(self, block: str) -> None:
        """The block brought nothing although the meter is there."""
        self._lost[block] = self._lost.get(block, 0) + 1
        if self._lost[block] >= _MOST_LOST:
            self.refuses(block)

    def found(self, data_id: str) -> None:
        """The question was answered."""
        self._lost.pop(data_id, None)


class Dlt645Round:
    """One round of questions to one meter; see `meter_line.MeterRound`."""

    def __init__(self, plan: Dlt645Plan) -> None:
        self._plan = plan
        self._open: deque[_Question] = deque(plan.questions())
        self._data = b""
        self._sequence = 0
        self._brought: dict[str, bytes] = {}
        self._refused: dict[str, Reason] = {}
        self._missed: list[str] = []
        self.spoke = False

    def question(self) -> bytes | None:
        if not self._open:
            return None
        asked, address, wake_up = self._open[0][0], self._plan.address, self._plan.wire.wake_up
        if len(asked) == 4:
            return read_1997(address, asked, wake_up=wake_up)
        if self._sequence:
            return read_following(address, asked, self._sequence, wake_up=wake_up)
        return read(address, asked, wake_up=wake_up)

    def hear(self, frame: Frame) -> Told:
        if not frame.from_meter:
            return Told(answers=False)
        stranger = self._stranger(frame)
        if stranger is not None:
            return Told(answers=False, refused=Refused.of(stranger, frame.raw))
        self.spoke = True
        problem = self._take(frame)
        return Told(answers=True, refused=None if problem is None else Refused.of(problem, frame.raw))

    def give_up(self) -> None:
        asked, wanted = self._open[0]
        if wanted != (asked,):
            self._missed.append(asked)
        self._close(Reason.TIMEOUT)

    def decoded(self) -> Decoded:
        if self.spoke:
            for block in self._missed:
                self._plan.lost(block)
        items: dict[str, object] = {}
        unreadable: dict[str, Reason] = {}
        for field in self._plan.wire.items:
            try:
                items[field.item] = self._item(field.item, self._plan.profile.metrics[field.metric].unit)
            except ParseError as error:
                unreadable[field.item] = error.reason
        return decode_items(self._plan.profile, self._plan.wire.items, items, unreadable=unreadable)

    def _stranger(self, frame: Frame) -> ParseError | None:
        """Why a meter's frame is no answer to the question in hand, None where it is one."""
        if frame.address != self._plan.address:
            return ParseError(Reason.WRONG_UNIT, f"meter {frame.address} spoke, {self._plan.address} was asked")
        if not self._open:
            return ParseError(Reason.WRONG_TRANSACTION, "nothing was asked")
        asked = self._open[0][0]
        function = 0x01 if len(asked) == 4 else 0x12 if self._sequence else 0x11
        if frame.function != function:
            return ParseError(Reason.WRONG_TRANSACTION, f"an answer to function {frame.function:02x}, {function:02x} was asked")
        said = frame.data[: len(asked) // 2][::-1].hex().upper()
        if frame.is_error or not frame.data:
            return None
        if said != asked:
            return ParseError(Reason.WRONG_TRANSACTION, f"identifier {said}, {asked} was asked")
        if self._sequence and frame.data[-1] != self._sequence:
            return ParseError(Reason.WRONG_TRANSACTION, f"part {frame.data[-1]}, {self._sequence} was asked")
        return None

    def _take(self, frame: Frame) -> ParseError | None:
        """Handle an answer to the question in hand; what is wrong with it."""
        asked = self._open[0][0]
        if frame.is_error:
            return self._decline(Reason.DEVICE_EXCEPTION, f"the meter refuses {asked}: {_errors(frame)}")
        if not frame.data:
            # Real meters answer an identifier that they do not have with nothing at all.
            return self._decline(Reason.NO_VALUE, f"the meter has no {asked}")
        self._data += frame.data[len(asked) // 2 : -1 if self._sequence else None]
        if not frame.more:
            self._found()
            return None
        if self._sequence >= _MOST_FOLLOWING or len(asked) == 4:
            # How a meter of 1997 goes on is not told by the sources at hand.
            self._close(Reason.REASSEMBLY_LIMIT)
            return ParseError(Reason.REASSEMBLY_LIMIT, f"{asked} goes on after {self._sequence + 1} frames")
        self._sequence += 1
        return None

    def _decline(self, reason: Reason, detail: str) -> ParseError:
        """The meter says that it will not say: a block is taken apart, and what has come of an answer already is kept."""
        asked, wanted = self._open[0]
        if self._sequence:
            self._found()
        elif wanted != (asked,):
            self._plan.refuses(asked)
            self._open.popleft()
            self._open.extendleft((data_id, (data_id,)) for data_id in reversed(wanted))
        else:
            self._close(reason)
        return ParseError(reason, detail)

    def _found(self) -> None:
        asked, _ = self._open.popleft()
        at = 0
        for data_id in members(asked):
            item = find(data_id)
            size = len(self._data) if item is None or data_id == asked else item.size
            self._brought[data_id] = self._data[at : at + size]
            at += size
        self._plan.found(asked)
        self._data, self._sequence = b"", 0

    def _close(self, reason: Reason) -> None:
        _, wanted = self._open.popleft()
        self._refused |= dict.fromkeys(wanted, reason)
        self._data, self._sequence = b"", 0

    def _item(self, item: str, unit: str) -> object:
        data_id = item.partition(".")[0]
        if data_id not in self._brought:
            raise ParseError(self._refused.get(data_id, Reason.TIMEOUT), f"{data_id} was not answered")
        return self._plan.value(item, self._brought[data_id], unit)


def _place(item: str) -> tuple[int, Part]:
    """Where a profile's item stands in the data of its identifier; ParseError(unknown_metric) for one that does not."""
    data_id, _, name = item.partition(".")
    known = find(data_id)
    if known is None or known.labels is not None:
        raise ParseError(Reason.UNKNOWN_METRIC, f"DL/T 645 has no single value {data_id}")
    at = 0
    places = []
    for part in known.parts:
        places.append((at, part))
        at += part.size
    if name:
        places = [(at, part) for at, part in places if part.name == name]
    elif len(places) > 1:
        # A date stands behind its weekday; a demand before its time.
        places = [(at, part) for at, part in places if part.name in known.name] or places
    if not places:
        raise ParseError(Reason.UNKNOWN_METRIC, f"{data_id} has no part {name!r}")
    return places[0]


def _errors(frame: Frame) -> str:
    word = frame.data[0] if frame.data else 0
    names = ERRORS if frame.version == 2007 else {}
    return ", ".join(names.get(bit, f"bit_{bit}") for bit in range(8) if word >> bit & 1) or "no error named"
