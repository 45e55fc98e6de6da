"""What a device has not yet handed over: bounded, oldest first, events kept longer than routine."""

import asyncio
from typing import Generic, TypeVar

import msgspec

__all__ = ["Kept", "Memory"]

T = TypeVar("T")


class Kept(msgspec.Struct, Generic[T], kw_only=True):
    """One message that waits. `sent` is how often it went out."""

    message: T
    event: bool
    sent: int = 0


class Memory(Generic[T]):
    """A device's flash: at most `size` messages; when full the oldest routine one goes, or the oldest of all."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: list[Kept[T]] = []
        self._filled = asyncio.Event()
        self.overflow = 0

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, message: T, *, event: bool) -> None:
        """Add one message."""
        if len(self._kept) >= self._size:
            del self._kept[next((at for at, kept in enumerate(self._kept) if not kept.event), 0)]
            self.overflow += 1
        self._kept.append(Kept(message=message, event=event))
        self._filled.set()

    async def oldest(self, most: int = 1) -> list[Kept[T]]:
        """The oldest messages, at least one; waits until there is one. They stay until `done`."""
        while not self._kept:
            self._filled.clear()
            await self._filled.wait()
        return self._kept[:most]

    def done(self, kept: Kept[T]) -> None:
        """Forget a message that was handed over, or refused for good."""
        # By identity: two reports of a flooding device may be equal.
        self._kept = [other for other in self._kept if other is not kept]
