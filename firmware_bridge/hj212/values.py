"""What the items of CP are: fields by name, and values of a factor by their class (HJ 212-2017, clause 6.6, annex C).

An item named `w01018-Rtd` is the class `Rtd` of the factor `w01018`; an item without a dash is a field of the message.
"""

import re
from collections.abc import Container
from datetime import datetime, tzinfo
from enum import StrEnum

import msgspec

from firmware_bridge.errors import ParseError
from firmware_bridge.hj212.deviations import Deviation
from firmware_bridge.hj212.segment import Flaw, Packet
from firmware_bridge.hj212.tables import (
    DATA_FLAGS,
    EQUIPMENT_STATES,
    EXECUTION_CODES,
    MINUTE_INTERVALS,
    REALTIME_INTERVALS,
    REQUEST_CODES,
)
from firmware_bridge.hj212.times import CHINA, parse_time
from telemetry.reason import Reason

__all__ = ["FIELDS", "KINDS", "Content", "Kind", "Type", "Value", "content", "number"]

Value = int | float | str | datetime | None
"""None is a value that is there and cannot be read; a flaw says why."""


class Type(StrEnum):
    """How a value is written."""

    NUMBER = "number"
    TEXT = "text"
    TIME = "time"
    ANY = "any"
    """A number where it is written as one, text otherwise."""


class Kind(msgspec.Struct, frozen=True):
    """A class or a field: its name in snake_case, how it is written, which values there are where they are limited."""

    name: str
    type: Type
    allowed: Container[object] | None = None


KINDS: dict[str, Kind] = {
    "Rtd": Kind("rtd", Type.NUMBER),
    "Min": Kind("min", Type.NUMBER),
    "Avg": Kind("avg", Type.NUMBER),
    "Max": Kind("max", Type.NUMBER),
    "Cou": Kind("cou", Type.NUMBER),
    # Converted to the oxygen content that the emission standard prescribes.
    "ZsRtd": Kind("zs_rtd", Type.NUMBER),
    "ZsMin": Kind("zs_min", Type.NUMBER),
    "ZsAvg": Kind("zs_avg", Type.NUMBER),
    "ZsMax": Kind("zs_max", Type.NUMBER),
    "Flag": Kind("flag", Type.TEXT, DATA_FLAGS),
    "EFlag": Kind("e_flag", Type.TEXT),
    "SampleTime": Kind("sample_time", Type.TIME),
    "Info": Kind("info", Type.ANY),
    "SN": Kind("sn", Type.TEXT),
    # Noise: of the whole time, by day, by night.
    "Data": Kind("data", Type.NUMBER),
    "DayData": Kind("day_data", Type.NUMBER),
    "NightData": Kind("night_data", Type.NUMBER),
    # Equipment: state, and hours run.
    "RS": Kind("rs", Type.NUMBER, EQUIPMENT_STATES),
    "RT": Kind("rt", Type.NUMBER),
}
"""The classes by what stands behind the dash."""

FIELDS: dict[str, Kind] = {
    "DataTime": Kind("data_time", Type.TIME),
    "BeginTime": Kind("begin_time", Type.TIME),
    "EndTime": Kind("end_time", Type.TIME),
    "SystemTime": Kind("system_time", Type.TIME),
    "RestartTime": Kind("restart_time", Type.TIME),
    "SKCreateTime": Kind("sk_create_time", Type.TIME),
    "QnRtn": Kind("qn_rtn", Type.NUMBER, REQUEST_CODES),
    "ExeRtn": Kind("exe_rtn", Type.NUMBER, EXECUTION_CODES),
    "OverTime": Kind("over_time", Type.NUMBER),
    "ReCount": Kind("re_count", Type.NUMBER),
    "RtdInterval": Kind("rtd_interval", Type.NUMBER, REALTIME_INTERVALS),
    "MinInterval": Kind("min_interval", Type.NUMBER, MINUTE_INTERVALS),
    "NewPW": Kind("new_pw", Type.TEXT),
    "NewSK": Kind("new_sk", Type.TEXT),
    "PolId": Kind("pol_id", Type.TEXT),
    "InfoId": Kind("info_id", Type.TEXT),
    "VaseNo": Kind("vase_no", Type.NUMBER),
    # A time of day, hhmmss, and the hours from sample to sample.
    "CstartTime": Kind("cstart_time", Type.TEXT),
    "CTime": Kind("ctime", Type.NUMBER),
    "Stime": Kind("stime", Type.NUMBER),
}
"""The fields of CP that are no factor's."""

_KIND_SPELLINGS = {"td": "Rtd"} | {name.lower(): name for name in KINDS}
_FIELD_SPELLINGS = {name.lower(): name for name in FIELDS}
_NUMBER = re.compile(r"[+-]?[0-9]{1,30}(?:\.[0-9]{0,30})?|[+-]?\.[0-9]{1,30}")
_PLAIN_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?")
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[^A-Za-z0-9]+")


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """CP as values: `fields` by snake_case name, `values` by factor code and class; `unreadable` says why one is None."""

    fields: dict[str, Value]
    values: dict[str, dict[str, Value]]
    unreadable: dict[tuple[str, str], Reason] = {}
    deviations: tuple[Deviation, ...] = ()
    flaws: tuple[Flaw, ...] = ()


class _Reader:
    def __init__(self, zone: tzinfo) -> None:
        self.zone = zone
        self.fields: dict[str, Value] = {}
        self.values: dict[str, dict[str, Value]] = {}
        self.unreadable: dict[tuple[str, str], Reason] = {}
        self.deviations: dict[Deviation, None] = {}
        self.flaws: list[Flaw] = []

    def take(self, name: str, text: str) -> None:
        factor, dash, suffix = name.rpartition("-")
        if dash and factor:
            kind = self.kind(suffix, KINDS, _KIND_SPELLINGS)
            place = self.values.setdefault(factor, {})
        else:
            kind = self.kind(name, FIELDS, _FIELD_SPELLINGS)
            place = self.fields
        if kind.name in place:
            self.deviations[Deviation.DUPLICATE_KEY] = None
        place[kind.name] = value = self.value(name, kind, text)
        self.unreadable.pop((factor, kind.name), None)
        if value is None and place is not self.fields:
            self.unreadable[factor, kind.name] = self.flaws[-1].reason

    def kind(self, name: str, known: dict[str, Kind], spellings: dict[str, str]) -> Kind:
        if name in known:
            return known[name]
        other = spellings.get(name.lower())
        if other is None:
            return Kind(_snake(name), Type.ANY)
        self.deviations[Deviation.SPELLING] = None
        return known[other]

    def value(self, name: str, kind: Kind, text: str) -> Value:
        value = self.typed(name, kind.type, text)
        if kind.allowed is not None and value is not None and value not in kind.allowed:
            limited = isinstance(kind.allowed, (range, frozenset))
            reason = Reason.OUT_OF_RANGE if limited else Reason.NOT_IN_ENUM
            self.flaw(reason, f"{name} {text[:40]!r}")
        return value

    def typed(self, name: str, kind: Type, text: str) -> Value:
        match kind:
            case Type.NUMBER:
                return self.number(name, text)
            case Type.TEXT:
                return text
            case Type.TIME:
                return self.time(name, text)
            case Type.ANY:
                return _number(text) if _PLAIN_NUMBER.fullmatch(text) else _log_text(text)

    def number(self, name: str, text: str) -> int | float | None:
        if not text:
            self.flaw(Reason.NO_VALUE, name)
            return None
        if not _NUMBER.fullmatch(text):
            self.flaw(Reason.NOT_A_NUMBER, f"{name} {text[:40]!r}")
            return None
        return _number(text)

    def time(self, name: str, text: str) -> datetime | None:
        if not text:
            self.flaw(Reason.NO_VALUE, name)
            return None
        time = parse_time(text, self.zone)
        if time is None:
            self.flaw(Reason.BAD_FIELD, f"{name} {text[:40]!r} is no date")
            return None
        if name == "DataTime" and len(text) == 17:
            self.deviations[Deviation.LONG_TIME] = None
        return time

    def flaw(self, reason: Reason, where: str) -> None:
        self.flaws.append(Flaw(reason, where))


def content(packet: Packet, zone: tzinfo = CHINA) -> Content:
    """The values in `packet`'s CP; times in `zone`, where the monitor stands. Of a name that comes twice the last counts."""
    reader = _Reader(zone)
    for item in packet.items:
        reader.take(item.name, item.value)
    return Content(
        fields=reader.fields,
        values=reader.values,
        unreadable=reader.unreadable,
        deviations=tuple(reader.deviations),
        flaws=tuple(reader.flaws),
    )


def number(text: str) -> int | float:
    """A number as it is written in CP; ParseError(not_a_number) otherwise."""
    if not _NUMBER.fullmatch(text):
        raise ParseError(Reason.NOT_A_NUMBER, f"{text[:40]!r}, want a decimal number")
    return _number(text)


def _number(text: str) -> int | float:
    return float(text) if "." in text else int(text)


def _log_text(text: str) -> str:
    return text[2:-2] if len(text) >= 4 and text.startswith("//") and text.endswith("//") else text


def _snake(name: str) -> str:
    return _WORDS.sub("_", name).strip("_").lower() or "unnamed"
