"""What the driver needs of a Bluetooth adapter: listening, and connections to one device. bleak is one; tests have others."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from firmware_bridge.ble.advertising import Advertisement

__all__ = ["Connection", "OnHeard", "Radio"]

OnHeard = Callable[[str, Advertisement], None]
"""Called with the sender's address (AA:BB:CC:DD:EE:FF) and what it said."""


class Connection(Protocol):
    """One connected device; every method may end in an OSError when the connection is lost."""

    async def read(self, uuid: str) -> bytes:
        """The value of a characteristic; KeyError where the device has none of that UUID."""
        ...

    async def write(self, uuid: str, data: bytes) -> None:
        """Write to a characteristic."""
        ...

    async def notify(self, uuid: str, told: Callable[[bytes], None]) -> None:
        """Be told what the characteristic says from now on; KeyError as for `read`."""
        ...


class Radio(Protocol):
    """One adapter."""

    async def listen(self, seconds: float, heard: OnHeard) -> None:
        """Hear advertisements for so long. OSError where there is no adapter, or none that works."""
        ...

    def connect(self, address: str) -> AbstractAsyncContextManager[Connection]:
        """A connection. ConnectionError and TimeoutError are the device's fault, any other OSError the adapter's."""
        ...
