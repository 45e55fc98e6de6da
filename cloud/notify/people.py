"""Who is told what, and when they want to be left alone."""

import re
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import msgspec

from telemetry.records import Priority

__all__ = ["EVERY_PRIORITY", "Person", "Quiet", "parse_quiet"]

EVERY_PRIORITY = tuple(Priority)
_QUIET = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Quiet(msgspec.Struct, frozen=True):
    """Hours of the day in which only what is loud gets through; over midnight where `start` is the later one."""

    start: time
    end: time

    def until_ns(self, now_ns: int, zone: str) -> int | None:
        """When the quiet hours that `now_ns` lies in are over, in nanoseconds UTC; None outside of them.

        The zone (IANA) counts civil time: a day of 23 hours has quiet hours of its own length.
        """
        here = (_EPOCH + timedelta(microseconds=now_ns // 1000)).astimezone(ZoneInfo(zone))
        clock = here.time()
        within = self.start <= clock < self.end if self.start < self.end else clock >= self.start or clock < self.end
        if not within:
            return None
        day = here.date() if clock < self.end else here.date() + timedelta(days=1)
        over = datetime.combine(day, self.end, tzinfo=here.tzinfo).astimezone(UTC)
        return (over - _EPOCH) // timedelta(microseconds=1) * 1000


class Person(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One person on one channel: a `[[people]]` table of the cloud's TOML.

    `address` is what the channel calls this person: a phone number (+8613800000000), a WeCom user id. `per_minute` is
    the most messages that reach this person over this channel in a minute; what is beyond it comes as a digest. With
    `offices` only what concerns these is told, of cases of these departments and districts (all where none are named), and
    what is the person's own task; `name` is then the name of the account.
    """

    name: str
    address: str
    priorities: tuple[Priority, ...] = EVERY_PRIORITY
    quiet: Quiet | None = None
    per_minute: int = 6
    offices: tuple[str, ...] = ()
    departments: tuple[str, ...] = ()
    districts: tuple[str, ...] = ()

    def __repr__(self) -> str:
        # A phone number in a log is personal data that nobody asked for.
        return f"Person(name={self.name!r})"


def parse_quiet(text: str) -> Quiet:
    """The hours of "22:00-07:00"; ValueError ("what: want instead") for anything else."""
    found = _QUIET.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} are no hours: want HH:MM-HH:MM")
    a, b, c, d = (int(part) for part in found.groups())
    if (a, b) == (c, d):
        raise ValueError(f"{text!r} begins when it ends: want two times of the day")
    return Quiet(time(a, b), time(c, d))
