"""Updates of vehicle terminals: one 0x8108 that carries header and image, answered at the end by a 0x0108.

The standard's terminal checks, starts and keeps an image by itself, and has no words for any step of it: of a session's
actions there are three here, send the whole, wait for the result, ask for the release. A cut begins the message anew; the
packets of one message are sent again by the session below.
"""

from typing import Protocol

from edge_agent.updates.base import SilentError
from firmware_bridge.update.package import Package
from firmware_bridge.update.standing import Phase, Refusal, Standing
from telemetry.reason import Reason

__all__ = ["TerminalAccess", "TerminalUpdate"]

_TERMINAL = 0
"""The kind of upgrade: the terminal itself (JT/T 808-2019, table 64)."""
_OK, _CANCELLED = 0, 2
"""Results of 0x0108: 0 success, 1 failure, 2 cancelled (table 65)."""


class TerminalAccess(Protocol):
    """One terminal that is, or will be, logged in. All calls raise SilentError where no answer comes."""

    async def send_upgrade(self, kind: int, maker: str, version: str, data: bytes) -> bool:
        """Send 0x8108 in as many packets as it takes; whether the terminal's general answers were all "success". A `maker` of ""
        stands for the one that the terminal names in its 0x0107."""
        ...

    async def upgrade_result(self) -> int:
        """Wait for the terminal's next 0x0108; its result."""
        ...

    async def release(self) -> str:
        """The firmware version in the terminal's 0x0107; "" where its edition of the standard has none."""
        ...


class TerminalUpdate:
    """One terminal. `maker` is the five characters that it knows its maker by, "" for those of its 0x0107."""

    def __init__(self, terminal: TerminalAccess, package: Package, maker: str) -> None:
        self.package = package
        self._terminal = terminal
        self._maker = maker
        self._sent = False
        self._result: int | None = None

    async def ask(self) -> Standing:
        """By the result where one has come, else by the release that the terminal says it runs."""
        manifest = self.package.manifest
        if self._result == _OK or await self._terminal.release() == manifest.release:
            return Standing(phase=Phase.EMPTY, running=manifest.version)
        if self._result is not None:
            refusal = Refusal.CANCELLED if self._result == _CANCELLED else Refusal.UNTOLD
            return Standing(phase=Phase.REFUSED, running=0, offered=manifest.version, refusal=refusal)
        return Standing(phase=Phase.EMPTY, running=0)

    async def offer(self) -> Standing:
        self._result = None
        return self._received(0)

    async def send(self, chunk: int) -> Standing:
        if chunk:
            raise SilentError(Reason.INTERRUPTED, "a terminal takes a package only from its start")
        manifest = self.package.manifest
        if not await self._terminal.send_upgrade(_TERMINAL, self._maker, manifest.release, self.package.whole):
            raise SilentError(Reason.DEVICE_EXCEPTION, "the terminal did not take every packet")
        return self._received(manifest.chunks)

    async def verify(self) -> Standing:
        """Wait for the result: it comes after the terminal has restarted and logged in again."""
        self._result = await self._terminal.upgrade_result()
        return await self.ask()

    async def start(self) -> Standing:
        return await self.ask()

    async def confirm(self) -> Standing:
        return await self.ask()

    async def revert(self) -> Standing:
        return await self.ask()

    def _received(self, chunks: int) -> Standing:
        return Standing(phase=Phase.RECEIVING, running=0, offered=self.package.manifest.version, next_chunk=chunks)
