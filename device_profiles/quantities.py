"""What a quantity is: its words in both languages, its metric, and how a number on the wire becomes it."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from telemetry.records import Value

__all__ = ["Metric", "MetricType", "NumberType", "Scaling", "Text"]


class Text(msgspec.Struct, frozen=True):
    """One sentence or label in both languages of the product."""

    zh: str
    en: str


class MetricType(StrEnum):
    FLOAT = "float"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    STRING = "string"


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One quantity: the vocabulary's entry, narrowed by the profile. `unit` is a UCUM code ("1" for none)."""

    name: str
    type: MetricType
    unit: str
    title: Text
    low: float | None = None
    high: float | None = None
    labels: Mapping[int, Text] = {}


class Scaling(msgspec.Struct, frozen=True, kw_only=True):
    """From the number on the wire to the metric: `raw * scale + offset`, after the exceptions.

    A raw number in `no_value` means that the device has none. `enum` maps raw numbers to metric values (booleans,
    integers or strings); a raw number that is not in a non-empty `enum` is refused as not_in_enum. `bit` takes one
    bit (0 = least significant) of the raw integer as a boolean, `bits` = (lowest, count) a smaller integer;
    `invert` turns a boolean over.
    """

    scale: float = 1.0
    offset: float = 0.0
    no_value: frozenset[int] = frozenset()
    enum: Mapping[int, Value] = {}
    bit: int | None = None
    bits: tuple[int, int] | None = None
    invert: bool = False


class NumberType(StrEnum):
    """How an integer or float lies in bytes or registers."""

    U8 = "u8"
    I8 = "i8"
    U16 = "u16"
    I16 = "i16"
    U32 = "u32"
    I32 = "i32"
    U64 = "u64"
    I64 = "i64"
    F32 = "f32"
    F64 = "f64"
    BCD = "bcd"
