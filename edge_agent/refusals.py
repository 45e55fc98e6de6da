"""What could not be used, by whom and why: a table of bounded size, and a log that a shouting device cannot flood."""

import logging
from collections import Counter
from collections.abc import Mapping

import msgspec

from telemetry.clock import SECOND_NS, Clock
from telemetry.reason import Reason

__all__ = ["OTHERS", "Refusal", "Refusals"]

logger = logging.getLogger(__name__)

OTHERS = "(others)"
"""The source under which everything is counted once the table is full."""

_MAX_SOURCES = 1000
_QUIET_NS = 60 * SECOND_NS
_SHOWN_BYTES = 48
_SHOWN_CHARS = 240


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """How often one source was refused for one reason, and the last time it was."""

    source: str
    reason: Reason
    count: int
    last_ns: int
    detail: str
    raw_hex: str


class Refusals:
    """Counts refusals for each source and reason; logs each pair at most once a minute, with the number in between."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._table: dict[tuple[str, Reason], Refusal] = {}
        self._logged: dict[tuple[str, Reason], tuple[int, int]] = {}
        self.by_reason: Counter[Reason] = Counter()

    def add(self, source: str, reason: Reason, detail: str, raw: bytes = b"") -> None:
        """Count one refusal; text and bytes are cut short."""
        self.by_reason[reason] += 1
        key = (source[:96], reason)
        if key not in self._table and len(self._table) >= _MAX_SOURCES:
            key = (OTHERS, reason)
        before = self._table.get(key)
        refusal = Refusal(
            source=key[0],
            reason=reason,
            count=1 + (before.count if before else 0),
            last_ns=self._clock.wall_ns(),
            detail=detail[:_SHOWN_CHARS],
            raw_hex=raw[:_SHOWN_BYTES].hex(),
        )
        self._table[key] = refusal
        self._log(key, refusal)

    def worst(self, count: int = 50) -> list[Refusal]:
        """The most frequent refusals, most frequent first."""
        return sorted(self._table.values(), key=lambda refusal: -refusal.count)[:count]

    def totals(self) -> Mapping[str, int]:
        """How many were refused for each reason."""
        return {reason.value: count for reason, count in self.by_reason.items()}

    def _log(self, key: tuple[str, Reason], refusal: Refusal) -> None:
        now_ns = self._clock.monotonic_ns()
        logged_ns, logged_count = self._logged.get(key, (None, 0))
        if logged_ns is not None and now_ns - logged_ns < _QUIET_NS:
            return
        self._logged[key] = (now_ns, refusal.count)
        logger.warning(
            "%s: %s: %s",
            refusal.source,
            refusal.reason,
            refusal.detail,
            extra={
                "event": "edge.refused",
                "source": refusal.source,
                "reason": refusal.reason.value,
                "since_last_logged": refusal.count - logged_count,
                "raw": refusal.raw_hex,
            },
        )
