"""What LwM2M devices say, handed over; whoever waits for it is told when it is committed."""

import asyncio
from collections.abc import Callable, Iterable, Mapping

from edge_agent.drivers.base import Deliveries
from edge_agent.drivers.lwm2m.clients import Client
from edge_agent.heard import Heard, Verdict
from firmware_bridge.coap import CoapMessage
from firmware_bridge.lwm2m.payloads import Format
from firmware_bridge.lwm2m.reports import decode_readings
from firmware_bridge.lwm2m.values import Reading
from telemetry.raw_frames import RawFrame

__all__ = ["Intake"]

_MOST_UNDER_WAY = 256
_LANGUAGES: Mapping[int | None, str] = {
    Format.TLV: "lwm2m-tlv",
    Format.OLD_TLV: "lwm2m-tlv",
    Format.JSON: "lwm2m-json",
    Format.OLD_JSON: "lwm2m-json",
    Format.SENML_JSON: "senml-json",
    Format.SENML_CBOR: "senml-cbor",
}
"""What a payload is called among the languages, by its content format; the others are one bare value."""


class Intake:
    """At most 256 messages are being committed at once; while it is `full` none should be taken."""

    def __init__(self, deliveries: Deliveries, tasks: asyncio.TaskGroup) -> None:
        self._deliveries = deliveries
        self._tasks = tasks
        self._under_way = 0

    @property
    def full(self) -> bool:
        """Whether a device should come back later."""
        return self._under_way >= _MOST_UNDER_WAY

    def take(
        self,
        client: Client,
        readings: Iterable[Reading],
        then: Callable[[bool], None],
        *,
        awaited: bool,
        said: CoapMessage,
        peer: str,
    ) -> None:
        """Hand over the values of one message, oldest first, then call `then`: False where none of them was of use.

        `awaited` says that the device waits for what `then` does. `said` is the message of `peer` that made them whole.
        """
        received_ns = self._deliveries.inlet.clock.wall_ns()
        heard = [
            Heard(
                device=client.device.id,
                profile=client.profile,
                received_ns=received_ns,
                decoded=decoded,
                awaited=awaited,
                frames=_frames(said),
                source=peer,
            )
            for decoded in decode_readings(client.profile, client.wire.items, readings, received_ns)
        ]
        self._under_way += 1
        self._tasks.create_task(self._hand_over(heard, then), name=f"lwm2m {client.device.id}")

    async def _hand_over(self, heard: list[Heard], then: Callable[[bool], None]) -> None:
        try:
            under_way = [await self._deliveries.hand_over(each) for each in heard]
            verdicts = [await task for task in under_way]
            then(not verdicts or any(verdict is not Verdict.REFUSED for verdict in verdicts))
        finally:
            self._under_way -= 1


def _frames(said: CoapMessage) -> tuple[RawFrame, ...]:
    """The payload: the message around it says nothing of the device but its address."""
    return (RawFrame(_LANGUAGES.get(said.content_format, "text"), said.payload),) if said.payload else ()
