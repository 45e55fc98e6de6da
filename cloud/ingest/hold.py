"""Batches that speak of a device before their gateway declared it: kept for a moment, in order, until it does."""

from collections.abc import Collection

from cloud.ingest.decode import Delivery
from telemetry.clock import SECOND_NS

__all__ = ["Hold"]

_MOST_STRANGERS = 10_000


class Hold:
    """A gateway is waited for once for each device; a device that stays undeclared holds up nothing afterwards.

    How much is held is bounded by whoever counts what is queued.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_ns = round(patience_s * SECOND_NS)
        self._held: dict[str, tuple[int, list[Delivery]]] = {}
        self._strangers: set[tuple[str, str]] = set()

    def __bool__(self) -> bool:
        return bool(self._held)

    def keep(self, batch: Delivery, strangers: Collection[str], now_ns: int) -> bool:
        """Whether the batch must wait, in which case it is kept here."""
        held = self._held.get(batch.gateway)
        if held is not None:
            held[1].append(batch)
            return True
        new = {(batch.gateway, device) for device in strangers} - self._strangers
        if not new or len(self._strangers) + len(new) > _MOST_STRANGERS:
            return False
        self._strangers |= new
        self._held[batch.gateway] = (now_ns + self._patience_ns, [batch])
        return True

    def release(self, gateway: str) -> list[Delivery]:
        """The gateway said hello: its batches, in order."""
        return self._held.pop(gateway, (0, []))[1]

    def expired(self, now_ns: int) -> list[Delivery]:
        """The batches of gateways that were waited for long enough."""
        over = [gateway for gateway, (until, _) in self._held.items() if until <= now_ns]
        return [batch for gateway in over for batch in self.release(gateway)]

    def next_s(self, now_ns: int) -> float | None:
        """Seconds until the next gateway was waited for long enough; None where nobody is waited for."""
        return max(0.0, (min(until for until, _ in self._held.values()) - now_ns) / SECOND_NS) if self._held else None
