"""The alarm log and its projection: append-only transitions, and one current row for each occurrence."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from telemetry.reason import Reason

__all__ = ["AlarmError", "acknowledge"]


class AlarmError(ValueError):
    """An act on an alarm that cannot be. `reason` is NOT_FOUND or CONFLICT (it has nothing left to acknowledge)."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


async def acknowledge(conn: AsyncConnection, alarm: str, actor: str, note: str, now_ns: int) -> dict[str, Any]:
    """Somebody has seen the alarm: one cloud transition. The `alarms` row as it is now; AlarmError where it cannot be."""
    raise NotImplementedError
