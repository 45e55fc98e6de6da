"""An epoch that is not this outbox's own any more, and the new one that takes its place."""

import logging

import apsw

from edge_agent.outbox.outbox import Outbox
from edge_agent.uplink.settings import UplinkCounts
from telemetry.clock import SECOND_NS, Clock
from telemetry.reason import Reason
from telemetry.wire import Ack

__all__ = ["Fence"]

logger = logging.getLogger(__name__)

_RENEWAL_PAUSE_NS = 60 * SECOND_NS
"""An epoch that is fenced again and again is renewed once a minute: something is wrong that nobody here can mend."""


class Fence:
    """Looks for the cloud's word that an epoch is over, and begins a new one with everything that is still held."""

    def __init__(self, outbox: Outbox, clock: Clock, counts: UplinkCounts) -> None:
        self._outbox = outbox
        self._clock = clock
        self._counts = counts
        self._reason: Reason | None = None
        self._epoch = outbox.epoch
        """The one that the reason is about."""
        self._renewed_ns: int | None = None

    def stands(self, ack: Ack) -> bool:
        """Whether the epoch must be given up: the cloud says so, or has records that this outbox never gave out."""
        last = max([ack.cumulative, *(high for _, high in ack.ranges)])
        ahead = Reason.ROLLED_BACK if last >= self._outbox.accounts[ack.lane].next_seq else None
        self._reason, self._epoch = ack.fenced or ahead, ack.epoch
        if self._reason is None:
            return False
        extra = {"event": "uplink.fenced", "lane": ack.lane, "reason": self._reason, "last": last, "epoch": ack.epoch}
        logger.error("this epoch is not this outbox's own any more, it was restored or cloned: a new one begins", extra=extra)
        return True

    def wait_s(self) -> float:
        """How long the next renewal has to wait; 0 where none is due."""
        if not self._due or self._renewed_ns is None:
            return 0.0
        return max(0.0, (self._renewed_ns + _RENEWAL_PAUSE_NS - self._clock.monotonic_ns()) / SECOND_NS)

    async def renew(self) -> None:
        """Begin a new epoch where that is due; what the disk refuses is tried again after the next fence."""
        if not self._due:
            return
        self._reason, self._renewed_ns = None, self._clock.monotonic_ns()
        try:
            await self._outbox.renew()
        except apsw.Error as error:
            self._counts.disk_errors += 1
            logger.exception("no new epoch yet", extra={"event": "uplink.renew_failed", "error": str(error)})
        else:
            self._counts.renewals += 1

    @property
    def _due(self) -> bool:
        return self._reason is not None and self._epoch == self._outbox.epoch
