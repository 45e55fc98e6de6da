"""The atlas, as the routers are given it: loaded, or not yet."""

import asyncio
from typing import Annotated, Final, Literal

from fastapi import Depends
from pydantic import Field, StringConstraints

from cloud.api.common import Given, Id, StrictQuery
from cloud.api.problems import ApiProblem
from cloud.atlas.atlas import Atlas
from cloud.atlas.dirty import Box
from cloud.atlas.tiles import Filter
from telemetry.reason import Reason

__all__ = ["BOX", "DeviceState", "DistrictName", "Loaded", "MapFilter", "box_of", "degrees_of"]

_PATIENCE_S: Final = 5.0

DeviceState = Literal["normal", "alarm", "critical", "offline", "unknown"]
DistrictName = Annotated[str, StringConstraints(min_length=1, max_length=64)]

BOX: Final = "west,south,east,north in degrees; where west is above east it goes across 180 degrees"


async def _loaded(given: Given) -> Atlas:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await given.atlas.ready.wait()
    except TimeoutError:
        raise ApiProblem(Reason.STORE_UNAVAILABLE, "the devices are still being read; try again later") from None
    return given.atlas


Loaded = Annotated[Atlas, Depends(_loaded)]
"""503 while the devices are still being read."""


class MapFilter(StrictQuery):
    """Which devices a tile shows."""

    kind: list[Id] = Field(default=[], max_length=50, description="only of these kinds; say it again for more")
    district: list[DistrictName] = Field(default=[], max_length=50, description="only in these districts; say it again for more")
    state: list[DeviceState] = Field(default=[], max_length=5, description="only in these states; say it again for more")

    def of(self, atlas: Atlas) -> Filter:
        """In the numbers of the atlas."""
        return atlas.filter(kinds=self.kind, states=self.state, districts=self.district)


def degrees_of(box: str) -> tuple[float, float, float, float]:
    """West, south, east, north; ApiProblem where the text is none."""
    try:
        west, south, east, north = (float(part) for part in box.split(","))
    except ValueError:
        raise _no_box() from None
    # Comparisons with what is not a number are false.
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90):
        raise _no_box()
    return west, south, east, north


def box_of(atlas: Atlas, box: str, *, displayed: bool) -> Box:
    """The same in the map's units."""
    west, south, east, north = degrees_of(box)
    return atlas.box(west, south, east, north, displayed=displayed)


def _no_box() -> ApiProblem:
    return ApiProblem(Reason.INVALID, f"query.box: want {BOX}", [("query.box", "not a box")])
