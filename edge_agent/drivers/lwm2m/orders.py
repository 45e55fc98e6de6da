"""An order on its way to an LwM2M device, and how it ended."""

import asyncio
from collections.abc import Callable

import msgspec

from edge_agent.drivers.lwm2m.clients import Client
from firmware_bridge.lwm2m.operations import Answered, Request
from firmware_bridge.lwm2m.payloads import Format
from telemetry.reason import Reason
from telemetry.records import Outcome

__all__ = ["Ending", "Order"]


class Ending(msgspec.Struct, frozen=True):
    """What came of an order."""

    outcome: Outcome
    reason: Reason | None = None
    detail: str = ""


class Order:
    """One command, or a question of somebody else. `build` makes its request in a content format; `until_s` is the monotonic
    second after which it is worth nothing; `tag` finds it again when it is answered; `sent` says that the device may have it;
    `other_format` is what to write in where the device did not know the first; `answer` is what the device said, if it did."""

    def __init__(self, client: Client, build: Callable[["Order", int], Request], until_s: float, tag: int) -> None:
        self.client = client
        self.build = build
        self.until_s = until_s
        self.tag = tag
        self.sent = False
        self.other_format: Format | None = None
        self.answer: Answered | None = None
        self._ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()

    async def ending(self) -> Ending:
        """Wait for the end."""
        return await self._ended

    def end(self, ending: Ending) -> None:
        """Say how it ended; the first word counts."""
        if not self._ended.done():
            self._ended.set_result(ending)

    def settle(self, reason: Reason | None, detail: str) -> None:
        """It was done (no reason), or not. What was sent and not answered may have been done all the same."""
        if reason is None:
            self.end(Ending(Outcome.DONE))
        elif reason is Reason.DEVICE_EXCEPTION:
            self.end(Ending(Outcome.FAILED, reason, detail))
        elif self.sent:
            self.end(Ending(Outcome.UNKNOWN, reason, detail))
        else:
            self.end(Ending(Outcome.EXPIRED, Reason.EXPIRED, "the device did not wake in time"))
