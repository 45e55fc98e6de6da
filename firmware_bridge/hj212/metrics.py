"""From the factors of a message to the metrics of a profile, and back (HJ 212-2017, clause 6.6, annexes B and C).

DataTime is the event time of everything in a message, and of a period its beginning. A factor's SampleTime is not: an
analyser that samples every two hours tells its last value again and again, and a value that came with an old time each
time would never be judged.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone

from msgspec.structs import replace

from device_profiles.model import Profile
from device_profiles.wires.hj212 import Hj212Wire
from firmware_bridge.errors import ParseError
from firmware_bridge.hj212.encode import Group, field_group, value_groups
from firmware_bridge.hj212.factors import factor
from firmware_bridge.hj212.segment import Packet
from firmware_bridge.hj212.tables import COMMANDS
from firmware_bridge.hj212.values import KINDS, Content, content
from firmware_bridge.items import decode_items, encode_items
from firmware_bridge.values import Decoded
from telemetry.reason import Reason
from telemetry.records import Flaw, Quality, Value

__all__ = ["FLAG_FLAWS", "decode_message", "message_groups", "zone_of"]

_NOT_MEASURED = Flaw(Quality.BAD, Reason.NO_VALUE)
FLAG_FLAWS: Mapping[str, Flaw | None] = {
    "N": None,
    "F": _NOT_MEASURED,
    "M": _NOT_MEASURED,
    "C": _NOT_MEASURED,
    "S": Flaw(Quality.UNCERTAIN, Reason.NO_VALUE),
    "D": Flaw(Quality.BAD, Reason.DEVICE_EXCEPTION),
    "T": Flaw(Quality.UNCERTAIN, Reason.OUT_OF_RANGE),
    "B": Flaw(Quality.BAD, Reason.UNREACHABLE),
}
"""What a data flag (table 9) makes of the value beside it.

Stopped, in maintenance or calibrating, an instrument does not measure what it stands for; what a person typed in for it is
believed with doubt. Over range means that the truth is at least the value: it must be able to raise an alarm. The letters
that HJ/T 212-2005 gave its own flags are not in the sources at hand; one that is not in the table leaves the value uncertain.
"""
_ODD_FLAG = Flaw(Quality.UNCERTAIN, Reason.NOT_IN_ENUM)
_UNTIMED = Flaw(Quality.UNCERTAIN, Reason.IMPLAUSIBLE_TIME)

_BY_NAME = {kind.name: suffix for suffix, kind in KINDS.items()}
_SAID_BY: Mapping[str, frozenset[str]] = {
    "2011": frozenset({"Rtd", "ZsRtd", "Info"}),
    "2021": frozenset({"RS"}),
    "2041": frozenset({"RT"}),
}
"""The kinds of items that a command carries; those not here carry all others, the values of a period."""


def decode_message(profile: Profile, packet: Packet) -> Decoded:
    """The metrics that the profile's factors find in a message, good as far as its flags say so, and its DataTime.

    Nothing at all where the profile names nothing of what it carries. ParseError is never raised: what cannot be read is
    a bad value.
    """
    wire = _wire(profile)
    said = content(packet, zone_of(profile))
    items: dict[str, object] = {}
    unreadable: dict[str, Reason] = {}
    flaws: dict[str, Flaw] = {}
    for code, name, value in _classes(said):
        flaw = _flaw(said, code)
        for item in _names(code, name, packet.cn, items):
            items[item] = value
            if (code, name) in said.unreadable:
                unreadable[item] = said.unreadable[code, name]
            if flaw is not None:
                flaws[item] = flaw
    time = said.fields.get("data_time")
    time_ns = _nanoseconds(time) if isinstance(time, datetime) else None
    decoded = decode_items(profile, wire.items, items, time_ns=time_ns, unreadable=unreadable)
    told = {field.metric: flaws[field.item] for field in wire.items if field.item in flaws} | decoded.flaws
    if time_ns is None and _needs_time(packet, said):
        told = dict.fromkeys(decoded.values, _UNTIMED) | told
    # Of decimal fractions, what stands beyond nine digits was made by scaling.
    values = {name: round(value, 9) if isinstance(value, float) else value for name, value in decoded.values.items()}
    return replace(decoded, values=values, flaws={name: told[name] for name in values if name in told})


def _classes(said: Content) -> Iterator[tuple[str, str, object]]:
    for code, kinds in said.values.items():
        for name, value in kinds.items():
            if name in _BY_NAME:
                yield code, name, value


def _names(code: str, name: str, cn: str, taken: Mapping[str, object]) -> Iterator[str]:
    """What an item is called: by the code that was sent and by the one that took its place, with its command and without."""
    known = factor(code)
    for each in dict.fromkeys((code, code if known is None or "x" in known.code else known.code)):
        item = f"{each}.{_BY_NAME[name]}"
        if each == code or item not in taken:
            yield item
            yield f"{item}@{cn}"


def _flaw(said: Content, code: str) -> Flaw | None:
    flag = said.values[code].get("flag")
    if not isinstance(flag, str) or not flag:
        return None
    return FLAG_FLAWS.get(flag.upper(), _ODD_FLAG)


def _needs_time(packet: Packet, said: Content) -> bool:
    """Whether the instant of reception cannot stand for a time that was not told or cannot be read."""
    command = COMMANDS.get(packet.cn)
    return "data_time" in said.fields or (command is not None and command.period_start)


def _nanoseconds(time: datetime) -> int:
    return (time - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1) * 1000


def zone_of(profile: Profile) -> timezone:
    """The zone that a station's times are told in."""
    return timezone(timedelta(hours=_wire(profile).utc_offset_h))


def message_groups(profile: Profile, values: Mapping[str, Value], cn: str, data_time: datetime) -> list[Group]:
    """CP of the command `cn` that `decode_message` reads as `values`, as far as that command carries them, each with its flag;
    for simulated stations. None is sent empty, with the flag of a fault. ParseError where a value has no wire form."""
    groups = [field_group("data_time", data_time, zone_of(profile))]
    factors: dict[str, dict[str, object]] = {}
    for item, raw in encode_items(profile, _wire(profile).items, values).items():
        name, _, only = item.partition("@")
        code, _, suffix = name.partition(".")
        if (only and only != cn) or (not only and not _carries(cn, suffix)):
            continue
        kinds = factors.setdefault(code, {})
        kinds[KINDS[suffix].name] = raw
        if suffix not in {"RS", "RT"}:
            kinds["flag"] = "D" if raw is None else kinds.get("flag", "N")
    return groups + value_groups({code: dict(sorted(kinds.items(), key=_flag_last)) for code, kinds in factors.items()})


def _carries(cn: str, suffix: str) -> bool:
    others = frozenset[str]().union(*_SAID_BY.values())
    return suffix in _SAID_BY[cn] if cn in _SAID_BY else suffix not in others


def _flag_last(kind: tuple[str, object]) -> bool:
    return kind[0] == "flag"


def _wire(profile: Profile) -> Hj212Wire:
    if profile.wire.hj212 is None:
        raise ParseError(Reason.UNKNOWN_PROFILE, f"profile {profile.name} does not speak HJ 212")
    return profile.wire.hj212
