"""Named items: languages whose messages are lists of (name, value), such as factors, data identifiers and object paths."""

import re
from collections.abc import Iterator, Mapping

import msgspec

from device_profiles.branch import Branch
from device_profiles.quantities import Metric, Scaling
from device_profiles.wires.fields import Row, metric_fields, read_scaling, scaling_text, takes_bits

__all__ = ["ItemField", "item_rows", "read_items"]


class ItemField(msgspec.Struct, frozen=True, kw_only=True):
    """One metric and the item it comes from; `item` is its name as the language writes it (a language's wire says how)."""

    metric: str
    item: str
    scaling: Scaling = Scaling()


def read_items(branch: Branch, metrics: Mapping[str, Metric], form: re.Pattern[str], like: str) -> tuple[ItemField, ...]:
    """The entries under `items`, each `metric: {item: name}`; a name must match `form`, `like` shows one that does.

    An item feeds one metric, unless every metric takes only some of its bits.
    """
    fields: list[ItemField] = []
    taken: dict[str, ItemField] = {}
    for name, metric, inner in metric_fields(branch, "items", metrics):
        field = ItemField(metric=name, item=inner.text("item", form=form, like=like), scaling=read_scaling(inner, metric, None))
        other = taken.setdefault(field.item, field)
        if other is not field and inner.is_sound("item") and not (takes_bits(field.scaling) and takes_bits(other.scaling)):
            inner.wrong("item", f"{field.item} feeds {other.metric} already", "an item of its own, or bit or bits for both")
        inner.finish()
        fields.append(field)
    return tuple(fields)


def item_rows(transport: str, fields: tuple[ItemField, ...]) -> Iterator[Row]:
    """The map as a person reads it."""
    for field in fields:
        yield transport, field.metric, field.item, scaling_text(field.scaling)
