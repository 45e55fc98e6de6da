"""Readings as line protocol of numbers only, for servers such as VictoriaMetrics that know nothing else.

    reading,device=cover-7 water_level_cm=12.5,open=1,tilt_deg_bad=999.0,tilt_deg_quality=2 1750000000000000000

Every number is written without a type, so that it is one type for ever; a boolean is 0 or 1; text is left out and counted.
A value that its gateway calls bad is `m_bad`; `m_quality` is 1 (uncertain) or 2 (bad, or no value) and is there for flawed
values only. VictoriaMetrics joins measurement and field: `reading_water_level_cm{device="cover-7"}`.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Final

from cloud.series.honest import flaws_by_row, honest
from cloud.series.influx_lines import MEASUREMENT, escape_key
from telemetry.records import Flaw, Quality, Value
from telemetry.wire import ReadingGroup, ReadingsBatch

__all__ = ["number_lines"]

_EVEN: Final[Mapping[type, str]] = {float: "%r", int: "%d", bool: "%d"}


def number_lines(batch: ReadingsBatch) -> tuple[list[str], int]:
    """The lines of a batch whose times are sound, and how many texts were left out of them."""
    found: list[str] = []
    texts = 0
    for group in batch.groups:
        quick = _quick(group)
        if quick is not None:
            found += quick
            continue
        keys = [escape_key(metric) for metric in group.metrics]
        flaws = flaws_by_row(group)
        for index, (_, device, time_ns, _, values) in enumerate(group.rows):
            texts += sum(isinstance(value, str) for value in values)
            fields = ",".join(_fields(keys, values, flaws.get(index, {})))
            if fields:
                found.append(f"{MEASUREMENT},device={escape_key(group.devices[device])} {fields} {time_ns}")
    return found, texts


def _quick(group: ReadingGroup) -> list[str] | None:
    """A group of even numbers without a flaw, by one format string; None for any other."""
    if group.flaws or not group.rows or not group.metrics:
        return None
    forms = [_form(values) for values in zip(*[row[4] for row in group.rows], strict=True)]
    if not all(forms):
        return None
    keys = [escape_key(metric).replace("%", "%%") for metric in group.metrics]
    fields = ",".join(f"{key}={form}" for key, form in zip(keys, forms, strict=True))
    heads = [f"{MEASUREMENT},device={escape_key(device)} " for device in group.devices]
    return [f"{heads[row[1]]}{fields % tuple(row[4])} {row[2]}" for row in group.rows]


def _form(values: Sequence[Value]) -> str | None:
    kinds = set(map(type, values))
    form = _EVEN.get(kinds.pop()) if len(kinds) == 1 else None
    return form if form and isfinite(sum(value for value in values if isinstance(value, int | float))) else None


def _fields(keys: Sequence[str], values: Sequence[Value], flaws: Mapping[int, Flaw]) -> Iterator[str]:
    for index, key in enumerate(keys):
        value, flaw = honest(values[index], flaws.get(index))
        if isinstance(value, float):
            yield f"{key}{_tail(flaw)}={value!r}"
        elif isinstance(value, int):
            yield f"{key}{_tail(flaw)}={value:d}"
        if flaw is not None:
            yield f"{key}_quality={flaw.quality.value}"


def _tail(flaw: Flaw | None) -> str:
    return "_bad" if flaw and flaw.quality is Quality.BAD else ""
