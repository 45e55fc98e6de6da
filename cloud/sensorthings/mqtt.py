"""Observations that come by MQTT (18-088, clause 14.1): published to where they would be posted."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import msgspec
from sqlalchemy.exc import DBAPIError

from cloud.sensorthings.draft import Draft, read_observation
from cloud.sensorthings.errors import StaError, invalid, not_found
from cloud.sensorthings.model import SETS
from cloud.sensorthings.paths import read_path
from cloud.sensorthings.receive import Receiver
from cloud.series.store import StoreUnavailable
from telemetry.reason import Reason

__all__ = ["PREFIX", "TOPICS", "MqttDoor", "stream_of"]

_log = logging.getLogger(__name__)

PREFIX: Final = "v1.1/"
TOPICS: Final = ("v1.1/Observations", "v1.1/+/Observations")
_SOURCE: Final = "sensorthings"
_MOST_WAITING: Final = 2_000
_MOST_BYTES: Final = 64 * 1024
_MOST_AT_ONCE: Final = 500
_TRIES: Final = 30
_REST_S: Final = 1.0

Refuse = Callable[[str, Reason, str], None]
"""Counts a refusal: source, reason, detail. The publisher hears of none: MQTT has no way to say it."""


class MqttDoor:
    """Takes messages by `offer`, which never waits, and makes them Observations while it runs."""

    def __init__(self, receiver: Receiver, refuse: Refuse) -> None:
        self._receiver = receiver
        self._refuse = refuse
        self._waiting: asyncio.Queue[Draft] = asyncio.Queue(_MOST_WAITING)

    def offer(self, topic: str, payload: bytes) -> None:
        """One message of one of `TOPICS`; what cannot be taken is refused and counted."""
        try:
            stream = stream_of(topic.removeprefix(PREFIX))
            self._waiting.put_nowait(read_observation(_json(payload), stream))
        except StaError as error:
            self._refuse(_SOURCE, error.reason, f"{topic[:64]}: {error.detail}"[:300])
        except asyncio.QueueFull:
            self._refuse(_SOURCE, Reason.QUEUE_FULL, f"{_MOST_WAITING} Observations wait; this one is lost")

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            drafts = [await self._waiting.get()]
            while not self._waiting.empty() and len(drafts) < _MOST_AT_ONCE:
                drafts.append(self._waiting.get_nowait())
            await self._take(drafts)

    async def _take(self, drafts: list[Draft]) -> None:
        for _ in range(_TRIES):
            try:
                outcomes = await self._receiver.take(drafts)
            except (StoreUnavailable, DBAPIError) as error:
                _log.warning("Observations wait for a store: %s", type(error).__name__, extra={"event": "sensorthings.waiting"})
                await asyncio.sleep(_REST_S)
                continue
            for told in outcomes:
                if isinstance(told, StaError):
                    self._refuse(_SOURCE, told.reason, told.detail[:300])
            return
        self._refuse(_SOURCE, Reason.STORE_UNAVAILABLE, f"{len(drafts)} Observations are lost: no store for {_TRIES} tries")


def stream_of(path: str) -> int | None:
    """The Datastream whose Observations a path is the list of, None for `Observations`; StaError (404) for another path."""
    place = read_path(path)
    is_list = place.many and place.kind is SETS["Observations"] and not place.refs
    if is_list and not place.hops:
        return None
    if is_list and place.root is SETS["Datastreams"] and len(place.hops) == 1:
        return place.id
    raise not_found(f"{path[:64]}: Observations are made at Observations or Datastreams(number)/Observations")


def _json(payload: bytes) -> object:
    if len(payload) > _MOST_BYTES:
        raise StaError(413, Reason.OVERSIZED, f"{len(payload)} bytes: want at most {_MOST_BYTES}")
    try:
        return msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid("body: want JSON in UTF-8") from None
