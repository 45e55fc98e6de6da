"""The updates that a running agent carries out, asked for at the gateway or by the cloud."""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

import msgspec

from edge_agent.attempt import attempt
from edge_agent.config import DeviceConfig
from edge_agent.drivers import Driver
from edge_agent.updates.adapters import Make, fitting
from edge_agent.updates.base import Updatable
from edge_agent.updates.runner import Progress, run_update
from firmware_bridge.errors import ParseError
from firmware_bridge.update.manifest import HEADER_BYTES, Manifest
from firmware_bridge.update.package import Package, open_package, read_public_key
from firmware_bridge.update.session import Ending
from firmware_bridge.update.table import State
from telemetry.clock import Clock
from telemetry.reason import Reason
from telemetry.records import CommandResult, Outcome

__all__ = ["ACTION", "MOST_BYTES", "Load", "Place", "TurnedDownError", "Update", "UpdateRoom", "UpdateStatus", "stored"]

logger = logging.getLogger(__name__)

ACTION = "update_firmware"
"""The cloud's command; its argument `package` names a file in the folder `firmware` of the agent's data."""
_MOST = 4
MOST_BYTES = HEADER_BYTES + 16 * 1024 * 1024
"""Four packages of this size lie in memory at most."""
_RECORD_S, _LAST_RECORD_S = 30.0, 2.0
"""How long a result may wait for room in the outbox, and at the agent's end."""
_OUTCOMES = {State.DONE: Outcome.DONE, State.REFUSED: Outcome.FAILED, State.ROLLED_BACK: Outcome.FAILED}
"""After the other ends nobody knows what the device has; it runs an image that is signed and not older in any case."""

Load = Callable[[], Awaitable[bytes]]
"""Brings the package's bytes; may raise TurnedDownError."""


class TurnedDownError(Exception):
    """An update that is not begun, and why."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a configured device is: its link, the link's language and driver."""

    device: DeviceConfig
    link: str
    language: str
    driver: Driver


class UpdateStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One update under way: `chunk` of `chunks` have been confirmed; "" and 0 while the package is still coming."""

    device: str
    link: str
    release: str = ""
    version: int = 0
    state: str = ""
    chunk: int = 0
    chunks: int = 0


class Update:
    """One update, for whoever watches it; a slow watcher misses steps, never the end."""

    def __init__(self, order: str, place: Place) -> None:
        self.order = order
        """The cloud's command, or a name of its own."""
        self.place = place
        self.manifest: Manifest | None = None
        self.progress: Progress | None = None
        self.ending: Ending | None = None
        self._moved = asyncio.Event()

    @property
    def outcome(self) -> Outcome:
        """What its end means to whoever asked; unknown before that."""
        return Outcome.UNKNOWN if self.ending is None else _OUTCOMES.get(self.ending.state, Outcome.UNKNOWN)

    def tell(self, progress: Progress) -> None:
        """It is one step further."""
        self.progress = progress
        self._wake()

    def end(self, ending: Ending) -> None:
        """It is over."""
        self.ending = ending
        self._wake()

    async def steps(self) -> AsyncIterator[Progress]:
        """Where it is, each time that changes, until it is over."""
        shown: Progress | None = None
        while True:
            moved = self._moved
            if self.progress is not None and self.progress != shown:
                shown = self.progress
                yield shown
            if self.ending is not None:
                return
            await moved.wait()

    def status(self) -> UpdateStatus:
        """As `citynerve edge status` shows it."""
        device, link = self.place.device.id, self.place.link
        if self.manifest is None or self.progress is None:
            return UpdateStatus(device=device, link=link)
        return UpdateStatus(
            device=device,
            link=link,
            release=self.manifest.release,
            version=self.manifest.version,
            state=self.progress.state,
            chunk=self.progress.chunk,
            chunks=self.progress.chunks,
        )

    def _wake(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()


class UpdateRoom:
    """At most one update a link and four in all. `record` is given the result of each at its end.

    An update belongs to the agent: it goes on when whoever asked for it has left. When the agent ends, it ends; asked again,
    it goes on where the device says that it stands.
    """

    def __init__(
        self,
        places: Mapping[str, Place],
        key_file: Path | None,
        record: Callable[[str, CommandResult], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._places = places
        self._key_file = key_file
        self._record = record
        self._clock = clock
        self._updates: dict[str, Update] = {}
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Carry out updates until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                await asyncio.get_running_loop().create_future()  # until cancelled
            finally:
                self._tasks = None

    def status(self) -> list[UpdateStatus]:
        """What is under way."""
        return [update.status() for update in self._updates.values()]

    async def start(self, device: str, load: Load, order: str = "") -> Update:
        """Begin to update `device` with the package that `load` brings, which is checked first; `order` is the command that wants
        it. TurnedDownError where it may not be, and nothing has happened."""
        place, key_file, make = self._judged(device)
        update = self._updates[place.link] = Update(order or f"{ACTION}-{uuid.uuid4().hex}", place)
        try:
            package = await _opened(load, key_file)
        except BaseException:
            del self._updates[place.link]
            raise
        update.manifest = package.manifest
        self._begin(update, make(package))
        return update

    def _begin(self, update: Update, device: Updatable) -> None:
        if self._tasks is None:
            del self._updates[update.place.link]
            raise TurnedDownError(Reason.INTERRUPTED, "the agent is ending")
        logger.info("update of %s begins", update.place.device.id, extra=_fields("update.begun", update))
        self._tasks.create_task(self._lead(update, device), name=f"update {update.place.device.id}")

    def _judged(self, device: str) -> tuple[Place, Path, Make]:
        """Where the device is, the key, and how it is updated."""
        place = self._places.get(device)
        if place is None:
            raise TurnedDownError(Reason.UNKNOWN_DEVICE, f"{device[:64]}: no device of this name in the agent's configuration")
        make = fitting(place.driver, place.device)
        if make is None:
            detail = f"{device} is on link {place.link}, which speaks {place.language}: no update goes that way"
            raise TurnedDownError(Reason.NOT_ALLOWED, detail)
        if self._key_file is None:
            detail = "firmware_key_file is not set in the agent's configuration: nobody could say whose package it is"
            raise TurnedDownError(Reason.NOT_ALLOWED, detail)
        if place.link in self._updates:
            other = self._updates[place.link].place.device.id
            raise TurnedDownError(Reason.CONFLICT, f"{other} is being updated on link {place.link}, one device at a time")
        if len(self._updates) >= _MOST or self._tasks is None:
            raise TurnedDownError(Reason.QUEUE_FULL, f"{len(self._updates)} updates are under way, at most {_MOST} can be")
        return place, self._key_file, make

    async def _lead(self, update: Update, device: Updatable) -> None:
        try:
            ending = await attempt(run_update(device, tell=update.tell))
        except asyncio.CancelledError:
            detail = "the agent ended; asked again, the update goes on where the device stands"
            await self._close(update, Ending(state=State.CANCELLED, reason=Reason.INTERRUPTED, detail=detail), _LAST_RECORD_S)
            raise
        except Exception as error:  # a driver's fault is the end of this update, and of nothing else
            logger.exception("update of %s failed", update.place.device.id, extra=_fields("update.failed", update))
            ending = Ending(state=State.GAVE_UP, reason=Reason.INTERNAL, detail=f"{type(error).__name__}: {error}"[:200])
        await self._close(update, ending, _RECORD_S)

    async def _close(self, update: Update, ending: Ending, within_s: float) -> None:
        del self._updates[update.place.link]
        update.end(ending)
        logger.info("update of %s: %s", update.place.device.id, ending.state, extra=_fields("update.ended", update))
        try:
            async with asyncio.timeout(within_s):
                await self._record(update.place.device.id, self._result(update, ending))
        except TimeoutError:
            logger.warning("the outbox took no result", extra=_fields("update.result_lost", update))

    def _result(self, update: Update, ending: Ending) -> CommandResult:
        manifest = update.manifest
        what = ACTION if manifest is None else f"{ACTION}, release {manifest.release}, version {manifest.version}"
        return CommandResult(
            id=update.order,
            device=update.place.device.id,
            outcome=update.outcome,
            time_ns=self._clock.wall_ns(),
            reason=ending.reason,
            detail=f"{what}: {ending.state}{ending.detail and ', '}{ending.detail}"[:500],
        )


def stored(folder: Path, name: str) -> Load:
    """The package `name` in `folder`, and in no other."""

    async def load() -> bytes:
        if not name or Path(name).name != name:
            raise TurnedDownError(Reason.BAD_FIELD, f"package {name[:64]!r}, want the name of a file in {folder}")
        return await asyncio.to_thread(_read, folder / name)

    return load


def _read(path: Path) -> bytes:
    try:
        if path.is_file():  # what is a pipe would be read for ever
            with path.open("rb") as file:
                return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise TurnedDownError(Reason.NOT_FOUND, f"{path}: {error.strerror}") from error
    raise TurnedDownError(Reason.NOT_FOUND, f"{path} is no file")


async def _opened(load: Load, key_file: Path) -> Package:
    data = await load()
    if len(data) > MOST_BYTES:
        raise TurnedDownError(Reason.OVERSIZED, f"a package above {MOST_BYTES} bytes")
    try:
        # Megabytes are hashed beside the loop, which has devices to answer.
        return await asyncio.to_thread(lambda: open_package(data, read_public_key(key_file.read_bytes())))
    except ParseError as error:
        raise TurnedDownError(error.reason, f"the package is refused: {error}") from error
    except OSError as error:
        raise TurnedDownError(Reason.NOT_FOUND, f"{key_file}: {error.strerror}") from error


def _fields(event: str, update: Update) -> dict[str, object]:
    place, ending = update.place, update.ending
    told: dict[str, object] = {"event": event, "device": place.device.id, "link": place.link, "order": update.order}
    return told if ending is None else told | {"state": ending.state, "reason": ending.reason, "detail": ending.detail}
