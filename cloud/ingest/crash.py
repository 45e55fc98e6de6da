"""Where a test may kill this process, between the stores: nothing may be lost at any of these points.

    CITYNERVE_CRASH_AT=after_series     values are stored, nothing in the relational store knows of them
    CITYNERVE_CRASH_AT=before_commit    the relational transaction is written and not committed
    CITYNERVE_CRASH_AT=after_commit     it is committed, and nobody was told

`before_commit:3` passes twice and kills the third time. Off unless the variable is set, which is read once, when an
ingest is made.
"""

import os
import signal
from enum import StrEnum
from typing import Final

__all__ = ["CrashPlan", "CrashPoint"]

_VARIABLE: Final = "CITYNERVE_CRASH_AT"


class CrashPoint(StrEnum):
    """A gap between two steps of a commit of batches."""

    AFTER_SERIES = "after_series"
    BEFORE_COMMIT = "before_commit"
    AFTER_COMMIT = "after_commit"


class CrashPlan:
    """Kills the process at the chosen point, the way a power cut does: no handler runs, no buffer is flushed."""

    def __init__(self, point: CrashPoint | None = None, times: int = 1) -> None:
        self._point = point
        self._left = times

    @classmethod
    def from_environment(cls) -> "CrashPlan":
        """As the environment says; ValueError where it names no such point."""
        point, _, times = os.environ.get(_VARIABLE, "").partition(":")
        return cls(CrashPoint(point) if point else None, int(times or 1))

    def at(self, point: CrashPoint) -> None:
        """The process has come to a point."""
        if point is self._point:
            self._left -= 1
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
