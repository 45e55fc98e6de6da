"""The map of devices as vector tiles (Mapbox Vector Tile 2.1), by their states."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Path, Query
from starlette.responses import Response

from cloud.api.atlas import Loaded, MapFilter
from cloud.api.problems import ApiProblem, describe
from cloud.atlas.mercator import Tile
from telemetry.reason import Reason

__all__ = ["router"]

router = APIRouter(tags=["map"])

_TYPE: Final = "application/vnd.mapbox-vector-tile"
_MOST_ZOOM: Final = 22
_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The tile; an empty one has no bytes. `ETag` is the same as long as the bytes are.",
        "content": {_TYPE: {"schema": {"type": "string", "format": "binary"}, "example": ""}},
    },
    304: {"description": "It is as `If-None-Match` says"},
}


class TileBytes(Response):
    media_type = _TYPE


def _tile(
    z: Annotated[int, Path(ge=0, le=_MOST_ZOOM)],
    x: Annotated[int, Path(ge=0, lt=1 << _MOST_ZOOM)],
    y: Annotated[int, Path(ge=0, lt=1 << _MOST_ZOOM)],
) -> Tile:
    if x >> z or y >> z:
        raise ApiProblem(Reason.INVALID, f"tile {z}/{x}/{y}: want x and y below {1 << z} at zoom {z}")
    return Tile(z, x, y)


@router.get(
    "/tiles/{z}/{x}/{y}.mvt",
    summary="One tile of the map",
    response_class=TileBytes,
    responses={**_ANSWERS, **describe(503)},
)
async def get_tile(
    atlas: Loaded,
    tile: Annotated[Tile, Depends(_tile)],
    query: Annotated[MapFilter, Query()],
    if_none_match: Annotated[str, Header(max_length=1000)] = "",
) -> Response:
    """512 pixels, 4096 units, positions in the map's own system (`crs` of /api/map). Web Mercator, y from the north.

    Up to zoom 14 the layer `cells` has a point for each of 8 x 8 cells that holds devices: `n` of them, and how many are
    `critical`, `alarm`, `normal`, `offline`, `unknown`, those above 0; a cell of one device has its `id`, `name` and `kind`.
    From 15 on the layer `devices` has them all, at most 16,384 a tile: `id`, `name`, `kind`, `state`, `cases` (open ones) and
    `order` (4 critical to 0 unknown). `cases` are the open cases with a place, the gravest and oldest 5,000 of the city and
    at most 500 a tile: `id`, `priority`, `device`, `age_h`, `title_zh`, `title_en`.
    """
    made = atlas.tile(tile, query.of(atlas))
    # Weak: the same tile may be sent compressed or plain.
    tag = f'W/"{made.tag}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if tag in {each.strip() for each in if_none_match.split(",")}:
        return Response(status_code=304, headers=headers)
    return TileBytes(made.content, headers=headers)
