"""Orders over the maintenance door: Bluetooth's UART service, with frames of our own."""

import msgspec

from device_profiles.branch import Branch

__all__ = ["UartOrder", "read_uart_order"]


class UartOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order by its number; the argument travels as a signed 32-bit number of steps of `scale`."""

    code: int
    scale: float = 1.0
    timeout_s: float = 5.0

    def __str__(self) -> str:
        return f"uart order {self.code}"


def read_uart_order(branch: Branch) -> UartOrder:
    """The keys `uart`, `scale` and `timeout_s` of an order."""
    order = UartOrder(
        code=branch.integer("uart", low=1, high=255),
        scale=branch.number("scale", 1.0),
        timeout_s=branch.number("timeout_s", 5.0, low=0.1, high=15),
    )
    if order.scale == 0:
        branch.wrong("scale", "0 would make every value the same", "the step, such as 0.1")
    return order
