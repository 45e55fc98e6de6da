"""Any number of values in statements that each take only so many."""

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

__all__ = ["chunks"]

_T = TypeVar("_T")

_MOST_AT_ONCE: Final = 500
"""Values asked for in one statement; SQLite binds 32,766 at most."""


def chunks(values: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """As many as one statement may ask for, at a time."""
    for start in range(0, len(values), _MOST_AT_ONCE):
        yield values[start : start + _MOST_AT_ONCE]
