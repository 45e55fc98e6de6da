"""CJ/T 188: the valve in a meter that an order opens or shuts, and the metric that tells whether it moved (A017)."""

import msgspec

from device_profiles.branch import Branch
from device_profiles.wires.cjt188 import Cjt188Wire

__all__ = ["ValveOrder", "check_valve_order", "read_valve_order"]

_SAID = {"open": "open", "close": "closed"}


class ValveOrder(msgspec.Struct, frozen=True, kw_only=True):
    """`action` is open or close. The order is done when `metric` reads "open" or "closed", which it has `within_s` for: a
    valve's motor takes some seconds."""

    action: str
    metric: str
    within_s: float = 20.0

    @property
    def done(self) -> str:
        """What the metric reads when the valve has moved."""
        return _SAID[self.action]

    def __str__(self) -> str:
        return f"valve: {self.action}"


def read_valve_order(branch: Branch) -> ValveOrder:
    """The keys `valve`, `reads_back` and `within_s` of an order."""
    return ValveOrder(
        action=branch.word("valve", _SAID),
        metric=branch.text("reads_back"),
        within_s=branch.number("within_s", 20.0, low=0.1, high=25),
    )


def check_valve_order(branch: Branch, order: ValveOrder, wire: Cjt188Wire) -> None:
    """Note where the metric could never say that the valve has moved."""
    field = next((field for field in wire.items if field.metric == order.metric), None)
    if field is None or order.done not in field.scaling.enum.values():
        branch.wrong("reads_back", f"{order.metric!r} never reads {order.done!r}", "a metric whose enum has open and closed")
