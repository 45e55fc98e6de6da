"""What a JT/T 808 terminal can be told, by name: the orders, what each must say, and how a profile names them."""

from collections.abc import Mapping

import msgspec

from device_profiles.branch import Branch
from device_profiles.quantities import MetricType
from telemetry.records import Value

__all__ = ["ORDERS", "OrderArgument", "TerminalOrder", "read_terminal_order"]


class OrderArgument(msgspec.Struct, frozen=True, kw_only=True):
    """One thing an order says. A number lies from `low` to `high`; without a `default` it must be said."""

    name: str
    type: MetricType
    low: float = 0
    high: float = 2**32 - 1
    default: Value = None
    optional: bool = False


class TerminalOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One order of `ORDERS`; `number` is the parameter's id or the control's command word, for the orders that have one."""

    name: str
    number: int = 0

    def __str__(self) -> str:
        return f"terminal {self.name}" + (f" {self.number:#06x}" if self.number else "")


def _whole(name: str, high: float = 2**32 - 1, low: float = 0, default: Value = None) -> OrderArgument:
    return OrderArgument(name=name, type=MetricType.INTEGER, low=low, high=high, default=default)


def _option(name: str, high: float) -> OrderArgument:
    return OrderArgument(name=name, type=MetricType.INTEGER, high=high, optional=True)


def _flag(name: str, *, default: bool) -> OrderArgument:
    return OrderArgument(name=name, type=MetricType.BOOLEAN, default=default)


def _text(name: str, longest: float, default: Value = None) -> OrderArgument:
    return OrderArgument(name=name, type=MetricType.STRING, high=longest, default=default)


def _place(prefix: str = "") -> tuple[OrderArgument, OrderArgument]:
    latitude = OrderArgument(name=f"{prefix}latitude", type=MetricType.FLOAT, low=-90, high=90)
    return latitude, OrderArgument(name=f"{prefix}longitude", type=MetricType.FLOAT, low=-180, high=180)


_FENCE = (
    _whole("fence_id"),
    _flag("on_enter", default=True),
    _flag("on_leave", default=True),
    _option("max_speed_kmh", 65535),
    _whole("overspeed_s", 255, default=10),
    _text("name", 100, ""),
)

ORDERS: Mapping[str, tuple[OrderArgument, ...]] = {
    "text": (
        _text("text", 1024),
        _flag("urgent", default=False),
        _flag("display", default=True),
        _flag("speak", default=True),
    ),
    "locate": (),
    "track": (_whole("interval_s", 65535), _whole("valid_s", default=300)),
    "confirm_alarms": (_whole("alarm_serial", 65535, default=0), _whole("alarms")),
    "parameter": (),  # its argument is the profile's own
    "read_parameters": (),
    "read_parameter": (),
    "attributes": (),
    "control": (_text("arguments", 900, ""),),
    "lock_doors": (),
    "unlock_doors": (),
    "link_test": (),
    "driver_identity": (),
    "transparent": (_whole("kind", 255), _text("data", 1024)),
    "circle_fence": (*_place(), _whole("radius_m"), *_FENCE),
    "rectangle_fence": (*_place("top_"), *_place("bottom_"), *_FENCE),
    "polygon_fence": (_text("points", 1024), *_FENCE),
    "route_fence": (_text("points", 1024), _whole("width_m", 255, 1, 50), *_FENCE),
    "delete_circle_fence": (_whole("fence_id", default=0),),
    "delete_rectangle_fence": (_whole("fence_id", default=0),),
    "delete_polygon_fence": (_whole("fence_id", default=0),),
    "delete_route_fence": (_whole("fence_id", default=0),),
}
"""By name; texts are bounded in bytes of GBK, `points` are `latitude,longitude` with `;` between, fence 0 stands for all of
its kind where fences are deleted."""

_NUMBERED = {"parameter": "parameter", "read_parameter": "parameter", "control": "control"}
"""The orders that a profile narrows to one number, and the key that has it."""


def read_terminal_order(branch: Branch) -> TerminalOrder:
    """The key `terminal` of an order, and `parameter` or `control` where it needs one."""
    name = branch.word("terminal", tuple(ORDERS))
    key = _NUMBERED.get(name)
    highest = 255 if key == "control" else 2**32 - 1
    return TerminalOrder(name=name, number=0 if key is None else branch.integer(key, low=1, high=highest))
