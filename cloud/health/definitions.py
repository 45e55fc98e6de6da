"""What each figure means, in which version, and what it is held against.

The targets are those that ISA-18.2 and EEMUA 191 publish, as "Alarm management by the numbers" (Chemical Engineering) and the
public specifications of two control rooms state them; the paid standards themselves were not read. They are meant for one
operator's position and 30 days or more. What a figure means never changes under one version: another meaning is another number.
"""

from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec

from device_profiles.quantities import Text

__all__ = ["ACK_WITHIN_S", "CHATTER", "FLEETING_S", "FLOOD", "STALE_S", "Definition", "Target", "Verdict", "definitions", "judge"]


class Verdict(StrEnum):
    """How a figure stands against its target."""

    MET = "met"
    ABOVE_TARGET = "above_target"
    """Beyond the target, within what is said to be manageable."""
    BEYOND = "beyond"
    """Beyond the target, and beyond the upper limit where there is one."""
    NO_TARGET = "no_target"
    NO_DATA = "no_data"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """`good` or less is met, with `at_least` so much or more; up to `limit` it is manageable. `words` as it is published."""

    good: float
    words: str
    limit: float | None = None
    at_least: bool = False


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """One figure. `unit` is a UCUM code, "1" for a count."""

    name: str
    version: int
    unit: str
    title: Text
    means: Text
    target: Target | None = None

    @property
    def id(self) -> str:
        """Printed beside every number."""
        return f"{self.name}/{self.version}"


FLOOD: Final = (10, 5)
"""A flood begins with so many alarms in 10 minutes, and ends when there are fewer than that many in 10 minutes. Stated as
ISA-18.2's by secondary sources; not read in the standard."""
CHATTER: Final = (3, 60)
"""So many raises of one alarm within so many seconds are chattering; the usual rule of thumb, not read in the standard."""
FLEETING_S: Final = 60
"""The product's own: no source that was read gives a number."""
STALE_S: Final = 24 * 3600
ACK_WITHIN_S: Final = 600
"""The product's own: no source that was read gives a number."""


def judge(definition: Definition, value: float | None) -> Verdict:
    """How a value stands against the definition's target."""
    if value is None:
        return Verdict.NO_DATA
    target = definition.target
    if target is None:
        return Verdict.NO_TARGET
    if value >= target.good if target.at_least else value <= target.good:
        return Verdict.MET
    return Verdict.ABOVE_TARGET if target.limit is not None and value <= target.limit else Verdict.BEYOND


@cache
def definitions() -> Mapping[str, Definition]:
    """Every figure by its name, in the order in which they are shown."""
    data = files("cloud.health").joinpath("definitions.toml").read_bytes()
    held = msgspec.toml.decode(data, type=dict[str, list[Definition]])
    return {each.name: each for each in held["figure"]}
