"""What carriers push, as readings of a profile."""

import re
from collections.abc import Iterable, Sequence

from device_profiles.model import Profile
from device_profiles.wires.items import ItemField
from firmware_bridge.carriers.messages import Report
from firmware_bridge.items import decode_items
from firmware_bridge.values import Decoded

__all__ = ["decode_reports", "item_name"]

_RESOURCE = re.compile(r"\d{1,5}_\d{1,5}_\d{1,5}")


def item_name(path: str) -> str:
    """A point's path as profiles write it: OneNET's `3303_0_5700` is the resource `/3303/0/5700`, any other is a property."""
    return "/" + path.replace("_", "/") if _RESOURCE.fullmatch(path) else path


def decode_reports(profile: Profile, fields: Sequence[ItemField], reports: Iterable[Report]) -> tuple[Decoded, ...]:
    """One reading for each time that one device's reports tell, oldest first; what tells none has none, and comes last.

    OneNET sends a message for each value of one wake-up; they tell the same time. Points that the profile does not read are
    passed over.
    """
    wanted = {field.item for field in fields}
    moments: dict[int | None, dict[str, object]] = {}
    for report in reports:
        for point in report.points:
            name = item_name(point.path)
            if name in wanted:
                time_ns = report.time_ns if point.time_ns is None else point.time_ns
                moments.setdefault(time_ns or None, {})[name] = point.value
    in_order = sorted(moments, key=lambda time_ns: (time_ns is None, time_ns or 0))
    return tuple(decode_items(profile, fields, moments[time_ns], time_ns=time_ns) for time_ns in in_order)
