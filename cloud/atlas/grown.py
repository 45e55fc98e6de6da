"""Arrays that grow: room for twice as many when it runs out, so that adding one costs the same however many there are."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Grown"]

_FIRST: Final = 1024


class Grown:
    """Columns of one length. `column` gives a view of those in use: valid until the next `add`, and writable."""

    def __init__(self, **columns: tuple[Any, Any]) -> None:
        """Name -> (dtype or (dtype, width), what a new row holds)."""
        self._fills = {name: fill for name, (_, fill) in columns.items()}
        self._held: dict[str, NDArray[Any]] = {name: _made(kind, _FIRST, fill) for name, (kind, fill) in columns.items()}
        self._room = _FIRST
        self.count = 0

    def column(self, name: str) -> NDArray[Any]:
        return self._held[name][: self.count]

    def add(self, more: int) -> int:
        """Make `more` rows; the number of the first."""
        first, self.count = self.count, self.count + more
        if self.count > self._room:
            self._room = max(2 * self._room, self.count)
            for name, held in self._held.items():
                wider = np.empty((self._room, *held.shape[1:]), dtype=held.dtype)
                wider[:first] = held[:first]
                wider[first:] = self._fills[name]
                self._held[name] = wider
        return first


def _made(kind: Any, room: int, fill: Any) -> NDArray[Any]:
    dtype, width = kind if isinstance(kind, tuple) else (kind, None)
    return np.full(room if width is None else (room, width), fill, dtype=dtype)
