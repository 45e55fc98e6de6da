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


_READ_BYTES = 192 * 1024


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

    async def stands(self, ack: Ack, given: int) -> bool:
        """Whether the epoch must be given up: the cloud says so, or has records that this outbox never gave out.

        No record above `given` was ever sent. Raises apsw.Error.
        """
        last = max([ack.cumulative, *(high for _, high in ack.ranges)])
        ahead = last >= self._outbox.accounts[ack.lane].next_seq or (last > given and await self._is_foreign(ack, given, last))
        self._reason, self._epoch = ack.fenced or (Reason.ROLLED_BACK if ahead else None), ack.epoch
        if self._reason is None:
            return False
        extra = {"event": "uplink.fenced", "lane": ack.lane, "reason": self._reason, "last": last, "epoch": ack.epoch}
        logger.error("this epoch is not this outbox's own any more, it was restored or cloned: a new one begins", extra=extra)
        return True

    async def _is_foreign(self, ack: Ack, given: int, last: int) -> bool:
        """Whether the cloud has, under the number of a record that is held here and never left, another one.

        Numbers that were declared lost unsent are settled without having been sent, and are not held.
        """
        said = [(1, ack.cumulative), *ack.ranges]
        after = given
        while blocks := await self._outbox.next_blocks(ack.lane, after, _READ_BYTES, last + 1):
            still_open = [(max(low, given + 1), high) for block in blocks for low, high in block.open if high > given]
            if any(low <= end and begin <= high for low, high in still_open for begin, end in said):
                return True
            after = blocks[-1].last_seq
        return False

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
