"""Disk that is held empty, so that a full disk can still be tidied up."""

import errno
import logging
import os
from pathlib import Path

import apsw

from telemetry.clock import SECOND_NS

__all__ = ["RESERVE_FILE", "Reserve", "is_disk_full"]

logger = logging.getLogger(__name__)

RESERVE_FILE = "outbox.reserve"
_AGAIN_NS = 60 * SECOND_NS


def is_disk_full(error: BaseException) -> bool:
    """Whether an error says that the disk has no room."""
    if isinstance(error, apsw.FullError):
        return True
    chain = (error, error.__cause__, error.__context__)
    return any(isinstance(each, OSError) and each.errno in {errno.ENOSPC, errno.EDQUOT} for each in chain)


class Reserve:
    """A file of `size` bytes whose blocks are really taken; while the disk has no room for it, it is let go of."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size
        self._next_try_ns: int | None = None
        self.is_whole = size == 0 or (path.exists() and path.stat().st_size == size)

    def let_go(self, mono_ns: int) -> None:
        """Give the room to whoever needs it now; what was let go of before is not put off again."""
        self._path.unlink(missing_ok=True)
        if self.is_whole or self._next_try_ns is None:
            self._next_try_ns = mono_ns + _AGAIN_NS
        self.is_whole = False

    def take(self, mono_ns: int, *, at_once: bool = False) -> None:
        """Take the room again where the disk has it twice over; asks the disk at most once a minute, unless `at_once`."""
        if self.is_whole or (not at_once and self._next_try_ns is not None and mono_ns < self._next_try_ns):
            return
        self._next_try_ns = mono_ns + _AGAIN_NS
        disk = os.statvfs(self._path.parent)
        if disk.f_bavail * disk.f_frsize < 2 * self._size:
            return
        try:
            self._allocate()
        except OSError as error:
            self._path.unlink(missing_ok=True)
            logger.warning("no room for the reserve: %s", error, extra={"event": "outbox.no_reserve", "bytes": self._size})
        else:
            self.is_whole = True

    def _allocate(self) -> None:
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(handle, self._size)
            if self._size:
                os.posix_fallocate(handle, 0, self._size)
        finally:
            os.close(handle)
