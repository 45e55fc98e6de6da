"""A simulated bootloader's prompt at the end of a serial line: a pty whose other end is opened by path."""

import asyncio

from simulators.devices.firmware.bootloader import Bootloader
from simulators.devices.firmware.faces import Prompt
from simulators.devices.firmware.flash import Power, PowerCutError
from simulators.pty_line import PtyLine

__all__ = ["PromptLine"]

_QUIET_S = 0.5
"""Silence after which a transfer asks again."""


class PromptLine:
    """Lives until cancelled (a `Line`). Where the device's power fails it comes back for good; the device boots
    and has forgotten what was not in its flash."""

    def __init__(self, device: Bootloader) -> None:
        self.boots = 0
        self._device = device
        self._line = PtyLine()

    async def start(self) -> str:
        """Begin to listen; the path that a gateway opens."""
        self._line.start()
        return self._line.path

    async def close(self) -> None:
        """Unplug."""
        self._line.close()

    async def run(self) -> None:
        prompt = Prompt(self._device)
        while True:
            heard = await self._heard()
            try:
                self._line.write(prompt.feed(heard) if heard else prompt.quiet())
            except PowerCutError:
                self.boots += 1
                self._device.flash.power = Power()
                self._device.boot()
                prompt = Prompt(self._device)

    async def _heard(self) -> bytes:
        try:
            async with asyncio.timeout(_QUIET_S):
                return await self._line.read()
        except TimeoutError:
            return b""
