"""Updates at a bootloader's prompt on a serial line (see firmware_bridge/update/prompt.py), the image by XMODEM-1K."""

import asyncio
from collections.abc import Callable

from edge_agent.updates.base import SilentError
from edge_agent.updates.transfer import Port, send_blocks
from firmware_bridge.update.package import Package
from firmware_bridge.update.prompt import PROMPT_BYTES, find_standing
from firmware_bridge.update.standing import Standing
from firmware_bridge.xmodem import Sender, xmodem_steps
from telemetry.reason import Reason

__all__ = ["PromptUpdate"]

_STOP = b"\x18\x18\r"
"""Ends a transfer that a session before this one left open; at a prompt it is nothing."""
_CLEAR_READS = 20


class PromptUpdate:
    """The device at the other end of `port`. `tell` hears how many bytes of the image the device has acknowledged. A device
    has `answer_s` to answer, `slow_s` for what takes it longer: checking an image, restarting.
    What the line says for `clear_s` before an order is an answer to an earlier one."""

    def __init__(
        self,
        port: Port,
        package: Package,
        *,
        tell: Callable[[int], None] = lambda _: None,
        answer_s: float = 2.0,
        slow_s: float = 30.0,
        quiet_s: float = 3.0,
        clear_s: float = 0.05,
    ) -> None:
        self.package = package
        self._port = port
        self._tell = tell
        self._answer_s = answer_s
        self._slow_s = slow_s
        self._quiet_s = quiet_s
        self._clear_s = clear_s

    async def ask(self) -> Standing:
        return await self._order(_STOP + b"?", self._answer_s)

    async def offer(self) -> Standing:
        await self._say(b"offer")
        said = await send_blocks(self._port, Sender(xmodem_steps(self.package.header, 128)), quiet_s=self._quiet_s)
        return await self._standing(said, self._answer_s)

    async def send(self, chunk: int) -> Standing:
        before = chunk * self.package.manifest.chunk_bytes
        await self._say(b"load %d" % chunk)
        said = await send_blocks(
            self._port,
            Sender(xmodem_steps(self.package.image[before:])),
            quiet_s=self._quiet_s,
            tell=lambda sent: self._tell(min(before + sent, self.package.manifest.size)),
        )
        return await self._standing(said, self._answer_s)

    async def verify(self) -> Standing:
        return await self._order(b"verify", self._slow_s)

    async def start(self) -> Standing:
        return await self._order(b"start", self._slow_s)

    async def confirm(self) -> Standing:
        return await self._order(b"confirm", self._answer_s)

    async def revert(self) -> Standing:
        return await self._order(b"revert", self._slow_s)

    async def _order(self, order: bytes, within_s: float) -> Standing:
        await self._say(order)
        return await self._standing(b"", within_s)

    async def _say(self, order: bytes) -> None:
        for _ in range(_CLEAR_READS):
            if not await self._port.read(self._clear_s):
                break
        await self._port.write(order + b"\r")

    async def _standing(self, text: bytes, within_s: float) -> Standing:
        try:
            async with asyncio.timeout(within_s):
                while (standing := find_standing(text)) is None:
                    text = (text + await self._port.read(within_s))[-2 * PROMPT_BYTES :]
        except TimeoutError:
            raise SilentError(Reason.TIMEOUT, f"no answer within {within_s:g} s") from None
        return standing
