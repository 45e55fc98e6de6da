"""The city's own files that the configuration names, read whole: profiles, matters, calendar, duty, and what explains what."""

from collections.abc import Mapping

import msgspec

from cloud.cases.calendars import Calendars
from cloud.cases.desk import Desk, Matters
from cloud.clocks.calendar import WorkCalendar
from cloud.clocks.calendar_file import load_calendar
from cloud.config import CloudConfig
from cloud.dispatch.duty import Duty
from cloud.dispatch.duty_file import load_duty
from cloud.watch.config import WatchRules, load_watch
from device_profiles.loader import load_vocabulary
from device_profiles.quantities import Metric
from device_profiles.read_matters import load_tables
from device_profiles.shelf import load_catalog

__all__ = ["Plans", "load_plans"]


class Plans(msgspec.Struct, frozen=True):
    """What cases go by, and when something is silent or explained."""

    desk: Desk
    watch: WatchRules
    vocabulary: Mapping[str, Metric] = {}


def load_plans(config: CloudConfig, now_ns: int) -> Plans:
    """Read them; blocks. `now_ns` decides which matters are in force. FileError with every mistake in a file."""
    cases = config.cases
    calendars = Calendars(WorkCalendar(load_calendar(cases.calendar)) if cases.calendar else None)
    desk = Desk(
        catalog=load_catalog(*config.profile_dirs),
        channels=config.channels,
        policy=cases.policy,
        calendars=calendars,
        matters=Matters(load_tables(cases.matters), calendars.current.zone),
        duty=load_duty(cases.duty, calendars.current) if cases.duty else Duty(calendar=calendars.current),
    )
    rules = load_watch(config.watch, desk.catalog, desk.matters.codes(now_ns)) if config.watch else WatchRules()
    return Plans(desk, rules, load_vocabulary())
