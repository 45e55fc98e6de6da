"""A public toilet as the city describes it: where it is, when it is open, what it has, and which device watches what."""

from enum import StrEnum

import msgspec

from cloud.clocks.rules import Hours
from device_profiles.quantities import Text

__all__ = ["Section", "Stall", "Toilet"]


class Section(StrEnum):
    """For whom a stall is."""

    MEN = "men"
    WOMEN = "women"
    ALL_GENDER = "all_gender"
    ACCESSIBLE = "accessible"


class Stall(msgspec.Struct, frozen=True, kw_only=True):
    """One stall (厕位). `metric` of `device` is true while somebody is in it; `column` and `row` are its place in the plan."""

    name: str
    section: Section
    device: str
    metric: str
    column: int
    row: int


class Toilet(msgspec.Struct, frozen=True, kw_only=True):
    """One toilet; its position is WGS-84. `hours` are those of every day, or of working days where `hours_off` are those of
    days off. `air`, `counter`, `paper` and `soap` are devices, "" where there is none."""

    id: str
    name: Text
    address: Text
    longitude: float
    latitude: float
    hours: Hours
    hours_off: Hours | None = None
    wheelchair: bool = False
    family_room: bool = False
    baby_change: bool = False
    stalls: tuple[Stall, ...] = ()
    air: str = ""
    counter: str = ""
    paper: str = ""
    soap: str = ""

    @property
    def devices(self) -> frozenset[str]:
        """Every device that says something about it."""
        named = {self.air, self.counter, self.paper, self.soap, *(stall.device for stall in self.stalls)}
        return frozenset(named - {""})

    @property
    def columns(self) -> int:
        """How wide the plan is, in stalls."""
        return max((stall.column for stall in self.stalls), default=0) + 1

    @property
    def rows(self) -> int:
        """How deep the plan is, in stalls."""
        return max((stall.row for stall in self.stalls), default=0) + 1
