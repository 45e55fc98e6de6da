"""News as server-sent events (HTML standard, 9.2), resumable by Last-Event-ID.

A device that speaks often is news only once in 250 ms for one reader: the latest word about it is sent. An event whose
id would step over a device's held-back news goes out without one, so a reader that comes back misses nothing and may
see a few events twice.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Header, Query, Request
from pydantic import Field
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from cloud.api.common import MAX_INT, Given, StrictQuery
from cloud.api.problems import ApiProblem, describe
from cloud.feed import FeedItem
from telemetry.reason import Reason

__all__ = ["MAX_STREAMS", "Coalescer", "EventStream", "router"]

router = APIRouter(tags=["stream"])

MAX_STREAMS = 256
KEEP_ALIVE_S = 15.0
COALESCE_S = 0.25
_MOST_HELD = 2000
_WAITING = 256
_KEEP_ALIVE = b": keep-alive\n\n"
_EXAMPLE = 'id: 42\nevent: case\ndata: {"id":7,"device":"cover-17","state":"open","version":1}\n\n'

Kind = Literal["transition", "alarm", "case", "device", "gateway", "notification"]


class StreamQuery(StrictQuery):
    """Which news, and from where."""

    kind: list[Kind] = Field(default=[], description="only these; none means all")
    last_event_id: int | None = Field(None, ge=0, le=MAX_INT, description="for readers that cannot set the header")


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
    """With Last-Event-ID: first what was missed since, as far as it is still held. At most 256 streams at a time."""
    streams: set[EventStream] = request.app.state.streams
    if len(streams) >= MAX_STREAMS:
        raise ApiProblem(Reason.QUEUE_FULL, f"{len(streams)} streams are open: want at most {MAX_STREAMS}; try again later")
    after = resume if resume is not None else query.last_event_id
    return EventStream(given.feed.subscribe(after), frozenset(query.kind), given.stop, streams, request.state.alive)


class EventStream(Response):
    """One reader's stream; ends when the reader leaves, `stop` is set, or the session is not `alive` any more, which is
    asked every 15 s however much there is to tell."""

    def __init__(
        self,
        news: AsyncIterator[FeedItem],
        kinds: frozenset[str],
        stop: asyncio.Event,
        streams: "set[EventStream]",
        alive: Callable[[], Awaitable[bool]],
    ) -> None:
        super().__init__(media_type="text/event-stream")
        del self.headers["content-length"]
        self._news = news
        self._kinds = kinds
        self._stop = stop
        self._streams = streams
        self._alive = alive
        self._waiting: asyncio.Queue[FeedItem] = asyncio.Queue(_WAITING)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        self._streams.add(self)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async with asyncio.TaskGroup() as tasks:
                ends = (self._stop.wait(), _gone(receive), self._over())
                parts = [tasks.create_task(part) for part in (self._read(), self._write(send), *ends)]
                await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
                for part in parts:
                    part.cancel()
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._streams.discard(self)

    async def _read(self) -> None:
        # A slow reader fills `_waiting`; from then on the feed's own ring holds its place and tells of the gap.
        async for item in self._news:
            if not self._kinds or item.kind in self._kinds or item.kind == "gap":
                await self._waiting.put(item)

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
                chunk = held.take(item, now())


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
    return head + b"event: " + item.kind.encode() + b"\ndata: " + msgspec.json.encode(item.data) + b"\n\n"
