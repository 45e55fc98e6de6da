"""The data segment: header fields, and the items of CP (HJ 212-2017, clause 6.3.2 and 6.3.3).

    QN=20160801085857223;ST=32;CN=2051;PW=123456;MN=010000A8900016F000169DC0;Flag=7;PNUM=2;PNO=1;CP=&&...&&

A semicolon separates header fields, and items within CP; a comma the classes of one item: `w01018-Rtd=40.1,w01018-Flag=N`.
Flag is a number: bit 0 an answer is wanted (A), bit 1 the packet numbers PNUM and PNO are there (D), bits 2 to 7 the
standard's version: 0 for 2005, where the whole field is often missing, 1 for 2017, 2 for 2025. A surface-water profile of
2021 already sent 8.
"""

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet

import msgspec

from firmware_bridge.errors import ParseError
from firmware_bridge.hj212.deviations import REAL_DEVICES, Deviation, Deviations
from telemetry.reason import Reason

__all__ = ["ANSWER_WANTED", "PACKETS", "STANDARDS", "Flaw", "Item", "Packet", "parse_segment", "without_secrets"]

ANSWER_WANTED, PACKETS = 1, 2
"""The bits A and D of Flag."""

STANDARDS = {0: "HJ/T 212-2005", 1: "HJ 212-2017", 2: "HJ 212-2025"}
"""Flag's version: the standard that has it."""

_HEADER_SEPARATOR = re.compile(rb"[;,]")
_OPEN = re.compile(rb"CP[ \t]*=[ \t]*&&")
_HEX_24 = re.compile(r"[0-9A-Fa-f]{1,24}")
_PASSWORD_CHARACTERS = 6
_SECRETS = frozenset({"PW", "NewPW", "NewSK"})
"""Fields that are not to end up in a log."""
_SECRET = re.compile(rb"(%b)[ \t]*=(?:(?!##)[^;,&\r\n])*" % "|".join(sorted(_SECRETS)).encode())
_LOG = b"//"
"""What stands between two of these is a log's text and may hold separators (annex B, i11001)."""


class Item(msgspec.Struct, frozen=True):
    """`name=value` as it stands in the segment, `at` its first byte there, `size` its bytes."""

    name: str
    value: str
    at: int = 0
    size: int = 0

    def __repr__(self) -> str:
        value = "(not shown)" if self.name in _SECRETS else repr(self.value)
        return f"Item({self.name}={value})"


class Flaw(msgspec.Struct, frozen=True):
    """What could not be read or believed in a message that is read all the same; `at` counts bytes of the segment."""

    reason: Reason
    detail: str
    at: int | None = None


class Packet(msgspec.Struct, frozen=True, kw_only=True):
    """One data segment: a message, or one packet of a message that was cut.

    Texts that are missing are empty, numbers that are missing None. `cp` holds items by their semicolons, each with its
    classes; `others` are header fields that the standard does not name; `header` is every header field as it stood.
    `parts` are the packets that a message was put together from.
    """

    cn: str
    qn: str = ""
    st: str = ""
    pw: str = ""
    mn: str = ""
    flag: int | None = None
    pnum: int | None = None
    pno: int | None = None
    cp: tuple[tuple[Item, ...], ...] = ()
    others: tuple[Item, ...] = ()
    header: tuple[Item, ...] = ()
    deviations: tuple[Deviation, ...] = ()
    flaws: tuple[Flaw, ...] = ()
    parts: tuple["Packet", ...] = ()

    @property
    def version(self) -> int:
        """The number of the standard's revision: see STANDARDS."""
        return 0 if self.flag is None else self.flag >> 2

    @property
    def answer_wanted(self) -> bool:
        """Whether the sender waits for an answer."""
        return bool((self.flag or 0) & ANSWER_WANTED)

    @property
    def items(self) -> Iterator[Item]:
        """All items of CP in order."""
        return (item for group in self.cp for item in group)

    def value(self, name: str) -> str | None:
        """The value of CP's item `name`, the last one where there are several; None where there is none."""
        return next((item.value for item in reversed([*self.items]) if item.name == name), None)

    def __repr__(self) -> str:
        return f"Packet(cn={self.cn!r}, st={self.st!r}, mn={self.mn!r}, qn={self.qn!r})"


class _Reading:
    """What was met while one segment is read."""

    def __init__(self, segment: bytes, met: Deviations) -> None:
        self.segment, self.met = segment, met
        self.flaws: list[Flaw] = []

    def flaw(self, reason: Reason, detail: str, at: int | None = None) -> None:
        self.flaws.append(Flaw(reason, detail, at))

    def text(self, raw: bytes, at: int) -> str:
        """`raw` without the blanks around it. Separators are no part of any GB 18030 character, so cutting came first."""
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            self.met.meet(Deviation.NOT_UTF8, at)
            text = raw.decode("gb18030", errors="replace")
        if text != text.strip():
            self.met.meet(Deviation.BLANKS, at)
        return text.strip()

    def item(self, start: int, end: int) -> Item | None:
        """The item between `start` and `end`; None for nothing but blanks, or what has no `=`."""
        raw = self.segment[start:end]
        if not raw.strip():
            return None
        name, equals, value = raw.partition(b"=")
        if not equals:
            self.flaw(Reason.BAD_FIELD, f"{end - start} bytes without a =", start)
            return None
        return Item(self.text(name, start), self.text(value, start + len(name) + 1), start, end - start)


def parse_segment(segment: bytes, tolerate: AbstractSet[Deviation] = REAL_DEVICES) -> Packet:
    """The fields of `segment`.

    ParseError, `at` counted in its bytes: missing where it names no command, bad_field where CN is no four digits, and
    the reason of a deviation that is not tolerated. Whatever else is odd is told in `flaws`.
    """
    reading = _Reading(segment, Deviations(tolerate))
    opening = _OPEN.search(segment)
    head_end = len(segment) if opening is None else opening.start()
    header = tuple(_header_items(reading, head_end, opened=opening is not None))
    _check_order(header, reading.met)
    fields = {item.name: item.value for item in header}
    cn = fields.get("CN", "")
    if not cn:
        raise ParseError(Reason.MISSING, "no command number CN", 0)
    if not (len(cn) == 4 and cn.isascii() and cn.isdigit()):
        raise ParseError(Reason.BAD_FIELD, f"CN {cn[:12]!r}, want four digits", next(i.at for i in header if i.name == "CN"))
    packet = Packet(
        cn=cn,
        qn=fields.get("QN", ""),
        st=fields.get("ST", ""),
        pw=fields.get("PW", ""),
        mn=fields.get("MN", ""),
        flag=_number(reading, fields, "Flag", 0xFF),
        pnum=_number(reading, fields, "PNUM", 9999),
        pno=_number(reading, fields, "PNO", 9999),
        cp=() if opening is None else tuple(_groups(reading, opening.end())),
        others=tuple(item for item in header if item.name not in _NAMES),
        header=header,
    )
    _check(packet, reading, has_cp=opening is not None)
    return msgspec.structs.replace(packet, deviations=reading.met.met, flaws=tuple(reading.flaws))


def without_secrets(raw: bytes) -> bytes:
    """Bytes that came over the wire, fit for a log: passwords and keys are starred out, wherever they stand."""
    return _SECRET.sub(rb"\1=***", raw)


_NAMES = ("QN", "ST", "CN", "PW", "MN", "Flag", "PNUM", "PNO")


def _header_items(reading: _Reading, end: int, *, opened: bool) -> Iterator[Item]:
    """The fields of `end` bytes of header; `opened` where CP begins there, which a separator should stand before."""
    seen = set[str]()
    for separator in [*_HEADER_SEPARATOR.finditer(reading.segment, 0, end), None]:
        stop = end if separator is None else separator.start()
        item = reading.item(_behind_last_separator(reading.segment, stop), stop)
        if separator is not None and separator[0] == b",":
            reading.met.meet(Deviation.COMMA_HEADER, stop)
        if item is None:
            continue
        if separator is None and opened:
            reading.met.meet(Deviation.NO_SEPARATOR, stop)
        if item.name in seen:
            reading.met.meet(Deviation.DUPLICATE_KEY, item.at)
        seen.add(item.name)
        yield item


def _behind_last_separator(segment: bytes, stop: int) -> int:
    return max(segment.rfind(b";", 0, stop), segment.rfind(b",", 0, stop)) + 1


def _check_order(header: tuple[Item, ...], met: Deviations) -> None:
    names = [item.name for item in header]
    if "PNUM" in names and "PNO" in names and names.index("PNO") < names.index("PNUM"):
        met.meet(Deviation.PACKET_ORDER, header[names.index("PNO")].at)


def _groups(reading: _Reading, start: int) -> Iterator[tuple[Item, ...]]:
    """The items of CP between its two &&, those that commas join in one tuple."""
    segment = reading.segment
    end = segment.rfind(b"&&", start)
    if end < 0:
        reading.flaw(Reason.TRUNCATED, "CP has no closing &&", len(segment))
        end = len(segment)
    elif segment[end + 2 :].strip():
        reading.flaw(Reason.BAD_FIELD, f"{len(segment) - end - 2} bytes behind the closing &&", end + 2)
    group: list[Item] = []
    pieces = list(_pieces(segment, start, end))
    for at, (first, last, joined) in enumerate(pieces):
        item = reading.item(first, last)
        if item is not None:
            group.append(item)
        elif at and not segment[first:last].strip():
            reading.met.meet(Deviation.TRAILING_SEPARATOR, first)
        if not joined and group:
            yield tuple(group)
            group = []


def _pieces(segment: bytes, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
    """Where each item of CP begins and ends, and whether a comma joins the next one to it."""
    while start <= end:
        stop = _item_end(segment, start, end)
        yield start, stop, stop < end and segment[stop] == ord(",")
        start = stop + 1


def _item_end(segment: bytes, start: int, end: int) -> int:
    """The separator behind the item at `start`, past a log's text, or `end`."""
    stop = _separator(segment, start, end)
    equals = segment.find(b"=", start, stop)
    if equals < 0 or not segment.startswith(_LOG, equals + 1):
        return stop
    closing = segment.find(_LOG, equals + 1 + len(_LOG), end)
    return stop if closing < 0 else _separator(segment, closing + len(_LOG), end)


def _separator(segment: bytes, start: int, end: int) -> int:
    found = [at for at in (segment.find(b";", start, end), segment.find(b",", start, end)) if at >= 0]
    return min(found, default=end)


def _number(reading: _Reading, fields: dict[str, str], name: str, highest: int) -> int | None:
    text = fields.get(name)
    if not text:
        return None
    if text.isascii() and text.isdigit() and len(text) <= 4 and int(text) <= highest:
        return int(text)
    reading.flaw(Reason.BAD_FIELD, f"{name} {text[:12]!r}, want a number up to {highest}")
    return None


def _check(packet: Packet, reading: _Reading, *, has_cp: bool) -> None:
    """What the standard says of the fields, where the message can be understood without it."""
    if len(packet.pw) != _PASSWORD_CHARACTERS:
        reading.met.meet(Deviation.ODD_PASSWORD)
    if not _HEX_24.fullmatch(packet.mn):
        reading.met.meet(Deviation.ODD_MN)
    if not has_cp:
        reading.flaw(Reason.MISSING, "no CP")
    if packet.flag is not None and bool(packet.flag & PACKETS) != (packet.pnum is not None):
        wants = "wants packet numbers" if packet.flag & PACKETS else "has no packet numbers"
        reading.flaw(Reason.BAD_FIELD, f"Flag {packet.flag} {wants}, PNUM is {packet.pnum}")
