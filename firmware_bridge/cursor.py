"""Reading a message's bytes in order, by name, so that one pass gives the values and tells where each one stood."""

from collections.abc import Iterator

import msgspec

from firmware_bridge.errors import ParseError
from telemetry.reason import Reason

__all__ = ["Cursor", "Shown"]


class Shown(msgspec.Struct, frozen=True):
    """One field as a person may see it: `at` counts bytes from the message's first."""

    name: str
    at: int
    size: int
    value: object


class Cursor:
    """Walks through `data`; every read names its field and raises ParseError(truncated) where too few bytes are left."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.shown: list[Shown] = []

    @property
    def left(self) -> int:
        """Bytes not read yet."""
        return len(self.data) - self.at

    def take(self, name: str, size: int) -> bytes:
        """The next `size` bytes as they are, shown as hex."""
        data = self._next(name, size)
        self._show(name, size, data.hex())
        return data

    def rest(self, name: str) -> bytes:
        """All bytes that are left."""
        return self.take(name, self.left)

    def number(self, name: str, size: int) -> int:
        """The next `size` bytes as a big-endian unsigned integer."""
        value = int.from_bytes(self._next(name, size), "big")
        self._show(name, size, value)
        return value

    def u8(self, name: str) -> int:
        return self.number(name, 1)

    def u16(self, name: str) -> int:
        return self.number(name, 2)

    def u32(self, name: str) -> int:
        return self.number(name, 4)

    def hex(self, name: str, size: int) -> str:
        """The next `size` bytes as hex digits: BCD as its digits."""
        return self.take(name, size).hex()

    def text(self, name: str, size: int | None = None) -> str:
        """The next `size` bytes, or all, as GBK text without its padding of zero bytes and blanks."""
        size = self.left if size is None else size
        value = self._next(name, size).decode("gb18030", errors="replace").strip("\0 ")
        self._show(name, size, value)
        return value

    def counted_text(self, name: str) -> str:
        """A text behind one byte with its length."""
        return self.text(name, self.u8(f"{name}_length"))

    def times(self, count: int) -> Iterator[int]:
        """0 to `count` - 1, for as long as bytes are left."""
        for index in range(count):
            if not self.left:
                raise ParseError(Reason.TRUNCATED, f"{index} of {count} entries", self.at)
            yield index

    def _next(self, name: str, size: int) -> bytes:
        if size > self.left:
            raise ParseError(Reason.TRUNCATED, f"{name} needs {size} bytes, {self.left} are left", self.at)
        data = self.data[self.at : self.at + size]
        self.at += size
        return data

    def _show(self, name: str, size: int, value: object) -> None:
        self.shown.append(Shown(name, self.at - size, size, value))
