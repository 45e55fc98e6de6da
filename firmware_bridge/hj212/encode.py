"""Messages as they go over the wire: what simulated loggers and the upper side send (HJ 212-2017, clauses 6.3 and 6.4)."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, tzinfo

import msgspec

from firmware_bridge.errors import ParseError
from firmware_bridge.hj212.frames import MAX_SEGMENT_BYTES, encode_frame
from firmware_bridge.hj212.segment import ANSWER_WANTED, PACKETS, Packet
from firmware_bridge.hj212.times import CHINA, format_time
from firmware_bridge.hj212.values import FIELDS, KINDS
from telemetry.reason import Reason

__all__ = ["MAX_CP_BYTES", "Group", "Head", "encode_message", "encode_messages", "encode_packet", "field_group", "value_groups"]

MAX_CP_BYTES = 950
"""What CP may hold in one packet."""
_CLOSE = b"&&"
_MOST_PACKETS = (9999, 9999)

Group = Sequence[tuple[str, str]]
"""One item with its classes: names and values that commas join."""

_NAME = re.compile(r"[^\s=;,&#]{1,64}")
_LOG = re.compile(r"//(?:(?!//|##)[^&\r\n])*//")
_UNSAFE = re.compile(r"[=;,&\r\n]|##|^//")
_UNSAFE_FIELD = re.compile(r"[;,&\r\n]|##")
"""A header field ends at its separator: passwords are found that hold a =."""
_WIRE_KINDS = {kind.name: name for name, kind in KINDS.items()}
_WIRE_FIELDS = {kind.name: name for name, kind in FIELDS.items()}


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The header of a message that is to be sent. `version` None leaves Flag out, as loggers of 2005 often do."""

    st: str
    cn: str
    mn: str
    pw: str
    qn: str = ""
    version: int | None = 1
    answer_wanted: bool = False

    def __repr__(self) -> str:
        # The access password is not to end up in a log.
        return f"Head(cn={self.cn!r}, st={self.st!r}, mn={self.mn!r}, qn={self.qn!r})"


def encode_message(head: Head, groups: Sequence[Group] = ()) -> bytes:
    """One frame.

    ParseError: oversized where CP has more than 950 bytes or the segment more than 1024 (see encode_messages), bad_field
    for a name or value that would break the frame.
    """
    return _frame(head, _cp(groups), None)


def encode_messages(head: Head, groups: Sequence[Group]) -> list[bytes]:
    """The message in as many frames as it needs; each but the first begins with the same DataTime again.

    ParseError as encode_message: oversized where a single item fits into no packet.
    """
    whole = _cp(groups)
    if len(whole) <= _room(head, None):
        return [_frame(head, whole, None)]
    cps = _packets(groups, _room(head, _MOST_PACKETS))
    return [_frame(head, cp, (len(cps), number)) for number, cp in enumerate(cps, 1)]


def encode_packet(packet: Packet) -> bytes:
    """`packet` in the standard's own spelling, whatever the frame looked like that it was read from."""
    head = Head(
        st=packet.st,
        cn=packet.cn,
        mn=packet.mn,
        pw=packet.pw,
        qn=packet.qn,
        version=None if packet.flag is None else packet.version,
        answer_wanted=packet.answer_wanted,
    )
    numbers = None if packet.pnum is None else (packet.pnum, packet.pno or 0)
    return _frame(head, _cp([[(item.name, item.value) for item in group] for group in packet.cp]), numbers)


def value_groups(
    values: Mapping[str, Mapping[str, object]], data_time: datetime | None = None, zone: tzinfo = CHINA
) -> list[Group]:
    """DataTime, then one item a factor: `values` by factor and class in snake_case, as the decoder gives them.

    ParseError(not_a_number) for a value that is no finite number.
    """
    groups: list[Group] = [] if data_time is None else [field_group("data_time", data_time, zone)]
    for factor, kinds in values.items():
        groups.append([(f"{factor}-{_WIRE_KINDS.get(kind, kind)}", _written(value, zone)) for kind, value in kinds.items()])
    return groups


def field_group(name: str, value: object, zone: tzinfo = CHINA) -> Group:
    """One field of CP, by its snake_case name: `field_group("rtd_interval", 30)`."""
    return [(_WIRE_FIELDS.get(name, name), _written(value, zone))]


def _written(value: object, zone: tzinfo) -> str:
    if isinstance(value, datetime):
        return format_time(value, zone)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ParseError(Reason.NOT_A_NUMBER, f"{value} cannot be sent")
        text = f"{value:.6f}".rstrip("0")
        return f"{text}0" if text.endswith(".") else text
    return "" if value is None else str(value)


def _room(head: Head, packet: tuple[int, int] | None) -> int:
    """What CP may hold behind this header: 950 bytes, and no more than leaves the data segment at 1024."""
    return min(MAX_CP_BYTES, MAX_SEGMENT_BYTES - len(_header(head, packet)) - len(_CLOSE))


def _packets(groups: Sequence[Group], room: int) -> list[bytes]:
    """CP cut between items into pieces of at most `room` bytes; a longer item is a piece by itself."""
    opening = b";".join(_group(group) for group in groups[:1] if group and group[0][0] == "DataTime")
    cps: list[bytes] = []
    current = opening
    for group in groups[1:] if opening else groups:
        piece = _group(group)
        longer = current + b";" + piece if current else piece
        if len(longer) > room and current != opening:
            cps.append(current)
            longer = opening + b";" + piece if opening else piece
        current = longer
    return [*cps, current]


def _cp(groups: Iterable[Group]) -> bytes:
    return b";".join(map(_group, groups))


def _group(group: Group) -> bytes:
    return ",".join(f"{_checked_name(name)}={_checked(value)}" for name, value in group).encode()


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ParseError(Reason.BAD_FIELD, f"{name[:40]!r} is no name of an item")
    return name


def _checked(value: str) -> str:
    if _UNSAFE.search(value) and not _LOG.fullmatch(value):
        raise ParseError(Reason.BAD_FIELD, "a value with a separator, want it between // and //")
    return value


def _checked_field(name: str, value: str) -> str:
    if _UNSAFE_FIELD.search(value):
        raise ParseError(Reason.BAD_FIELD, f"{name} with a separator")
    return f"{name}={value}"


def _frame(head: Head, cp: bytes, packet: tuple[int, int] | None) -> bytes:
    if len(cp) > MAX_CP_BYTES:
        raise ParseError(Reason.OVERSIZED, f"CP of {len(cp)} bytes, want at most {MAX_CP_BYTES}")
    return encode_frame(_header(head, packet) + cp + _CLOSE)


def _header(head: Head, packet: tuple[int, int] | None) -> bytes:
    """The segment up to the && that opens CP."""
    fields = [("QN", head.qn)] if head.qn else []
    fields += [("ST", head.st), ("CN", head.cn), ("PW", head.pw), ("MN", head.mn)]
    if head.version is not None:
        flag = head.version << 2 | (ANSWER_WANTED if head.answer_wanted else 0) | (PACKETS if packet else 0)
        fields.append(("Flag", str(flag)))
    if packet is not None:
        fields += [("PNUM", str(packet[0])), ("PNO", str(packet[1]))]
    return ";".join(_checked_field(*field) for field in fields).encode() + b";CP=&&"
