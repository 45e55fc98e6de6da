"""The shape of a loaded profile. Only the loader makes these; everybody else reads them.

All structs are frozen and hashable where their parts are; a profile that exists has passed the loader's every check.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum

import msgspec

from device_profiles.matter import Matter
from device_profiles.quantities import Metric, Text
from device_profiles.wires import Wire
from device_profiles.wires.ble_orders import UartOrder
from device_profiles.wires.cjt188_orders import ValveOrder
from device_profiles.wires.jt808_orders import TerminalOrder
from device_profiles.wires.lwm2m_orders import ResourceOrder
from device_profiles.wires.modbus_orders import RegisterOrder
from device_profiles.wires.mqtt_orders import PublishOrder
from telemetry.records import Priority, Value

__all__ = [
    "LATITUDE",
    "LONGITUDE",
    "Above",
    "AlarmRule",
    "All",
    "AnyCondition",
    "AnyOf",
    "Below",
    "Bit",
    "CommandSpec",
    "Condition",
    "Equals",
    "Leaf",
    "Level",
    "Matter",
    "NofM",
    "Not",
    "OneOf",
    "Place",
    "Profile",
    "Reporting",
    "Speed",
    "Stale",
    "Statistic",
    "Windowed",
    "leaves",
    "zones_of",
]


LONGITUDE, LATITUDE = "longitude_deg", "latitude_deg"


class Reporting(msgspec.Struct, frozen=True, kw_only=True):
    """What goes to the cloud. `interval_s` is the longest silence the device itself is expected to keep;
    with `on_change` a reading is forwarded when a metric moved by more than its `deadband` (any change where it has
    none) or `heartbeat_s` passed since the last one forwarded; without it every reading is. `lateness_s` is how much
    later than a newer reading an older one may still come in; alarms are judged that much later."""

    interval_s: float
    on_change: bool = False
    heartbeat_s: float = 300.0
    deadband: Mapping[str, float] = {}
    lateness_s: float = 0.0


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
    """True while faster than `limit_kmh`, standing fixes left out; once true, until at or below limit - deadband.
    With a `zone`, only inside it."""

    limit_kmh: float
    deadband: float = 0.0
    metric: str = "speed_kmh"
    zone: str = ""


class OneOf(Condition, frozen=True, kw_only=True, tag="one_of"):
    """True while the metric has one of several values."""

    metric: str
    values: tuple[Value, ...]


class Statistic(StrEnum):
    """What is made of a metric's values in a window of event time."""

    MEAN = "mean"
    MIN = "min"
    MAX = "max"
    STD = "std"
    """The standard deviation of all values in the window (divided by their number)."""
    RISE = "rise"
    """From the oldest value in the window to the newest, per minute, hour or day."""
    FALL = "fall"


class Windowed(Condition, frozen=True, kw_only=True, tag="windowed"):
    """True while a statistic over the last `over_s` seconds of event time is above `limit`, or below it where `under`;
    `deadband` as in Above and Below. Unknown until the values span half of the window. A rise or fall is per `per_s` seconds."""

    metric: str
    statistic: Statistic
    over_s: float
    limit: float
    under: bool = False
    deadband: float = 0.0
    per_s: float = 60.0


class Place(Condition, frozen=True, kw_only=True, tag="place"):
    """True while the device is inside the zone of this name, or outside it; standing fixes left out.

    It must have been there for `dwell_s` seconds of event time. Once there, it is until `deadband_m` beyond the edge.
    Zones belong to the site: the gateway's configuration has them.
    """

    zone: str
    outside: bool = False
    deadband_m: float = 0.0
    dwell_s: float = 0.0

    @property
    def metric(self) -> str:
        """A message says where the device is when it says this."""
        return LATITUDE


class All(Condition, frozen=True, kw_only=True, tag="all"):
    of: tuple["AnyCondition", ...]


class AnyOf(Condition, frozen=True, kw_only=True, tag="any"):
    of: tuple["AnyCondition", ...]


class Not(Condition, frozen=True, kw_only=True, tag="not"):
    of: "AnyCondition"


class NofM(Condition, frozen=True, kw_only=True, tag="n_of_m"):
    """True while `of` was true in `n` or more of the last `m` readings that were about it and knew it."""

    of: "AnyCondition"
    n: int
    m: int


Leaf = Above | Below | Equals | Bit | Stale | Speed | OneOf | Windowed | Place
AnyCondition = Leaf | All | AnyOf | Not | NofM


def leaves(condition: AnyCondition) -> Iterator[Leaf]:
    """The comparisons of a condition, from left to right."""
    match condition:
        case All(of=parts) | AnyOf(of=parts):
            for part in parts:
                yield from leaves(part)
        case Not(of=part) | NofM(of=part):
            yield from leaves(part)
        case _:
            yield condition


def zones_of(condition: AnyCondition) -> set[str]:
    """The names of the zones that a condition is about."""
    return {leaf.zone for leaf in leaves(condition) if isinstance(leaf, Place | Speed) and leaf.zone}


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """From `limit` on an alarm has this priority instead of its rule's."""

    priority: Priority
    limit: float


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
    levels: tuple[Level, ...] = ()
    """Further limits of a condition that has one, each more serious than the one before; delays hold for each."""
    max_shelve_s: float = 86400.0
    """The longest that somebody may shelve it at once, a day at most (OPC UA part 9, MaxTimeShelved)."""


class CommandSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One order the device takes. `argument` names what the order must say, a number from `low` to `high` in the argument's own
    unit; an order without an argument writes `low`. Where it goes is said in the device's language, one of the fields below.
    One that is `dangerous` switches, opens or shuts something that people may stand beside: two persons give it."""

    name: str
    title: Text
    argument: str = ""
    low: float = 0
    high: float = 65535
    dangerous: bool = False
    register: RegisterOrder | None = None
    terminal: TerminalOrder | None = None
    resource: ResourceOrder | None = None
    publish: PublishOrder | None = None
    uart: UartOrder | None = None
    valve: ValveOrder | None = None

    @property
    def where(self) -> str:
        """Where it is written, as a person reads it."""
        places = (self.register, self.terminal, self.resource, self.publish, self.uart, self.valve)
        return next((str(place) for place in places if place is not None), "")


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
