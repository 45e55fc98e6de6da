"""What a device offers to whoever updates it, in any language."""

from typing import Protocol

from firmware_bridge.update.package import Package
from firmware_bridge.update.standing import Standing
from telemetry.reason import Reason

__all__ = ["SilentError", "Updatable"]


class SilentError(Exception):
    """No answer, or none that can be read: timeout, unreachable, device_exception or a codec's reason."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Updatable(Protocol):
    """One device. Each call does one thing, says where the device stands after it, and raises SilentError where that is
    unknown. All may be repeated: a device does nothing twice. Where a language has no word for a step, the call only asks.
    """

    async def ask(self) -> Standing: ...

    async def offer(self) -> Standing:
        """Show the package's header."""
        ...

    async def send(self, chunk: int) -> Standing:
        """Send chunk `chunk`, or everything from it on where the language sends a file as a whole."""
        ...

    async def verify(self) -> Standing: ...

    async def start(self) -> Standing:
        """Have the new image booted on trial. Most devices are gone for a while then."""
        ...

    async def confirm(self) -> Standing: ...

    async def revert(self) -> Standing: ...

    @property
    def package(self) -> Package:
        """What the device is led to."""
        ...
