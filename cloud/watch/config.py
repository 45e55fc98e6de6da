"""What the watch goes by: one TOML file, read whole, every mistake told at once. `sample.toml` shows every key."""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from cloud.dispatch.districts import District, DistrictMap, from_ring
from cloud.watch.names import RESERVED
from device_profiles.mistakes import ConfigError, Findings, did_you_mean
from device_profiles.model import Profile
from device_profiles.quantities import Text
from device_profiles.toml_table import Table, read_toml
from telemetry.clock import SECOND_NS
from telemetry.records import ContractError, Priority, check_id

__all__ = ["Feeder", "GatewayWatch", "Group", "Parent", "Planned", "Rule", "SilenceWatch", "Storm", "WatchRules", "load_watch"]

_DAY_S: Final = 86_400
_MOST_RULES: Final = 500
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Devices: those that meet every condition that is not empty. Where only ids are given, they are taken as they are,
    also those of gateways; where nothing is, all are meant. `area` is a map of one district."""

    devices: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    area: DistrictMap | None = None

    @property
    def is_all(self) -> bool:
        """Whether every device belongs to it."""
        return not (self.devices or self.kinds or self.gateways or self.area)


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """What every `[[suppress]]` has. `rules` are those that are suppressed; empty where all of them are."""

    name: str
    group: Group
    rules: tuple[str, ...] = ()


class Feeder(Rule, frozen=True, kw_only=True):
    """When `share` of the group, and `at_least` so many, raise one of `rules` within `within_s` of event time, the feeder
    itself has failed. With `hold` nobody is told of one of them until `within_s` have passed without that. It is over when fewer
    than `until_share` are left; those are told `settle_s` later."""

    share: float
    at_least: int
    within_s: float
    hold: bool
    until_share: float
    settle_s: float
    priority: Priority
    matter: str


class Planned(Rule, frozen=True, kw_only=True):
    """From `from_ns` until `until_ns` (nanoseconds UTC) a work explains what the group raises."""

    from_ns: int
    until_ns: int
    reason: str


class Parent(Rule, frozen=True, kw_only=True):
    """While `by_rule` of `by_device` is active, it explains the group's; those still active are told `settle_s` after it."""

    by_device: str
    by_rule: str
    settle_s: float


class Storm(Rule, frozen=True, kw_only=True):
    """A desk: with more than `more_than` alarms in ten minutes, those of `priorities` are suppressed until there were fewer
    than `below` in any ten minutes for ten minutes."""

    more_than: int
    below: int
    priorities: tuple[Priority, ...]


_R = TypeVar("_R", bound=Rule)


class SilenceWatch(msgspec.Struct, frozen=True, kw_only=True):
    """`grace_s`: how long after a start or a reconnect nobody is called silent. `priority` is of devices whose profile has
    no rule of its own about silence."""

    grace_s: float = 300.0
    priority: Priority = Priority.LOW


class GatewayWatch(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway is gone `offline_after_s` after it, or its will, said so, and when nothing was heard for `silent_after_s`.

    Agents report every 60 s as they are delivered: two of these, and ten.
    """

    offline_after_s: float = 120.0
    silent_after_s: float = 600.0
    priority: Priority = Priority.HIGH


class WatchRules(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file."""

    silence: SilenceWatch = SilenceWatch()
    gateway: GatewayWatch = GatewayWatch()
    suppress: tuple[Rule, ...] = ()

    def of(self, kind: type[_R]) -> tuple[_R, ...]:
        """The rules of one kind."""
        return tuple(rule for rule in self.suppress if isinstance(rule, kind))


def load_watch(path: Path, catalog: Mapping[str, Profile], matters: Collection[str]) -> WatchRules:
    """The rules in a file; names of alarm rules and matters are held against `catalog` and the codes `matters`.

    Raises ConfigError with every mistake in it.
    """
    findings = Findings(str(path))
    root = read_toml(path, findings)
    known = {name for profile in catalog.values() for name in profile.alarms} | RESERVED
    rules = WatchRules(
        silence=_silence(root.table("silence")),
        gateway=_gateway(root.table("gateway")),
        suppress=_suppress(root.tables("suppress"), _Known(frozenset(known), frozenset(matters))),
    )
    root.finish()
    if len(findings):
        raise ConfigError(findings.in_order())
    return rules


class _Known(msgspec.Struct, frozen=True):
    rules: frozenset[str]
    matters: frozenset[str]


def _silence(table: Table) -> SilenceWatch:
    own = SilenceWatch()
    read = SilenceWatch(
        grace_s=table.number("grace_s", own.grace_s, low=0, high=_DAY_S),
        priority=Priority(table.choice("priority", list(Priority), own.priority)),
    )
    table.finish()
    return read


def _gateway(table: Table) -> GatewayWatch:
    own = GatewayWatch()
    read = GatewayWatch(
        offline_after_s=table.number("offline_after_s", own.offline_after_s, low=0, high=_DAY_S),
        silent_after_s=table.number("silent_after_s", own.silent_after_s, low=10, high=_DAY_S),
        priority=Priority(table.choice("priority", list(Priority), own.priority)),
    )
    table.finish()
    return read


def _suppress(tables: Iterable[Table], known: _Known) -> tuple[Rule, ...]:
    readers = {"feeder": _feeder, "planned": _planned, "parent": _parent, "storm": _storm}
    read: dict[str, Rule] = {}
    for count, table in enumerate(tables, 1):
        rule = readers[table.choice("kind", list(readers))](table, known)
        table.finish()
        if rule.name in read:
            table.wrong("name", f"{rule.name!r} is a rule already", "another name")
        if count > _MOST_RULES:
            table.wrong("", f"is number {count}", f"at most {_MOST_RULES} rules")
        read[rule.name] = rule
    return tuple(read.values())


def _feeder(table: Table, known: _Known) -> Rule:
    share = table.number("share", 0.6, low=0.01, high=1)
    within_s = table.number("within_s", 120.0, low=1, high=_DAY_S)
    feeder = Feeder(
        **_common(table, known, rules=True),
        share=share,
        at_least=table.integer("at_least", 3, low=2, high=1_000_000),
        within_s=within_s,
        hold=table.flag("hold", default=True),
        until_share=table.number("until_share", share / 2, low=0, high=1),
        settle_s=table.number("settle_s", within_s, low=0, high=_DAY_S),
        priority=Priority(table.choice("priority", list(Priority), Priority.HIGH)),
        matter=table.text("matter"),
    )
    if feeder.matter and feeder.matter not in known.matters:
        table.wrong("matter", f"{feeder.matter!r} is in no table of matters", did_you_mean(feeder.matter, known.matters))
    if feeder.until_share > share:
        table.wrong("until_share", f"{feeder.until_share:g} is above share ({share:g})", "share or less")
    return feeder


def _planned(table: Table, known: _Known) -> Rule:
    planned = Planned(
        **_common(table, known),
        from_ns=_moment(table, "from"),
        until_ns=_moment(table, "until"),
        reason=table.text("reason"),
    )
    if planned.until_ns and planned.until_ns <= planned.from_ns:
        table.wrong("until", "is not after from", "a later time")
    return planned


def _parent(table: Table, known: _Known) -> Rule:
    parent = Parent(
        **_common(table, known, rules=True),
        by_device=table.checked("by_device", _id, "the id of a device or gateway"),
        by_rule=table.text("by_rule"),
        settle_s=table.number("settle_s", 60.0, low=0, high=_DAY_S),
    )
    _check_rule(table, "by_rule", parent.by_rule, known)
    if parent.by_rule in parent.rules and parent.by_device in parent.group.devices:
        table.wrong("devices", f"{parent.by_device!r} would explain itself", "the devices without it")
    return parent


def _storm(table: Table, known: _Known) -> Rule:
    more_than = table.integer("more_than", 10, low=1, high=100_000)
    words = table.texts("priorities") or (Priority.LOW.value,)
    allowed = [priority for priority in Priority if priority is not Priority.CRITICAL]
    for word in words:
        if word not in allowed:
            table.wrong("priorities", f"{word!r} may not be suppressed", ", ".join(allowed))
    storm = Storm(
        **_common(table, known, everything=True),
        more_than=more_than,
        below=table.integer("below", max(1, more_than // 2), low=1, high=100_000),
        priorities=tuple(priority for priority in allowed if priority in words),
    )
    if storm.below > more_than:
        table.wrong("below", f"{storm.below} is above more_than ({more_than})", "more_than or less")
    return storm


def _common(table: Table, known: _Known, *, rules: bool = False, everything: bool = False) -> dict[str, Any]:
    """The fields of `Rule`. `rules` must be there where that says so; with `everything` the group may be left out."""
    named = table.texts("rules")
    for rule in named:
        _check_rule(table, "rules", rule, known)
    if rules and not named:
        table.wrong("rules", "is missing", 'the rules that are suppressed, ["cloud.silent"]')
    name = table.checked("name", _id, "a name of letters, digits and . _ : -")
    group = Group(
        devices=table.texts("devices"),
        kinds=table.texts("kinds"),
        gateways=table.texts("gateways"),
        area=_area(table, name),
    )
    if group.is_all and not everything:
        table.wrong("", "has no group", "devices, kinds, gateways or area")
    return {"name": name, "group": group, "rules": named}


def _area(table: Table, name: str) -> DistrictMap | None:
    ring = table.raw("area")
    if ring is None:
        return None
    try:
        return DistrictMap([District(name or "area", Text(name, name), from_ring(ring))])
    except ValueError as error:
        table.wrong("area", str(error), "[[longitude, latitude], ...], the corners in turn")
        return None


def _moment(table: Table, key: str) -> int:
    """A time with its offset, in nanoseconds UTC; 0 where it is none."""
    value = table.raw(key)
    if not isinstance(value, datetime) or value.tzinfo is None:
        what = "is missing" if value is None else f"{value}"[:80]
        table.wrong(key, what, f"{key} = 2026-11-28T22:00:00+08:00, with its offset and without quotes")
        return 0
    return (value - _EPOCH) // timedelta(microseconds=1) * (SECOND_NS // 1_000_000)


def _check_rule(table: Table, key: str, rule: str, known: _Known) -> None:
    if rule and rule not in known.rules:
        table.wrong(key, f"{rule!r} is no alarm rule of any profile", did_you_mean(rule, known.rules))


def _id(value: str) -> None:
    try:
        check_id(value, "is")
    except ContractError as error:
        raise ValueError(str(error)) from error
