"""An HJ 212 frame as one flat record in the standard's field names: what `frame decode --json` prints.

The access password is in it, as in the frame, because whoever asks has the frame; nothing else shows it.
"""

from datetime import datetime, tzinfo

from firmware_bridge.errors import ParseError
from firmware_bridge.hj212.deviations import Deviation
from firmware_bridge.hj212.explain import explain
from firmware_bridge.hj212.frames import Frame, parse_frame
from firmware_bridge.hj212.segment import PACKETS, STANDARDS, Flaw, Packet, parse_segment
from firmware_bridge.hj212.tables import COMMANDS, SYSTEMS
from firmware_bridge.hj212.times import CHINA, parse_time
from firmware_bridge.hj212.values import Content, Value, content
from firmware_bridge.language import Language, Record
from telemetry.reason import Reason

__all__ = ["LANGUAGE", "packet_record", "record"]


def record(raw: bytes, zone: tzinfo = CHINA) -> Record:
    """Everything that the frame in `raw` says; times in `zone`. ParseError where it is no frame.

    `values` holds what was measured, by factor and class; every other field of CP stands beside the header's. `flaws`
    lists what could not be read or believed, as {reason, where}; `deviations` names where the frame is not as the
    standard has it. A frame that is whole and names no command has `refused` and `where`.
    """
    frame = parse_frame(raw)
    try:
        packet = parse_segment(frame.segment)
    except ParseError as error:
        return _frame_record(frame) | {"refused": error.reason, "where": _where(error.detail, error.at, frame.segment_at)}
    return _frame_record(frame) | packet_record(packet, zone, frame)


def _frame_record(frame: Frame) -> Record:
    return {
        "protocol": "hj212",
        "checksum_ok": True,
        "crc": frame.crc,
        "length": len(frame.segment),
        "declared_length": frame.declared_length,
        "length_ok": frame.length_ok,
    }


def packet_record(packet: Packet, zone: tzinfo = CHINA, frame: Frame | None = None) -> Record:
    """The fields of a data segment: of one packet, with the frame it came in, or of a message put together again."""
    said = content(packet, zone)
    fields = _header_record(packet, said, zone) | {"data_time": None}
    for name, value in said.fields.items():
        free = name == "data_time" or (name not in fields and name not in _OURS)
        fields[name if free else f"cp_{name}"] = _plain(value)
    fields |= {f"header_{item.name.lower()}": item.value for item in packet.others}
    at = 0 if frame is None else frame.segment_at
    flaws = (*_header_flaws(packet), *packet.flaws, *said.flaws)
    deviations = dict.fromkeys((*(() if frame is None else frame.deviations), *packet.deviations, *said.deviations))
    return fields | {
        "values": {factor: {kind: _plain(value) for kind, value in kinds.items()} for factor, kinds in said.values.items()},
        "flaws": [{"reason": flaw.reason, "where": _where(flaw.detail, flaw.at, at)} for flaw in flaws],
        # A line end is no part of a frame that somebody types in.
        "deviations": [name for name in deviations if name is not Deviation.NO_LINE_END],
    }


_OURS = frozenset(
    {"protocol", "checksum_ok", "crc", "length", "declared_length", "length_ok", "values", "flaws", "deviations", "refused"}
)
"""Names of the record that no field of CP may take."""


def _header_record(packet: Packet, said: Content, zone: tzinfo) -> Record:
    command, system = COMMANDS.get(packet.cn), SYSTEMS.get(packet.st)
    return {
        "qn": packet.qn,
        "qn_time": _iso(parse_time(packet.qn, zone)),
        "st": packet.st,
        "system": None if system is None else system.en,
        "cn": packet.cn,
        "command": None if command is None else command.en,
        "pw": packet.pw,
        "mn": packet.mn,
        "flag": packet.flag,
        "version": packet.version,
        "standard": STANDARDS.get(packet.version),
        "answer_wanted": packet.answer_wanted,
        "has_packet_no": packet.pnum is not None or bool((packet.flag or 0) & PACKETS),
        "pnum": packet.pnum,
        "pno": packet.pno,
        "data_time_is": _data_time_is(said, period=command is not None and command.period_start),
    }


def _data_time_is(said: Content, *, period: bool) -> str | None:
    if said.fields.get("data_time") is None:
        return None
    return "period_start" if period else "instant"


def _header_flaws(packet: Packet) -> list[Flaw]:
    flaws: list[Flaw] = []
    if packet.qn and (len(packet.qn) != 17 or parse_time(packet.qn) is None):
        flaws.append(Flaw(Reason.BAD_FIELD, f"QN {packet.qn[:24]!r}, want 17 digits of a time"))
    if packet.cn not in COMMANDS:
        flaws.append(Flaw(Reason.UNKNOWN_MESSAGE, f"CN {packet.cn}"))
    return flaws


def _where(detail: str, at: int | None, segment_at: int) -> str:
    return detail if at is None else f"byte {segment_at + at}: {detail}"


def _plain(value: Value) -> object:
    return _iso(value) if isinstance(value, datetime) else value


def _iso(time: datetime | None) -> str | None:
    if time is None:
        return None
    return time.isoformat(timespec="milliseconds" if time.microsecond else "seconds")


LANGUAGE = Language(describe=record, explain=explain, spoken=("##",))
