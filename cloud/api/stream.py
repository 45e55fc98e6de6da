"""News as server-sent events (HTML standard, 9.2), resumable by Last-Event-ID.

A device that speaks often is news only once in 250 ms for one reader: the latest word about it is sent. An event whose
id would step over a device's held-back news goes out without one, so a reader that comes back misses nothing and may
see a few events twice.

`tiles` are not of the feed: with a box and a zoom, a reader is told once a second at most which tiles of that part of the map
are others now. The first such event names none: it says at which version the stream begins, so that a page which has an
older one asks for its tiles again. They carry no id and are not held for readers that come back.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter, Header, Query, Request
from pydantic import Field, model_validator
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from cloud.api.atlas import BOX, box_of
from cloud.api.common import MAX_INT, Given, Id, StrictQuery
from cloud.api.problems import ApiProblem, describe
from cloud.atlas.atlas import Atlas
from cloud.atlas.dirty import Box
from cloud.feed import FeedItem
from telemetry.reason import Reason

__all__ = ["MAX_STREAMS", "Coalescer", "EventStream", "Wanted", "router"]

router = APIRouter(tags=["stream"])

MAX_STREAMS = 256
KEEP_ALIVE_S = 15.0
COALESCE_S = 0.25
_MOST_HELD = 2000
_WAITING = 256
_MOST_DEVICES = 500
TILES: Final = "tiles"
_SCOPED: Final = frozenset({"device", "alarm", "transition", "case"})
"""Kinds that are of one place, which a box or devices narrow."""
_KEEP_ALIVE = b": keep-alive\n\n"
_EXAMPLE = 'id: 42\nevent: case\ndata: {"id":7,"device":"cover-17","state":"open","version":1}\n\n'

Kind = Literal["transition", "alarm", "case", "device", "gateway", "notification", "command", "tiles"]


class StreamQuery(StrictQuery):
    """Which news, and from where."""

    kind: list[Kind] = Field(default=[], max_length=20, description="only these; none means all but `tiles`")
    device: list[Id] = Field(default=[], max_length=_MOST_DEVICES, description="of devices, alarms and cases: only of these")
    box: str | None = Field(None, max_length=200, description=f"of devices, alarms and cases: only in it; {BOX}")
    crs: Literal["wgs84", "display"] = Field("wgs84", description="what `box` is in: WGS-84, or the map's own system")
    zoom: int | None = Field(None, ge=0, le=22, description="with `kind=tiles`: of tiles of this zoom, at most 16")
    everywhere: bool = Field(default=False, description="`box` is for the tiles alone: news are told of wherever they are from")
    last_event_id: int | None = Field(None, ge=0, le=MAX_INT, description="for readers that cannot set the header")

    @model_validator(mode="after")
    def _whole(self) -> "StreamQuery":
        if TILES in self.kind and (self.box is None or self.zoom is None):
            raise ValueError("kind=tiles wants a box and a zoom")
        return self


class Wanted(msgspec.Struct, frozen=True):
    """What a reader wants to hear of; `tiles` is the zoom, None where none are asked for. `everywhere`: the
    box is for the tiles alone."""

    kinds: frozenset[str] = frozenset()
    devices: frozenset[str] = frozenset()
    box: Box | None = None
    tiles: int | None = None
    everywhere: bool = False

    def takes(self, item: FeedItem, atlas: Atlas) -> bool:
        """Whether an item is for the reader. A gap always is."""
        if item.kind == "gap":
            return True
        if self.kinds and item.kind not in self.kinds:
            return False
        if item.kind not in _SCOPED:
            return True
        device = item.data.get("id" if item.kind == "device" else "device")
        if self.devices and device not in self.devices:
            return False
        return self.box is None or self.everywhere or atlas.concerns(item, self.box)


class EventBytes(Response):
    media_type = "text/event-stream"


@router.get(
    "/stream",
    summary="What happens, as it happens",
    response_class=EventBytes,
    responses={
        200: {
            "description": "Events named after their kind; `gap` says how many were missed. A comment every 15 s of silence.",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}},
        },
        **describe(503),
    },
)
async def stream(
    request: Request,
    given: Given,
    query: Annotated[StreamQuery, Query()],
    resume: Annotated[int | None, Header(alias="Last-Event-ID", ge=0, le=MAX_INT)] = None,
) -> Response:
    """With Last-Event-ID: first what was missed since, as far as it is still held. At most 256 streams at a time.

    `tiles`: `{"version", "tiles": ["z/x/y", ...]}`, or `{"version", "all": true}` where more than 256 changed.
    """
    streams: set[EventStream] = request.app.state.streams
    if len(streams) >= MAX_STREAMS:
        raise ApiProblem(Reason.QUEUE_FULL, f"{len(streams)} streams are open: want at most {MAX_STREAMS}; try again later")
    after = resume if resume is not None else query.last_event_id
    atlas = given.atlas
    box = None if query.box is None else box_of(atlas, query.box, displayed=query.crs == "display")
    tiles = query.zoom if TILES in query.kind else None
    wanted = Wanted(frozenset(query.kind), frozenset(query.device), box, tiles, query.everywhere)
    news = given.feed.subscribe(after)
    return EventStream(news, wanted, atlas, stop=given.stop, streams=streams, alive=request.state.alive)


class EventStream(Response):
    """One reader's stream; ends when the reader leaves, `stop` is set, or the session is not `alive` any more, which is
    asked every 15 s however much there is to tell."""

    def __init__(
        self,
        news: AsyncIterator[FeedItem],
        wanted: Wanted,
        atlas: Atlas,
        *,
        stop: asyncio.Event,
        streams: "set[EventStream]",
        alive: Callable[[], Awaitable[bool]],
    ) -> None:
        super().__init__(media_type="text/event-stream")
        del self.headers["content-length"]
        self._news = news
        self._wanted = wanted
        self._atlas = atlas
        self._stop = stop
        self._streams = streams
        self._alive = alive
        self._waiting: asyncio.Queue[FeedItem | bytes] = asyncio.Queue(_WAITING)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        self._streams.add(self)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async with asyncio.TaskGroup() as tasks:
                ends = (self._stop.wait(), _gone(receive), self._over())
                parts = [tasks.create_task(part) for part in (self._read(), self._watch(), self._write(send), *ends)]
                await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
                for part in parts:
                    part.cancel()
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._streams.discard(self)

    async def _read(self) -> None:
        # A slow reader fills `_waiting`; from then on the feed's own ring holds its place and tells of the gap.
        async for item in self._news:
            if self._wanted.takes(item, self._atlas):
                await self._waiting.put(item)

    async def _watch(self) -> None:
        """Tell of the tiles that change; for ever, also where none are asked for."""
        dirty, zoom = self._atlas.dirty, self._wanted.tiles
        if zoom is None:
            await asyncio.Event().wait()
            return
        version = dirty.version
        await self._waiting.put(_event(TILES, {"version": version, "tiles": []}))
        while True:
            newest = await dirty.wait(version)
            tiles = dirty.since(version, zoom, self._wanted.box)
            version = newest
            if tiles is None:
                await self._waiting.put(_event(TILES, {"version": version, "all": True}))
            elif tiles:
                await self._waiting.put(_event(TILES, {"version": version, "tiles": [tile.name for tile in tiles]}))

    async def _over(self) -> None:
        while True:
            await asyncio.sleep(KEEP_ALIVE_S)
            if not await self._alive():
                return

    async def _write(self, send: Send) -> None:
        held = Coalescer()
        now = asyncio.get_running_loop().time
        chunk = b"retry: 2000\n\n"
        while True:
            if chunk:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            try:
                async with asyncio.timeout(held.wait_s(now(), KEEP_ALIVE_S)):
                    item = await self._waiting.get()
            except TimeoutError:
                chunk = held.flush(now()) or _KEEP_ALIVE
            else:
                # Bytes are complete as they are; what is held keeps its place and its time.
                chunk = item if isinstance(item, bytes) else held.take(item, now())


class Coalescer:
    """Turns items into bytes, at most one a device in 250 ms. `now` is any clock's seconds."""

    def __init__(self) -> None:
        self._held: dict[object, FeedItem] = {}
        self._flushed = float("-inf")
        self._last_id = 0

    def wait_s(self, now: float, otherwise: float) -> float:
        """Seconds until held items are due, or `otherwise` where none are."""
        return max(0.0, self._flushed + COALESCE_S - now) if self._held else otherwise

    def take(self, item: FeedItem, now: float) -> bytes:
        """What to send on this item; maybe nothing yet."""
        self._last_id = item.id
        if item.kind != "device":
            sent = _frame(item, None if self._held else item.id)
            return sent + self._due(now)
        key = item.data.get("id", item.data.get("device"))
        # Taken out first, so that the newest stands last and held items stay in order of id.
        self._held.pop(key, None)
        self._held[key] = item
        return self._due(now)

    def flush(self, now: float) -> bytes:
        """Everything held; the last one carries the id of the newest item seen."""
        if not self._held:
            return b""
        *others, last = self._held.values()
        self._held.clear()
        self._flushed = now
        return b"".join(_frame(item, None) for item in others) + _frame(last, self._last_id)

    def _due(self, now: float) -> bytes:
        over = self._held and (now >= self._flushed + COALESCE_S or len(self._held) >= _MOST_HELD)
        return self.flush(now) if over else b""


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _frame(item: FeedItem, shown_id: int | None) -> bytes:
    head = b"" if shown_id is None else b"id: %d\n" % shown_id
    return head + _event(item.kind, item.data)


def _event(kind: str, data: Any) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + msgspec.json.encode(data) + b"\n\n"
