"""How a device stands, in one word, by what the map and the lists go.

Critical or alarm while such an alarm is open, suppressed or not; else unknown where it was never heard; else offline after its
profile's silence (`cloud.watch.limits`); else normal. Of several the worse one is shown, so they are numbered by that.
"""

from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["STATE_WORDS", "State", "judge", "state_of"]

Truths = NDArray[np.bool_]


class State(IntEnum):
    """The higher, the worse."""

    UNKNOWN = 0
    NORMAL = 1
    OFFLINE = 2
    ALARM = 3
    CRITICAL = 4


STATE_WORDS: Final = tuple(state.name.lower() for state in State)
"""The API's words, by number."""


def state_of(word: str) -> State:
    """The state that the API calls so; ValueError for another word."""
    return State(STATE_WORDS.index(word))


def judge(*, critical: Truths, alarm: Truths, heard: Truths, silent: Truths) -> NDArray[np.uint8]:
    """The states of devices, each by these four facts about it."""
    quiet = np.where(heard, np.where(silent, State.OFFLINE, State.NORMAL), State.UNKNOWN)
    return np.where(critical, State.CRITICAL, np.where(alarm, State.ALARM, quiet)).astype(np.uint8)
