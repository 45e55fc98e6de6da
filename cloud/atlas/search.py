"""Devices in order of id, and which of them hold a text: one long line of every id, name and component code, in lower case.

Looking through the 55 MB of a million devices takes some 35 ms, so no finer index is kept. It is done in slices, and ended as
soon as a page is full. What came or was renamed since the line was written is kept apart, and looked at one by one.
"""

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cloud.atlas.index import DeviceIndex

__all__ = ["Shelf", "Texts"]

Numbers = NDArray[np.int64]
Truths = NDArray[np.bool_]

_MOST_APART: Final = 5_000
_SLICE: Final = 4 << 20
"""Bytes looked through before others have their turn: some 3 ms."""
_BLOCK: Final = 1 << 16
_PART: Final = 10_000
# Between the texts of a device, and between devices; no text has either.
_INNER, _OUTER = "\x00", "\x01"


class Shelf(NamedTuple):
    """What was written in one go: numbers in order of id, those ids, the line, and where in it each device begins."""

    order: Numbers
    ids: list[str]
    line: bytes
    starts: Numbers


_EMPTY: Final = Shelf(np.array([], dtype=np.int64), [], b"", np.array([], dtype=np.int64))


class Texts:
    """`note` what came, went or was renamed; `write` anew when it is `due`."""

    def __init__(self, index: DeviceIndex) -> None:
        self._index = index
        self._shelf = _EMPTY
        self._apart: set[int] = set()
        self._since: set[int] = set()

    @property
    def due(self) -> bool:
        """Whether too many are kept apart."""
        return len(self._apart) > _MOST_APART

    def note(self, numbers: Numbers) -> None:
        """Devices that are new, went, or are called otherwise now."""
        changed = numbers.tolist()
        self._apart.update(changed)
        self._since.update(changed)

    def begin(self) -> list[int]:
        """What `write` needs, taken in the thread of the index; what is noted from now on will be apart."""
        self._since = set()
        if len(self._shelf.ids):
            return list(self._apart)
        numbers: list[int] = np.flatnonzero(self._index.column("alive")).tolist()
        return numbers

    def write(self, numbers: list[int]) -> Shelf:
        """The slow part, for any thread: texts are only ever replaced as a whole meanwhile."""
        ids = self._index.ids
        ordered = sorted(numbers, key=ids.__getitem__)
        return self._merged(ordered) if len(self._shelf.ids) else self._whole(ordered)

    def _whole(self, ordered: list[int]) -> Shelf:
        parts: list[bytes] = []
        lengths: list[int] = []
        for start in range(0, len(ordered), _PART):
            texts = [self._line(number) for number in ordered[start : start + _PART]]
            lengths += map(len, texts)
            parts.append(b"".join(texts))
        ids = [self._index.ids[number] for number in ordered]
        return Shelf(np.array(ordered, dtype=np.int64), ids, b"".join(parts), _starts(np.array(lengths, dtype=np.int64)))

    def _merged(self, ordered: list[int]) -> Shelf:
        """The shelf as it is, with these put in, written anew or left out."""
        old, alive = self._shelf, self._index.column("alive")
        line, lengths = memoryview(old.line), np.diff(old.starts, append=len(old.line))
        ids: list[str] = []
        parts: list[tuple[Any, Any, Any]] = []

        def keep(start: int, end: int) -> None:
            if start < end:
                till = int(old.starts[end]) if end < len(old.starts) else len(line)
                parts.append((line[int(old.starts[start]) : till], old.order[start:end], lengths[start:end]))
                ids.extend(old.ids[start:end])

        done = 0
        for number in ordered:
            device = self._index.ids[number]
            place = bisect_left(old.ids, device)
            keep(done, place)
            done = place + (place < len(old.ids) and old.ids[place] == device)
            if alive[number]:
                text = self._line(number)
                parts.append((text, [number], [len(text)]))
                ids.append(device)
        keep(done, len(old.ids))
        if not parts:
            return _EMPTY
        lines, numbers, sizes = zip(*parts, strict=True)
        return Shelf(np.concatenate(numbers), ids, b"".join(lines), _starts(np.concatenate(sizes)))

    def take(self, shelf: Shelf) -> None:
        """The result of `write`, in the thread of the index."""
        self._shelf = shelf
        self._apart, self._since = self._since, set()

    async def page(self, mask: Truths | None, text: str | None, after: str | None, limit: int) -> list[int]:
        """The numbers of up to `limit` devices in order of id (of its code points), after the id `after`.

        Only those that `mask` holds, by number, and that hold `text` in their id, name or component code, whatever its case.
        """
        apart = self._apart
        allowed = self._index.column("alive").copy() if mask is None else mask & self._index.column("alive")
        others = [number for number in apart if allowed[number] and self._fits(number, text, after)]
        if apart:
            allowed[np.fromiter(apart, dtype=np.int64, count=len(apart))] = False
        found: list[int] = []
        async for number in self._sorted(self._shelf, allowed, text, after):
            found.append(number)
            if len(found) >= limit:
                break
        return sorted([*found, *others], key=self._index.ids.__getitem__)[:limit]

    async def _sorted(self, shelf: Shelf, allowed: Truths, text: str | None, after: str | None) -> AsyncIterator[int]:
        place = 0 if after is None else bisect_right(shelf.ids, after)
        if text is None:
            for start in range(place, len(shelf.order), _BLOCK):
                block = shelf.order[start : start + _BLOCK]
                for number in block[allowed[block]].tolist():
                    yield number
            return
        needle = _folded(text).encode("utf-8", "surrogatepass")
        if not needle or _INNER in text or _OUTER in text:
            return
        while place < len(shelf.starts):
            # A slice ends where a device does, so that none is found twice.
            start = int(shelf.starts[place])
            place = max(place + 1, int(np.searchsorted(shelf.starts, start + _SLICE)))
            end = int(shelf.starts[place]) if place < len(shelf.starts) else len(shelf.line)
            for number in _hits(shelf, needle, start, end):
                if allowed[number]:
                    yield number
            await asyncio.sleep(0)

    def _fits(self, number: int, text: str | None, after: str | None) -> bool:
        if after is not None and self._index.ids[number] <= after:
            return False
        if text is None:
            return True
        return not (_INNER in text or _OUTER in text) and _folded(text) in self._text(number)

    def _line(self, number: int) -> bytes:
        return self._text(number).encode("utf-8", "replace")

    def _text(self, number: int) -> str:
        index = self._index
        texts = (index.ids[number], index.names[number], index.codes[number])
        return _folded(_INNER.join(texts)) + _OUTER


def _starts(lengths: Numbers) -> Numbers:
    ends: Numbers = np.cumsum(lengths)
    return ends - lengths


def _hits(shelf: Shelf, needle: bytes, start: int, end: int) -> Iterator[int]:
    """The numbers of the devices in a slice that hold the needle, each once."""
    find, starts, last = shelf.line.find, shelf.starts, len(shelf.starts) - 1
    place = find(needle, start, end)
    while place >= 0:
        row = int(np.searchsorted(starts, place, "right")) - 1
        yield int(shelf.order[row])
        if row == last:
            return
        place = find(needle, int(starts[row + 1]), end)


def _folded(text: str) -> str:
    return text.casefold()
