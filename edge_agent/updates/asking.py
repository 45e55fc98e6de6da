"""An update as it is asked for at the agent's socket: both ends of the conversation, one JSON object a line.

    -> Asked      -> the package, once the agent says that it wants it
    <- Send       <- Step, Step, ..., Over

The package itself goes over the socket: the agent's user, or its systemd unit, need not see the folder it lies in.
"""

import asyncio
from collections.abc import Callable

import msgspec

from edge_agent.updates.room import MOST_BYTES, TurnedDownError, Update, UpdateRoom
from firmware_bridge.update.table import State
from telemetry.reason import Reason
from telemetry.records import Outcome

__all__ = ["Asked", "Over", "Step", "answer_update", "ask_update"]

_UPLOAD_S = 60.0
_TAKEN_S = 5.0
"""How long whoever watches may leave a line unread; the update goes on without."""


class Asked(msgspec.Struct, frozen=True, kw_only=True, tag_field="ask", tag="update"):
    """Update `device` with a package of `size` bytes."""

    device: str
    size: int


class Send(msgspec.Struct, frozen=True, kw_only=True, tag_field="said", tag="send"):
    """The package may come."""


class Step(msgspec.Struct, frozen=True, kw_only=True, tag_field="said", tag="step"):
    """`chunk` of `chunks` have been confirmed by the device."""

    state: State
    chunk: int
    chunks: int


class Over(msgspec.Struct, frozen=True, kw_only=True, tag_field="said", tag="over"):
    """The end. `outcome` is `refused` where the agent did not begin, and `ended` is None then; otherwise `ended` is the session's
    end. `reason` and `detail` say why it is not `done`."""

    device: str
    outcome: Outcome
    ended: State | None = None
    reason: Reason | None = None
    detail: str = ""
    release: str = ""
    version: int = 0


async def answer_update(line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, room: UpdateRoom) -> None:
    """The agent's end: what `line` asks for, until it is over. MsgspecError for a line that asks for nothing known, TimeoutError
    and OSError where the other end is gone."""
    asked = msgspec.json.decode(line, type=Asked)

    async def load() -> bytes:
        if not 0 < asked.size <= MOST_BYTES:
            raise TurnedDownError(Reason.OVERSIZED, f"a package of {asked.size} bytes, want 1 to {MOST_BYTES}")
        await _say(writer, Send())
        try:
            async with asyncio.timeout(_UPLOAD_S):
                return await reader.readexactly(asked.size)
        except (TimeoutError, asyncio.IncompleteReadError):
            raise TurnedDownError(Reason.TRUNCATED, f"the package did not come whole within {_UPLOAD_S:g} s") from None

    try:
        update = await room.start(asked.device, load)
    except TurnedDownError as refusal:
        over = Over(device=asked.device, outcome=Outcome.REFUSED, reason=refusal.reason, detail=refusal.detail)
        await _say(writer, over)
        return
    async for progress in update.steps():
        await _say(writer, Step(state=progress.state, chunk=progress.chunk, chunks=progress.chunks))
    await _say(writer, _over(update))


def _over(update: Update) -> Over:
    ending, manifest = update.ending, update.manifest
    assert ending is not None  # noqa: S101 (its steps are over)
    assert manifest is not None  # noqa: S101 (it has begun)
    return Over(
        device=update.place.device.id,
        outcome=update.outcome,
        ended=ending.state,
        reason=ending.reason,
        detail=ending.detail,
        release=manifest.release,
        version=manifest.version,
    )


async def _say(writer: asyncio.StreamWriter, said: Send | Step | Over) -> None:
    writer.write(msgspec.json.encode(said) + b"\n")
    async with asyncio.timeout(_TAKEN_S):
        await writer.drain()


async def ask_update(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, device: str, package: bytes, tell: Callable[[Step], None]
) -> Over | None:
    """The other end; None where the agent ended before the update did. OSError and MsgspecError where it is no agent, or an older
    one."""
    writer.write(msgspec.json.encode(Asked(device=device, size=len(package))) + b"\n")
    while line := await reader.readline():
        said: Send | Step | Over = msgspec.json.decode(line, type=Send | Step | Over)
        match said:
            case Send():
                writer.write(package)
                await writer.drain()
            case Step() as step:
                tell(step)
            case Over() as over:
                return over
    return None
