"""HJ 212: which factor of an environment station becomes which metric."""

import re
from collections.abc import Iterator, Mapping

import msgspec

from device_profiles.branch import Branch
from device_profiles.quantities import Metric
from device_profiles.wires.fields import Row
from device_profiles.wires.items import ItemField, item_rows, read_items

__all__ = ["KINDS", "Hj212Wire", "hj212_rows", "read_hj212"]

KINDS = (
    *("Rtd", "Min", "Avg", "Max", "Cou", "ZsRtd", "ZsMin", "ZsAvg", "ZsMax"),
    *("Data", "DayData", "NightData", "Info", "RS", "RT"),
)
"""What an item may say of a factor (HJ 212-2017, 6.6.2): its value now, or of a period."""

_ITEM = re.compile(rf"[A-Za-z0-9]{{2,12}}\.({'|'.join(KINDS)})(@2[0-9]{{3}})?")


class Hj212Wire(msgspec.Struct, frozen=True, kw_only=True):
    """A station that connects to the gateway and reports by itself.

    An item is factor code, `.` and kind ("a34004.Rtd": PM2.5, real time), and where several commands say it of different
    periods, `@` and the one that counts ("w01018.Avg@2061": of the hour). Codes of 2005 are heard as those that took
    their place. Times are local, `utc_offset_h` ahead of UTC (HJ 212-2017, 6.3.3).
    """

    items: tuple[ItemField, ...]
    utc_offset_h: float = 8.0


def read_hj212(branch: Branch, metrics: Mapping[str, Metric]) -> Hj212Wire:
    """The factors of a station."""
    wire = Hj212Wire(
        items=read_items(branch, metrics, _ITEM, "a34004.Rtd, or w01018.Avg@2061"),
        utc_offset_h=branch.number("utc_offset_h", 8.0, low=-12, high=14),
    )
    branch.finish()
    return wire


def hj212_rows(wire: Hj212Wire) -> Iterator[Row]:
    """The map as a person reads it."""
    return item_rows("hj212", wire.items)
