"""A maintenance window (撤防、布防): a crew says that it is going to open a device, and its opening alarms nobody meanwhile.

Disarmed are the alarms that a visit causes: that the device is open, moved, tilted or tampered with. What endangers the
crew or says that the device is failing (water, gas, supply, silence) speaks on. The window ends

* when the device, opened within it, is closed again and lies still: the cloud's log sees to that (`cloud.alarms.log`);
* at its time, as every shelf (`cloud.alarms.suppressing.expire_shelves`): what was forgotten open alarms at once;
* when somebody arms it by hand.
"""

from collections.abc import Mapping
from typing import Final

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.alarms.acts import AlarmError
from cloud.alarms.closing import KEY, WINDOW, windows_of
from cloud.alarms.log import NOTHING, Recorded, Subject, subject_of, write
from cloud.alarms.projection import UNTIL
from cloud.relational.tables import devices, suppressions, transitions
from device_profiles.model import AlarmRule, Equals, Profile, Stale, leaves
from telemetry.alarm_states import Shelf, alarm_id
from telemetry.clock import SECOND_NS
from telemetry.reason import Reason
from telemetry.records import Cause

__all__ = ["Window", "disarm", "rearm", "window_of"]

_OPEN: Final = frozenset({"cover_open", "door_open", "tampered"})
_DISTURBED: Final = _OPEN | {"cover_moved", "tilt_deg", "tilt_x_deg", "tilt_y_deg"}


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A window that is open: the device's rules that are disarmed, from when to when, by whom and why."""

    device: str
    rules: tuple[str, ...]
    since_ns: int
    until_ns: int
    by: str
    reason: str
    ends_when_closed: bool


async def disarm(
    conn: AsyncConnection,
    catalog: Mapping[str, Profile],
    device: str,
    *,
    until_ns: int,
    actor: str,
    reason: str,
    now_ns: int,
    key: str = "",
) -> Recorded:
    """Open a window, or move the end of the one that is open. The same `key` again does nothing, whatever happened since.

    A shelf that an operator set and that lasts longer is left alone. AlarmError where the device is unknown or has no such
    alarm, without a reason, and where the end is not after now or further away than its rules may be shelved (a day at most).
    """
    profile = await _profile(conn, catalog, device)
    rules = _disarmed(profile)
    subjects = [_subject(device, profile, rule) for rule in rules]
    if key and await _is_done(conn, [subject.alarm for subject in subjects], key):
        return NOTHING
    longest_s = min(rule.max_shelve_s for rule in rules)
    if not reason.strip():
        raise AlarmError(Reason.INVALID, f"device {device}: is disarmed with a reason")
    if not now_ns < until_ns <= now_ns + round(longest_s * SECOND_NS):
        raise AlarmError(Reason.INVALID, f"device {device}: want an end after now and within {longest_s:g} s")
    kept = await _shelved_longer(conn, device, until_ns)
    wanted = [subject for subject in subjects if subject.alarm not in kept]
    if not wanted:
        return NOTHING
    opening = " ".join(rule.name for rule in rules if _says_open(rule))
    evidence: dict[str, int | str] = {UNTIL: until_ns, WINDOW: opening, **({KEY: key} if key else {})}
    return await write(conn, wanted, Cause.SHELVE, actor=actor, note=reason, now_ns=now_ns, evidence=evidence)


async def rearm(conn: AsyncConnection, device: str, *, actor: str, note: str, now_ns: int) -> Recorded:
    """End the window before its time: what is open then is told. AlarmError where the device is armed."""
    rows = (await windows_of(conn, [device])).get(device)
    if rows is None:
        raise AlarmError(Reason.CONFLICT, f"device {device}: is armed")
    return await write(conn, [subject_of(row) for row in rows], Cause.UNSHELVE, actor=actor, note=note, now_ns=now_ns)


async def window_of(conn: AsyncConnection, device: str) -> Window | None:
    """The window that is open for a device; None where it is armed."""
    rows = (await windows_of(conn, [device])).get(device)
    if rows is None:
        return None
    last = max(rows, key=lambda row: int(row["shelved_until_ns"]))
    return Window(
        device=device,
        rules=tuple(row["rule"] for row in rows),
        since_ns=min(row["shelved_ns"] for row in rows),
        until_ns=last["shelved_until_ns"],
        by=last["shelved_by"],
        reason=last["shelf_reason"],
        ends_when_closed=any(row[WINDOW] for row in rows),
    )


async def _profile(conn: AsyncConnection, catalog: Mapping[str, Profile], device: str) -> Profile:
    name = await conn.scalar(select(devices.c.profile).where(devices.c.id == device))
    if name is None:
        raise AlarmError(Reason.UNKNOWN_DEVICE, f"device {device}: there is none")
    profile = catalog.get(name)
    if profile is None or not _disarmed(profile):
        raise AlarmError(Reason.INVALID, f"device {device}: {name} has no alarm of being opened or moved; nothing to disarm")
    return profile


def _disarmed(profile: Profile) -> list[AlarmRule]:
    """The rules of a profile that a visit makes true."""
    return [rule for rule in profile.alarms.values() if any(_of_a_visit(leaf) for leaf in leaves(rule.when))]


def _of_a_visit(leaf: object) -> bool:
    return not isinstance(leaf, Stale) and getattr(leaf, "metric", "") in _DISTURBED


def _says_open(rule: AlarmRule) -> bool:
    parts = leaves(rule.when)
    return any(isinstance(leaf, Equals) and leaf.metric in _OPEN and leaf.value is True for leaf in parts)


def _subject(device: str, profile: Profile, rule: AlarmRule) -> Subject:
    return Subject(
        alarm=alarm_id(device, rule.name),
        device=device,
        rule=rule.name,
        profile=profile.name,
        profile_version=profile.version,
        priority=rule.priority,
    )


async def _is_done(conn: AsyncConnection, names: list[str], key: str) -> bool:
    made = select(transitions.c.evidence).where(transitions.c.alarm.in_(names), transitions.c.cause == Cause.SHELVE.value)
    return any(row.evidence.get(KEY) == key for row in await conn.execute(made))


async def _shelved_longer(conn: AsyncConnection, device: str, until_ns: int) -> set[str]:
    """The device's alarms that are shelved otherwise than by a window, and not for a shorter time."""
    own = {row["id"] for row in (await windows_of(conn, [device])).get(device, [])}
    shelved = suppressions.c.device == device, suppressions.c.shelf != Shelf.UNSHELVED.value
    held = select(suppressions.c.id).where(*shelved, suppressions.c.shelved_until_ns >= until_ns)
    return set((await conn.scalars(held)).all()) - own
