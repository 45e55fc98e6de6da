"""Everything that goes out over one connection passes here, so that all of it is measured."""

from edge_agent.uplink.link import Link
from edge_agent.uplink.pace import Pace
from edge_agent.uplink.settings import UplinkCounts
from telemetry.clock import Clock
from telemetry.topics import Channel

__all__ = ["Courier"]


class Courier:
    """Publishes over one link and keeps the account of bytes and delays in `pace`."""

    def __init__(self, link: Link, pace: Pace, clock: Clock, counts: UplinkCounts) -> None:
        self._link = link
        self._clock = clock
        self._counts = counts
        self.pace = pace

    async def publish(self, what: Channel, payload: bytes, *, retain: bool = False, memory: int = 0) -> None:
        """Send and wait for the PUBACK; `memory` is what the caller holds meanwhile. Raises LinkDownError."""
        sent_ns = self._clock.monotonic_ns()
        self.pace.on_sent(len(payload), sent_ns, memory)
        await self._link.publish(what, payload, retain=retain)
        self.pace.on_puback(len(payload), sent_ns, self._clock.monotonic_ns(), memory)
        self._counts.queue_ms, self._counts.window_bytes = self.pace.delay_ns // 1_000_000, self.pace.most
