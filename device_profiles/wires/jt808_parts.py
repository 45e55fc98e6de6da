"""Metrics that are only a part of something in a JT/T 808 location: a field of a longer item, or several bits of a word."""

from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum

import msgspec

from device_profiles.branch import Branch
from device_profiles.quantities import Metric, NumberType, Scaling
from device_profiles.wires.fields import (
    WIDTH_BYTES,
    Row,
    check_number_fits,
    metric_fields,
    read_scaling,
    scaling_text,
    takes_bits,
)

__all__ = ["Jt808Part", "Word", "part_rows", "read_parts"]

_LONGEST_ITEM = 255


class Word(StrEnum):
    """The two words of 32 bits at the head of a location."""

    ALARM = "alarm"
    STATUS = "status"


class Jt808Part(msgspec.Struct, frozen=True, kw_only=True):
    """A number `at` byte `at` of the additional item `item`, or of a `word`, of which the scaling may take bits."""

    metric: str
    type: NumberType
    scaling: Scaling
    item: int = 0
    at: int = 0
    word: Word | None = None

    @property
    def place(self) -> str:
        """Where the number stands, as a person reads it."""
        return f"{self.word} word" if self.word else f"item {self.item:#04x} byte {self.at}"


def read_parts(
    branch: Branch, metrics: Mapping[str, Metric], fed: dict[str, str], whole_items: Collection[int]
) -> tuple[Jt808Part, ...]:
    """The entries under `parts`, each `metric: {item: 0x12, at: 5, type: u8, ...}` or `metric: {word: status, bits: {...}}`."""
    if not branch.has("parts"):
        return ()
    parts: list[Jt808Part] = []
    for name, metric, inner in metric_fields(branch, "parts", metrics):
        part = _part(name, metric, inner)
        if name in fed:
            inner.wrong_here(f"{name} is fed by {fed[name]} already", "a metric of its own")
        if not part.word and part.item in whole_items:
            inner.wrong("item", f"item {part.item:#04x} stands under items already", "one of the two")
        fed[name] = inner.where
        inner.finish()
        parts.append(part)
    return tuple(parts)


def _part(name: str, metric: Metric | None, inner: Branch) -> Jt808Part:
    word = inner.choice("word", Word) if inner.has("word") else None
    kind = NumberType.U32 if word else inner.choice("type", NumberType)
    if kind is NumberType.BCD:
        inner.wrong("type", "bcd has no size here", "an integer or float type")
    last = _LONGEST_ITEM - WIDTH_BYTES.get(kind, 1)
    part = Jt808Part(
        metric=name,
        type=kind,
        scaling=read_scaling(inner, metric, kind),
        item=0 if word else inner.integer("item", low=1, high=255),
        at=0 if word else inner.integer("at", 0, low=0, high=last),
        word=word,
    )
    if metric is not None:
        check_number_fits(inner, metric)
    if word and not takes_bits(part.scaling):
        inner.wrong_here(f"the whole {word} word for one metric", "bit: 9, or bits: {lowest: 8, count: 2}")
    return part


def part_rows(parts: tuple[Jt808Part, ...]) -> Iterator[Row]:
    """The parts as a person reads them."""
    for part in parts:
        kind = "" if part.word else f"{part.type} "
        yield "jt808", part.metric, part.place, f"{kind}{scaling_text(part.scaling)}".strip()
