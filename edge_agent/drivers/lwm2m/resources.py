"""The resources of one LwM2M device as an update wants them (`edge_agent.updates.lwm2m.ResourceAccess`)."""

from collections.abc import Awaitable, Callable

from edge_agent.drivers.lwm2m.orders import Ending, Order
from edge_agent.updates.base import SilentError
from firmware_bridge.errors import ParseError
from firmware_bridge.lwm2m.operations import Answered, Operation, Request
from firmware_bridge.lwm2m.paths import parse_path
from firmware_bridge.lwm2m.payloads import Format
from telemetry.reason import Reason

__all__ = ["ClientResources", "Follow"]

Follow = Callable[[Callable[[Order, int], Request]], Awaitable[tuple[Ending, Answered | None]]]
"""Asks a device what was built for it, and tells how that ended and what the device said."""


class ClientResources:
    """Every call waits until the device listens, and raises SilentError where it does not answer, or answers with an error."""

    def __init__(self, follow: Follow) -> None:
        self._follow = follow

    async def read(self, path: str) -> int | str:
        """A resource's value."""
        answered = await self._ask(Operation.READ, path, None)
        value = next((each.value for each in answered.readings if each.path == path), None)
        if not isinstance(value, (int, str)):
            raise SilentError(Reason.MISSING, f"{path}: the answer has no such value")
        return value

    async def write(self, path: str, data: bytes) -> None:
        """Write bytes, in blocks where they are many."""
        await self._ask(Operation.REPLACE, path, Format.OPAQUE, data)

    async def execute(self, path: str) -> None:
        """Execute a resource."""
        await self._ask(Operation.EXECUTE, path, None)

    async def _ask(self, operation: Operation, path: str, form: Format | None, data: bytes = b"") -> Answered:
        try:
            where = parse_path(path)
        except ParseError as error:
            raise SilentError(error.reason, error.detail) from error

        def build(order: Order, _form: int) -> Request:
            return Request(operation=operation, path=where, until_s=order.until_s, tag=order.tag, format=form, payload=data)

        ending, answered = await self._follow(build)
        if ending.reason is not None or answered is None:
            raise SilentError(ending.reason or Reason.TIMEOUT, ending.detail or path)
        return answered
