"""A program under test: started, killed, started again, and what it costs."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["Program"]

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6
_PATIENCE_S = 10.0


class Program:
    """One command in a session of its own, so that it and what it starts can be killed at once.

    `cpu_s` is processor time over all its lives, `rss_mb` the largest resident size seen; both as of the last `look`.
    """

    def __init__(self, command: Sequence[str], folder: Path, log: str, environment: Mapping[str, str] | None = None) -> None:
        self._command = command
        self._folder = folder
        self._log = folder / log
        self._environment = {**os.environ, **(environment or {})}
        self._process: asyncio.subprocess.Process | None = None
        self._seen_s = 0.0
        self.cpu_s = 0.0
        self.rss_mb = 0.0

    async def start(self) -> None:
        """Start it; its output goes to the log file."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, cwd=self._folder, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        self._seen_s = 0.0

    async def kill(self) -> None:
        """SIGKILL, to it and to whatever it started."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL for one that does not listen."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._end(signal.SIGTERM)
        except TimeoutError:
            await self._end(signal.SIGKILL)

    def look(self) -> None:
        """Read what it has cost so far."""
        if self._process is None or self._process.returncode is not None:
            return
        used_s = rss_mb = 0.0
        for pid in _family(self._process.pid):
            with contextlib.suppress(OSError):  # it may end between two looks
                fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
                used_s += (int(fields[11]) + int(fields[12])) * _TICK_S
                rss_mb += int(fields[21]) * _PAGE_MB
        self.cpu_s += max(0.0, used_s - self._seen_s)
        self._seen_s = max(self._seen_s, used_s)
        self.rss_mb = max(self.rss_mb, rss_mb)

    async def _end(self, how: signal.Signals) -> None:
        self.look()
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, how)
            await self._process.wait()


def _family(pid: int) -> list[int]:
    """A process and those below it."""
    found = [pid]
    for parent in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text("ascii").split()]
    return found
