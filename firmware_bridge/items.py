"""Named items to metrics and back: one way for every language whose messages are lists of names and values."""

from collections.abc import Mapping, Sequence

from device_profiles.model import Profile
from device_profiles.wires.items import ItemField
from firmware_bridge.values import Decoded, Gathering, apply_scaling, undo_scaling
from telemetry.reason import Reason
from telemetry.records import Value

__all__ = ["decode_items", "encode_items"]


def decode_items(
    profile: Profile,
    fields: Sequence[ItemField],
    items: Mapping[str, object],
    *,
    time_ns: int | None = None,
    unreadable: Mapping[str, Reason] | None = None,
) -> Decoded:
    """The metrics that `fields` find in `items` (number, boolean, text or None by the item's name).

    An item that is not there leaves its metric out: a message need not say everything. None is a bad value with reason
    no_value; an item in `unreadable` was there and could not be read, and its metric is bad for that reason.
    """
    gathering = Gathering()
    refused = unreadable or {}
    for field in fields:
        if field.item in refused:
            gathering.flaw(field.metric, refused[field.item])
        elif field.item in items:
            raw, metric = items[field.item], profile.metrics[field.metric]
            gathering.add(field.metric, lambda raw=raw, field=field, metric=metric: apply_scaling(raw, field.scaling, metric))  # type: ignore[misc]
    return gathering.decoded(time_ns)


def encode_items(
    profile: Profile, fields: Sequence[ItemField], values: Mapping[str, Value]
) -> dict[str, int | float | bool | str | None]:
    """The items that `decode_items` reads as `values`; for simulators and tests.

    Only metrics in `values` are written; None becomes None where the field has no sentinel. ParseError where a value has
    no wire form.
    """
    items: dict[str, int | float | bool | str | None] = {}
    for field in fields:
        if field.metric not in values:
            continue
        value = values[field.metric]
        onto = items.get(field.item)
        bare = value is None and not field.scaling.no_value
        word = onto if isinstance(onto, int) else 0
        items[field.item] = None if bare else undo_scaling(value, field.scaling, profile.metrics[field.metric], word)
    return items
