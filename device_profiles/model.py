"""The shape of a loaded profile. Only the loader makes these; everybody else reads them.

All structs are frozen and hashable where their parts are; a profile that exists has passed the loader's every check.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum

import msgspec

from telemetry.records import Priority, Value

__all__ = [
    "AlarmRule",
    "BinaryField",
    "BinaryLayout",
    "CoapWire",
    "CommandSpec",
    "Condition",
    "DocumentField",
    "Jt808Wire",
    "Leaf",
    "Matter",
    "Metric",
    "MetricType",
    "ModbusWire",
    "MqttWire",
    "NumberType",
    "Profile",
    "RegisterArea",
    "RegisterField",
    "Reporting",
    "Scaling",
    "SerialWire",
    "Text",
    "TimeField",
    "TimeUnit",
    "Wire",
    "leaves",
]


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


class RegisterArea(StrEnum):
    """The four Modbus tables (function codes 1, 2, 3, 4)."""

    COIL = "coil"
    DISCRETE = "discrete"
    HOLDING = "holding"
    INPUT = "input"


class RegisterField(msgspec.Struct, frozen=True, kw_only=True):
    """One metric in a Modbus device: zero-based protocol address, `word_order`/`byte_order` "big" or "little"."""

    metric: str
    area: RegisterArea
    address: int
    type: NumberType = NumberType.U16
    word_order: str = "big"
    byte_order: str = "big"
    scaling: Scaling = Scaling()


class ModbusWire(msgspec.Struct, frozen=True, kw_only=True):
    """How to poll a Modbus device. `max_gap` registers nobody asked for may be read to save a request,
    `max_block` registers at most go into one; `turnaround_ms` is the silence the unit needs between requests."""

    registers: tuple[RegisterField, ...]
    poll_s: float = 5.0
    max_gap: int = 8
    max_block: int = 120
    turnaround_ms: int = 0
    timeout_s: float = 1.0


class TimeUnit(StrEnum):
    SECONDS = "s"
    MILLISECONDS = "ms"
    ISO8601 = "iso8601"


class TimeField(msgspec.Struct, frozen=True, kw_only=True):
    """Where a document says its event time: Unix seconds or milliseconds UTC, or ISO 8601 with a zone."""

    path: tuple[str | int, ...]
    unit: TimeUnit = TimeUnit.SECONDS


class DocumentField(msgspec.Struct, frozen=True, kw_only=True):
    """One metric in a JSON or CBOR document, by keys and list indexes from the root."""

    metric: str
    path: tuple[str | int, ...]
    scaling: Scaling = Scaling()


class CoapWire(msgspec.Struct, frozen=True, kw_only=True):
    """A document posted over CoAP; content format 50 (JSON) and 60 (CBOR) are both understood."""

    path: str
    fields: tuple[DocumentField, ...]
    time: TimeField | None = None
    identity: tuple[str | int, ...] = ("id",)


class MqttWire(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON document published on the device's own topic; `{address}` in `topic` is the device's address."""

    topic: str
    fields: tuple[DocumentField, ...]
    time: TimeField | None = None
    command_topic: str = ""


class BinaryField(msgspec.Struct, frozen=True, kw_only=True):
    """One metric in a fixed binary frame; `at` counts bytes from the frame's first. `size` is for bcd only."""

    metric: str
    at: int
    type: NumberType
    byte_order: str = "big"
    size: int = 0
    scaling: Scaling = Scaling()


class BinaryLayout(msgspec.Struct, frozen=True, kw_only=True):
    """A fixed frame: start bytes, the address and length positions, the checksum and the end bytes.

    The length field at `length_at` (u8, or u16 when `length_size` is 2, byte order of the layout) plus `length_adds`
    is the whole frame's size in bytes, start and end included; where there is no length field `size` is the whole
    frame's size. `checksum` is one of "none", "sum8", "xor8", "crc16-modbus", computed over the bytes from
    `checksum_from` to the byte before the checksum itself; crc16-modbus is sent low byte first.
    """

    start: bytes
    end: bytes = b""
    address_at: int
    type_at: int | None = None
    type_value: int = 0
    length_at: int | None = None
    length_size: int = 1
    length_adds: int = 0
    size: int = 0
    max_size: int = 256
    byte_order: str = "big"
    checksum: str = "none"
    checksum_from: int = 0
    fields: tuple[BinaryField, ...] = ()


class SerialWire(msgspec.Struct, frozen=True, kw_only=True):
    """A device on a serial line that sends `layout` on its own, or answers it to `poll` (a frame with `{address}`
    as its one-byte hole, checksum appended by the layout's rule; None when the device speaks unasked)."""

    layout: BinaryLayout
    poll: bytes | None = None
    poll_address_at: int = 0
    poll_s: float = 10.0


class Jt808Wire(msgspec.Struct, frozen=True, kw_only=True):
    """Which metric each JT/T 808 location field and additional item becomes.

    `fields` maps the names `latitude`, `longitude`, `altitude_m`, `speed_kmh`, `course_deg` to metrics, `alarm_bits`
    and `status_bits` bit numbers to boolean metrics, `items` additional item ids to (metric, number type, scaling).
    """

    fields: Mapping[str, str]
    alarm_bits: Mapping[int, str] = {}
    status_bits: Mapping[int, str] = {}
    items: Mapping[int, tuple[str, NumberType, Scaling]] = {}
    utc_offset_h: float = 8.0


class Wire(msgspec.Struct, frozen=True, kw_only=True):
    """The transports a model speaks; None for those it does not."""

    modbus: ModbusWire | None = None
    serial: SerialWire | None = None
    coap: CoapWire | None = None
    mqtt: MqttWire | None = None
    jt808: Jt808Wire | None = None


class Reporting(msgspec.Struct, frozen=True, kw_only=True):
    """What goes to the cloud. `interval_s` is the longest silence the device itself is expected to keep;
    with `on_change` a reading is forwarded when a metric moved by more than its `deadband` (any change where it has
    none) or `heartbeat_s` passed since the last one forwarded; without it every reading is."""

    interval_s: float
    on_change: bool = False
    heartbeat_s: float = 300.0
    deadband: Mapping[str, float] = {}


class Condition(msgspec.Struct, frozen=True, kw_only=True, tag_field="op"):
    """The base of the closed grammar of conditions; see the subclasses."""


class Above(Condition, frozen=True, kw_only=True, tag="above"):
    """True above `limit`; once true, until at or below `limit - deadband`."""

    metric: str
    limit: float
    deadband: float = 0.0


class Below(Condition, frozen=True, kw_only=True, tag="below"):
    """True below `limit`; once true, until at or above `limit + deadband`."""

    metric: str
    limit: float
    deadband: float = 0.0


class Equals(Condition, frozen=True, kw_only=True, tag="equals"):
    metric: str
    value: Value


class Bit(Condition, frozen=True, kw_only=True, tag="bit"):
    """True while bit `bit` (0 = least significant) of an integer metric is set."""

    metric: str
    bit: int


class Stale(Condition, frozen=True, kw_only=True, tag="stale"):
    """True when the device has said nothing for `after_s` seconds of the gateway's clock."""

    after_s: float


class Speed(Condition, frozen=True, kw_only=True, tag="speed"):
    """True while faster than `limit_kmh`, standing fixes left out; once true, until at or below limit - deadband."""

    limit_kmh: float
    deadband: float = 0.0
    metric: str = "speed_kmh"


class All(Condition, frozen=True, kw_only=True, tag="all"):
    of: tuple["AnyCondition", ...]


class AnyOf(Condition, frozen=True, kw_only=True, tag="any"):
    of: tuple["AnyCondition", ...]


class Not(Condition, frozen=True, kw_only=True, tag="not"):
    of: "AnyCondition"


Leaf = Above | Below | Equals | Bit | Stale | Speed
AnyCondition = Leaf | All | AnyOf | Not


def leaves(condition: AnyCondition) -> Iterator[Leaf]:
    """The comparisons of a condition, from left to right."""
    match condition:
        case All(of=parts) | AnyOf(of=parts):
            for part in parts:
                yield from leaves(part)
        case Not(of=part):
            yield from leaves(part)
        case _:
            yield condition


class AlarmRule(msgspec.Struct, frozen=True, kw_only=True):
    """One condition that needs a person: what it means, how it is judged (delays in event time), what it opens."""

    name: str
    when: AnyCondition
    priority: Priority
    title: Text
    cause: Text
    consequence: Text
    response: Text
    on_delay_s: float = 0.0
    off_delay_s: float = 0.0
    latch: bool = False
    matter: str | None = None


class Matter(msgspec.Struct, frozen=True, kw_only=True):
    """事项: what kind of problem an alarm opens, its GB/T 30428.2 code, who handles it and how fast."""

    code: str
    title: Text
    gbt_code: str
    department: str
    limit_minutes: int
    closes_when: Text


class CommandSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One order the device takes: a Modbus coil or register write, for now."""

    name: str
    title: Text
    area: RegisterArea
    address: int
    argument: str = ""
    low: int = 0
    high: int = 65535


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """One model of device. `kind` is the family a person knows it by; `source` says whose register map it is."""

    name: str
    version: int
    kind: str
    title: Text
    source: str
    metrics: Mapping[str, Metric]
    wire: Wire
    reporting: Reporting
    alarms: Mapping[str, AlarmRule]
    matters: Mapping[str, Matter]
    commands: Mapping[str, CommandSpec] = {}
