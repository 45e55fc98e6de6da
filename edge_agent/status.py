"""The Unix socket in the data folder, for a person on the gateway: how the agent is, as one JSON object, and updates."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import msgspec

from edge_agent.desk import DeskCounts
from edge_agent.drivers.base import LinkHealth
from edge_agent.frames import FrameCounts
from edge_agent.outbox.inspect import inspect
from edge_agent.outbox.outbox import LaneAccount
from edge_agent.outbox.store import LossNote
from edge_agent.refusals import Refusal
from edge_agent.timekeeper import ClockStatus
from edge_agent.updates.asking import answer_update
from edge_agent.updates.room import UpdateRoom, UpdateStatus
from edge_agent.uplink.uplink import UplinkCounts
from telemetry.reason import Reason
from telemetry.records import Lane

__all__ = ["AgentStatus", "LaneStatus", "LinkStatus", "LossStatus", "OutboxStatus", "StatusSocket", "ask", "connected"]

_NAME = "agent.sock"
_MAX_BYTES = 8 * 1024 * 1024
_ASKED_S = 1.0
"""After so long without a word whoever connects gets the status."""


class LinkStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One link: its driver's health, and how often the driver had to be started again."""

    health: LinkHealth
    restarts: int

    @classmethod
    def of(cls, health: LinkHealth, restarts: int) -> "LinkStatus":
        return cls(health=health, restarts=restarts)


class LaneStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One lane: where all its records are. `oldest_ns` is the event time of the oldest one that waits."""

    next_seq: int
    cumulative: int
    acked: int
    quarantined: int
    lost: int
    backlog: int
    bytes: int
    kept_bytes: int = 0
    oldest_ns: int | None = None

    @classmethod
    def of(cls, account: LaneAccount, oldest_ns: int | None = None) -> "LaneStatus":
        return cls(
            next_seq=account.next_seq,
            cumulative=account.cumulative,
            acked=account.acked,
            quarantined=account.quarantined,
            lost=account.lost,
            backlog=account.depth,
            bytes=account.bytes,
            kept_bytes=account.kept_bytes,
            oldest_ns=oldest_ns,
        )


class LossStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One statement that records were lost, and when it was made; see `telemetry.records.LossRecord`."""

    at_ns: int
    lane: Lane
    epoch: str
    seq_from: int
    seq_to: int
    open_end: bool
    bytes: int
    time_from_ns: int
    time_to_ns: int
    reason: Reason

    @classmethod
    def of(cls, note: LossNote) -> "LossStatus":
        return cls(at_ns=note.at_ns, **msgspec.structs.asdict(note.record))


class OutboxStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The outbox alone: of `max_bytes` it may hold, what each lane does; what was last declared lost, newest first.

    `now_ns` is the agent's time, None where no agent runs.
    """

    epoch: str
    max_bytes: int
    lanes: Mapping[Lane, LaneStatus]
    losses: list[LossStatus]
    now_ns: int | None = None

    @classmethod
    def of_folder(cls, folder: Path, max_bytes: int) -> "OutboxStatus":
        """Of an outbox that no agent has open; OutboxError where there is none to look at."""
        seen = inspect(folder)
        lanes = {lane: LaneStatus.of(account, seen.oldest_ns.get(lane)) for lane, account in seen.accounts.items()}
        return cls(epoch=seen.epoch, max_bytes=max_bytes, lanes=lanes, losses=[LossStatus.of(note) for note in seen.losses])


class AgentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The whole agent at one instant; times are wall clock nanoseconds."""

    gateway: str
    epoch: str
    now_ns: int
    uplink_connected: bool
    uplink_error: str
    uplink: UplinkCounts
    links: list[LinkStatus]
    devices: Mapping[str, int | None]
    alarms: list[str]
    lanes: Mapping[Lane, LaneStatus]
    oldest_unacked_ns: int | None
    outbox_max_bytes: int
    losses: list[LossStatus]
    clock: ClockStatus
    counts: DeskCounts
    commit_failures: int
    commit_error: str = ""
    waited_for_room: int
    refusals: list[Refusal]
    updates: list[UpdateStatus] = []
    frames: FrameCounts = msgspec.field(default_factory=FrameCounts)

    @property
    def outbox(self) -> OutboxStatus:
        """Its part on the outbox."""
        return OutboxStatus(
            epoch=self.epoch, max_bytes=self.outbox_max_bytes, lanes=self.lanes, losses=self.losses, now_ns=self.now_ns
        )


class StatusSocket:
    """Answers whoever connects; only the agent's own user may. Who says nothing gets the status, a line asks for an update."""

    def __init__(self, folder: Path, status: Callable[[], AgentStatus], updates: UpdateRoom) -> None:
        self._folder = folder
        self._status = status
        self._updates = updates

    async def run(self) -> None:
        """Listen until cancelled."""
        async with asyncio.TaskGroup() as tasks:

            def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                tasks.create_task(self._answer(reader, writer), name="socket")

            with _short(self._folder) as folder:
                path = folder / _NAME
                path.unlink(missing_ok=True)
                server = await asyncio.start_unix_server(connected, path, start_serving=False)
                path.chmod(0o600)
                try:
                    async with server:
                        await server.serve_forever()
                finally:
                    path.unlink(missing_ok=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await _asked(reader)
            if line:
                await answer_update(line, reader, writer, self._updates)
            else:
                writer.write(msgspec.json.encode(self._status()))
                async with asyncio.timeout(5):
                    await writer.drain()
        except (OSError, TimeoutError, ValueError, msgspec.MsgspecError):
            return  # the other end left, or asked for what nobody knows
        finally:
            writer.close()


async def _asked(reader: asyncio.StreamReader) -> bytes:
    try:
        async with asyncio.timeout(_ASKED_S):
            return await reader.readline()
    except TimeoutError:
        return b""


@asynccontextmanager
async def connected(folder: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """The socket of the agent that uses `folder`; OSError when none listens."""
    with _short(folder) as short:
        reader, writer = await asyncio.open_unix_connection(short / _NAME)
    try:
        yield reader, writer
    finally:
        writer.close()


async def ask(folder: Path) -> AgentStatus:
    """The status of the agent that uses `folder`; OSError when none answers, msgspec.MsgspecError for nonsense."""
    async with connected(folder) as (reader, writer), asyncio.timeout(5):
        writer.write_eof()
        answer = await reader.read(_MAX_BYTES)
        while more := await reader.read(_MAX_BYTES):
            answer += more
    return msgspec.json.decode(answer, type=AgentStatus)


@contextmanager
def _short(folder: Path) -> Iterator[Path]:
    """A name for `folder` that fits into a socket address, which ends at 107 bytes."""
    if len(os.fsencode(folder / _NAME)) < 100:
        yield folder
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield Path(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)
